/* SPDX-License-Identifier: Apache-2.0
 * Mails of ours: each was due once, has its copies, and each copy's state is what its case was told.
 */
#include "audit_private.h"

#include "base/banned.h"

static const char doubled_sql[] =
	"SELECT 'doubled', 'outbound.once', jsonb_build_object('case', case_id, 'version', case_version, 'outbounds',"
	" jsonb_agg(id ORDER BY id)), format('version %s of case %s made %s mails of one kind to one audience (%s, %s, %s)',"
	" case_version, case_id, count(*), audience, kind, reason) FROM outbound_message"
	" GROUP BY case_id, case_version, audience, kind, reason, user_id HAVING count(*) > 1"
	" UNION ALL SELECT 'doubled', 'outbound.auto_reply', jsonb_build_object('case', case_id, 'outbounds', jsonb_agg(id ORDER BY id)),"
	" format('case %s has %s automatic replies', case_id, count(*)) FROM outbound_message WHERE kind = 'auto_reply'"
	" GROUP BY case_id HAVING count(*) > 1"
	" UNION ALL SELECT 'doubled', 'outbound.header_id', jsonb_build_object('outbounds', jsonb_agg(id ORDER BY id)),"
	" format('%s mails have one Message-ID', count(*)) FROM outbound_message GROUP BY header_id HAVING count(*) > 1"
	" UNION ALL SELECT 'doubled', 'copy.once', jsonb_build_object('outbound', outbound_id, 'copies', jsonb_agg(id ORDER BY id)),"
	" format('mail %s has %s copies for %s', outbound_id, count(*), recipient) FROM outbound_copy"
	" GROUP BY outbound_id, recipient HAVING count(*) > 1";

/* A reply is made with the record that it belongs to; a notice with a later one that says so. */
static const char messages_sql[] =
	"SELECT v.kind, v.rule, jsonb_build_object('outbound', o.id, 'case', o.case_id, 'version', o.case_version),"
	" format('mail %s (%s to %s of case %s): ', o.id, o.kind, o.audience, coalesce(c.number::text, o.case_id::text)) || v.why"
	" FROM outbound_message o LEFT JOIN case_file c ON c.id = o.case_id CROSS JOIN LATERAL (VALUES"
	" (NOT EXISTS (SELECT FROM case_event e WHERE e.case_id = o.case_id AND e.version = o.case_version), 'unexplained',"
	"  'outbound.cause', format('its case has no version %s', o.case_version)),"
	" (o.kind <> 'reply' AND NOT EXISTS (SELECT FROM case_event e WHERE e.case_id = o.case_id AND e.kind = 'notice_planned'"
	"  AND e.data->>'outbound_id' = o.id::text), 'unexplained', 'outbound.fact', 'no fact of its case planned it'),"
	" (o.kind = 'reply' AND NOT EXISTS (SELECT FROM case_message p WHERE p.message_id = o.message_id AND p.case_id = o.case_id),"
	"  'lost', 'outbound.message', 'the message that it carries is not in its case'),"
	" (NOT EXISTS (SELECT FROM outbound_copy k WHERE k.outbound_id = o.id), 'lost', 'outbound.copies', 'it has no copies'),"
	" (EXISTS (SELECT FROM outbound_copy k WHERE k.outbound_id = o.id AND k.tenant_id <> o.tenant_id) OR c.tenant_id <> o.tenant_id,"
	"  'inconsistent', 'outbound.tenant', 'case, mail and copies are of different tenants')"
	" ) AS v (is_broken, kind, rule, why) WHERE o.id > $1 AND o.id <= $2 AND v.is_broken";

static const char planned_sql[] =
	"SELECT CASE WHEN o.id IS NULL THEN 'lost' ELSE 'doubled' END, 'outbound.fact', jsonb_build_object('case', e.case_id,"
	" 'version', e.version, 'outbound', e.outbound), format('case %s: mail %s was planned %s times and is %s', e.case_id, e.outbound,"
	" e.times, CASE WHEN o.id IS NULL THEN 'not there' ELSE 'there once' END)"
	" FROM (SELECT case_id, min(version) AS version, data->>'outbound_id' AS outbound, count(*) AS times FROM case_event"
	"  WHERE case_id > $1 AND case_id <= $2 AND kind = 'notice_planned' AND data ? 'outbound_id' GROUP BY case_id, data->>'outbound_id') AS e"
	" LEFT JOIN outbound_message o ON o.id::text = e.outbound AND o.case_id = e.case_id WHERE o.id IS NULL OR e.times > 1";

/* Only outcomes are facts, not that a copy is under way. */
static const char copies_sql[] =
	"WITH said AS (SELECT case_id, data->>'copy_id' AS copy, (array_agg(data->>'to' ORDER BY version DESC, ordinal DESC))[1] AS state,"
	"  count(*) FILTER (WHERE data->>'to' = 'accepted') AS accepted FROM case_event WHERE case_id > $1 AND case_id <= $2"
	"  AND kind = 'copy_state_changed' GROUP BY 1, 2),"
	" kept AS (SELECT o.case_id, k.id::text AS copy, k.state FROM outbound_message o JOIN outbound_copy k ON k.outbound_id = o.id"
	"  WHERE o.case_id > $1 AND o.case_id <= $2)"
	" SELECT v.kind, v.rule, jsonb_build_object('case', coalesce(s.case_id, k.case_id), 'copy', coalesce(s.copy, k.copy)),"
	" format('copy %s: ', coalesce(s.copy, k.copy)) || v.why FROM said s FULL JOIN kept k ON k.case_id = s.case_id AND k.copy = s.copy"
	" CROSS JOIN LATERAL (VALUES"
	" (k.copy IS NULL, 'lost', 'copy.row', format('its case says that it is %s, and there is no such copy', s.state)),"
	" (k.state IN ('accepted', 'failed', 'unknown', 'bounced', 'deferred') AND s.state IS DISTINCT FROM k.state, 'inconsistent', 'copy.state',"
	"  format('it is %s, its case says %s', k.state, coalesce(s.state, 'nothing'))),"
	" (k.state IN ('queued', 'sending') AND s.state IN ('accepted', 'failed', 'unknown', 'bounced'), 'inconsistent', 'copy.state',"
	"  format('it is %s, though its case says that it ended as %s', k.state, s.state)),"
	" (s.accepted > 1, 'doubled', 'copy.accepted', format('its case says %s times that it was accepted', s.accepted))"
	" ) AS v (is_broken, kind, rule, why) WHERE v.is_broken";

/* A sender looks every few seconds for copies whose sender has gone. */
#define AT_WORK \
	"EXISTS (SELECT FROM bus_member WHERE group_name = 'notifier' AND expires > clock_timestamp() UNION ALL" \
	" SELECT FROM audit_lag WHERE group_name = 'notifier' AND owner <> '')"
static const char waits_sql[] =
	"SELECT CASE WHEN k.state = 'sending' AND k.expires < clock_timestamp() - interval '30 seconds' AND n.at_work THEN 'unexplained'"
	" WHEN k.state IN ('queued', 'deferred') AND k.next_attempt_at < clock_timestamp() - interval '10 minutes' AND n.at_work AND m.is_active"
	"  AND coalesce(s.state, 'ok') = 'ok' AND NOT EXISTS (SELECT FROM outbound_copy z WHERE z.outbound_mailbox_id = k.outbound_mailbox_id"
	"  AND z.changed_at > clock_timestamp() - interval '5 minutes') THEN 'unexplained' ELSE 'waits' END,"
	" 'copy.' || k.state, jsonb_build_object('copy', k.id, 'outbound', k.outbound_id), format('copy %s to %s: ', k.id, k.recipient) || CASE k.state"
	"  WHEN 'unknown' THEN 'whether it was accepted is unknown; `casectl outbound resolve` ends it'"
	"  WHEN 'sending' THEN format('under way, its sender''s lease %s at %s', CASE WHEN k.expires < clock_timestamp() THEN 'ended' ELSE 'ends' END, k.expires)"
	"  ELSE format('%s, due at %s after %s attempts%s', k.state, k.next_attempt_at, k.attempts, CASE WHEN k.reply_text = '' THEN ''"
	"   ELSE format(': %s %s', k.reply_code, left(k.reply_text, 200)) END) END"
	" || CASE WHEN k.state = 'unknown' OR n.at_work THEN '' ELSE '; no notifier is at work' END"
	" || CASE WHEN k.state = 'unknown' OR m.is_active THEN '' ELSE '; its outbound mailbox is switched off' END"
	" FROM outbound_copy k LEFT JOIN outbound_mailbox m ON m.id = k.outbound_mailbox_id"
	" LEFT JOIN outbound_mailbox_state s ON s.outbound_mailbox_id = k.outbound_mailbox_id CROSS JOIN (SELECT " AT_WORK " AS at_work) AS n"
	" WHERE k.state IN ('queued', 'sending', 'deferred', 'unknown')";

static const char count_sql[] =
	"SELECT (SELECT count(*) FROM outbound_message), count(*), count(*) FILTER (WHERE state = 'accepted'),"
	" count(*) FILTER (WHERE state IN ('failed', 'bounced')), count(*) FILTER (WHERE state = 'unknown'),"
	" count(*) FILTER (WHERE state IN ('queued', 'sending', 'deferred')) FROM outbound_copy";
static const char *const names[] = { "outbound_mails", "copies", "copies_accepted", "copies_failed", "copies_unknown", "copies_waiting" };

static const struct audit_check checks[] = {
	{ "mails of ours", NULL, doubled_sql },
	{ "mails of ours", AUDIT_RANGE("outbound_message"), messages_sql },
	{ "mails of ours", AUDIT_RANGE("case_file"), planned_sql },
	{ "copies", AUDIT_RANGE("case_file"), copies_sql },
	{ "copies", NULL, waits_sql },
};

int audit_outbound(struct audit *audit, struct err *err)
{
	if (audit_checks(audit, checks, ARRAY_LEN(checks), err) < 0)
		return -1;
	return audit_count(audit, count_sql, names, ARRAY_LEN(names), err);
}
