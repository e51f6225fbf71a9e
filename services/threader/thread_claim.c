/* SPDX-License-Identifier: Apache-2.0 */
#include "thread_claim.h"

#include "base/clock.h"
#include "base/vec.h"
#include "mail/address.h"
#include "mail/identity.h"
#include "mail/msgid.h"

#include "base/banned.h"

static bool look_like_ours(struct str id);
static struct match_outbound read_sent(struct arena *arena, const struct db_result *rows, int row);
static struct message_new message_of(struct arena *arena, const struct thread_mail *mail);
static int load_known(struct thread_view *view, struct err *err);

static const char ledger_sql[] =
	"SELECT id, state IN ('received', 'retrying', 'action_needed'), clock_timestamp() FROM intake WHERE id = ANY($1)"
	" ORDER BY id FOR NO KEY UPDATE";

int thread_claim_ledger(struct thread_view *view, struct err *err)
{
	struct thread_batch *batch = view->batch;
	struct uuid *ids = ARENA_ARRAY(view->arena, struct uuid, batch->len);
	size_t count = 0;
	for (size_t i = 0; i < batch->len; i++)
		if (batch->mails[i].fate == FATE_MATCHED || batch->mails[i].fate == FATE_QUARANTINED)
			ids[count++] = batch->mails[i].received.intake.id;
	struct db_args args;
	db_args_init(&args, view->arena);
	db_arg_uuids(&args, ids, count);
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	if (db_query(view->db, ledger_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not lock ledger rows");

	batch->now_us = clock_wall_us();
	for (int row = 0; row < db_rows(rows); row++) {
		batch->now_us = db_time(rows, row, 2);
		for (size_t i = 0; i < batch->len && !db_bool(rows, row, 1); i++)
			if (uuid_eq(batch->mails[i].received.intake.id, db_uuid(rows, row, 0)) &&
			    batch->mails[i].fate != FATE_SET_ASIDE)
				batch->mails[i].fate = FATE_SKIPPED;
	}
	view->mails = ARENA_ARRAY(view->arena, struct thread_mail *, batch->len);
	view->inputs = ARENA_ARRAY(view->arena, struct match_mail, batch->len);
	for (size_t i = 0; i < batch->len; i++) {
		struct thread_mail *mail = &batch->mails[i];
		if (mail->fate != FATE_MATCHED)
			continue;
		view->mails[view->len] = mail;
		view->inputs[view->len++] = (struct match_mail){ .mail = &mail->mail,
			                                             .tenant = mail->tenant,
			                                             .mailbox = mail->mailbox,
			                                             .keys = &mail->keys,
			                                             .received_at_us = mail->received.received_at_us,
			                                             .level = SENDER_UNKNOWN,
			                                             .is_quiet = mail->received.is_quiet,
			                                             .fresh_message = mail->fresh_message,
			                                             .fresh_case = mail->fresh_case };
	}
	return 0;
}

/* The bytes only where the mail itself bears the id of one of ours: is it our own, come back? */
static const char sent_sql[] =
	"SELECT o.id, o.tenant_id, o.serial, o.case_id, o.audience = 'staff', o.user_id, o.header_id,"
	" CASE WHEN o.audience = 'staff' THEN"
	"  ARRAY(SELECT a.address FROM user_address a WHERE a.user_id = o.user_id AND a.tenant_id = o.tenant_id)"
	" ELSE ARRAY(SELECT c.recipient FROM outbound_copy c WHERE c.outbound_id = o.id AND c.role <> 'archive') END,"
	" CASE WHEN o.header_id = ANY($4) THEN o.bytes END"
	" FROM outbound_message o WHERE o.tenant_id = ANY($1) AND o.id = ANY(ARRAY("
	"  SELECT s.id FROM outbound_message s WHERE s.serial = ANY($2) UNION"
	"  SELECT h.id FROM outbound_message h WHERE h.header_id = ANY($3)))";

int thread_load_sent(struct thread_view *view, struct err *err)
{
	struct arena *arena = view->arena;
	VEC(int64_t) serials = { 0 };
	VEC(struct str) ids = { 0 }, own = { 0 };
	for (size_t i = 0; i < view->len; i++) {
		const struct match_keys *keys = &view->mails[i]->keys;
		for (size_t t = 0; t < keys->tokens_len; t++)
			if (keys->tokens[t].is_verified)
				*VEC_PUSH(arena, &serials) = keys->tokens[t].serial;
		for (size_t r = 0; r < keys->ids_len; r++)
			if (look_like_ours(keys->ids[r].text))
				*VEC_PUSH(arena, &ids) = keys->ids[r].text;
		if (look_like_ours(keys->header_id)) {
			*VEC_PUSH(arena, &ids) = keys->header_id;
			*VEC_PUSH(arena, &own) = keys->header_id;
		}
	}
	if (!serials.len && !ids.len)
		return 0;
	struct uuid *tenants = ARENA_ARRAY(arena, struct uuid, view->setup->tenants_len);
	for (size_t i = 0; i < view->setup->tenants_len; i++)
		tenants[i] = view->setup->tenants[i].id.id;
	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuids(&args, tenants, view->setup->tenants_len);
	db_arg_ints(&args, serials.at, serials.len);
	db_arg_texts(&args, ids.at, ids.len);
	db_arg_texts(&args, own.at, own.len);
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	if (db_query(view->db, sent_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not load mails of ours");
	view->sent_len = (size_t)db_rows(rows);
	view->sent = ARENA_ARRAY(arena, struct match_outbound, view->sent_len);
	for (int row = 0; row < db_rows(rows); row++)
		view->sent[row] = read_sent(arena, rows, row);
	return 0;
}

static bool look_like_ours(struct str id)
{
	struct str local, domain;
	return address_split(id, &local, &domain) && token_looks_like(local);
}

static struct match_outbound read_sent(struct arena *arena, const struct db_result *rows, int row)
{
	struct match_outbound sent = { .id = { db_uuid(rows, row, 0) },
		                           .tenant = { db_uuid(rows, row, 1) },
		                           .serial = db_int(rows, row, 2),
		                           .case_id = { db_uuid(rows, row, 3) },
		                           .is_staff = db_bool(rows, row, 4),
		                           .user = { db_uuid(rows, row, 5) },
		                           .header_id = str_dup(arena, msgid_normal(arena, db_str(rows, row, 6))) };
	struct str *recipients;
	size_t count = db_texts(rows, row, 7, arena, &recipients);
	sent.recipients = (struct mail_strs){ recipients, count };
	struct str bytes = db_str(rows, row, 8);
	ptrdiff_t gap = str_find(bytes, STR("\r\n\r\n"), 0);
	if (!db_is_null(rows, row, 8) && gap >= 0) {
		sent.body_sum = identity_body_sum(arena, str_slice(bytes, (size_t)gap + 4, bytes.len));
		sent.has_body_sum = true;
	}
	return sent;
}

int thread_claim_messages(struct thread_view *view, struct err *err)
{
	struct match_facts sent;
	match_facts_init(&sent, view->arena);
	for (size_t i = 0; i < view->sent_len; i++)
		match_facts_put_outbound(&sent, view->sent[i]);

	struct message_new *messages = ARENA_ARRAY(view->arena, struct message_new, view->len);
	bool *is_new = ARENA_ARRAY(view->arena, bool, view->len);
	size_t count = 0, new_count = 0;
	for (size_t i = 0; i < view->len; i++) {
		struct thread_mail *mail = view->mails[i];
		mail->is_own_mail = match_is_own_mail(&sent, &view->inputs[i]);
		bool is_repeated = false;
		for (size_t before = 0; before < count; before++)
			is_repeated |= uuid_eq(messages[before].identity, mail->keys.identity);
		if (!mail->is_own_mail && !is_repeated)
			messages[count++] = message_of(view->arena, mail);
	}
	if (message_claim(view->db, view->arena, messages, count, view->batch->now_us, is_new, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		new_count += is_new[i];
	if (new_count == count)
		return 0;

	struct match_message *known = ARENA_ARRAY(view->arena, struct match_message, count);
	for (size_t i = 0; i < count; i++)
		if (!is_new[i])
			known[view->known_len++].identity = messages[i].identity;
	view->known = known;
	return load_known(view, err);
}

/* Their rows are locked, so that of two turns that find a message without a case only one gives it one. */
static const char lock_known_sql[] =
	"SELECT id FROM message WHERE identity = ANY($1) ORDER BY identity FOR NO KEY UPDATE";
static const char known_sql[] = "SELECT m.identity, m.id, m.from_address, m.sent_at, c.case_id FROM message m"
								" LEFT JOIN case_message c ON c.message_id = m.id WHERE m.identity = ANY($1)";

static int load_known(struct thread_view *view, struct err *err)
{
	struct uuid *identities = ARENA_ARRAY(view->arena, struct uuid, view->known_len);
	for (size_t i = 0; i < view->known_len; i++)
		identities[i] = view->known[i].identity;
	struct db_args args;
	db_args_init(&args, view->arena);
	db_arg_uuids(&args, identities, view->known_len);
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	if (db_queue(view->db, lock_known_sql, &args, NULL, err) < 0 ||
	    db_query(view->db, known_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not load known messages");
	for (int row = 0; row < db_rows(rows); row++) {
		for (size_t i = 0; i < view->known_len; i++) {
			struct match_message *known = &view->known[i];
			if (!uuid_eq(known->identity, db_uuid(rows, row, 0)))
				continue;
			known->id.id = db_uuid(rows, row, 1);
			known->from = str_dup(view->arena, db_str(rows, row, 2));
			known->sent_at_s = db_time(rows, row, 3) / USEC_PER_SEC;
			known->case_id.id = db_uuid(rows, row, 4);
		}
	}
	return 0;
}

static struct mail_strs folded(struct arena *arena, const struct mail_addresses *list)
{
	struct str *out = ARENA_ARRAY(arena, struct str, list->len);
	for (size_t i = 0; i < list->len; i++)
		out[i] = address_fold(arena, list->at[i].address);
	return (struct mail_strs){ out, list->len };
}

/* What the decision adds (variant, suspicious) is set after it; both are rare. */
static struct message_new message_of(struct arena *arena, const struct thread_mail *mail)
{
	const struct mail *m = &mail->mail;
	const struct mail_address *from = m->from.len ? &m->from.at[0] : &m->best_sender;
	return (struct message_new){
		.id = mail->fresh_message,
		.tenant = mail->tenant->id,
		.identity = mail->keys.identity,
		.direction = DIRECTION_IN,
		.kind = str_of(mail_kind_name(m->kind)),
		.is_automatic = m->is_automatic,
		.is_quiet = mail->received.is_quiet,
		.header_id = m->message_id,
		.in_reply_to = m->in_reply_to,
		.references = m->references,
		.from_name = from->name,
		.from_address = mail->keys.sender,
		.to = folded(arena, &m->to),
		.cc = folded(arena, &m->cc),
		.subject = m->subject,
		.body = m->text,
		.sender_level = str_of(sender_level_name(SENDER_UNKNOWN)),
		.defects = m->defects,
		.blob = mail->received.blob,
		.size = mail->received.size,
		.mailbox = mail->mailbox->id,
		.sent_at_us = m->has_date ? m->date_s * USEC_PER_SEC : 0,
		.parts = m->parts,
		.parts_len = m->parts_len,
	};
}
