/* SPDX-License-Identifier: Apache-2.0
 * audit_private - what the parts of an audit share
 */
#ifndef MAILCASE_AUDIT_PRIVATE_H
#define MAILCASE_AUDIT_PRIVATE_H

#include "record/audit.h"

#define AUDIT_STEP 10000 /* rows of a table that one statement looks at */

struct audit {
	const struct audit_options *options;
	const struct audit_listener *listener;
	struct db *db;
	struct arena arena; /* of one step */
	int64_t began_us;   /* by the database's clock */
	bool has_bus;       /* these are filled by audit_bus() */
	enum bus_engine engine;
	int64_t engine_since_us, places;
	int64_t server_folders, server_mails; /* asked, and found there */
};

/* A statement whose rows are findings: kind, rule, ids (jsonb), text. */
struct audit_check {
	const char *what;
	const char *range; /* AUDIT_RANGE(table): run for one range of its ids after the other, $1 < id <= $2. NULL: once */
	const char *sql;
};

/* The id at which a step that begins after $1 ends. Fewer rows than the step: the next one is the last. */
#define AUDIT_RANGE(table) "SELECT id FROM " table " WHERE id > $1 ORDER BY id OFFSET $2 LIMIT 1"

int audit_checks(struct audit *audit, const struct audit_check *checks, size_t count, struct err *err) MUST_CHECK;

/* One statement of findings with parameters of its own; NULL: none. */
int audit_check(struct audit *audit, const char *sql, const struct db_args *args, struct err *err) MUST_CHECK;

/* A statement that answers one row of counts; `names` are those of its columns. */
int audit_count(struct audit *audit, const char *sql, const char *const *names, size_t count, struct err *err) MUST_CHECK;

void audit_found(struct audit *audit, enum audit_kind kind, const char *rule, struct str ids, struct str text);

/* One range after the other: begin with { 0 }; false after the last. */
struct audit_range {
	struct uuid after, last;
	bool is_begun, is_last;
};
int audit_range_next(struct audit *audit, const char *sql, int64_t step, struct audit_range *range, struct err *err) MUST_CHECK;

/* --- the parts, in the order in which they run --- */

int audit_ledger(struct audit *audit, struct err *err) MUST_CHECK;
int audit_messages(struct audit *audit, struct err *err) MUST_CHECK;
int audit_cases(struct audit *audit, struct err *err) MUST_CHECK;
int audit_outbox(struct audit *audit, struct err *err) MUST_CHECK;
/* Fills the temporary tables that all behind it ask. */
int audit_bus(struct audit *audit, struct err *err) MUST_CHECK;
int audit_published(struct audit *audit, struct err *err) MUST_CHECK;
int audit_outbound(struct audit *audit, struct err *err) MUST_CHECK;
int audit_accepted(struct audit *audit, struct err *err) MUST_CHECK;
int audit_server(struct audit *audit, struct err *err) MUST_CHECK;
int audit_waits(struct audit *audit, struct err *err) MUST_CHECK;

#endif
