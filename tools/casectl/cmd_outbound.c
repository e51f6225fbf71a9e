/* SPDX-License-Identifier: Apache-2.0
 * cmd_outbound - mails of ours: one line a recipient, with what became of it
 */
#include "base/clock.h"
#include "ctl.h"
#include "desk/desk_resolve.h"

#include "base/banned.h"

#define LIMIT 100 /* for people; programs get all */

static const char sql_list[] =
	"SELECT c.number, k.recipient, o.kind, k.state, o.header_id, k.attempts, k.role, o.audience, o.reason, "
	"k.reply_code, k.reply_text, k.next_attempt_at, m.name, o.mailbox_reason, u.login, o.created_at, k.id "
	"FROM outbound_message o JOIN outbound_copy k ON k.outbound_id = o.id JOIN case_file c ON c.id = o.case_id "
	"JOIN outbound_mailbox m ON m.id = o.outbound_mailbox_id LEFT JOIN app_user u ON u.id = o.user_id "
	"WHERE o.tenant_id = $1 AND ($2::bigint IS NULL OR c.number = $2::bigint) AND ($3::text IS NULL OR k.state = "
	"$3::text) AND ($4::text IS NULL OR o.kind = $4::text) ORDER BY o.serial DESC, k.id LIMIT $5";
static const struct column columns[] = {
	{ "case", "CASE", CELL_INT },
	{ "to", "TO", CELL_TEXT },
	{ "kind", "KIND", CELL_TEXT },
	{ "state", "STATE", CELL_TEXT },
	{ "message_id", NULL, CELL_TEXT },
	{ "attempts", "TRIES", CELL_INT },
	{ "role", "ROLE", CELL_TEXT },
	{ "audience", NULL, CELL_TEXT },
	{ "reason", "REASON", CELL_TEXT },
	{ "reply_code", "CODE", CELL_INT },
	{ "reply_text", "SERVER SAID", CELL_TEXT },
	{ "next_attempt_at", NULL, CELL_TIME },
	{ "mailbox", NULL, CELL_TEXT },
	{ "mailbox_reason", NULL, CELL_TEXT },
	{ "user", NULL, CELL_TEXT },
	{ "created_at", NULL, CELL_TIME },
	{ "id", "COPY", CELL_UUID },
};

static int list(struct ctl *ctl)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, ctl->tenant.id);
	ctl_arg_int(ctl, &args, "case");
	ctl_arg_text(ctl, &args, "state");
	ctl_arg_text(ctl, &args, "kind");
	ctl_arg_limit(ctl, &args, LIMIT);
	if (db_query(ctl->db, sql_list, &args, &rows, &ctl->err) < 0)
		return ctl_failed(ctl);
	table_print(&ctl->arena, columns, ARRAY_LEN(columns), rows, ctl->as_json, "nothing was sent");
	ctl_tell_more(ctl, db_rows(rows), LIMIT, "--limit N shows so many");
	return CTL_DONE;
}

static int resolve(struct ctl *ctl)
{
	struct desk desk = { .db = ctl->db, .arena = &ctl->arena, .tenant = ctl->tenant, .author = ctl->author,
		             .now_us = clock_wall_us() };
	struct desk_resolve request = { .is_accepted = strcmp(ctl_text(ctl, "outcome"), "accepted") == 0 };
	struct desk_resolve_done done;

	if (!uuid_parse(str_of(ctl->operands[0]), &request.copy.id))
		return ctl_usage("%s is no copy: the id that `casectl outbound list` prints is expected", ctl->operands[0]);
	int status = ctl_desk(ctl, desk_resolve(&desk, &request, &done, &ctl->err));
	return status == CTL_DONE ? ctl_done(ctl, "state", copy_state_name(done.state), request.copy.id, "the copy is %s",
	                                     copy_state_name(done.state)) :
	                            status;
}

static const struct option_def list_options[] = {
	{ "case", OPTION_INT, "N", "only of this case", .min = 1, .max = INT64_MAX },
	{ "state", OPTION_CHOICE, "queued|sending|accepted|deferred|failed|unknown|bounced", "only in this state" },
	{ "kind", OPTION_CHOICE, "reply|auto_reply|notice", "only of this kind" },
	{ "limit", OPTION_INT, "N", "at most so many (default 100; with --json all)", .min = 1, .max = INT64_MAX },
	{ 0 },
};
static const struct option_def resolve_options[] = {
	{ "outcome", OPTION_CHOICE, "accepted|bounced", "what really became of it", .required = true },
	{ 0 },
};
static const struct verb verbs[] = {
	{ "list", "", 0, 0, NEED_TENANT, "what was sent, newest first",
	  "  casectl outbound list --case 235\n  casectl outbound list --state unknown --json", list_options, list },
	{ "resolve", "COPY", 1, 1, NEED_USER, "say what became of a copy whose outcome is unknown",
	  "  casectl outbound resolve 01a1f0c3-0000-7000-8000-000000000000 --outcome accepted", resolve_options, resolve },
	{ 0 },
};
const struct noun noun_outbound = { "outbound", "mails of ours and what became of them", verbs };
