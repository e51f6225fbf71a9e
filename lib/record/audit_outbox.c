/* SPDX-License-Identifier: Apache-2.0
 * The outbox: every row is about something that is there, and rows of a key are in the order of what they tell.
 */
#include "audit_private.h"

#include "base/banned.h"

#define IDS "jsonb_build_object('ce_id', o.ce_id, 'seq', o.seq, 'subject', o.subject, 'sequence', o.sequence)"
#define IS_UUID "o.subject ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'"
#define AS_UUID "CASE WHEN " IS_UUID " THEN o.subject::uuid END"

static const char about_sql[] =
	"SELECT 'unexplained', 'outbox.about', " IDS ", format('outbox row %s: %s', o.seq, v.why)"
	" FROM outbox o CROSS JOIN LATERAL (SELECT " AS_UUID " AS id) AS s CROSS JOIN LATERAL (VALUES"
	" (o.topic = '" TOPIC_CASE_EVENTS "' AND NOT EXISTS (SELECT FROM case_event e WHERE e.case_id = s.id"
	"   AND e.version = o.sequence), 'the timeline has no such version'),"
	" (o.topic = '" TOPIC_MAIL_RECEIVED "' AND NOT EXISTS (SELECT FROM intake i WHERE i.id = s.id AND i.id = o.ce_id),"
	"   'the ledger has no such mail'),"
	" (o.topic = '" TOPIC_MAILBOX_EVENTS "' AND NOT EXISTS (SELECT FROM mailbox_state b WHERE b.mailbox_id = s.id"
	"   AND b.version >= o.sequence), 'the mailbox never had that version')"
	" ) AS v (is_broken, why) WHERE v.is_broken";

static const char doubled_sql[] =
	"SELECT 'doubled', 'outbox.record', jsonb_build_object('topic', topic, 'subject', subject, 'sequence', sequence),"
	" format('%s outbox rows tell the same of %s', count(*), subject)"
	" FROM outbox GROUP BY topic, subject, sequence HAVING count(*) > 1";

static const char order_sql[] =
	"SELECT 'inconsistent', 'outbox.order', " IDS ", format('outbox row %s has version %s of %s, a row before it has %s',"
	" o.seq, o.sequence, o.subject, o.before) FROM (SELECT *, lag(sequence) OVER (PARTITION BY topic, subject ORDER BY seq)"
	" AS before FROM outbox WHERE sequence > 0) AS o WHERE o.before >= o.sequence";

static const char count_sql[] = "SELECT count(*) FROM outbox";
static const char *const names[] = { "outbox_rows" };

static const struct audit_check checks[] = {
	{ "the outbox", NULL, about_sql },
	{ "the outbox", NULL, doubled_sql },
	{ "the outbox", NULL, order_sql },
};

int audit_outbox(struct audit *audit, struct err *err)
{
	if (audit_checks(audit, checks, ARRAY_LEN(checks), err) < 0)
		return -1;
	return audit_count(audit, count_sql, names, ARRAY_LEN(names), err);
}
