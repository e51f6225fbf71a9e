/* SPDX-License-Identifier: Apache-2.0
 * cmd_dlq - dead letters: records that could never be handled, and the way back
 */
#include "ctl.h"
#include "edge/bus.h"

#include "base/banned.h"

#define LIMIT 100 /* for people; programs get all */

#define SHOWN \
	"SELECT d.id, d.group_name, d.topic, d.partition, d.log_offset, d.reason, d.created_at, d.replay_at, d.replays, " \
	"d.ended_at, " \
	"d.type, d.key, d.subject, d.sequence, d.ce_id, d.ce_time, length(d.value), encode(d.value, 'hex') FROM " \
	"dead_letter d " \
	"WHERE d.tenant_id = $1 AND "
static const char sql_list[] =
	SHOWN "($2::text IS NULL OR d.group_name = $2::text) AND ($3 OR d.ended_at IS NULL) ORDER BY d.created_at DESC "
	"LIMIT $4";
static const char sql_show[] = SHOWN "d.id = $2";
static const char sql_replay[] =
	"UPDATE dead_letter SET replay_at = clock_timestamp() WHERE tenant_id = $1 AND ended_at IS NULL AND "
	"(id = $2::uuid OR ($2::uuid IS NULL AND group_name = $3::text)) RETURNING subject, topic";
/* The ledger calls such a mail dead, and a threader leaves alone what has ended: it is received again. */
static const char sql_ledger[] =
	"UPDATE intake SET state = 'received', reason = 'replay', decided_at = NULL WHERE id = ANY($1) AND state = 'dead'";

static const struct column columns[] = {
	{ "id", "DEAD LETTER", CELL_UUID },    { "group", "GROUP", CELL_TEXT },      { "topic", "TOPIC", CELL_TEXT },
	{ "partition", "PARTITION", CELL_INT }, { "offset", "OFFSET", CELL_INT },    { "reason", "REASON", CELL_TEXT },
	{ "created_at", "SINCE", CELL_TIME },  { "replay_at", "REPLAY", CELL_TIME }, { "replays", NULL, CELL_INT },
	{ "ended_at", "ENDED", CELL_TIME },    { "type", NULL, CELL_TEXT },          { "key", NULL, CELL_TEXT },
	{ "subject", NULL, CELL_TEXT },        { "sequence", NULL, CELL_INT },       { "ce_id", NULL, CELL_UUID },
	{ "ce_time", NULL, CELL_TIME },        { "bytes", NULL, CELL_INT },          { "value", NULL, CELL_TEXT },
};

static int revive_ledger(struct ctl *ctl, const struct db_result *replayed);

static int list(struct ctl *ctl)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, ctl->tenant.id);
	ctl_arg_text(ctl, &args, "group");
	db_arg_bool(&args, ctl_given(ctl, "all"));
	ctl_arg_limit(ctl, &args, LIMIT);
	if (db_query(ctl->db, sql_list, &args, &rows, &ctl->err) < 0)
		return ctl_failed(ctl);
	/* The value is for `show`. */
	table_print(&ctl->arena, columns, ARRAY_LEN(columns) - 1, rows, ctl->as_json, "no dead letters");
	ctl_tell_more(ctl, db_rows(rows), LIMIT, "--limit N shows so many");
	return CTL_DONE;
}

static int show(struct ctl *ctl)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;
	struct uuid id;

	if (!uuid_parse(str_of(ctl->operands[0]), &id))
		return ctl_usage("%s is no dead letter: the id that `casectl dlq list` prints is expected", ctl->operands[0]);
	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, ctl->tenant.id);
	db_arg_uuid(&args, id);
	if (db_query(ctl->db, sql_show, &args, &rows, &ctl->err) < 0)
		return ctl_failed(ctl);
	return ctl_show(ctl, columns, ARRAY_LEN(columns), rows, "dlq");
}

static int replay(struct ctl *ctl)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	const char *operand = ctl->operands[0], *group = ctl_text(ctl, "group");
	struct db_args args;
	struct uuid id = { 0 };

	if (!operand == !group)
		return ctl_usage("say either the id of a dead letter or --group GROUP for all of a group");
	if (operand && !uuid_parse(str_of(operand), &id))
		return ctl_usage("%s is no dead letter: the id that `casectl dlq list` prints is expected", operand);
	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, ctl->tenant.id);
	db_arg_uuid_or_null(&args, id);
	ctl_arg_text(ctl, &args, "group");
	if (db_begin(ctl->db, &ctl->err) < 0 || db_query(ctl->db, sql_replay, &args, &rows, &ctl->err) < 0)
		return ctl_end(ctl, ctl_failed(ctl));
	if (db_rows(rows) == 0 && operand)
		return ctl_end(
			ctl, ctl_not_found("there is no such dead letter, or it has ended; `casectl dlq list --all` shows them"));
	int status = ctl_end(ctl, revive_ledger(ctl, rows));
	if (status != CTL_DONE)
		return status;
	if (ctl->as_json) {
		json_t *object CLEANUP(json_done) = json_object();
		json_put_int(object, "replayed", db_rows(rows));
		json_print_line(stdout, object);
	} else
		printf("%d asked back; the group takes them before its next records\n", db_rows(rows));
	return CTL_DONE;
}

static int revive_ledger(struct ctl *ctl, const struct db_result *replayed)
{
	struct uuid *intakes = ARENA_ARRAY(&ctl->arena, struct uuid, (size_t)db_rows(replayed) + 1);
	size_t count = 0;
	struct db_args args;

	for (int i = 0; i < db_rows(replayed); i++)
		if (str_eq(db_str(replayed, i, 1), STR(TOPIC_MAIL_RECEIVED)) &&
		    uuid_parse(db_str(replayed, i, 0), &intakes[count]))
			count++;
	db_args_init(&args, &ctl->arena);
	db_arg_uuids(&args, intakes, count);
	return db_exec(ctl->db, sql_ledger, &args, NULL, &ctl->err) < 0 ? ctl_failed(ctl) : CTL_DONE;
}

static const struct option_def list_options[] = {
	{ "group", OPTION_TEXT, "GROUP", "only of this group: threader, router, notifier" },
	{ "all", OPTION_FLAG, NULL, "with those that have ended" },
	{ "limit", OPTION_INT, "N", "at most so many (default 100; with --json all)", .min = 1, .max = INT64_MAX },
	{ 0 },
};
static const struct option_def replay_options[] = {
	{ "group", OPTION_TEXT, "GROUP", "all dead letters of this group" },
	{ 0 },
};
static const struct verb verbs[] = {
	{ "list", "", 0, 0, NEED_TENANT, "dead letters, newest first", "  casectl dlq list --group threader", list_options,
	  list },
	{ "show", "ID", 1, 1, NEED_TENANT, "one with its bytes", "  casectl dlq show 01a1f0c3-0000-7000-8000-000000000000",
	  NULL, show },
	{ "replay", "[ID]", 0, 1, NEED_TENANT, "let the group try again",
	  "  casectl dlq replay 01a1f0c3-0000-7000-8000-000000000000\n  casectl dlq replay --group threader",
	  replay_options, replay },
	{ 0 },
};
const struct noun noun_dlq = { "dlq", "dead letters: what could never be handled, and the way back", verbs };
