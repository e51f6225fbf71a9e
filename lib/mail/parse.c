/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/parse.h"

#include "mail/address.h"
#include "mail/automatic.h"
#include "mail/charset.h"
#include "mail/date.h"
#include "mail/encoded_word.h"
#include "mail/identity.h"
#include "mail/mime_tree.h"
#include "mail/msgid.h"

#include "base/banned.h"

static void read_headers(struct arena *arena, const struct raw_headers *headers, const struct mail_limits *limits,
                         struct mail *mail);
static void read_return_path(struct arena *arena, const struct raw_headers *headers, struct mail *mail);
static void read_delivered_to(struct arena *arena, const struct raw_headers *headers, const struct mail_limits *limits,
                              struct mail *mail);
static struct mail_address best_sender(const struct mail *mail);

void mail_parse_init(void)
{
	mime_tree_init();
}

void mail_parse(struct arena *arena, struct str raw, const struct mail_limits *limits, struct mail *out)
{
	struct mail mail = { 0 };
	struct raw_headers headers;
	raw_headers_read(arena, raw, limits, &headers);
	mail.defects = headers.defects;
	read_headers(arena, &headers, limits, &mail);
	struct mail_report report = { 0 };
	mime_tree_read(arena, raw, &headers, limits, &mail, &report);
	automatic_judge(arena, &headers, &report, &mail);
	mail.body_sum = identity_body_sum(arena, str_slice(raw, headers.body, raw.len));
	if (!mail.message_id.len)
		mail.headless_sum = identity_headless_sum(arena, raw, &headers);
	*out = mail;
}

static struct str text_of(struct arena *arena, const struct raw_headers *headers, const char *name, uint32_t *defects)
{
	struct str text = header_text(arena, raw_headers_get(headers, name), defects);
	return text.at ? str_scrub(arena, text) : STR("");
}

static void read_headers(struct arena *arena, const struct raw_headers *headers, const struct mail_limits *limits,
                         struct mail *mail)
{
	uint32_t ignored = 0;
	static const char *const single[] = { "From", "Subject", "Date", "Message-ID", "Content-Type" };
	for (size_t i = 0; i < ARRAY_LEN(single); i++)
		if (raw_headers_count(headers, single[i]) > 1)
			mail->defects |= MAIL_DEFECT_DOUBLED_HEADER;

	mail->subject = text_of(arena, headers, "Subject", &mail->defects);
	mail->from = address_list(arena, raw_headers_get(headers, "From"), limits->addresses, &mail->defects);
	mail->sender = address_list(arena, raw_headers_get(headers, "Sender"), limits->addresses, &ignored);
	mail->reply_to = address_list(arena, raw_headers_get(headers, "Reply-To"), limits->addresses, &mail->defects);
	mail->to = address_list(arena, raw_headers_get(headers, "To"), limits->addresses, &mail->defects);
	mail->cc = address_list(arena, raw_headers_get(headers, "Cc"), limits->addresses, &mail->defects);
	if (!mail->from.len)
		mail->defects |= MAIL_DEFECT_NO_FROM;
	read_return_path(arena, headers, mail);
	read_delivered_to(arena, headers, limits, mail);
	mail->best_sender = best_sender(mail);

	mail->date_raw = text_of(arena, headers, "Date", &ignored);
	mail->has_date = date_parse(mail->date_raw, &mail->date_s);
	if (!mail->date_raw.len)
		mail->defects |= MAIL_DEFECT_NO_DATE;
	else if (!mail->has_date)
		mail->defects |= MAIL_DEFECT_BAD_DATE;

	struct mail_strs own = msgid_list(arena, raw_headers_get(headers, "Message-ID"), 1, &ignored);
	mail->message_id = own.len ? own.at[0] : STR("");
	if (!own.len)
		mail->defects |= MAIL_DEFECT_NO_MESSAGE_ID;
	mail->in_reply_to = msgid_list(arena, raw_headers_get(headers, "In-Reply-To"), limits->references, &mail->defects);
	mail->references = msgid_list(arena, raw_headers_get(headers, "References"), limits->references, &mail->defects);
	mail->thread_index = text_of(arena, headers, "Thread-Index", &ignored);
	mail->auto_submitted = text_of(arena, headers, "Auto-Submitted", &ignored);
	mail->precedence = text_of(arena, headers, "Precedence", &ignored);
	mail->list_id = text_of(arena, headers, "List-Id", &ignored);
}

static void read_return_path(struct arena *arena, const struct raw_headers *headers, struct mail *mail)
{
	uint32_t ignored = 0;
	mail->return_path = STR("");
	struct str raw = raw_headers_get(headers, "Return-Path");
	if (!raw.at)
		return;
	struct mail_addresses list = address_list(arena, raw, 1, &ignored);
	if (list.len)
		mail->return_path = list.at[0].address;
	/* "<>", and what some write for it. */
	mail->has_empty_return_path = str_starts(raw, STR("<>")) || raw.len == 0;
}

static void read_delivered_to(struct arena *arena, const struct raw_headers *headers, const struct mail_limits *limits,
                              struct mail *mail)
{
	static const char *const fields[] = { "Delivered-To", "X-Original-To", "Envelope-To" };
	struct str *at = NULL;
	size_t len = 0;
	for (size_t pass = 0; pass < 2; pass++) {
		/* First counted, then filled. */
		size_t count = 0;
		for (size_t i = 0; i < headers->len && count < limits->addresses; i++)
			for (size_t k = 0; k < ARRAY_LEN(fields); k++) {
				uint32_t ignored = 0;
				if (!str_eq_nocase(headers->at[i].name, str_of(fields[k])))
					continue;
				if (pass) {
					struct mail_addresses one = address_list(arena, headers->at[i].value, 1, &ignored);
					if (one.len)
						at[len++] = one.at[0].address;
				}
				count++;
			}
		if (!pass && count)
			at = ARENA_ARRAY(arena, struct str, count);
		if (!count)
			break;
	}
	mail->delivered_to = (struct mail_strs){ at, len };
}

static struct mail_address best_sender(const struct mail *mail)
{
	const struct mail_addresses *const lists[] = { &mail->from, &mail->reply_to, &mail->sender };
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (size_t k = 0; k < lists[i]->len; k++)
			if (address_is_valid(lists[i]->at[k].address))
				return lists[i]->at[k];
	if (address_is_valid(mail->return_path))
		return (struct mail_address){ STR(""), mail->return_path };
	return mail->from.len ? mail->from.at[0] : (struct mail_address){ STR(""), STR("") };
}
