/* SPDX-License-Identifier: Apache-2.0
 * Cases: each one's row against its timeline, and what its timeline says against what else is stored of it.
 */
#include "audit_private.h"

#include "domain/audit_case.h"
#include "edge/bus.h"

#include "base/banned.h"

#define CASES_STEP 1000   /* cases of a snapshot */
#define EVENTS_STEP 5000  /* rows of the timeline in memory */

/* A case in hand: its row, if there is one, and its timeline so far. */
struct reading {
	struct audit *audit;
	struct arena rows, flaws; /* of a step; of a case */
	struct db_result *cases;
	int case_at; /* the next row of `cases` that was not held against a timeline */
	struct audit_fold fold;
	struct uuid id; /* of the case in hand; null: none */
};

static int read_step(struct reading *reading, const struct audit_range *range, struct err *err);
static int read_timelines(struct reading *reading, const struct audit_range *range, struct err *err);
static void take(struct reading *reading, const struct db_result *rows, int row);
static void end_case(struct reading *reading);
static void end_cases_before(struct reading *reading, const struct uuid *id);
static struct audit_case_row row_of(const struct db_result *rows, int row);
static void tell(struct reading *reading, int64_t number);

/* The two are written together: within one snapshot they agree, or never do. */
static const char snapshot_sql[] = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
static const char cases_sql[] =
	"SELECT id, tenant_id, number, version, message_count::int8, state, queue_id, team_id, assignee_id, mailbox_id,"
	" is_touched, opened_at, changed_at, closed_at FROM case_file WHERE id > $1 AND id <= $2 ORDER BY id";
/* The names of what a fact says are the contract's; a kind has one queue, one user, one state after it. */
static const char events_sql[] =
	"SELECT case_id, version, ordinal, tenant_id, kind, author_kind, created_at,"
	" coalesce(data->>'queue_id', data->>'to_queue_id', ''), coalesce(data->>'team_id', ''), coalesce(data->>'user_id', ''),"
	" coalesce(data->>'mailbox_id', ''), coalesce(data->>'from', ''), coalesce(data->>'to', data->>'state', ''),"
	" coalesce(data->>'direction', '')"
	" FROM case_event WHERE (case_id, version, ordinal) > ($1, $2, $3) AND case_id <= $4"
	" ORDER BY case_id, version, ordinal LIMIT $5";

static const char members_sql[] =
	"WITH said AS (SELECT case_id, data->>'message_id' AS message, count(*) AS times FROM case_event"
	"  WHERE case_id > $1 AND case_id <= $2 AND kind = 'message_added' GROUP BY 1, 2),"
	" kept AS (SELECT case_id, message_id::text AS message FROM case_message WHERE case_id > $1 AND case_id <= $2)"
	" SELECT v.kind, 'case.message', jsonb_build_object('case', coalesce(s.case_id, k.case_id), 'message',"
	" coalesce(s.message, k.message)), format('case %s: %s', coalesce((SELECT c.number::text FROM case_file c"
	" WHERE c.id = coalesce(s.case_id, k.case_id)), coalesce(s.case_id, k.case_id)::text), v.why)"
	" FROM said s FULL JOIN kept k ON k.case_id = s.case_id AND k.message = s.message"
	" CROSS JOIN LATERAL (VALUES"
	" (k.case_id IS NULL, 'lost', format('its timeline added message %s, which is not in it', s.message)),"
	" (s.case_id IS NULL, 'unexplained', format('message %s is in it, and no fact says so', k.message)),"
	" (s.times > 1, 'doubled', format('its timeline added message %s %s times', s.message, s.times))"
	" ) AS v (is_broken, kind, why) WHERE v.is_broken";

static const char positions_sql[] =
	"SELECT 'inconsistent', 'case.positions', jsonb_build_object('case', c.id),"
	" format('case %s: its messages do not stand at positions 1 to %s', c.number, p.n)"
	" FROM case_file c CROSS JOIN LATERAL (SELECT count(*) AS n, count(DISTINCT position) AS places,"
	"  coalesce(max(position), 0) AS last FROM case_message m WHERE m.case_id = c.id) AS p"
	" WHERE c.id > $1 AND c.id <= $2 AND (p.n <> p.places OR p.n <> p.last)";

static const char numbers_sql[] =
	"SELECT 'doubled', 'case.number', jsonb_build_object('tenant', tenant_id, 'cases', jsonb_agg(id ORDER BY id)),"
	" format('%s cases have number %s', count(*), number) FROM case_file GROUP BY number, tenant_id HAVING count(*) > 1";

static const char count_sql[] =
	"SELECT (SELECT count(*) FROM case_file), (SELECT coalesce(sum(version), 0)::int8 FROM case_file),"
	" (SELECT count(*) FROM case_event)";
static const char *const names[] = { "cases", "case_versions", "case_facts" };

static const struct audit_check checks[] = {
	{ "cases", AUDIT_RANGE("case_file"), members_sql },
	{ "cases", AUDIT_RANGE("case_file"), positions_sql },
	{ "cases", NULL, numbers_sql },
};

int audit_cases(struct audit *audit, struct err *err)
{
	struct reading reading = { .audit = audit };
	struct audit_range range = { 0 };
	int more;

	arena_init(&reading.rows);
	arena_init(&reading.flaws);
	while ((more = audit_range_next(audit, AUDIT_RANGE("case_file"), CASES_STEP, &range, err)) > 0) {
		more = read_step(&reading, &range, err);
		db_result_done(&reading.cases);
		if (more < 0) {
			db_rollback(audit->db);
			break;
		}
		audit->listener->walked(audit->listener->self, "timelines", CASES_STEP);
	}
	arena_done(&reading.rows);
	arena_done(&reading.flaws);
	if (more < 0)
		return err_prefix(err, "could not look at cases");
	if (audit_checks(audit, checks, ARRAY_LEN(checks), err) < 0)
		return -1;
	return audit_count(audit, count_sql, names, ARRAY_LEN(names), err);
}

static int read_step(struct reading *reading, const struct audit_range *range, struct err *err)
{
	struct db_args args;

	arena_reset(&reading->rows);
	db_args_init(&args, &reading->rows);
	db_arg_uuid(&args, range->after);
	db_arg_uuid(&args, range->last);
	if (db_begin(reading->audit->db, err) < 0 || db_queue(reading->audit->db, snapshot_sql, NULL, NULL, err) < 0 ||
	    db_query(reading->audit->db, cases_sql, &args, &reading->cases, err) < 0)
		return -1;
	reading->case_at = 0;
	if (read_timelines(reading, range, err) < 0)
		return -1;
	return db_commit(reading->audit->db, err) < 0 ? -1 : 1;
}

static int read_timelines(struct reading *reading, const struct audit_range *range, struct err *err)
{
	struct uuid id = range->after;
	int64_t version = INT64_MAX, ordinal = INT32_MAX;

	/* The last case of the step before is done with, whatever came to it since. */
	for (;;) {
		struct db_result *rows CLEANUP(db_result_done) = NULL;
		struct db_args args;
		arena_reset(&reading->rows);
		db_args_init(&args, &reading->rows);
		db_arg_uuid(&args, id);
		db_arg_int(&args, version);
		db_arg_int(&args, ordinal);
		db_arg_uuid(&args, range->last);
		db_arg_int(&args, EVENTS_STEP);
		if (db_query(reading->audit->db, events_sql, &args, &rows, err) < 0)
			return -1;
		int count = db_rows(rows);
		for (int i = 0; i < count; i++)
			take(reading, rows, i);
		if (count < EVENTS_STEP)
			break;
		id = db_uuid(rows, count - 1, 0);
		version = db_int(rows, count - 1, 1);
		ordinal = db_int(rows, count - 1, 2);
	}
	end_case(reading);
	end_cases_before(reading, NULL);
	return 0;
}

static struct uuid uuid_or_null(struct str text)
{
	struct uuid id;

	return uuid_parse(text, &id) ? id : (struct uuid){ { 0 } };
}

/* Only what the fold looks at. */
static struct fact fact_of(enum fact_kind kind, const struct db_result *rows, int row)
{
	struct fact fact = { .kind = kind };
	struct queue_id queue = { uuid_or_null(db_str(rows, row, 7)) };
	struct team_id team = { uuid_or_null(db_str(rows, row, 8)) };

	switch (kind) {
	case FACT_CASE_OPENED:
		fact.case_opened.queue = queue;
		fact.case_opened.team = team;
		fact.case_opened.mailbox.id = uuid_or_null(db_str(rows, row, 10));
		(void)case_state_parse(db_str(rows, row, 12), &fact.case_opened.state);
		break;
	case FACT_MESSAGE_ADDED:
		(void)direction_parse(db_str(rows, row, 13), &fact.message_added.direction);
		break;
	case FACT_ASSIGNED:
		fact.assigned.user.id = uuid_or_null(db_str(rows, row, 9));
		fact.assigned.team = team;
		break;
	case FACT_QUEUE_CHANGED:
		fact.queue_changed.to = queue;
		break;
	case FACT_STATE_CHANGED:
		(void)case_state_parse(db_str(rows, row, 11), &fact.state_changed.from);
		(void)case_state_parse(db_str(rows, row, 12), &fact.state_changed.to);
		break;
	default:
		break;
	}
	return fact;
}

static enum author_kind author_of(struct str name)
{
	for (int kind = AUTHOR_SYSTEM; kind <= AUTHOR_SENDER; kind++)
		if (str_eq(name, str_of(author_kind_name((enum author_kind)kind))))
			return (enum author_kind)kind;
	return AUTHOR_NONE;
}

static void take(struct reading *reading, const struct db_result *rows, int row)
{
	struct uuid id = db_uuid(rows, row, 0);
	enum fact_kind kind = FACT_KINDS;

	if (uuid_is_null(reading->id) || !uuid_eq(id, reading->id)) {
		end_case(reading);
		end_cases_before(reading, &id);
		reading->id = id;
		arena_reset(&reading->flaws);
		audit_fold_init(&reading->fold, &reading->flaws);
	}
	struct audit_event event = { .version = db_int(rows, row, 1),
		                         .ordinal = db_int(rows, row, 2),
		                         .time_us = db_time(rows, row, 6),
		                         .author = author_of(db_str(rows, row, 5)),
		                         .tenant = { db_uuid(rows, row, 3) },
		                         .is_known = fact_kind_parse(db_str(rows, row, 4), &kind) };
	if (event.is_known)
		event.fact = fact_of(kind, rows, row);
	audit_fold_add(&reading->fold, &event);
}

/* The timeline in hand is complete: hold its row against it. */
static void end_case(struct reading *reading)
{
	bool has_row = reading->case_at < db_rows(reading->cases);

	if (uuid_is_null(reading->id))
		return;
	has_row = has_row && uuid_eq(db_uuid(reading->cases, reading->case_at, 0), reading->id);
	struct audit_case_row row = { 0 };
	if (has_row)
		row = row_of(reading->cases, reading->case_at++);
	audit_fold_end(&reading->fold, has_row ? &row : NULL);
	tell(reading, row.number);
	reading->id = (struct uuid){ { 0 } };
}

/* Rows before the case `id`, or all that are left, have no timeline. */
static void end_cases_before(struct reading *reading, const struct uuid *id)
{
	for (; reading->case_at < db_rows(reading->cases); reading->case_at++) {
		struct uuid at = db_uuid(reading->cases, reading->case_at, 0);
		if (id && uuid_cmp(at, *id) >= 0)
			return;
		struct audit_case_row row = row_of(reading->cases, reading->case_at);
		arena_reset(&reading->flaws);
		audit_fold_init(&reading->fold, &reading->flaws);
		audit_fold_end(&reading->fold, &row);
		reading->id = at;
		tell(reading, row.number);
		reading->id = (struct uuid){ { 0 } };
	}
}

static struct audit_case_row row_of(const struct db_result *rows, int row)
{
	struct audit_case_row out = { .tenant = { db_uuid(rows, row, 1) },
		                          .number = db_int(rows, row, 2),
		                          .version = db_int(rows, row, 3),
		                          .messages = db_int(rows, row, 4),
		                          .queue = { db_uuid(rows, row, 6) },
		                          .team = { db_uuid(rows, row, 7) },
		                          .assignee = { db_uuid(rows, row, 8) },
		                          .mailbox = { db_uuid(rows, row, 9) },
		                          .is_touched = db_bool(rows, row, 10),
		                          .opened_us = db_time(rows, row, 11),
		                          .changed_us = db_time(rows, row, 12),
		                          .closed_us = db_time(rows, row, 13) };
	(void)case_state_parse(db_str(rows, row, 5), &out.state);
	return out;
}

static void tell(struct reading *reading, int64_t number)
{
	char id[UUID_TEXT_LEN + 1];

	uuid_text(reading->id, id);
	for (size_t i = 0; i < reading->fold.flaws.len; i++) {
		const struct audit_flaw *flaw = &reading->fold.flaws.at[i];
		audit_found(reading->audit, flaw->is_loss ? AUDIT_LOST : AUDIT_INCONSISTENT, flaw->rule,
		            str_printf(&reading->flaws, "{\"case\":\"%s\"}", id),
		            number ? str_printf(&reading->flaws, "case %lld: %.*s", (long long)number, STR_ARG(flaw->text))
		                   : str_printf(&reading->flaws, "case %s: %.*s", id, STR_ARG(flaw->text)));
	}
}
