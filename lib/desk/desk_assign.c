/* SPDX-License-Identifier: Apache-2.0 */
#include "desk/desk_assign.h"

#include "base/banned.h"

/* A person has decided: the router need not try again. */
static const char sql_no_timer[] = "DELETE FROM timer WHERE case_id = $1 AND kind = 'assign_again'";
static const char sql_team[] = "SELECT 1 FROM team WHERE id = $1 AND tenant_id = $2";

static enum desk_status check_team(const struct desk *desk, struct team_id team, struct err *err);

enum desk_status desk_assign(const struct desk *desk, const struct desk_assign *request, struct desk_assign_done *out,
                             struct err *err)
{
	struct case_row row;
	struct db_args args;
	enum desk_status status = desk_begin(desk, request->number, &row, err);

	if (status == DESK_DONE && !uuid_is_null(request->user.id))
		status = desk_check_user(desk, request->user, "the assignee", err);
	if (status == DESK_DONE && !uuid_is_null(request->team.id))
		status = check_team(desk, request->team, err);
	if (status != DESK_DONE)
		return status;
	if (row.state == CASE_CLOSED)
		return desk_refuse(desk, err,
		                   "case %lld is closed: nobody works on it; `casectl case reply --reopen` opens it again",
		                   (long long)row.number);
	struct team_id team = uuid_is_null(request->team.id) ? row.team : request->team;
	*out = (struct desk_assign_done){ .case_id = row.id };
	if (uuid_eq(row.assignee.id, request->user.id) && uuid_eq(row.team.id, team.id)) {
		db_rollback(desk->db);
		return DESK_DONE;
	}
	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, row.id.id);
	if (db_queue(desk->db, sql_no_timer, &args, NULL, err) < 0)
		return desk_fail(desk);
	struct fact fact = { .kind = FACT_ASSIGNED, .assigned = { request->user, team, row.assignee, STR("person") } };
	status = desk_commit(desk, &row, NULL, &fact, 1, err);
	out->changed = status == DESK_DONE;
	return status;
}

static enum desk_status check_team(const struct desk *desk, struct team_id team, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, team.id);
	db_arg_uuid(&args, desk->tenant.id);
	if (db_query(desk->db, sql_team, &args, &rows, err) < 0)
		return desk_fail(desk);
	return db_rows(rows) ? DESK_DONE : desk_absent(desk, err, "there is no such team");
}
