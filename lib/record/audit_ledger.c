/* SPDX-License-Identifier: Apache-2.0
 * The ledger: what each row's state promises is there.
 */
#include "audit_private.h"

#include "base/banned.h"

#define MAIL_WORDS "format('UID %s of %s in %s (%s)', i.uid, f.name, coalesce(x.address, i.mailbox_id::text), i.state)"
#define IS_PLACED "i.state IN ('case', 'attached')"
#define IS_UNDERSTOOD "i.state IN ('case', 'attached', 'personal', 'duplicate')"
/* What was never downloaded: gone from the server, or known from an earlier UIDVALIDITY. */
#define HAS_BYTES "NOT (i.state = 'gone' OR (i.state = 'duplicate' AND i.reason = 'uidvalidity_changed'))"

static const char rows_sql[] =
	"SELECT v.kind, v.rule, jsonb_build_object('intake', i.id, 'mailbox', i.mailbox_id, 'uid', i.uid, 'message',"
	" i.message_id, 'case', i.case_id), " MAIL_WORDS " || ': ' || v.why"
	" FROM intake i LEFT JOIN mailbox_folder f ON f.id = i.folder_id LEFT JOIN mailbox x ON x.id = i.mailbox_id"
	" LEFT JOIN message m ON m.id = i.message_id"
	" LEFT JOIN case_message cm ON cm.message_id = i.message_id AND cm.case_id = i.case_id"
	" LEFT JOIN blob b ON b.id = i.blob_id LEFT JOIN quarantine q ON q.intake_id = i.id"
	" LEFT JOIN dead_letter d ON d.group_name = 'threader' AND d.topic = '" TOPIC_MAIL_RECEIVED "' AND d.ce_id = i.id"
	" CROSS JOIN LATERAL (VALUES"
	" (" IS_UNDERSTOOD " AND m.id IS NULL, 'lost', 'ledger.message', 'its message is not there'),"
	" (" IS_PLACED " AND m.id IS NOT NULL AND cm.case_id IS NULL, 'lost', 'ledger.case',"
	"  'its message is not in the case that the row names'),"
	" (" HAS_BYTES " AND b.id IS NULL, 'lost', 'ledger.blob', 'its raw mail is not there'),"
	" (i.state = 'quarantined' AND q.id IS NULL, 'lost', 'ledger.quarantine', 'there is no row of the quarantine'),"
	" (i.state = 'dead' AND d.id IS NULL, 'lost', 'ledger.dead_letter', 'there is no dead letter of it'),"
	" (i.state IN ('received', 'retrying', 'action_needed') <> (i.decided_at IS NULL), 'inconsistent', 'ledger.decided',"
	"  'state and time of the decision contradict each other'),"
	" (m.tenant_id <> i.tenant_id OR b.tenant_id <> i.tenant_id, 'inconsistent', 'ledger.tenant',"
	"  'its message or its raw mail is another tenant''s'),"
	" (f.uidvalidity = i.uidvalidity AND i.uid > f.last_uid, 'inconsistent', 'ledger.cursor',"
	"  format('the folder''s cursor stands before it, at UID %s', f.last_uid)),"
	" (f.uidvalidity = i.uidvalidity AND i.uid < f.floor_uid, 'unexplained', 'ledger.floor',"
	"  format('the folder begins only at UID %s', f.floor_uid))"
	" ) AS v (is_broken, kind, rule, why) WHERE i.id > $1 AND i.id <= $2 AND v.is_broken";

static const char doubled_uid_sql[] =
	"SELECT 'doubled', 'ledger.uid', jsonb_build_object('folder', folder_id, 'uid', uid, 'intakes',"
	" jsonb_agg(id ORDER BY id)), format('UID %s of folder %s has %s rows', uid, folder_id, count(*))"
	" FROM intake GROUP BY folder_id, uidvalidity, uid HAVING count(*) > 1";

/* A message is made by one mail; each further mail of it is a duplicate. */
static const char doubled_message_sql[] =
	"SELECT 'doubled', 'ledger.message', jsonb_build_object('message', message_id, 'intakes', jsonb_agg(id ORDER BY id)),"
	" format('message %s is said to be made by %s mails', message_id, count(*))"
	" FROM intake WHERE state IN ('case', 'attached') AND message_id IS NOT NULL GROUP BY message_id HAVING count(*) > 1";

static const char count_sql[] =
	"SELECT count(*), count(*) FILTER (WHERE state IN ('received', 'retrying', 'action_needed')),"
	" count(*) FILTER (WHERE state IN ('case', 'attached')), count(*) FILTER (WHERE state = 'duplicate'),"
	" count(*) FILTER (WHERE state = 'quarantined'), count(*) FILTER (WHERE state = 'dead') FROM intake";

static const struct audit_check checks[] = {
	{ "the ledger", AUDIT_RANGE("intake"), rows_sql },
	{ "the ledger", NULL, doubled_uid_sql },
	{ "the ledger", NULL, doubled_message_sql },
};
static const char *const names[] = { "mails", "mails_waiting", "mails_in_cases", "mails_duplicate", "mails_quarantined",
	                             "mails_dead" };

int audit_ledger(struct audit *audit, struct err *err)
{
	if (audit_checks(audit, checks, ARRAY_LEN(checks), err) < 0)
		return -1;
	return audit_count(audit, count_sql, names, ARRAY_LEN(names), err);
}
