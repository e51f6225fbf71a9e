/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/address.h"

#include "base/buf.h"
#include "base/vec.h"
#include "mail/charset.h"
#include "mail/encoded_word.h"
#include "mail/raw_header.h"

#include "base/banned.h"

struct reader {
	struct arena *arena;
	struct str in;
	size_t at;
	size_t most;
	uint32_t *defects;
	VEC(struct mail_address) list;
	/* The entry in hand. */
	struct buf phrase; /* words for a name: quotes resolved, encoded words verbatim */
	struct buf plain;  /* the same verbatim, for an address without brackets */
	struct str angle, comment;
	bool has_angle, has_quotes;
};

static void end_entry(struct reader *r);
static void read_quoted(struct reader *r);
static void read_angle(struct reader *r);
static struct str read_comment(struct reader *r);
static struct str tidy_address(struct reader *r, struct str raw);
static struct str word_with_at(struct str text);
static bool is_special(char c);

struct mail_addresses address_list(struct arena *arena, struct str raw_value, size_t most, uint32_t *defects)
{
	struct reader r = { .arena = arena, .in = raw_unfold(arena, raw_value), .most = most, .defects = defects };
	buf_init(&r.phrase, r.in.len + 64);
	buf_init(&r.plain, r.in.len + 64);
	while (r.at < r.in.len) {
		char c = r.in.at[r.at];
		size_t word;
		if (c == ',' || c == ';') {
			end_entry(&r);
			r.at++;
		} else if (c == '"') {
			read_quoted(&r);
		} else if (c == '<') {
			read_angle(&r);
		} else if (c == '(') {
			struct str comment = read_comment(&r);
			if (!r.comment.len)
				r.comment = comment;
		} else if (c == ':' && !r.has_angle && !memchr(buf_str(&r.plain).at, '@', r.plain.len)) {
			/* What came before was a group's name (or "mailto"). */
			buf_reset(&r.phrase);
			buf_reset(&r.plain);
			r.comment = STR_NULL;
			r.has_quotes = false;
			r.at++;
		} else if (c == '=' && (word = encoded_word_length(str_slice(r.in, r.at, r.in.len))) > 0) {
			buf_add(&r.phrase, r.in.at + r.at, word);
			buf_add(&r.plain, r.in.at + r.at, word);
			r.at += word;
		} else {
			buf_add_char(&r.phrase, c == '\t' ? ' ' : c);
			buf_add_char(&r.plain, c == '\t' ? ' ' : c);
			r.at++;
		}
	}
	end_entry(&r);
	buf_done(&r.phrase);
	buf_done(&r.plain);
	return (struct mail_addresses){ r.list.at, r.list.len };
}

static void end_entry(struct reader *r)
{
	struct str phrase = str_trim(str_dup(r->arena, buf_str(&r->phrase)));
	struct str plain = str_trim(str_dup(r->arena, buf_str(&r->plain)));
	struct mail_address entry = { 0 };
	if (r->has_angle && r->angle.len) {
		entry.address = tidy_address(r, r->angle);
		entry.name = header_text(r->arena, phrase.len ? phrase : r->comment, r->defects);
	} else if (plain.len) {
		struct str decoded = plain;
		if (!memchr(plain.at, '@', plain.len) && str_find(plain, STR("=?"), 0) >= 0)
			decoded = header_text(r->arena, plain, r->defects);
		struct str lone = word_with_at(decoded);
		if (lone.len && lone.len < decoded.len && !r->has_quotes) {
			/* "Name name@host": the word with the "@" is the address, what is around it the name. */
			entry.address = tidy_address(r, lone);
			struct str before = str_trim(str_slice(decoded, 0, (size_t)(lone.at - decoded.at)));
			entry.name = header_text(r->arena, before.len ? before : r->comment, r->defects);
		} else if (memchr(decoded.at, '@', decoded.len)) {
			entry.address = tidy_address(r, decoded);
			entry.name = header_text(r->arena, r->comment, r->defects);
		} else {
			/* No address at all: what stood there, readable. */
			entry.address = header_text(r->arena, phrase, r->defects);
			entry.name = header_text(r->arena, r->comment, r->defects);
			*r->defects |= MAIL_DEFECT_BAD_ADDRESS;
		}
	}
	if (entry.address.len) {
		if (!entry.name.at)
			entry.name = STR("");
		if (r->list.len < r->most)
			*VEC_PUSH(r->arena, &r->list) = entry;
		else
			*r->defects |= MAIL_DEFECT_TOO_BIG;
	}
	buf_reset(&r->phrase);
	buf_reset(&r->plain);
	r->angle = r->comment = STR_NULL;
	r->has_angle = r->has_quotes = false;
}

static void read_quoted(struct reader *r)
{
	size_t end = r->at + 1;
	while (end < r->in.len && r->in.at[end] != '"')
		end += r->in.at[end] == '\\' && end + 1 < r->in.len ? 2 : 1;
	if (end >= r->in.len) {
		/* Never closed: an ordinary character. */
		*r->defects |= MAIL_DEFECT_BAD_ADDRESS;
		r->at++;
		return;
	}
	for (size_t i = r->at + 1; i < end; i++) {
		if (r->in.at[i] == '\\' && i + 1 < end)
			i++;
		buf_add_char(&r->phrase, r->in.at[i]);
	}
	struct str inside = str_slice(r->in, r->at + 1, end);
	char after = end + 1 < r->in.len ? r->in.at[end + 1] : 0;
	char before = r->plain.len ? r->plain.at[r->plain.len - 1] : 0;
	if (after == '@' || after == '.' || before == '.') {
		buf_add(&r->plain, r->in.at + r->at, end + 1 - r->at);
		r->has_quotes = true;
	} else {
		/* An address in quotes is meant as one where nothing else is. */
		buf_add_str(&r->plain, inside);
		r->has_quotes = !memchr(inside.at, '@', inside.len) || r->plain.len > inside.len;
	}
	r->at = end + 1;
}

static void read_angle(struct reader *r)
{
	size_t start = r->at + 1;
	while (start < r->in.len && (r->in.at[start] == '<' || r->in.at[start] == ' '))
		start++;
	size_t end = start;
	bool quoted = false;
	for (; end < r->in.len; end++) {
		char c = r->in.at[end];
		if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '>' || c == '<' || c == ';' || (c == ',' && r->in.at[start] != '@')))
			break;
	}
	bool closed = end < r->in.len && r->in.at[end] == '>';
	if (!closed)
		*r->defects |= MAIL_DEFECT_BAD_ADDRESS;
	struct str inside = str_trim(str_slice(r->in, start, end));
	/* "<Name> <a@b>" and "a@b <>": the brackets that hold an address count. */
	if (!r->has_angle || !memchr(r->angle.at, '@', r->angle.len)) {
		if (r->has_angle)
			buf_add_str(&r->phrase, r->angle);
		r->angle = inside;
		r->has_angle = true;
	}
	r->at = closed ? end + 1 : end;
	while (closed && r->at < r->in.len && r->in.at[r->at] == '>')
		r->at++;
}

/* Nested comments; an escape hides a bracket. */
static struct str read_comment(struct reader *r)
{
	size_t depth = 0, i = r->at;
	for (; i < r->in.len; i++) {
		char c = r->in.at[i];
		if (c == '\\' && i + 1 < r->in.len)
			i++;
		else if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0)
			break;
	}
	struct str comment = str_slice(r->in, r->at + 1, i);
	r->at = i < r->in.len ? i + 1 : i;
	/* A quote that was opened in it is part of the text. */
	char *out = arena_alloc(r->arena, comment.len + 1);
	size_t len = 0;
	for (size_t k = 0; k < comment.len; k++) {
		if (comment.at[k] == '\\' && k + 1 < comment.len)
			k++;
		out[len++] = comment.at[k];
	}
	return (struct str){ out, len };
}

/* Without a route, "mailto:", comments, and blanks outside quotes. */
static struct str tidy_address(struct reader *r, struct str raw)
{
	raw = str_trim(raw);
	if (raw.len && raw.at[0] == '@') {
		ptrdiff_t colon = str_find_char(raw, ':', 0);
		if (colon >= 0)
			raw = str_slice(raw, (size_t)colon + 1, raw.len);
	}
	if (str_starts_nocase(raw, STR("mailto:")))
		raw = str_slice(raw, 7, raw.len);
	if (str_find(raw, STR("=?"), 0) >= 0)
		raw = header_text(r->arena, raw, r->defects);
	char *out = arena_alloc(r->arena, raw.len + 1);
	size_t len = 0, depth = 0;
	bool quoted = false;
	for (size_t i = 0; i < raw.len; i++) {
		char c = raw.at[i];
		if (c == '"')
			quoted = !quoted;
		if (!quoted && c == '(')
			depth++;
		if (depth == 0 && (quoted || (c != ' ' && c != '\t' && (unsigned char)c >= 32)))
			out[len++] = c;
		if (!quoted && c == ')' && depth)
			depth--;
	}
	struct str address = { out, len };
	/* Quotes around the whole of it: '"a@b"', "'a@b'". */
	while (address.len > 2 && (address.at[0] == '"' || address.at[0] == '\'') &&
	       address.at[address.len - 1] == address.at[0])
		address = str_slice(address, 1, address.len - 1);
	if (address.len && address.at[address.len - 1] == '.')
		address.len--;
	uint32_t ignored = 0;
	if (!str_is_text(address))
		address = charset_to_utf8(r->arena, STR_NULL, address, &ignored);
	if (!address_is_valid(address))
		*r->defects |= MAIL_DEFECT_BAD_ADDRESS;
	return address;
}

/* The only word with an "@" inside; empty if there are two or the "@" stands alone ("a @ b"). */
static struct str word_with_at(struct str text)
{
	struct str rest = text, word, found = STR_NULL;
	while (str_next(&rest, ' ', &word)) {
		const char *sign = word.len ? memchr(word.at, '@', word.len) : NULL;
		if (!sign)
			continue;
		if (found.len || sign == word.at || sign == word.at + word.len - 1)
			return STR_NULL;
		/* "jdoe@test . example": obsolete blanks inside a domain. */
		if (word.at[word.len - 1] == '.' || (str_trim(rest).len && str_trim(rest).at[0] == '.'))
			return STR_NULL;
		found = word;
	}
	return found;
}

bool address_split(struct str address, struct str *out_local, struct str *out_domain)
{
	bool quoted = false;
	size_t at = SIZE_MAX;
	for (size_t i = 0; i < address.len; i++) {
		if (address.at[i] == '\\' && quoted)
			i++;
		else if (address.at[i] == '"')
			quoted = !quoted;
		else if (address.at[i] == '@' && !quoted)
			at = i;
	}
	if (at == SIZE_MAX)
		return false;
	*out_local = str_slice(address, 0, at);
	*out_domain = str_slice(address, at + 1, address.len);
	return true;
}

bool address_is_valid(struct str address)
{
	struct str local, domain;
	if (!address_split(address, &local, &domain) || !local.len || !domain.len || local.len > 64 || domain.len > 255)
		return false;
	bool quoted = local.at[0] == '"';
	if (quoted && (local.len < 3 || local.at[local.len - 1] != '"'))
		return false;
	for (size_t i = 0; i < local.len; i++) {
		unsigned char c = (unsigned char)local.at[i];
		if (c < 32 || c == 127 || (!quoted && (c == ' ' || is_special((char)c))))
			return false;
	}
	if (domain.at[0] == '[')
		return domain.at[domain.len - 1] == ']' && !memchr(domain.at, ' ', domain.len);
	bool after_dot = true;
	for (size_t i = 0; i < domain.len; i++) {
		unsigned char c = (unsigned char)domain.at[i];
		bool is_dot = c == '.';
		bool is_label =
			(c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || c == '_' || c >= 0x80;
		if (is_dot ? after_dot : !is_label)
			return false;
		after_dot = is_dot;
	}
	return !after_dot;
}

static bool is_special(char c)
{
	return c && strchr("()<>[]:;@\\,\"", c) != NULL;
}

struct str address_fold(struct arena *arena, struct str address)
{
	return str_lower(arena, str_trim(address));
}

bool address_same(struct str a, struct str b)
{
	return str_eq_nocase(str_trim(a), str_trim(b));
}

struct str address_plus_token(struct str address, struct str base)
{
	struct str local, domain, base_local, base_domain;
	address = str_trim(address);
	if (!address_split(address, &local, &domain) || !address_split(str_trim(base), &base_local, &base_domain) ||
	    !str_eq_nocase(domain, base_domain) || local.len <= base_local.len + 1 || local.at[base_local.len] != '+' ||
	    !str_eq_nocase(str_slice(local, 0, base_local.len), base_local))
		return STR_NULL;
	return str_slice(local, base_local.len + 1, local.len);
}
