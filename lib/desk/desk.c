/* SPDX-License-Identifier: Apache-2.0 */
#include "desk/desk.h"

#include <stdarg.h>

#include "base/banned.h"

static enum desk_status refuse_merged(const struct desk *desk, const struct case_row *row, struct err *err);

static const char sql_user[] = "SELECT is_active, login FROM app_user WHERE id = $1 AND tenant_id = $2";
static const char sql_number[] = "SELECT number FROM case_file WHERE id = $1";

enum desk_status desk_begin(const struct desk *desk, int64_t number, struct case_row *out, struct err *err)
{
	struct case_row found, *locked;
	size_t count;
	enum desk_status status = desk_begin_new(desk, err);

	if (status != DESK_DONE)
		return status;
	int exists = case_record_find(desk->db, desk->arena, desk->tenant, number, &found, err);
	if (exists < 0)
		return desk_fail(desk);
	if (!exists)
		return desk_absent(desk, err, "there is no case %lld; `casectl case list` shows what there is",
		                   (long long)number);
	/* What was read before the lock only led to the id. */
	if (case_record_lock(desk->db, desk->arena, &found.id, 1, &locked, &count, err) < 0)
		return desk_fail(desk);
	if (count == 0)
		return desk_absent(desk, err, "there is no case %lld any more", (long long)number);
	if (locked->state == CASE_MERGED)
		return refuse_merged(desk, locked, err);
	*out = *locked;
	return DESK_DONE;
}

enum desk_status desk_begin_new(const struct desk *desk, struct err *err)
{
	if (db_begin(desk->db, err) < 0)
		return desk_fail(desk);
	return desk->author.kind == AUTHOR_USER ? desk_check_user(desk, desk->author.user, "who acts", err) : DESK_DONE;
}

enum desk_status desk_commit(const struct desk *desk, const struct case_row *row, const struct case_opening *opening,
                             const struct fact *facts, size_t facts_len, struct err *err)
{
	struct case_change change = {
		.tenant = desk->tenant,
		.case_id = row->id,
		.number = row->number,
		.old_version = row->version,
		.opening = opening,
		.author = desk->author,
		.is_quiet = false, /* a person acts now, however the case came to be */
		.facts = facts,
		.facts_len = facts_len,
	};

	if (case_record_apply(desk->db, desk->arena, &change, 1, desk->now_us, err) < 0 || db_commit(desk->db, err) < 0)
		return desk_fail(desk);
	return DESK_DONE;
}

enum desk_status desk_check_user(const struct desk *desk, struct user_id user, const char *role, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, user.id);
	db_arg_uuid(&args, desk->tenant.id);
	if (db_query(desk->db, sql_user, &args, &rows, err) < 0)
		return desk_fail(desk);
	if (db_rows(rows) == 0)
		return desk_absent(desk, err, "%s is no user of this tenant", role);
	if (!db_bool(rows, 0, 0))
		return desk_refuse(desk, err,
		                   "user %.*s is switched off; `casectl user set %.*s --active on` lets them act again",
		                   STR_ARG(db_str(rows, 0, 1)), STR_ARG(db_str(rows, 0, 1)));
	return DESK_DONE;
}

/* The reason is said, and nothing stays of what was begun. */
static void say_no(const struct desk *desk, struct err *err, const char *format, va_list args)
{
	char text[sizeof err->text];

	vsnprintf(text, sizeof text, format, args);
	err_set(err, ERR_PERM, "%s", text);
	db_rollback(desk->db);
}

enum desk_status desk_refuse(const struct desk *desk, struct err *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_no(desk, err, format, args);
	va_end(args);
	return DESK_REFUSED;
}

enum desk_status desk_absent(const struct desk *desk, struct err *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_no(desk, err, format, args);
	va_end(args);
	return DESK_NOT_FOUND;
}

enum desk_status desk_fail(const struct desk *desk)
{
	db_rollback(desk->db);
	return DESK_FAILED;
}

static enum desk_status refuse_merged(const struct desk *desk, const struct case_row *row, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, row->merged_into.id);
	if (db_query(desk->db, sql_number, &args, &rows, err) < 0)
		return desk_fail(desk);
	return desk_refuse(desk, err, "case %lld was merged into case %lld: work on that one", (long long)row->number,
	                   db_rows(rows) ? (long long)db_int(rows, 0, 0) : 0);
}
