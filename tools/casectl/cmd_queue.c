/* SPDX-License-Identifier: Apache-2.0
 * cmd_queue - where cases wait: subject format, team, what becomes of closed ones
 */
#include "ctl.h"

#include "base/banned.h"

static const char sql_insert[] =
	"INSERT INTO queue (id, tenant_id, name, subject_format, team_id, closed_policy, reopen_days) "
	"SELECT $1, $2, $3, COALESCE($4::text, '[#%d]'), $5, COALESCE($6::text, 'reopen_within'), COALESCE($7::bigint, 30) "
	"ON CONFLICT (tenant_id, name) DO NOTHING";
static const char sql_update[] =
	"UPDATE queue SET subject_format = COALESCE($4::text, subject_format), team_id = COALESCE($5, team_id), "
	"closed_policy = COALESCE($6::text, closed_policy), reopen_days = COALESCE($7::bigint, reopen_days) "
	"WHERE id = $1 AND tenant_id = $2 AND name = $3";
static const char sql_list[] =
	"SELECT q.name, t.name, q.subject_format, q.closed_policy, q.reopen_days, "
	"(SELECT count(*) FROM case_file c WHERE c.queue_id = q.id AND c.tenant_id = $1 AND c.state IN ('open', "
	"'waiting')), q.id FROM queue q LEFT JOIN team t ON t.id = q.team_id WHERE q.tenant_id = $1 "
	"AND ($2 = '' OR q.name = $2) ORDER BY q.name";

/* Both statements take the same parameters. */
static int write_queue(struct ctl *ctl, const char *sql, struct queue_id id, int64_t *out_rows)
{
	const char *team_name = ctl_text(ctl, "team"), *format = ctl_text(ctl, "format");
	struct team_id team = { 0 };
	struct db_args args;

	if (team_name) {
		int status = ctl_team(ctl, team_name, &team);
		if (status != CTL_DONE)
			return status;
	}
	const char *number = format ? strstr(format, "%d") : NULL;
	if (format && (!number || strstr(number + 2, "%d")))
		return ctl_usage("--format %s: %%d is expected once, where the number goes", format);
	if (format && str_eq(str_trim(str_of(format)), STR("%d")))
		return ctl_usage("--format %s: a bare number would be found in any subject; [#%%d] is the usual form", format);
	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, id.id);
	db_arg_uuid(&args, ctl->tenant.id);
	db_arg_text(&args, str_of(ctl->operands[0]));
	ctl_arg_text(ctl, &args, "format");
	db_arg_uuid_or_null(&args, team.id);
	ctl_arg_text(ctl, &args, "closed-policy");
	ctl_arg_int(ctl, &args, "reopen-days");
	return db_exec(ctl->db, sql, &args, out_rows, &ctl->err) < 0 ? ctl_failed(ctl) : CTL_DONE;
}

static int add(struct ctl *ctl)
{
	struct queue_id id = { uuid_v7() };
	const char *name = ctl->operands[0];
	int64_t rows;
	int status = write_queue(ctl, sql_insert, id, &rows);

	if (status != CTL_DONE)
		return status;
	if (rows == 0)
		return ctl_refused("there is a queue %s already; `casectl queue set` changes it", name);
	return ctl_done(ctl, "queue", name, id.id, "queue %s is there", name);
}

static int set(struct ctl *ctl)
{
	struct queue_id id;
	const char *name = ctl->operands[0];
	int64_t rows;
	int status = ctl_queue(ctl, name, &id);

	if (status == CTL_DONE)
		status = write_queue(ctl, sql_update, id, &rows);
	return status == CTL_DONE ? ctl_done(ctl, "queue", name, id.id, "queue %s is changed", name) : status;
}

static const struct column columns[] = {
	{ "name", "NAME", CELL_TEXT },      { "team", "TEAM", CELL_TEXT },
	{ "format", "FORMAT", CELL_TEXT },  { "closed_policy", "WHEN CLOSED", CELL_TEXT },
	{ "reopen_days", "DAYS", CELL_INT }, { "unclosed", "UNCLOSED", CELL_INT },
	{ "id", NULL, CELL_UUID },
};

static const struct ctl_listing listing = { sql_list, columns, ARRAY_LEN(columns), "queue", "no queues" };

static int list(struct ctl *ctl)
{
	return ctl_list_all(ctl, &listing);
}

static int show(struct ctl *ctl)
{
	return ctl_show_named(ctl, &listing);
}

static const struct option_def options[] = {
	{ "team", OPTION_TEXT, "NAME", "which team its cases are given to" },
	{ "format", OPTION_TEXT, "TEXT", "of the number in subjects (default [#%d])" },
	{ "closed-policy", OPTION_CHOICE, "reopen|reopen_within|new_case",
	  "an answer to a closed case (default reopen_within)" },
	{ "reopen-days", OPTION_INT, "N", "for reopen_within (default 30)", .min = 0, .max = 36500 },
	{ 0 },
};
static const struct verb verbs[] = {
	{ "add", "NAME", 1, 1, NEED_TENANT, "make a queue", "  casectl queue add support --team support --format '[#%d]'",
	  options, add },
	{ "list", "", 0, 0, NEED_TENANT, "all queues", "  casectl queue list", NULL, list },
	{ "set", "NAME", 1, 1, NEED_TENANT, "change a queue", "  casectl queue set support --closed-policy new_case",
	  options, set },
	{ "show", "NAME", 1, 1, NEED_TENANT, "one queue", "  casectl queue show support", NULL, show },
	{ 0 },
};
const struct noun noun_queue = { "queue", "where cases wait", verbs };
