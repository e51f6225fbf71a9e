/* SPDX-License-Identifier: Apache-2.0 */
#include "record/message.h"

#include "base/banned.h"

/* Bounds of what a stranger may put into one column. */
enum { LIST_MOST = 100, ID_MOST = 1000, NAME_MOST = 500, SUBJECT_MOST = 2000 };

static int put_rows(struct db *db, struct arena *arena, const char *sql, const struct message_new *messages,
                    size_t count, int64_t now_us, struct db_result **out, struct err *err);
static int put_attachments(struct db *db, struct arena *arena, const struct message_new *messages, const bool *wanted,
                           size_t count, struct err *err);
static struct str lines_of(struct arena *arena, struct mail_strs list);
static struct str defects_of(struct arena *arena, uint32_t defects);

/* Lists travel as lines: unnest() cannot take arrays of arrays apart. */
#define MESSAGE_INSERT \
	"INSERT INTO message (id, tenant_id, identity, direction, kind, is_automatic, is_quiet, message_id, in_reply_to," \
	" reference_ids, from_name, from_address, to_addresses, cc_addresses, subject, body, body_is_cut, sender_level," \
	" variant_of, is_suspicious, defects, blob_id, size, author_user_id, mailbox_id, sent_at, created_at)" \
	" SELECT u.id, u.tenant, u.identity, u.direction, u.kind, u.automatic, u.quiet, u.header," \
	" string_to_array(u.irt, E'\\n'), string_to_array(u.refs, E'\\n'), u.from_name, u.from_address," \
	" string_to_array(u.to_list, E'\\n'), string_to_array(u.cc_list, E'\\n'), u.subject, u.body, u.is_cut, u.level," \
	" u.variant, u.suspicious, string_to_array(u.defects, E'\\n'), u.blob, u.size, u.author, u.mailbox, u.sent, $27" \
	" FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bool[], $7::bool[], $8::text[]," \
	" $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::bool[]," \
	" $18::text[], $19::uuid[], $20::bool[], $21::text[], $22::uuid[], $23::int8[], $24::uuid[], $25::uuid[]," \
	" $26::timestamptz[])" \
	" AS u(id, tenant, identity, direction, kind, automatic, quiet, header, irt, refs, from_name, from_address, to_list," \
	" cc_list, subject, body, is_cut, level, variant, suspicious, defects, blob, size, author, mailbox, sent)" \
	" ORDER BY u.identity"

static const char put_sql[] = MESSAGE_INSERT;
static const char claim_sql[] = MESSAGE_INSERT " ON CONFLICT (identity) DO NOTHING RETURNING id";

int message_put(struct db *db, struct arena *arena, const struct message_new *messages, size_t count, int64_t now_us,
                struct err *err)
{
	if (!count)
		return 0;
	if (put_rows(db, arena, put_sql, messages, count, now_us, NULL, err) < 0)
		return -1;
	return put_attachments(db, arena, messages, NULL, count, err);
}

int message_claim(struct db *db, struct arena *arena, const struct message_new *messages, size_t count, int64_t now_us,
                  bool *out_is_new, struct err *err)
{
	if (!count)
		return 0;
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	if (put_rows(db, arena, claim_sql, messages, count, now_us, &rows, err) < 0 || db_flush(db, err) < 0)
		return err_prefix(err, "could not store messages");

	for (size_t i = 0; i < count; i++)
		out_is_new[i] = false;
	/* The answers come in the order of identity, ours are in any: a batch is small. */
	for (int row = 0; row < db_rows(rows); row++)
		for (size_t i = 0; i < count; i++)
			if (uuid_eq(messages[i].id.id, db_uuid(rows, row, 0)))
				out_is_new[i] = true;
	return put_attachments(db, arena, messages, out_is_new, count, err);
}

static int put_rows(struct db *db, struct arena *arena, const char *sql, const struct message_new *messages,
                    size_t count, int64_t now_us, struct db_result **out, struct err *err)
{
	struct uuid *uuids = ARENA_ARRAY(arena, struct uuid, count * 7);
	struct uuid *id = uuids, *tenant = id + count, *identity = tenant + count, *variant = identity + count,
				*blob = variant + count, *author = blob + count, *mailbox = author + count;
	struct str *texts = ARENA_ARRAY(arena, struct str, count * 13);
	struct str *direction = texts, *kind = direction + count, *header = kind + count, *irt = header + count,
			   *refs = irt + count, *from_name = refs + count, *from_address = from_name + count,
			   *to = from_address + count, *cc = to + count, *subject = cc + count, *body = subject + count,
			   *level = body + count, *defects = level + count;
	bool *flags = ARENA_ARRAY(arena, bool, count * 4);
	bool *automatic = flags, *quiet = automatic + count, *is_cut = quiet + count, *suspicious = is_cut + count;
	int64_t *size = ARENA_ARRAY(arena, int64_t, count), *sent = ARENA_ARRAY(arena, int64_t, count);

	for (size_t i = 0; i < count; i++) {
		const struct message_new *m = &messages[i];
		id[i] = m->id.id;
		tenant[i] = m->tenant.id;
		identity[i] = m->identity;
		variant[i] = m->variant_of.id;
		blob[i] = m->blob.id;
		author[i] = m->author.id;
		mailbox[i] = m->mailbox.id;
		direction[i] = str_of(direction_name(m->direction));
		kind[i] = m->kind;
		header[i] = str_cut_utf8(m->header_id, ID_MOST);
		irt[i] = lines_of(arena, m->in_reply_to);
		refs[i] = lines_of(arena, m->references);
		from_name[i] = str_cut_utf8(m->from_name, NAME_MOST);
		from_address[i] = str_cut_utf8(m->from_address, NAME_MOST);
		to[i] = lines_of(arena, m->to);
		cc[i] = lines_of(arena, m->cc);
		subject[i] = str_cut_utf8(m->subject, SUBJECT_MOST);
		body[i] = str_cut_utf8(m->body, MESSAGE_BODY_CAP);
		is_cut[i] = body[i].len < m->body.len;
		level[i] = m->sender_level;
		automatic[i] = m->is_automatic;
		quiet[i] = m->is_quiet;
		suspicious[i] = m->is_suspicious;
		defects[i] = defects_of(arena, m->defects);
		size[i] = m->size;
		sent[i] = m->sent_at_us;
		/* NULL is for what is absent as a whole, never for an empty text. */
		for (struct str *text = texts; text < texts + count * 13; text += count)
			if (!text[i].at)
				text[i] = STR("");
	}

	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuids(&args, id, count);
	db_arg_uuids(&args, tenant, count);
	db_arg_uuids(&args, identity, count);
	db_arg_texts(&args, direction, count);
	db_arg_texts(&args, kind, count);
	db_arg_bools(&args, automatic, count);
	db_arg_bools(&args, quiet, count);
	db_arg_texts(&args, header, count);
	db_arg_texts(&args, irt, count);
	db_arg_texts(&args, refs, count);
	db_arg_texts(&args, from_name, count);
	db_arg_texts(&args, from_address, count);
	db_arg_texts(&args, to, count);
	db_arg_texts(&args, cc, count);
	db_arg_texts(&args, subject, count);
	db_arg_texts(&args, body, count);
	db_arg_bools(&args, is_cut, count);
	db_arg_texts(&args, level, count);
	db_arg_uuids_or_null(&args, variant, count);
	db_arg_bools(&args, suspicious, count);
	db_arg_texts(&args, defects, count);
	db_arg_uuids_or_null(&args, blob, count);
	db_arg_ints(&args, size, count);
	db_arg_uuids_or_null(&args, author, count);
	db_arg_uuids_or_null(&args, mailbox, count);
	db_arg_times_or_null(&args, sent, count);
	db_arg_time(&args, now_us);
	return db_queue(db, sql, &args, out, err);
}

static const char attachment_sql[] =
	"INSERT INTO attachment (message_id, position, tenant_id, name, type, content_id, size, sha256, is_inline, raw_offset,"
	" raw_length, encoding)"
	" SELECT * FROM unnest($1::uuid[], $2::int8[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::int8[], $8::bytea[],"
	" $9::bool[], $10::int8[], $11::int8[], $12::text[])";

static const char *const encoding_names[] = { "identity", "base64", "quoted-printable", "uuencode" };

static int put_attachments(struct db *db, struct arena *arena, const struct message_new *messages, const bool *wanted,
                           size_t count, struct err *err)
{
	size_t total = 0;
	for (size_t i = 0; i < count; i++)
		total += !wanted || wanted[i] ? messages[i].parts_len : 0;
	if (!total)
		return 0;

	struct uuid *message = ARENA_ARRAY(arena, struct uuid, total), *tenant = ARENA_ARRAY(arena, struct uuid, total);
	int64_t *numbers = ARENA_ARRAY(arena, int64_t, total * 4);
	int64_t *position = numbers, *size = position + total, *offset = size + total, *length = offset + total;
	struct str *texts = ARENA_ARRAY(arena, struct str, total * 5);
	struct str *name = texts, *type = name + total, *content_id = type + total, *sum = content_id + total,
			   *encoding = sum + total;
	bool *is_inline = ARENA_ARRAY(arena, bool, total);
	size_t at = 0;
	for (size_t i = 0; i < count; i++) {
		for (size_t p = 0; p < messages[i].parts_len && (!wanted || wanted[i]); p++, at++) {
			const struct mail_part *part = &messages[i].parts[p];
			message[at] = messages[i].id.id;
			tenant[at] = messages[i].tenant.id;
			position[at] = (int64_t)p + 1;
			size[at] = (int64_t)part->size;
			offset[at] = (int64_t)part->offset;
			length[at] = (int64_t)part->length;
			name[at] = part->name.at ? str_cut_utf8(part->name, NAME_MOST) : STR("");
			type[at] = part->type.at ? str_cut_utf8(part->type, NAME_MOST) : STR("");
			content_id[at] = part->content_id.at ? str_cut_utf8(part->content_id, NAME_MOST) : STR("");
			sum[at] = str_span((const char *)part->sum.b, sizeof part->sum.b);
			encoding[at] = str_of(encoding_names[part->encoding]);
			is_inline[at] = part->is_inline;
		}
	}
	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuids(&args, message, total);
	db_arg_ints(&args, position, total);
	db_arg_uuids(&args, tenant, total);
	db_arg_texts(&args, name, total);
	db_arg_texts(&args, type, total);
	db_arg_texts(&args, content_id, total);
	db_arg_ints(&args, size, total);
	db_arg_bytess(&args, sum, total);
	db_arg_bools(&args, is_inline, total);
	db_arg_ints(&args, offset, total);
	db_arg_ints(&args, length, total);
	db_arg_texts(&args, encoding, total);
	return db_queue(db, attachment_sql, &args, NULL, err);
}

static const char case_message_sql[] =
	"INSERT INTO case_message (message_id, case_id, tenant_id, position, is_pending, is_external, is_unverified, matched_by,"
	" evidence, created_at)"
	" SELECT u.*, $10 FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int8[], $5::bool[], $6::bool[], $7::bool[],"
	" $8::text[], $9::jsonb[]) AS u";

int case_message_put(struct db *db, struct arena *arena, const struct case_message_new *rows, size_t count,
                     int64_t now_us, struct err *err)
{
	if (!count)
		return 0;
	struct uuid *uuids = ARENA_ARRAY(arena, struct uuid, count * 3);
	struct uuid *message = uuids, *case_id = message + count, *tenant = case_id + count;
	bool *flags = ARENA_ARRAY(arena, bool, count * 3);
	bool *pending = flags, *external = pending + count, *unverified = external + count;
	int64_t *position = ARENA_ARRAY(arena, int64_t, count);
	struct str *matched_by = ARENA_ARRAY(arena, struct str, count), *evidence = ARENA_ARRAY(arena, struct str, count);
	for (size_t i = 0; i < count; i++) {
		message[i] = rows[i].message.id;
		case_id[i] = rows[i].case_id.id;
		tenant[i] = rows[i].tenant.id;
		position[i] = rows[i].position;
		pending[i] = rows[i].is_pending;
		external[i] = rows[i].is_external;
		unverified[i] = rows[i].is_unverified;
		matched_by[i] = rows[i].matched_by.at ? rows[i].matched_by : STR("");
		evidence[i] = rows[i].evidence.at ? rows[i].evidence : STR("{}");
	}
	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuids(&args, message, count);
	db_arg_uuids(&args, case_id, count);
	db_arg_uuids(&args, tenant, count);
	db_arg_ints(&args, position, count);
	db_arg_bools(&args, pending, count);
	db_arg_bools(&args, external, count);
	db_arg_bools(&args, unverified, count);
	db_arg_texts(&args, matched_by, count);
	db_arg_jsons(&args, evidence, count);
	db_arg_time(&args, now_us);
	return db_queue(db, case_message_sql, &args, NULL, err);
}

static const char ref_sql[] =
	"INSERT INTO message_ref (id, tenant_id, case_id, message_id, created_at)"
	" SELECT DISTINCT ON (u.id) u.id, u.tenant, u.case_id, u.message, $5"
	" FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[]) AS u(id, tenant, case_id, message)"
	" ORDER BY u.id, u.message NULLS LAST"
	" ON CONFLICT (id) DO UPDATE SET message_id = EXCLUDED.message_id"
	" WHERE message_ref.message_id IS NULL AND EXCLUDED.message_id IS NOT NULL";

int message_ref_put(struct db *db, struct arena *arena, const struct message_ref_new *rows, size_t count,
                    int64_t now_us, struct err *err)
{
	if (!count)
		return 0;
	struct uuid *uuids = ARENA_ARRAY(arena, struct uuid, count * 4);
	struct uuid *id = uuids, *tenant = id + count, *case_id = tenant + count, *message = case_id + count;
	for (size_t i = 0; i < count; i++) {
		id[i] = rows[i].id;
		tenant[i] = rows[i].tenant.id;
		case_id[i] = rows[i].case_id.id;
		message[i] = rows[i].message.id;
	}
	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuids(&args, id, count);
	db_arg_uuids(&args, tenant, count);
	db_arg_uuids(&args, case_id, count);
	db_arg_uuids_or_null(&args, message, count);
	db_arg_time(&args, now_us);
	return db_queue(db, ref_sql, &args, NULL, err);
}

static struct str lines_of(struct arena *arena, struct mail_strs list)
{
	if (!list.len)
		return STR("");
	size_t count = list.len < LIST_MOST ? list.len : LIST_MOST, room = 0;
	for (size_t i = 0; i < count; i++)
		room += list.at[i].len + 1;
	char *out = arena_alloc(arena, room);
	size_t len = 0;
	for (size_t i = 0; i < count; i++) {
		struct str item = str_cut_utf8(list.at[i], ID_MOST);
		for (size_t c = 0; c < item.len; c++)
			out[len++] = item.at[c] == '\n' ? ' ' : item.at[c];
		out[len++] = '\n';
	}
	return str_span(out, len - 1);
}

static struct str defects_of(struct arena *arena, uint32_t defects)
{
	struct str names[32];
	size_t count = 0;
	for (int bit = 0; bit < 32; bit++) {
		const char *name = defects & UINT32_C(1) << bit ? mail_defect_name(UINT32_C(1) << bit) : NULL;
		if (name)
			names[count++] = str_of(name);
	}
	return lines_of(arena, (struct mail_strs){ names, count });
}
