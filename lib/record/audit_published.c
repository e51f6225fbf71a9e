/* SPDX-License-Identifier: Apache-2.0
 * What is published is what is stored, once, in order.
 */
#include "audit_private.h"

#include "base/digest.h"

#include "base/banned.h"

#define CASES "'" TOPIC_CASE_EVENTS "'"
#define MAILS "'" TOPIC_MAIL_RECEIVED "'"
#define MAILBOXES "'" TOPIC_MAILBOX_EVENTS "'"
#define US(time) "(extract(epoch FROM " time ") * 1000000)::int8"
#define NUMBER(id) "coalesce((SELECT c.number::text FROM case_file c WHERE c.id = " id "), " id "::text)"

static int check_missing(struct audit *audit, struct err *err);

/* Records with a flaw: nobody can read them, or they contradict themselves. They are explained by a dead letter. */
static const char flaws_sql[] =
	"SELECT CASE WHEN EXISTS (SELECT FROM dead_letter d WHERE d.topic = r.topic AND d.ce_id = r.ce_id) THEN 'noted'"
	" ELSE 'unexplained' END, 'published.record', jsonb_build_object('topic', r.topic, 'ce_id', r.ce_id, 'partition',"
	" r.partition, 'offset', r.log_offset), format('%s, partition %s, offset %s: %s', r.topic, r.partition, r.log_offset,"
	" r.flaw) FROM audit_record r WHERE r.flaw IS NOT NULL";

static const char unknown_sql[] =
	"SELECT 'unexplained', 'published.unknown', jsonb_build_object('topic', r.topic, 'subject', r.subject, 'sequence',"
	" r.sequence, 'ce_id', r.ce_id), CASE r.topic WHEN " CASES " THEN format('case %s: version %s is published, its timeline"
	" has none', " NUMBER("r.subject") ", r.sequence) WHEN " MAILS " THEN format('mail %s is published, the ledger has none',"
	" r.subject) ELSE format('mailbox %s: version %s is published, it never had one', r.subject, r.sequence) END"
	" FROM audit_record r WHERE r.flaw IS NULL AND CASE r.topic"
	" WHEN " CASES " THEN NOT EXISTS (SELECT FROM case_event e WHERE e.case_id = r.subject AND e.version = r.sequence)"
	" WHEN " MAILS " THEN NOT EXISTS (SELECT FROM intake i WHERE i.id = r.subject)"
	" ELSE EXISTS (SELECT FROM mailbox_state s WHERE s.mailbox_id = r.subject AND s.version < r.sequence) END";

static const char doubled_sql[] =
	"SELECT 'doubled', 'published.record', jsonb_build_object('topic', topic, 'subject', subject, 'sequence', sequence,"
	" 'ce_ids', jsonb_agg(DISTINCT ce_id)), format('%s: %s', topic, CASE WHEN count(DISTINCT ce_id) > 1"
	" THEN format('version %s of %s is published under %s ids', sequence, subject, count(DISTINCT ce_id))"
	" ELSE format('version %s of %s is published with %s contents', sequence, subject, count(DISTINCT sum)) END)"
	" FROM audit_record WHERE flaw IS NULL GROUP BY topic, subject, sequence"
	" HAVING count(DISTINCT ce_id) > 1 OR count(DISTINCT sum) > 1";

static const char ids_sql[] =
	"SELECT 'doubled', 'published.ce_id', jsonb_build_object('topic', topic, 'ce_id', ce_id),"
	" format('%s: id %s stands for %s records', topic, ce_id, count(DISTINCT (subject, sequence)))"
	" FROM audit_record WHERE flaw IS NULL GROUP BY topic, ce_id HAVING count(DISTINCT (subject, sequence)) > 1";

/* By the first time that each is seen; a move or a repeat brings later ones. */
static const char order_sql[] =
	"SELECT 'inconsistent', 'published.order', jsonb_build_object('topic', topic, 'subject', subject, 'sequence', sequence),"
	" format('%s: version %s of %s comes after version %s', topic, sequence, subject, before) FROM ("
	"  SELECT topic, subject, sequence, lag(sequence) OVER (PARTITION BY topic, subject ORDER BY first) AS before FROM ("
	"   SELECT topic, subject, sequence, min(place) AS first FROM audit_record WHERE flaw IS NULL AND sequence > 0"
	"   GROUP BY topic, subject, sequence) AS f) AS o WHERE before > sequence";

static const char partition_sql[] =
	"SELECT 'inconsistent', 'published.partition', jsonb_build_object('topic', topic, 'subject', subject),"
	" format('%s: %s is on %s partitions', topic, subject, count(DISTINCT partition))"
	" FROM audit_record WHERE flaw IS NULL GROUP BY topic, engine, subject HAVING count(DISTINCT partition) > 1";

static const char case_content_sql[] =
	"WITH told AS (SELECT case_id, version, md5(jsonb_build_array(tenant_id, author_kind, author_id, cause, hop, " US("created_at") ","
	"  jsonb_agg(jsonb_build_array(kind, data) ORDER BY ordinal))::text)::uuid AS content FROM case_event"
	"  WHERE case_id > $1 AND case_id <= $2"
	"  GROUP BY case_id, version, tenant_id, author_kind, author_id, cause, hop, created_at)"
	" SELECT DISTINCT 'inconsistent', 'published.content', jsonb_build_object('case', r.subject, 'version', r.sequence, 'ce_id',"
	" r.ce_id), format('case %s: version %s is published otherwise than its timeline has it', " NUMBER("r.subject") ", r.sequence)"
	" FROM audit_record r LEFT JOIN case_file f ON f.id = r.subject WHERE r.subject > $1 AND r.subject <= $2"
	" AND r.topic = " CASES " AND r.flaw IS NULL"
	" AND EXISTS (SELECT FROM told t WHERE t.case_id = r.subject AND t.version = r.sequence)"
	" AND (f.number <> r.number"
	"  OR NOT EXISTS (SELECT FROM told t WHERE t.case_id = r.subject AND t.version = r.sequence AND t.content = r.content))";

static const char mail_content_sql[] =
	"SELECT 'inconsistent', 'published.content', jsonb_build_object('intake', i.id, 'ce_id', r.ce_id),"
	" format('mail %s is published otherwise than the ledger has it', i.id)"
	" FROM audit_record r JOIN intake i ON i.id = r.subject JOIN blob b ON b.id = i.blob_id"
	" WHERE i.id > $1 AND i.id <= $2 AND r.topic = " MAILS " AND r.flaw IS NULL AND (r.ce_id <> i.id OR r.content <>"
	" md5(jsonb_build_array(i.tenant_id, i.mailbox_id, i.folder_id, i.blob_id, encode(b.sha256, 'hex'), b.size,"
	" " US("i.received_at") ", i.is_quiet)::text)::uuid)";

static const struct audit_check checks[] = {
	{ "records", NULL, flaws_sql },
	{ "records", NULL, unknown_sql },
	{ "records", NULL, doubled_sql },
	{ "records", NULL, ids_sql },
	{ "records", NULL, order_sql },
	{ "records", NULL, partition_sql },
	{ "records of cases", AUDIT_RANGE("case_file"), case_content_sql },
	{ "records of mails", AUDIT_RANGE("intake"), mail_content_sql },
};

/* What must be published: topic, what, version, since when, its key ('': not known), whether an older record of the same
 * key is there, words. */
#define IS_ABSENT(topic_, id, version) \
	"NOT EXISTS (SELECT FROM audit_record r WHERE r.subject = " id " AND r.sequence = " version " AND r.topic = " topic_ ")" \
	" AND NOT EXISTS (SELECT FROM audit_unsent u WHERE u.subject = " id "::text AND u.sequence = " version \
	" AND u.topic = " topic_ ")"
static const char missing_cases_sql[] =
	"SELECT e.case_id, e.version, e.created_at, e.case_id::text, EXISTS (SELECT FROM audit_record r WHERE"
	" r.subject = e.case_id AND r.sequence < e.version AND r.topic = " CASES "),"
	" format('case %s: version %s', " NUMBER("e.case_id") ", e.version)"
	" FROM case_event e, audit_began b WHERE e.case_id > $1 AND e.case_id <= $2 AND e.ordinal = 0"
	" AND " IS_ABSENT(CASES, "e.case_id", "e.version")
	" AND (e.created_at < b.hour_ago OR EXISTS (SELECT FROM audit_known_case k WHERE k.id = e.case_id AND k.version >= e.version))";
static const char missing_mails_sql[] =
	"SELECT i.id, 0::int8, i.received_at, '', false, format('mail %s (UID %s)', i.id, i.uid)"
	" FROM intake i, audit_began b WHERE i.id > $1 AND i.id <= $2 AND NOT (i.state = 'gone' OR i.reason = 'uidvalidity_changed'"
	" OR (i.state = 'quarantined' AND i.reason = 'too_big')) AND " IS_ABSENT(MAILS, "i.id", "0")
	" AND (i.id < b.id_then OR EXISTS (SELECT FROM audit_known_mail k WHERE k.id = i.id))";
static const char missing_mailboxes_sql[] =
	"SELECT k.mailbox_id, v.version, s.since, k.mailbox_id::text, EXISTS (SELECT FROM audit_record r WHERE"
	" r.subject = k.mailbox_id AND r.sequence < v.version AND r.topic = " MAILBOXES "),"
	" format('mailbox %s: version %s', k.mailbox_id, v.version)"
	" FROM audit_known_mailbox k JOIN mailbox_state s USING (mailbox_id)"
	" CROSS JOIN LATERAL (SELECT generate_series(1, k.version) AS version) AS v"
	" WHERE k.mailbox_id > $1 AND k.mailbox_id <= $2 AND " IS_ABSENT(MAILBOXES, "k.mailbox_id", "v.version");
#define MAILBOX_RANGE "SELECT mailbox_id FROM mailbox_state WHERE mailbox_id > $1 ORDER BY mailbox_id OFFSET $2 LIMIT 1"

static const struct {
	const char *topic, *range, *sql;
} expected[] = {
	{ TOPIC_CASE_EVENTS, AUDIT_RANGE("case_file"), missing_cases_sql },
	{ TOPIC_MAIL_RECEIVED, AUDIT_RANGE("intake"), missing_mails_sql },
	{ TOPIC_MAILBOX_EVENTS, MAILBOX_RANGE, missing_mailboxes_sql },
};

/* Partitions whose beginning is gone, with the time of the oldest record that is left. The counters of the log say so; of
 * brokers, the offset of the oldest record does, or the end where none is left. */
static const char trimmed_sql[] =
	"SELECT p.topic, p.partition, (SELECT min(r.at) FROM audit_record r WHERE r.topic = p.topic AND r.partition = p.partition"
	" AND r.engine = 'postgres') FROM bus_partition p WHERE p.first_offset > 0"
	" UNION ALL SELECT topic, partition, min(at) FROM audit_record WHERE engine = 'kafka' GROUP BY topic, partition"
	" HAVING min(log_offset) > 0"
	" UNION ALL SELECT l.topic, l.partition, NULL FROM audit_lag l WHERE l.end_offset > 0 AND $1 = 'kafka' AND NOT EXISTS"
	" (SELECT FROM audit_record r WHERE r.topic = l.topic AND r.partition = l.partition AND r.engine = 'kafka')"
	" GROUP BY l.topic, l.partition";
static const char partitions_sql[] =
	"SELECT max(n)::int8 FROM (SELECT max(partition) + 1 AS n FROM audit_record WHERE topic = $1"
	" UNION ALL SELECT partitions FROM bus_topic WHERE name = $1) AS p";

int audit_published(struct audit *audit, struct err *err)
{
	if (!audit->has_bus)
		return 0;
	if (audit_checks(audit, checks, ARRAY_LEN(checks), err) < 0)
		return -1;
	return check_missing(audit, err);
}

/* Where the beginning of a topic is out of sight. */
struct horizon {
	struct audit *audit;
	struct arena arena;
	struct db_result *trimmed;
	int64_t partitions, unseen;
};

/* A record of that time and key may have been cut off with the beginning of its partition. A key that is not known may be
 * on any. Times are those of the facts, which are written within moments of the record. */
#define SLACK_US (INT64_C(300) * 1000000)

static bool is_out_of_sight(const struct horizon *horizon, const char *topic, struct str key, int64_t time_us)
{
	const struct audit *audit = horizon->audit;

	/* Before the move here: the brokers of then may be gone. */
	if (audit->engine == BUS_POSTGRES && time_us < audit->engine_since_us)
		return true;
	for (int i = 0; i < db_rows(horizon->trimmed); i++) {
		if (!str_eq(db_str(horizon->trimmed, i, 0), str_of(topic)))
			continue;
		if (key.len && horizon->partitions > 0 &&
		    db_int(horizon->trimmed, i, 1) != (int64_t)murmur2_positive(key) % horizon->partitions)
			continue;
		if (db_is_null(horizon->trimmed, i, 2) || time_us <= db_time(horizon->trimmed, i, 2) + SLACK_US)
			return true;
	}
	return false;
}

static void judge_missing(struct horizon *horizon, const char *topic, const struct db_result *rows)
{
	for (int i = 0; i < db_rows(rows); i++) {
		char id[UUID_TEXT_LEN + 1];
		/* What comes after a record that is there was not cut off. */
		if (!db_bool(rows, i, 4) && is_out_of_sight(horizon, topic, db_str(rows, i, 3), db_time(rows, i, 2))) {
			horizon->unseen++;
			continue;
		}
		arena_reset(&horizon->arena);
		audit_found(horizon->audit, AUDIT_LOST, "published.missing",
		            str_printf(&horizon->arena, "{\"topic\":\"%s\",\"subject\":\"%s\",\"sequence\":%lld}", topic,
		                       uuid_text(db_uuid(rows, i, 0), id), (long long)db_int(rows, i, 1)),
		            str_printf(&horizon->arena, "%.*s is neither on the bus nor in the outbox", STR_ARG(db_str(rows, i, 5))));
	}
}

static int check_topic(struct horizon *horizon, size_t which, struct err *err)
{
	struct audit *audit = horizon->audit;
	struct audit_range range = { 0 };
	struct db_result *partitions CLEANUP(db_result_done) = NULL;
	struct db_args args;
	int more;

	db_args_init(&args, &horizon->arena);
	db_arg_text(&args, str_of(expected[which].topic));
	if (db_query(audit->db, partitions_sql, &args, &partitions, err) < 0)
		return -1;
	horizon->partitions = db_int(partitions, 0, 0);
	horizon->unseen = 0;
	while ((more = audit_range_next(audit, expected[which].range, AUDIT_STEP, &range, err)) > 0) {
		struct db_result *rows CLEANUP(db_result_done) = NULL;
		db_args_init(&args, &audit->arena);
		db_arg_uuid(&args, range.after);
		db_arg_uuid(&args, range.last);
		if (db_query(audit->db, expected[which].sql, &args, &rows, err) < 0)
			return -1;
		judge_missing(horizon, expected[which].topic, rows);
		audit->listener->walked(audit->listener->self, "what must be published", AUDIT_STEP);
	}
	if (more == 0 && horizon->unseen)
		audit_found(audit, AUDIT_NOTED, "published.trimmed",
		            str_printf(&horizon->arena, "{\"topic\":\"%s\",\"records\":%lld}", expected[which].topic,
		                       (long long)horizon->unseen),
		            str_printf(&horizon->arena,
		                       "%s: its beginning is not here any more (retention, or a move between the engines); %lld "
		                       "records could not be looked at",
		                       expected[which].topic, (long long)horizon->unseen));
	return more;
}

static int check_missing(struct audit *audit, struct err *err)
{
	struct horizon horizon = { .audit = audit };
	struct db_args args;
	int failed;

	arena_init(&horizon.arena);
	db_args_init(&args, &horizon.arena);
	db_arg_text(&args, str_of(bus_engine_name(audit->engine)));
	failed = db_query(audit->db, trimmed_sql, &args, &horizon.trimmed, err) < 0;
	for (size_t i = 0; !failed && i < ARRAY_LEN(expected); i++)
		failed = check_topic(&horizon, i, err) < 0;
	db_result_done(&horizon.trimmed);
	arena_done(&horizon.arena);
	return failed ? err_prefix(err, "could not look for what is not published") : 0;
}
