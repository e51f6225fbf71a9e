/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/match_keys.h"

#include "base/vec.h"
#include "mail/address.h"
#include "mail/msgid.h"
#include "mail/subject.h"

#include "base/banned.h"

enum {
	IDS_MOST = 100,   /* of one mail; nearest first, and the root of the conversation */
	TOKENS_MOST = 20, /* checked in one mail: each costs a MAC */
	NUMBERS_MOST = 20,
	RECIPIENTS_MOST = 200,
	SUBJECT_BASE_MOST = 1000,
	THREAD_INDEX_LEN = 29, /* whole base64 digits within the first 22 bytes */
};

struct gathering {
	struct arena *arena;
	const struct match_tenant *tenant;
	const struct match_mailbox *mailbox;
	struct match_keys *out;
	VEC(struct match_id) ids;
	VEC(struct match_token) tokens;
	VEC(int64_t) numbers;
	VEC(struct str) recipients;
};

static struct uuid identity_of(struct arena *arena, struct tenant_id tenant, const struct mail *mail,
                               struct str header_id);
static void gather_ids(struct gathering *g, const struct mail *mail);
static void add_id(struct gathering *g, struct str id, enum match_place place);
static struct uuid thread_key_of(struct gathering *g, struct str thread_index);
static void gather_tokens(struct gathering *g, const struct mail *mail);
static void tokens_in_address(struct gathering *g, struct str address, enum match_place place);
static void tokens_in_text(struct gathering *g, struct str text, enum match_place place);
static void add_token(struct gathering *g, struct str text, enum match_place place, struct str domain, struct str base);
static bool is_about_another_mail(enum mail_kind kind);

void match_keys_of(struct arena *arena, const struct match_tenant *tenant, const struct match_mailbox *mailbox,
                   const struct mail *mail, struct match_keys *out)
{
	*out = (struct match_keys){ 0 };
	struct gathering g = { .arena = arena, .tenant = tenant, .mailbox = mailbox, .out = out };

	/* Only From says who wrote: what Reply-To or Sender hold changes nothing. */
	if (mail->from.len && address_is_valid(mail->from.at[0].address))
		out->from = address_fold(arena, mail->from.at[0].address);
	struct str sender = mail->from.len ? mail->from.at[0].address : mail->best_sender.address;
	out->sender = str_cut_utf8(address_fold(arena, sender), MATCH_SENDER_MOST);
	out->header_id = msgid_normal(arena, mail->message_id);
	if (out->header_id.len)
		out->own_key = message_ref_key(tenant->id, mailbox->group, out->header_id);
	out->identity = identity_of(arena, tenant->id, mail, out->header_id);

	gather_ids(&g, mail);
	out->thread_key = thread_key_of(&g, mail->thread_index);
	gather_tokens(&g, mail);

	for (size_t i = 0; i < tenant->formats.len; i++) {
		struct subject_numbers found;
		subject_numbers(arena, mail->subject, tenant->formats.at[i], &found);
		for (size_t n = 0; n < found.len && g.numbers.len < NUMBERS_MOST; n++)
			*VEC_PUSH(arena, &g.numbers) = found.at[n];
	}
	out->subject_base = str_cut_utf8(subject_base(arena, mail->subject, &tenant->formats), SUBJECT_BASE_MOST);
	out->is_reply = subject_is_reply(mail->subject);

	for (size_t i = 0; i < mail->to.len && g.recipients.len < RECIPIENTS_MOST; i++)
		*VEC_PUSH(arena, &g.recipients) = address_fold(arena, mail->to.at[i].address);
	out->to_len = g.recipients.len;
	for (size_t i = 0; i < mail->cc.len && g.recipients.len < RECIPIENTS_MOST; i++)
		*VEC_PUSH(arena, &g.recipients) = address_fold(arena, mail->cc.at[i].address);

	out->ids = g.ids.at;
	out->ids_len = g.ids.len;
	out->tokens = g.tokens.at;
	out->tokens_len = g.tokens.len;
	out->numbers = g.numbers.at;
	out->numbers_len = g.numbers.len;
	out->recipients = (struct mail_strs){ g.recipients.at, g.recipients.len };
}

struct uuid message_ref_key(struct tenant_id tenant, struct group_id group, struct str normalised)
{
	const struct str pieces[] = {
		str_span((const char *)tenant.id.b, sizeof tenant.id.b),
		str_span((const char *)group.id.b, sizeof group.id.b),
		normalised,
	};
	return sha256_uuid(sha256_of_pieces(pieces, ARRAY_LEN(pieces)));
}

struct uuid *match_ref_keys(struct arena *arena, const struct match_keys *keys, size_t *out_count)
{
	struct uuid *all = ARENA_ARRAY(arena, struct uuid, keys->ids_len + 2);
	size_t count = 0;
	if (!uuid_is_null(keys->own_key))
		all[count++] = keys->own_key;
	for (size_t i = 0; i < keys->ids_len; i++)
		all[count++] = keys->ids[i].key;
	if (!uuid_is_null(keys->thread_key))
		all[count++] = keys->thread_key;
	*out_count = count;
	return all;
}

/* Same Message-ID, sender, date and body: the same message, by whatever way it came. Without a Message-ID all of the
 * mail but its trace is compared. */
static struct uuid identity_of(struct arena *arena, struct tenant_id tenant, const struct mail *mail,
                               struct str header_id)
{
	struct str tenant_bytes = str_span((const char *)tenant.id.b, sizeof tenant.id.b);
	if (!header_id.len) {
		const struct str pieces[] = { tenant_bytes, STR("\nwhole\n"),
			                          str_span((const char *)mail->headless_sum.b, sizeof mail->headless_sum.b) };
		return sha256_uuid(sha256_of_pieces(pieces, ARRAY_LEN(pieces)));
	}
	struct str from = mail->from.len ? address_fold(arena, mail->from.at[0].address) : STR("");
	struct str date = mail->has_date ? str_printf(arena, "%lld", (long long)mail->date_s) : mail->date_raw;
	const struct str pieces[] = {
		tenant_bytes, STR("\nid\n"), header_id,
		STR("\n"),    from,          STR("\n"),
		date,         STR("\n"),     str_span((const char *)mail->body_sum.b, sizeof mail->body_sum.b)
	};
	return sha256_uuid(sha256_of_pieces(pieces, ARRAY_LEN(pieces)));
}

/* In-Reply-To names the parent, References end with it: what stands last is nearest. Of an endless list the nearest
 * are kept, and the root, which most mails of a conversation share. */
static void gather_ids(struct gathering *g, const struct mail *mail)
{
	for (size_t i = 0; i < mail->in_reply_to.len; i++)
		add_id(g, mail->in_reply_to.at[i], PLACE_IN_REPLY_TO);
	for (size_t i = mail->references.len; i-- > 1 && g->ids.len < IDS_MOST - 1;)
		add_id(g, mail->references.at[i], PLACE_REFERENCES);
	if (mail->references.len)
		add_id(g, mail->references.at[0], PLACE_REFERENCES);
	if (is_about_another_mail(mail->kind))
		for (size_t i = 0; i < mail->inner_ids.len; i++)
			add_id(g, mail->inner_ids.at[i], PLACE_INNER);
}

static void add_id(struct gathering *g, struct str id, enum match_place place)
{
	struct str text = msgid_normal(g->arena, id);
	if (!text.len || g->ids.len >= IDS_MOST || str_eq(text, g->out->header_id))
		return;
	for (size_t i = 0; i < g->ids.len; i++)
		if (str_eq(g->ids.at[i].text, text))
			return;
	*VEC_PUSH(g->arena, &g->ids) = (struct match_id){ .key = message_ref_key(g->tenant->id, g->mailbox->group, text),
		                                              .text = text,
		                                              .place = place };
}

/* Outlook's Thread-Index: 22 bytes are the conversation, five more for each reply. The digits that lie wholly within
 * them are compared, undecoded. "thread-index:" cannot begin a Message-ID of ours or a real one with an "@". */
static struct uuid thread_key_of(struct gathering *g, struct str thread_index)
{
	char digits[THREAD_INDEX_LEN];
	size_t len = 0;
	for (size_t i = 0; i < thread_index.len && len < THREAD_INDEX_LEN; i++) {
		char c = thread_index.at[i];
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
			continue;
		bool is_digit =
			(c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
		if (!is_digit)
			return (struct uuid){ { 0 } };
		digits[len++] = c;
	}
	if (len < THREAD_INDEX_LEN)
		return (struct uuid){ { 0 } };
	struct str text = str_printf(g->arena, "thread-index:%.*s", (int)len, digits);
	return message_ref_key(g->tenant->id, g->mailbox->group, text);
}

/* A token comes back where we put it (the address, the ids, the subject, the text). Addresses first: nobody types
 * those; the text last: it may be quoted from anywhere. */
static void gather_tokens(struct gathering *g, const struct mail *mail)
{
	for (size_t i = 0; i < mail->to.len; i++)
		tokens_in_address(g, mail->to.at[i].address, PLACE_TO);
	for (size_t i = 0; i < mail->cc.len; i++)
		tokens_in_address(g, mail->cc.at[i].address, PLACE_CC);
	for (size_t i = 0; i < mail->delivered_to.len; i++)
		tokens_in_address(g, mail->delivered_to.at[i], PLACE_DELIVERED_TO);
	for (size_t i = 0; i < g->ids.len; i++) {
		struct str local, domain;
		if (address_split(g->ids.at[i].text, &local, &domain) && token_looks_like(local))
			add_token(g, local, g->ids.at[i].place, domain, STR(""));
	}
	tokens_in_text(g, mail->subject, PLACE_SUBJECT);
	tokens_in_text(g, str_slice(mail->text, 0, MATCH_TEXT_MOST), PLACE_BODY);
}

static void tokens_in_address(struct gathering *g, struct str address, enum match_place place)
{
	struct str local, domain;
	if (!address_split(address, &local, &domain))
		return;
	ptrdiff_t plus = str_find_char(local, '+', 0);
	if (plus < 0)
		return;
	size_t from = (size_t)plus + 1;
	struct str token;
	while (token_next(local, &from, &token)) {
		struct str base =
			str_printf(g->arena, "%.*s@%.*s", STR_ARG(str_slice(local, 0, (size_t)plus)), STR_ARG(domain));
		add_token(g, token, place, domain, address_fold(g->arena, base));
	}
}

static void tokens_in_text(struct gathering *g, struct str text, enum match_place place)
{
	size_t from = 0;
	struct str token;
	while (token_next(text, &from, &token) && g->tokens.len < TOKENS_MOST)
		add_token(g, token, place, STR(""), STR(""));
}

static void add_token(struct gathering *g, struct str text, enum match_place place, struct str domain, struct str base)
{
	if (g->tokens.len >= TOKENS_MOST)
		return;
	for (size_t i = 0; i < g->tokens.len; i++)
		if (str_eq_nocase(g->tokens.at[i].text, text))
			return;
	struct match_token *token = VEC_PUSH(g->arena, &g->tokens);
	*token = (struct match_token){ .text = text, .place = place, .domain = domain, .base = base };
	token->is_verified = token_verify(&g->tenant->keys, text, &token->serial);
}

/* A person who forwards a mail writes about it, not in its conversation: only machines are understood by what they
 * return. */
static bool is_about_another_mail(enum mail_kind kind)
{
	return kind == MAIL_AUTO_REPLY || kind == MAIL_DELIVERY_REPORT || kind == MAIL_BOUNCE || kind == MAIL_COMPLAINT;
}

static const char *const trust_names[] = { "standard", "strict", "internal" };
static const char *const level_names[] = { "unknown", "failed", "authenticated" };
static const char *const closed_names[] = { "reopen", "reopen_within", "new_case" };
static const char *const place_names[] = { "to",    "cc",      "delivered_to", "in_reply_to",  "references",
	                                       "inner", "subject", "body",         "thread_index", "own_id" };

const char *sender_trust_name(enum sender_trust trust)
{
	return trust_names[trust];
}

const char *sender_level_name(enum sender_level level)
{
	return level_names[level];
}

const char *match_place_name(enum match_place place)
{
	return place_names[place];
}

static bool parse_name(struct str name, const char *const *names, size_t count, int *out)
{
	for (size_t i = 0; i < count; i++) {
		if (str_eq(name, str_of(names[i]))) {
			*out = (int)i;
			return true;
		}
	}
	return false;
}

bool sender_trust_parse(struct str name, enum sender_trust *out)
{
	int found;
	if (!parse_name(name, trust_names, ARRAY_LEN(trust_names), &found))
		return false;
	*out = (enum sender_trust)found;
	return true;
}

bool closed_policy_parse(struct str name, enum closed_policy *out)
{
	int found;
	if (!parse_name(name, closed_names, ARRAY_LEN(closed_names), &found))
		return false;
	*out = (enum closed_policy)found;
	return true;
}
