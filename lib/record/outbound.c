/* SPDX-License-Identifier: Apache-2.0 */
#include "record/outbound.h"

#include "base/banned.h"

/* An outbound mailbox that is switched off is passed over: mail that would wait for ever is worse than another sender. */
static const char choose_mailbox[] =
	"SELECT o.id, o.tenant_id, o.name, o.sender_name, o.sender_address, o.bcc_archive, o.is_default, chosen.is_receiving "
	"FROM (SELECT outbound_mailbox_id AS id, true AS is_receiving FROM mailbox WHERE id = $2 AND tenant_id = $1 "
	"UNION ALL SELECT id, false FROM outbound_mailbox WHERE tenant_id = $1 AND is_default) chosen "
	"JOIN outbound_mailbox o ON o.id = chosen.id AND o.tenant_id = $1 AND o.is_active "
	"ORDER BY chosen.is_receiving DESC LIMIT 1";

static const char draw_serials[] = "SELECT nextval('outbound_serial') FROM generate_series(1, $1)";

static const char insert_messages[] =
	"INSERT INTO outbound_message (id, tenant_id, serial, case_id, case_version, audience, kind, reason, user_id, message_id, "
	"outbound_mailbox_id, mailbox_reason, header_id, envelope_from, bytes, created_at) "
	"SELECT *, $16 FROM unnest($1::uuid[], $2::uuid[], $3::int8[], $4::uuid[], $5::int8[], $6::text[], $7::text[], "
	"$8::text[], $9::uuid[], $10::uuid[], $11::uuid[], $12::text[], $13::text[], $14::text[], $15::bytea[])";

/* An address that is named twice gets one copy, in the role named first. */
static const char insert_copies[] =
	"INSERT INTO outbound_copy (id, tenant_id, outbound_id, outbound_mailbox_id, recipient, role, state, next_attempt_at, "
	"changed_at) SELECT id, tenant, outbound, mailbox, recipient, role, 'queued', $7, $7 "
	"FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[]) "
	"AS u(id, tenant, outbound, mailbox, recipient, role) ON CONFLICT (outbound_id, recipient) DO NOTHING";

static const char wake_senders[] = "SELECT pg_notify('" OUTBOUND_CHANNEL "', '')";

static int queue_messages(struct db *db, struct arena *arena, const struct outbound_new *mails, size_t count,
                          int64_t now_us, struct err *err);
static int queue_copies(struct db *db, struct arena *arena, const struct outbound_new *mails, size_t count, int64_t now_us,
                        struct err *err);
static struct str fold_domain(struct arena *arena, struct str address);

int outbound_mailbox_choose(struct db *db, struct arena *arena, struct tenant_id tenant, struct mailbox_id receiving,
                            struct outbound_mailbox_row *out, struct str *out_reason, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, arena);
	db_arg_uuid(&args, tenant.id);
	db_arg_uuid_or_null(&args, receiving.id);
	if (db_query(db, choose_mailbox, &args, &rows, err) < 0)
		return err_prefix(err, "could not choose an outbound mailbox");
	if (!db_rows(rows))
		return 0;
	*out = (struct outbound_mailbox_row){
		.id = { db_uuid(rows, 0, 0) },
		.tenant = { db_uuid(rows, 0, 1) },
		.name = str_dup(arena, db_str(rows, 0, 2)),
		.sender_name = str_dup(arena, db_str(rows, 0, 3)),
		.sender_address = str_dup(arena, db_str(rows, 0, 4)),
		.bcc_archive = str_dup(arena, db_str(rows, 0, 5)),
		.is_default = db_bool(rows, 0, 6),
	};
	*out_reason = db_bool(rows, 0, 7) ? STR("receiving_mailbox") : STR("tenant_default");
	return 1;
}

int outbound_serials(struct db *db, struct arena *arena, size_t count, int64_t *out, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	if (!count)
		return 0;
	db_args_init(&args, arena);
	db_arg_int(&args, (int64_t)count);
	if (db_query(db, draw_serials, &args, &rows, err) < 0)
		return err_prefix(err, "could not draw outbound serials");
	for (size_t i = 0; i < count; i++)
		out[i] = db_int(rows, (int)i, 0);
	return 0;
}

int outbound_put(struct db *db, struct arena *arena, const struct outbound_new *mails, size_t count, int64_t now_us,
                 struct err *err)
{
	if (!count)
		return 0;
	if (queue_messages(db, arena, mails, count, now_us, err) < 0 || queue_copies(db, arena, mails, count, now_us, err) < 0)
		return -1;
	return db_queue(db, wake_senders, NULL, NULL, err);
}

static int queue_messages(struct db *db, struct arena *arena, const struct outbound_new *mails, size_t count,
                          int64_t now_us, struct err *err)
{
	enum { ID, TENANT, CASE, USER, MESSAGE, MAILBOX, UUIDS };
	enum { AUDIENCE, KIND, REASON, MAILBOX_REASON, HEADER_ID, ENVELOPE, TEXTS };
	struct uuid *uuids[UUIDS];
	struct str *texts[TEXTS], *bytes = ARENA_ARRAY(arena, struct str, count);
	int64_t *serial = ARENA_ARRAY(arena, int64_t, count), *version = ARENA_ARRAY(arena, int64_t, count);
	struct db_args args;

	for (int i = 0; i < UUIDS; i++)
		uuids[i] = ARENA_ARRAY(arena, struct uuid, count);
	for (int i = 0; i < TEXTS; i++)
		texts[i] = ARENA_ARRAY(arena, struct str, count);
	for (size_t i = 0; i < count; i++) {
		const struct outbound_new *mail = &mails[i];
		uuids[ID][i] = mail->id.id;
		uuids[TENANT][i] = mail->tenant.id;
		uuids[CASE][i] = mail->case_id.id;
		uuids[USER][i] = mail->user.id;
		uuids[MESSAGE][i] = mail->message.id;
		uuids[MAILBOX][i] = mail->mailbox.id;
		texts[AUDIENCE][i] = mail->audience;
		texts[KIND][i] = mail->kind;
		texts[REASON][i] = mail->reason;
		texts[MAILBOX_REASON][i] = mail->mailbox_reason;
		texts[HEADER_ID][i] = mail->header_id;
		/* A NULL view would become NULL; the null return path is ''. */
		texts[ENVELOPE][i] = mail->envelope_from.at ? mail->envelope_from : STR("");
		bytes[i] = mail->bytes;
		serial[i] = mail->serial;
		version[i] = mail->case_version;
	}
	db_args_init(&args, arena);
	db_arg_uuids(&args, uuids[ID], count);
	db_arg_uuids(&args, uuids[TENANT], count);
	db_arg_ints(&args, serial, count);
	db_arg_uuids(&args, uuids[CASE], count);
	db_arg_ints(&args, version, count);
	db_arg_texts(&args, texts[AUDIENCE], count);
	db_arg_texts(&args, texts[KIND], count);
	db_arg_texts(&args, texts[REASON], count);
	db_arg_uuids_or_null(&args, uuids[USER], count);
	db_arg_uuids_or_null(&args, uuids[MESSAGE], count);
	db_arg_uuids(&args, uuids[MAILBOX], count);
	db_arg_texts(&args, texts[MAILBOX_REASON], count);
	db_arg_texts(&args, texts[HEADER_ID], count);
	db_arg_texts(&args, texts[ENVELOPE], count);
	db_arg_bytess(&args, bytes, count);
	db_arg_time(&args, now_us);
	return db_queue(db, insert_messages, &args, NULL, err);
}

static int queue_copies(struct db *db, struct arena *arena, const struct outbound_new *mails, size_t count, int64_t now_us,
                        struct err *err)
{
	size_t total = 0, n = 0;

	for (size_t i = 0; i < count; i++)
		total += mails[i].recipients_len;
	struct uuid *id = ARENA_ARRAY(arena, struct uuid, total + 1), *tenant = ARENA_ARRAY(arena, struct uuid, total + 1),
	            *outbound = ARENA_ARRAY(arena, struct uuid, total + 1),
	            *mailbox = ARENA_ARRAY(arena, struct uuid, total + 1);
	struct str *recipient = ARENA_ARRAY(arena, struct str, total + 1), *role = ARENA_ARRAY(arena, struct str, total + 1);
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < mails[i].recipients_len; k++, n++) {
			id[n] = uuid_v7();
			tenant[n] = mails[i].tenant.id;
			outbound[n] = mails[i].id.id;
			mailbox[n] = mails[i].mailbox.id;
			recipient[n] = fold_domain(arena, mails[i].recipients[k].address);
			role[n] = mails[i].recipients[k].role;
		}
	}

	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuids(&args, id, n);
	db_arg_uuids(&args, tenant, n);
	db_arg_uuids(&args, outbound, n);
	db_arg_uuids(&args, mailbox, n);
	db_arg_texts(&args, recipient, n);
	db_arg_texts(&args, role, n);
	db_arg_time(&args, now_us);
	return db_queue(db, insert_copies, &args, NULL, err);
}

/* The domain is the same in any case; the local part belongs to the receiving host. */
static struct str fold_domain(struct arena *arena, struct str address)
{
	size_t at = address.len;

	while (at > 0 && address.at[at - 1] != '@')
		at--;
	if (!at)
		return address;
	struct str domain = str_lower(arena, str_slice(address, at, address.len));
	return str_printf(arena, "%.*s%.*s", STR_ARG(str_slice(address, 0, at)), STR_ARG(domain));
}
