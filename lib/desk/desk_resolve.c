/* SPDX-License-Identifier: Apache-2.0 */
#include "desk/desk_resolve.h"

#include "base/banned.h"

static enum desk_status find_case(const struct desk *desk, struct copy_id copy, int64_t *out_number, struct err *err);

static const char sql_case[] =
	"SELECT f.number FROM outbound_copy c JOIN outbound_message o ON o.id = c.outbound_id JOIN case_file f ON f.id = "
	"o.case_id WHERE c.id = $1 AND c.tenant_id = $2";
static const char sql_lock[] = "SELECT state, outbound_id, reply_code FROM outbound_copy WHERE id = $1 FOR UPDATE";
static const char sql_update[] =
	"UPDATE outbound_copy SET state = $2, changed_at = $3, owner = NULL, expires = NULL WHERE id = $1";

enum desk_status desk_resolve(const struct desk *desk, const struct desk_resolve *request,
                              struct desk_resolve_done *out, struct err *err)
{
	struct db_result *copy CLEANUP(db_result_done) = NULL;
	struct case_row row;
	struct db_args args;
	enum copy_state from, to;
	int64_t number = 0;
	enum desk_status status = find_case(desk, request->copy, &number, err);

	if (status == DESK_DONE)
		status = desk_begin(desk, number, &row, err);
	if (status != DESK_DONE)
		return status;
	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, request->copy.id);
	if (db_query(desk->db, sql_lock, &args, &copy, err) < 0)
		return desk_fail(desk);
	if (db_rows(copy) == 0 || !copy_state_parse(db_str(copy, 0, 0), &from))
		return desk_absent(desk, err, "there is no such copy any more");
	if (from != COPY_UNKNOWN ||
	    !outbound_state_next(from, request->is_accepted ? COPY_WAS_ACCEPTED : COPY_CAME_BACK, &to))
		return desk_refuse(desk, err, "this copy is %s: only what is unknown can be resolved", copy_state_name(from));
	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, request->copy.id);
	db_arg_text(&args, str_of(copy_state_name(to)));
	db_arg_time(&args, desk->now_us);
	if (db_queue(desk->db, sql_update, &args, NULL, err) < 0)
		return desk_fail(desk);
	struct fact fact = { .kind = FACT_COPY_STATE_CHANGED,
		             .copy_state_changed = { { db_uuid(copy, 0, 1) }, request->copy, str_of(copy_state_name(from)),
		                                     str_of(copy_state_name(to)), (int)db_int(copy, 0, 2) } };
	status = desk_commit(desk, &row, NULL, &fact, 1, err);
	if (status == DESK_DONE)
		*out = (struct desk_resolve_done){ row.id, row.number, to };
	return status;
}

static enum desk_status find_case(const struct desk *desk, struct copy_id copy, int64_t *out_number, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, copy.id);
	db_arg_uuid(&args, desk->tenant.id);
	if (db_query(desk->db, sql_case, &args, &rows, err) < 0)
		return desk_fail(desk);
	if (db_rows(rows) == 0)
		return desk_absent(desk, err, "there is no such copy; `casectl outbound list` shows what there is");
	*out_number = db_int(rows, 0, 0);
	return DESK_DONE;
}
