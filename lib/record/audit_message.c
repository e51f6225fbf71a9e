/* SPDX-License-Identifier: Apache-2.0
 * Messages, their raw bytes and their places in cases.
 */
#include "audit_private.h"

#include "base/digest.h"

#include "base/banned.h"

static int check_bytes(struct audit *audit, int64_t blobs, struct err *err);

static const char messages_sql[] =
	"SELECT v.kind, v.rule, jsonb_build_object('message', m.id, 'blob', m.blob_id, 'cases', n.cases),"
	" format('message %s (%s): ', m.id, m.direction) || v.why"
	" FROM message m LEFT JOIN blob b ON b.id = m.blob_id"
	" CROSS JOIN LATERAL (SELECT count(*) AS places, jsonb_agg(c.case_id) AS cases FROM case_message c"
	"  WHERE c.message_id = m.id) AS n"
	" CROSS JOIN LATERAL (VALUES"
	" (n.places > 1, 'doubled', 'message.case', format('it is in %s cases', n.places)),"
	" (m.direction <> 'in' AND n.places = 0, 'lost', 'message.case', 'it is in no case'),"
	" (m.direction = 'in' AND NOT EXISTS (SELECT FROM intake i WHERE i.message_id = m.id), 'unexplained',"
	"  'message.ledger', 'no row of the ledger leads to it'),"
	" ((m.direction = 'in' OR m.blob_id IS NOT NULL) AND b.id IS NULL, 'lost', 'message.blob', 'its raw mail is not there'),"
	" (EXISTS (SELECT FROM attachment a WHERE a.message_id = m.id AND a.raw_offset + a.raw_length > b.size),"
	"  'inconsistent', 'message.attachment', 'an attachment lies outside its raw mail')"
	" ) AS v (is_broken, kind, rule, why) WHERE m.id > $1 AND m.id <= $2 AND v.is_broken";

static const char places_sql[] =
	"SELECT v.kind, v.rule, jsonb_build_object('message', p.message_id, 'case', p.case_id),"
	" format('message %s in case %s: ', p.message_id, coalesce(c.number::text, p.case_id::text)) || v.why"
	" FROM case_message p LEFT JOIN message m ON m.id = p.message_id LEFT JOIN case_file c ON c.id = p.case_id"
	" CROSS JOIN LATERAL (VALUES"
	" (m.id IS NULL, 'lost', 'message.row', 'there is no such message'),"
	" (c.id IS NULL, 'lost', 'case.row', 'there is no such case'),"
	" (m.tenant_id <> p.tenant_id OR c.tenant_id <> p.tenant_id, 'inconsistent', 'message.tenant',"
	"  'message and case are of different tenants')"
	" ) AS v (is_broken, kind, rule, why) WHERE p.message_id > $1 AND p.message_id <= $2 AND v.is_broken";

#define PLACES_RANGE "SELECT message_id FROM case_message WHERE message_id > $1 ORDER BY message_id OFFSET $2 LIMIT 1"

static const char identities_sql[] =
	"SELECT 'doubled', 'message.identity', jsonb_build_object('identity', identity, 'messages', jsonb_agg(id ORDER BY id)),"
	" format('%s messages are the same one', count(*)) FROM message GROUP BY identity HAVING count(*) > 1";

/* The sums of those whose ids fall on the sample: the last byte is random. */
static const char bytes_sql[] =
	"SELECT 'inconsistent', v.rule, jsonb_build_object('blob', b.id), format('raw mail %s: ', b.id) || v.why FROM blob b"
	" CROSS JOIN LATERAL (VALUES"
	" (b.size <> length(b.bytes), 'blob.size', format('it should have %s bytes, it has %s', b.size, length(b.bytes))),"
	" (b.sha256 <> sha256(b.bytes), 'blob.sha256', 'its bytes are not those that came in: the checksum differs')"
	" ) AS v (is_broken, rule, why)"
	" WHERE b.id > $1 AND b.id <= $2 AND get_byte(uuid_send(b.id), 15) % $3::int = $4::int AND v.is_broken";

static const char count_sql[] =
	"SELECT (SELECT count(*) FROM message), (SELECT count(*) FROM case_message), (SELECT count(*) FROM blob)";

static const struct audit_check checks[] = {
	{ "messages", AUDIT_RANGE("message"), messages_sql },
	{ "messages", PLACES_RANGE, places_sql },
	{ "messages", NULL, identities_sql },
};

int audit_messages(struct audit *audit, struct err *err)
{
	struct db_result *counts CLEANUP(db_result_done) = NULL;

	if (audit_checks(audit, checks, ARRAY_LEN(checks), err) < 0)
		return -1;
	if (db_query(audit->db, count_sql, NULL, &counts, err) < 0)
		return err_prefix(err, "could not count messages");
	audit->listener->counted(audit->listener->self, "messages", db_int(counts, 0, 0));
	audit->listener->counted(audit->listener->self, "messages_in_cases", db_int(counts, 0, 1));
	audit->listener->counted(audit->listener->self, "raw_mails", db_int(counts, 0, 2));
	return check_bytes(audit, db_int(counts, 0, 2), err);
}

#define BYTES_STEP 200      /* raw mails may be large */
#define BYTES_ENOUGH 5000   /* so many are all looked at */
#define BYTES_SPARSEST 256  /* one byte of the id decides */

static int check_bytes(struct audit *audit, int64_t blobs, struct err *err)
{
	struct audit_range range = { 0 };
	struct db_args args;
	int64_t every = audit->options->is_deep ? 1 : blobs / BYTES_ENOUGH;
	uint8_t which;
	int more;

	every = every < 1 ? 1 : every > BYTES_SPARSEST ? BYTES_SPARSEST : every;
	random_bytes(&which, sizeof which);
	while ((more = audit_range_next(audit, AUDIT_RANGE("blob"), BYTES_STEP * every, &range, err)) > 0) {
		db_args_init(&args, &audit->arena);
		db_arg_uuid(&args, range.after);
		db_arg_uuid(&args, range.last);
		db_arg_int(&args, every);
		db_arg_int(&args, which % every);
		if (audit_check(audit, bytes_sql, &args, err) < 0)
			return err_prefix(err, "could not look at raw mail");
		audit->listener->walked(audit->listener->self, "raw mail", BYTES_STEP * every);
	}
	if (more < 0)
		return err_prefix(err, "could not look at raw mail");
	audit->listener->counted(audit->listener->self, "raw_mails_summed", every == 1 ? blobs : blobs / every);
	return 0;
}
