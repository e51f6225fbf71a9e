/* SPDX-License-Identifier: Apache-2.0 */
#include "audit_private.h"

#include "base/banned.h"

/* Services have plans by index only, and give up soon: neither is for who looks at whole tables. */
static const char session_sql[] =
	"SELECT set_config(name, value, false) FROM (VALUES ('enable_seqscan', 'on'), ('enable_hashjoin', 'on'),"
	" ('enable_mergejoin', 'on'), ('plan_cache_mode', 'force_custom_plan'), ('statement_timeout', '1h'),"
	" ('idle_in_transaction_session_timeout', '10min'), ('work_mem', '64MB')) AS s (name, value)";
static const char now_sql[] = "SELECT clock_timestamp()";

static const char *const kind_names[AUDIT_KINDS] = { "lost", "doubled", "unexplained", "inconsistent", "waits", "noted" };

static int begin(struct audit *audit, struct err *err);
static int tell_rows(struct audit *audit, const struct db_result *rows, struct err *err);

const char *audit_kind_name(enum audit_kind kind)
{
	return kind_names[kind];
}

bool audit_is_difference(enum audit_kind kind)
{
	return kind < AUDIT_WAITS;
}

int audit_run(const struct audit_options *options, const struct audit_listener *listener, struct err *err)
{
	struct audit audit = { .options = options, .listener = listener };

	arena_init(&audit.arena);
	int failed = begin(&audit, err) < 0 || audit_ledger(&audit, err) < 0 || audit_messages(&audit, err) < 0 ||
	             audit_cases(&audit, err) < 0 || audit_outbox(&audit, err) < 0 || audit_bus(&audit, err) < 0 ||
	             audit_published(&audit, err) < 0 || audit_outbound(&audit, err) < 0 || audit_accepted(&audit, err) < 0 ||
	             audit_server(&audit, err) < 0 || audit_waits(&audit, err) < 0;
	db_close(audit.db);
	arena_done(&audit.arena);
	return failed ? -1 : 0;
}

static int begin(struct audit *audit, struct err *err)
{
	struct db_result *set CLEANUP(db_result_done) = NULL, *now CLEANUP(db_result_done) = NULL;

	audit->db = db_open(audit->options->database_url, "casectl audit", err);
	if (!audit->db || db_query(audit->db, session_sql, NULL, &set, err) < 0 ||
	    db_query(audit->db, now_sql, NULL, &now, err) < 0)
		return -1;
	audit->began_us = db_time(now, 0, 0);
	return 0;
}

void audit_found(struct audit *audit, enum audit_kind kind, const char *rule, struct str ids, struct str text)
{
	const struct audit_finding finding = { kind, str_of(rule), ids, text };

	audit->listener->found(audit->listener->self, &finding);
}

/* kind, rule, ids, text */
static int tell_rows(struct audit *audit, const struct db_result *rows, struct err *err)
{
	for (int row = 0; row < db_rows(rows); row++) {
		struct audit_finding finding = { AUDIT_KINDS, db_str(rows, row, 1), db_str(rows, row, 2), db_str(rows, row, 3) };
		for (int kind = 0; kind < AUDIT_KINDS; kind++)
			if (str_eq(db_str(rows, row, 0), str_of(kind_names[kind])))
				finding.kind = (enum audit_kind)kind;
		if (finding.kind == AUDIT_KINDS)
			return err_set(err, ERR_FATAL, "a check has answered with an unknown kind of finding");
		audit->listener->found(audit->listener->self, &finding);
	}
	return 0;
}

int audit_check(struct audit *audit, const char *sql, const struct db_args *args, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;

	if (db_query(audit->db, sql, args, &rows, err) < 0)
		return -1;
	return tell_rows(audit, rows, err);
}

int audit_checks(struct audit *audit, const struct audit_check *checks, size_t count, struct err *err)
{
	struct db_args args;

	for (size_t i = 0; i < count; i++) {
		const struct audit_check *check = &checks[i];
		struct audit_range range = { 0 };
		int more = 1;
		while (check->range && (more = audit_range_next(audit, check->range, AUDIT_STEP, &range, err)) > 0) {
			db_args_init(&args, &audit->arena);
			db_arg_uuid(&args, range.after);
			db_arg_uuid(&args, range.last);
			if (audit_check(audit, check->sql, &args, err) < 0)
				return err_prefix(err, "could not look at %s", check->what);
			audit->listener->walked(audit->listener->self, check->what, AUDIT_STEP);
		}
		if (more < 0 || (!check->range && audit_check(audit, check->sql, NULL, err) < 0))
			return err_prefix(err, "could not look at %s", check->what);
	}
	return 0;
}

int audit_range_next(struct audit *audit, const char *sql, int64_t step, struct audit_range *range, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	if (range->is_last)
		return 0;
	if (range->is_begun)
		range->after = range->last;
	range->is_begun = true;
	arena_reset(&audit->arena);
	db_args_init(&args, &audit->arena);
	db_arg_uuid(&args, range->after);
	db_arg_int(&args, step - 1);
	if (db_query(audit->db, sql, &args, &rows, err) < 0)
		return -1;
	range->is_last = db_rows(rows) == 0;
	if (range->is_last)
		memset(range->last.b, 0xff, sizeof range->last.b);
	else
		range->last = db_uuid(rows, 0, 0);
	return 1;
}

int audit_count(struct audit *audit, const char *sql, const char *const *names, size_t count, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;

	if (db_query(audit->db, sql, NULL, &rows, err) < 0)
		return err_prefix(err, "could not count");
	for (size_t i = 0; i < count; i++)
		audit->listener->counted(audit->listener->self, names[i], db_int(rows, 0, (int)i));
	return 0;
}
