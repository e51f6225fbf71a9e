/* SPDX-License-Identifier: Apache-2.0 */
#include "parsed_mail.h"

#include "mailcase/v1/parsed_mail.pb-c.h"
#include "pb.h"

#include "base/banned.h"

typedef Mailcase__V1__ParsedMail pb_mail;
typedef Mailcase__V1__ParsedAddress pb_address;
typedef Mailcase__V1__ParsedPart pb_part;

/* What was wrong is noted once and looked at in the end: every field is read all the same. */
struct reader {
	struct arena *arena;
	const char *bad;
};

static ProtobufCBinaryData to_pb(struct str s)
{
	return (ProtobufCBinaryData){ .len = s.len, .data = (uint8_t *)(uintptr_t)s.at };
}

static ProtobufCBinaryData sum_to_pb(const struct sha256 *sum)
{
	return (ProtobufCBinaryData){ .len = sizeof sum->b, .data = (uint8_t *)(uintptr_t)sum->b };
}

static pb_address *address_to_pb(struct arena *arena, const struct mail_address *address)
{
	pb_address *pb = ARENA_NEW(arena, pb_address);

	mailcase__v1__parsed_address__init(pb);
	pb->name = to_pb(address->name);
	pb->address = to_pb(address->address);
	return pb;
}

static size_t addresses_to_pb(struct arena *arena, const struct mail_addresses *list, pb_address ***out)
{
	*out = ARENA_ARRAY(arena, pb_address *, list->len);
	for (size_t i = 0; i < list->len; i++)
		(*out)[i] = address_to_pb(arena, &list->at[i]);
	return list->len;
}

static size_t strs_to_pb(struct arena *arena, const struct mail_strs *list, ProtobufCBinaryData **out)
{
	*out = ARENA_ARRAY(arena, ProtobufCBinaryData, list->len);
	for (size_t i = 0; i < list->len; i++)
		(*out)[i] = to_pb(list->at[i]);
	return list->len;
}

static size_t parts_to_pb(struct arena *arena, const struct mail *mail, pb_part ***out)
{
	*out = ARENA_ARRAY(arena, pb_part *, mail->parts_len);
	for (size_t i = 0; i < mail->parts_len; i++) {
		const struct mail_part *part = &mail->parts[i];
		pb_part *pb = ARENA_NEW(arena, pb_part);

		mailcase__v1__parsed_part__init(pb);
		pb->name = to_pb(part->name);
		pb->type = to_pb(part->type);
		pb->content_id = to_pb(part->content_id);
		pb->size = part->size;
		pb->sum = sum_to_pb(&part->sum);
		pb->is_inline = part->is_inline;
		pb->offset = part->offset;
		pb->length = part->length;
		pb->encoding = part->encoding;
		(*out)[i] = pb;
	}
	return mail->parts_len;
}

struct str parsed_mail_encode(struct arena *arena, const struct mail *mail)
{
	pb_mail pb = MAILCASE__V1__PARSED_MAIL__INIT;

	pb.subject = to_pb(mail->subject);
	pb.n_from = addresses_to_pb(arena, &mail->from, &pb.from);
	pb.n_sender = addresses_to_pb(arena, &mail->sender, &pb.sender);
	pb.n_reply_to = addresses_to_pb(arena, &mail->reply_to, &pb.reply_to);
	pb.n_to = addresses_to_pb(arena, &mail->to, &pb.to);
	pb.n_cc = addresses_to_pb(arena, &mail->cc, &pb.cc);
	pb.best_sender = address_to_pb(arena, &mail->best_sender);
	pb.n_delivered_to = strs_to_pb(arena, &mail->delivered_to, &pb.delivered_to);
	pb.return_path = to_pb(mail->return_path);
	pb.has_empty_return_path = mail->has_empty_return_path;
	pb.has_date = mail->has_date;
	pb.date_s = mail->date_s;
	pb.date_raw = to_pb(mail->date_raw);
	pb.message_id = to_pb(mail->message_id);
	pb.n_in_reply_to = strs_to_pb(arena, &mail->in_reply_to, &pb.in_reply_to);
	pb.n_references = strs_to_pb(arena, &mail->references, &pb.references);
	pb.thread_index = to_pb(mail->thread_index);
	pb.auto_submitted = to_pb(mail->auto_submitted);
	pb.precedence = to_pb(mail->precedence);
	pb.list_id = to_pb(mail->list_id);
	pb.is_automatic = mail->is_automatic;
	pb.kind = mail->kind;
	pb.n_inner_ids = strs_to_pb(arena, &mail->inner_ids, &pb.inner_ids);
	pb.text = to_pb(mail->text);
	pb.has_html = mail->has_html;
	pb.n_parts = parts_to_pb(arena, mail, &pb.parts);
	pb.defects = mail->defects;
	pb.body_sum = sum_to_pb(&mail->body_sum);
	pb.headless_sum = sum_to_pb(&mail->headless_sum);
	return pb_pack(arena, &pb.base);
}

static struct str text_of(struct reader *r, ProtobufCBinaryData data, const char *what)
{
	struct str s = { data.len ? (const char *)data.data : "", data.len };

	if (!str_is_text(s))
		r->bad = what;
	return s;
}

static struct sha256 sum_of(struct reader *r, ProtobufCBinaryData data, const char *what)
{
	struct sha256 sum = { 0 };

	if (data.len == sizeof sum.b)
		memcpy(sum.b, data.data, sizeof sum.b);
	else
		r->bad = what;
	return sum;
}

static struct mail_address address_of(struct reader *r, const pb_address *pb)
{
	if (!pb)
		return (struct mail_address){ STR(""), STR("") };
	return (struct mail_address){ text_of(r, pb->name, "name"), text_of(r, pb->address, "address") };
}

static struct mail_addresses addresses_of(struct reader *r, size_t count, pb_address **list)
{
	struct mail_addresses out = { .at = ARENA_ARRAY(r->arena, struct mail_address, count), .len = count };

	for (size_t i = 0; i < count; i++)
		out.at[i] = address_of(r, list[i]);
	return out;
}

static struct mail_strs strs_of(struct reader *r, size_t count, const ProtobufCBinaryData *list, const char *what)
{
	struct mail_strs out = { .at = ARENA_ARRAY(r->arena, struct str, count), .len = count };

	for (size_t i = 0; i < count; i++)
		out.at[i] = text_of(r, list[i], what);
	return out;
}

static struct mail_part part_of(struct reader *r, const pb_part *pb, size_t raw_len)
{
	struct mail_part part = { .name = text_of(r, pb->name, "part name"),
		                      .type = text_of(r, pb->type, "part type"),
		                      .content_id = text_of(r, pb->content_id, "content id"),
		                      .size = pb->size,
		                      .sum = sum_of(r, pb->sum, "part sum"),
		                      .is_inline = pb->is_inline,
		                      .offset = pb->offset,
		                      .length = pb->length };

	if (pb->encoding > MAIL_ENC_UUENCODE)
		r->bad = "part encoding";
	else
		part.encoding = (enum mail_encoding)pb->encoding;
	if (pb->offset > raw_len || pb->length > raw_len - pb->offset)
		r->bad = "part outside the mail";
	return part;
}

int parsed_mail_decode(struct arena *arena, struct str bytes, size_t raw_len, struct mail *out, struct err *err)
{
	ProtobufCAllocator allocator = pb_allocator(arena);
	const pb_mail *pb = mailcase__v1__parsed_mail__unpack(&allocator, bytes.len, (const uint8_t *)bytes.at);
	struct reader r = { .arena = arena };

	if (!pb)
		return err_set(err, ERR_PERM, "cannot read the parser's answer: no ParsedMail");
	struct mail mail = {
		.subject = text_of(&r, pb->subject, "subject"),
		.from = addresses_of(&r, pb->n_from, pb->from),
		.sender = addresses_of(&r, pb->n_sender, pb->sender),
		.reply_to = addresses_of(&r, pb->n_reply_to, pb->reply_to),
		.to = addresses_of(&r, pb->n_to, pb->to),
		.cc = addresses_of(&r, pb->n_cc, pb->cc),
		.best_sender = address_of(&r, pb->best_sender),
		.delivered_to = strs_of(&r, pb->n_delivered_to, pb->delivered_to, "delivered_to"),
		.return_path = text_of(&r, pb->return_path, "return_path"),
		.has_empty_return_path = pb->has_empty_return_path,
		.has_date = pb->has_date,
		.date_s = pb->date_s,
		.date_raw = text_of(&r, pb->date_raw, "date"),
		.message_id = text_of(&r, pb->message_id, "message_id"),
		.in_reply_to = strs_of(&r, pb->n_in_reply_to, pb->in_reply_to, "in_reply_to"),
		.references = strs_of(&r, pb->n_references, pb->references, "references"),
		.thread_index = text_of(&r, pb->thread_index, "thread_index"),
		.auto_submitted = text_of(&r, pb->auto_submitted, "auto_submitted"),
		.precedence = text_of(&r, pb->precedence, "precedence"),
		.list_id = text_of(&r, pb->list_id, "list_id"),
		.is_automatic = pb->is_automatic,
		.inner_ids = strs_of(&r, pb->n_inner_ids, pb->inner_ids, "inner_ids"),
		.text = text_of(&r, pb->text, "text"),
		.has_html = pb->has_html,
		.defects = pb->defects,
		.body_sum = sum_of(&r, pb->body_sum, "body_sum"),
		.headless_sum = sum_of(&r, pb->headless_sum, "headless_sum"),
	};
	mail.parts_len = pb->n_parts;
	mail.parts = ARENA_ARRAY(arena, struct mail_part, pb->n_parts);
	for (size_t i = 0; i < pb->n_parts; i++)
		mail.parts[i] = part_of(&r, pb->parts[i], raw_len);
	if (pb->kind > MAIL_COMPLAINT)
		r.bad = "kind";
	else
		mail.kind = (enum mail_kind)pb->kind;
	if (r.bad)
		return err_set(err, ERR_PERM, "cannot read the parser's answer: bad %s", r.bad);
	*out = mail;
	return 0;
}
