/* SPDX-License-Identifier: Apache-2.0 */
#include "desk/desk_close.h"

#include "base/banned.h"

static const char sql_no_timers[] = "DELETE FROM timer WHERE case_id = $1";

enum desk_status desk_close(const struct desk *desk, int64_t number, struct desk_close_done *out, struct err *err)
{
	struct case_row row;
	struct db_args args;
	enum desk_status status = desk_begin(desk, number, &row, err);

	if (status != DESK_DONE)
		return status;
	*out = (struct desk_close_done){ .case_id = row.id };
	if (row.state == CASE_CLOSED) {
		db_rollback(desk->db);
		return DESK_DONE;
	}
	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, row.id.id);
	if (db_queue(desk->db, sql_no_timers, &args, NULL, err) < 0)
		return desk_fail(desk);
	struct fact fact = { .kind = FACT_STATE_CHANGED, .state_changed = { row.state, CASE_CLOSED, STR("closed") } };
	status = desk_commit(desk, &row, NULL, &fact, 1, err);
	out->changed = status == DESK_DONE;
	return status;
}
