/* SPDX-License-Identifier: Apache-2.0
 * What waits, and for what; leases and positions, which say who should see to it.
 */
#include "audit_private.h"

#include "base/banned.h"

#define MAILS "'" TOPIC_MAIL_RECEIVED "'"

/* Positions were asked for before: what a group has read since then is at most decided earlier than we think. */
static const char ledger_sql[] =
	"SELECT v.kind, 'ledger.waiting', jsonb_build_object('intake', i.id, 'mailbox', i.mailbox_id, 'uid', i.uid),"
	" format('UID %s of %s (%s): ', i.uid, coalesce(x.address, i.mailbox_id::text), i.state) || v.why"
	" FROM intake i LEFT JOIN mailbox x ON x.id = i.mailbox_id LEFT JOIN outbox o ON o.ce_id = i.id AND o.topic = " MAILS
	" LEFT JOIN LATERAL (SELECT * FROM audit_record r WHERE r.topic = " MAILS " AND r.subject = i.id AND r.sequence = 0"
	"  ORDER BY place LIMIT 1) AS r ON true"
	" LEFT JOIN audit_lag l ON l.group_name = 'threader' AND l.topic = " MAILS " AND l.partition = r.partition"
	"  AND r.engine = (SELECT name FROM bus_engine)"
	" LEFT JOIN dead_letter d ON d.group_name = 'threader' AND d.topic = " MAILS " AND d.ce_id = i.id"
	" CROSS JOIN LATERAL (SELECT CASE"
	"  WHEN o.seq IS NOT NULL THEN 'waits' WHEN d.replay_at IS NOT NULL THEN 'waits' WHEN r.place IS NULL THEN 'waits'"
	"  WHEN r.log_offset >= l.next_offset THEN 'waits' ELSE 'unexplained' END AS kind, CASE"
	"  WHEN o.seq IS NOT NULL THEN format('its record is in the outbox, row %s', o.seq)"
	"  WHEN d.replay_at IS NOT NULL THEN 'its dead letter was asked to be replayed'"
	"  WHEN r.place IS NULL THEN 'its record was not on the bus when that was read'"
	"  WHEN r.log_offset >= l.next_offset THEN format('its record is at offset %s of partition %s, the threaders are at %s; %s',"
	"   r.log_offset, r.partition, l.next_offset, CASE WHEN l.owner = '' THEN 'nobody reads it' ELSE 'it is unread, or in a turn' END)"
	"  ELSE 'the threaders have read its record, and it is neither decided nor a dead letter' END AS why) AS v"
	" WHERE i.state IN ('received', 'retrying', 'action_needed')";

static const char groups_sql[] =
	"SELECT 'waits', 'bus.unread', jsonb_build_object('group', group_name, 'topic', topic, 'records', sum(end_offset - next_offset)),"
	" format('group %s has yet to read %s records of %s%s', group_name, sum(end_offset - next_offset), topic,"
	" CASE WHEN count(*) FILTER (WHERE owner = '' AND end_offset > next_offset) > 0 THEN '; nobody reads some of its partitions' ELSE '' END)"
	" FROM audit_lag GROUP BY group_name, topic HAVING sum(end_offset - next_offset) > 0";

static const char positions_sql[] =
	"SELECT 'inconsistent', 'bus.position', jsonb_build_object('group', group_name, 'topic', topic, 'partition', partition),"
	" format('group %s is at offset %s of %s, partition %s, which ends at %s', group_name, next_offset, topic, partition, end_offset)"
	" FROM audit_lag WHERE next_offset > end_offset";

/* Within one statement: relay and trimming move log and counters together. */
static const char log_sql[] =
	"SELECT 'lost', 'bus.log', jsonb_build_object('topic', p.topic, 'partition', p.partition),"
	" format('%s, partition %s: there should be %s records from offset %s on, there are %s', p.topic, p.partition,"
	" p.next_offset - p.first_offset, p.first_offset, n.records) FROM bus_partition p CROSS JOIN LATERAL (SELECT count(*) AS records"
	" FROM bus_log l WHERE l.topic = p.topic AND l.partition = p.partition) AS n WHERE n.records <> p.next_offset - p.first_offset";

#define STUCK "interval '1 minute'"
static const char outbox_sql[] =
	"SELECT CASE WHEN e.name IS NULL OR e.moving_until > clock_timestamp() OR r.name IS NULL OR o.oldest > clock_timestamp() - " STUCK
	" THEN 'waits' ELSE 'unexplained' END, 'outbox.unsent', jsonb_build_object('rows', o.n),"
	" format('%s outbox rows wait, the oldest for %s s: %s', o.n, round(extract(epoch FROM clock_timestamp() - o.oldest)), CASE"
	" WHEN e.name IS NULL THEN 'the bus is not installed' WHEN e.moving_until > clock_timestamp() THEN 'the bus is being moved'"
	" WHEN r.name IS NULL THEN 'no relay is at work' ELSE 'a relay is at work' END)"
	" FROM (SELECT count(*) AS n, min(created_at) AS oldest FROM outbox) AS o LEFT JOIN bus_engine e ON true"
	" LEFT JOIN lease r ON r.kind = 'relay' AND r.name = 'outbox' AND r.expires > clock_timestamp() WHERE o.n > 0";

static const char leases_sql[] =
	"SELECT 'inconsistent', 'lease.expires', jsonb_build_object('kind', kind, 'name', name),"
	" format('lease %s %s is given for %s: nobody could take over', kind, name, expires - clock_timestamp())"
	" FROM lease WHERE expires > clock_timestamp() + interval '1 hour'";

static const char mailboxes_sql[] =
	"SELECT 'waits', 'mailbox.state', jsonb_build_object('mailbox', b.id), format('mailbox %s is %s: %s%s', b.address, s.state,"
	" s.reason, CASE WHEN s.next_try_at IS NULL THEN '' ELSE format('; next try at %s', s.next_try_at) END)"
	" FROM mailbox b JOIN mailbox_state s ON s.mailbox_id = b.id WHERE b.is_active AND s.state NOT IN ('ok', 'starting')"
	" UNION ALL SELECT 'waits', 'outbound_mailbox.state', jsonb_build_object('outbound_mailbox', b.id),"
	" format('outbound mailbox %s is %s: %s%s', b.name, s.state, s.reason, CASE WHEN s.next_try_at IS NULL THEN ''"
	" ELSE format('; next try at %s', s.next_try_at) END) FROM outbound_mailbox b JOIN outbound_mailbox_state s"
	" ON s.outbound_mailbox_id = b.id WHERE b.is_active AND s.state NOT IN ('ok', 'starting')";

static const char dead_letters_sql[] =
	"SELECT 'waits', 'dead_letter', jsonb_build_object('dead_letter', id, 'group', group_name, 'ce_id', ce_id),"
	" format('dead letter of group %s, %s of %s: %s', group_name, type, subject, reason) FROM dead_letter WHERE ended_at IS NULL";

static const struct audit_check checks[] = {
	{ "what waits", NULL, ledger_sql },    { "what waits", NULL, groups_sql }, { "positions", NULL, positions_sql },
	{ "the log", NULL, log_sql },          { "the outbox", NULL, outbox_sql }, { "leases", NULL, leases_sql },
	{ "mailboxes", NULL, mailboxes_sql },  { "dead letters", NULL, dead_letters_sql },
};

int audit_waits(struct audit *audit, struct err *err)
{
	return audit_checks(audit, checks, ARRAY_LEN(checks), err);
}
