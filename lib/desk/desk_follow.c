/* SPDX-License-Identifier: Apache-2.0 */
#include "desk/desk_follow.h"

#include "base/banned.h"

static const char sql_follow[] =
	"INSERT INTO follower (case_id, user_id, tenant_id, added_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
static const char sql_unfollow[] = "DELETE FROM follower WHERE case_id = $1 AND user_id = $2";

enum desk_status desk_follow(const struct desk *desk, const struct desk_follow *request, struct desk_follow_done *out,
                             struct err *err)
{
	struct case_row row;
	struct db_args args;
	int64_t rows;
	enum desk_status status = desk_begin(desk, request->number, &row, err);

	/* Somebody who was switched off may still be taken from the list. */
	if (status == DESK_DONE && request->is_following)
		status = desk_check_user(desk, request->user, "the follower", err);
	if (status != DESK_DONE)
		return status;
	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, row.id.id);
	db_arg_uuid(&args, request->user.id);
	if (request->is_following) {
		db_arg_uuid(&args, desk->tenant.id);
		db_arg_time(&args, desk->now_us);
	}
	if (db_exec(desk->db, request->is_following ? sql_follow : sql_unfollow, &args, &rows, err) < 0)
		return desk_fail(desk);
	*out = (struct desk_follow_done){ .case_id = row.id };
	if (rows == 0) {
		db_rollback(desk->db);
		return DESK_DONE;
	}
	struct fact fact = { .kind = FACT_FOLLOWED, .followed = { request->user, request->is_following } };
	status = desk_commit(desk, &row, NULL, &fact, 1, err);
	out->changed = status == DESK_DONE;
	return status;
}
