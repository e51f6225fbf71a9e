/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/encoded_word.h"

#include "base/buf.h"
#include "mail/charset.h"
#include "mail/raw_header.h"
#include "mail/transfer.h"

#include "base/banned.h"

struct word {
	struct str charset, payload;
	char encoding; /* 'b' or 'q' */
	size_t length;
};

struct decoder {
	struct arena *arena;
	uint32_t *defects;
	struct buf out;
	/* Words waiting to be converted together. */
	struct buf pending;
	struct str charset;
	char encoding;
};

static bool read_word(struct str s, struct word *out);
static void add_word(struct decoder *d, const struct word *word);
static void flush_words(struct decoder *d);
static void add_plain(struct decoder *d, struct str plain);
static struct str one_line(struct arena *arena, struct str text);

struct str header_text(struct arena *arena, struct str raw_value, uint32_t *defects)
{
	struct str value = raw_unfold(arena, raw_value);
	bool is_plain = true;
	for (size_t i = 0; i < value.len && is_plain; i++)
		is_plain = value.at[i] >= 32 && value.at[i] < 127 &&
		           !(value.at[i] == '=' && i + 1 < value.len && value.at[i + 1] == '?');
	if (is_plain)
		return value;

	struct decoder d = { .arena = arena, .defects = defects };
	buf_init(&d.out, value.len * 4 + 64);
	buf_init(&d.pending, value.len + 64);
	size_t plain = 0, at = 0;
	while (at < value.len) {
		struct word word;
		if (value.at[at] != '=' || !read_word(str_slice(value, at, value.len), &word)) {
			at++;
			continue;
		}
		struct str between = str_slice(value, plain, at);
		/* Blanks between two words only separate them. */
		if (str_trim(between).len > 0 || d.charset.at == NULL) {
			flush_words(&d);
			add_plain(&d, between);
		}
		add_word(&d, &word);
		at += word.length;
		plain = at;
	}
	flush_words(&d);
	add_plain(&d, str_slice(value, plain, value.len));
	struct str text = one_line(arena, buf_str(&d.out));
	buf_done(&d.out);
	buf_done(&d.pending);
	return text;
}

size_t encoded_word_length(struct str s)
{
	struct word word;
	return read_word(s, &word) ? word.length : 0;
}

/* =?charset[*language]?b|q?payload?= */
static bool read_word(struct str s, struct word *out)
{
	if (s.len < 8 || s.at[0] != '=' || s.at[1] != '?')
		return false;
	ptrdiff_t charset_end = str_find_char(str_slice(s, 0, 80), '?', 2);
	if (charset_end < 3 || (size_t)charset_end + 2 >= s.len || s.at[charset_end + 2] != '?')
		return false;
	char encoding = (char)(s.at[charset_end + 1] | 0x20);
	if (encoding != 'b' && encoding != 'q')
		return false;
	size_t start = (size_t)charset_end + 3;
	/* Longer words than the standard's 75 are common; past this it is something else. */
	ptrdiff_t end = str_find(str_slice(s, 0, start + 8192), STR("?="), start);
	if (end < 0)
		return false;
	out->charset = str_slice(s, 2, (size_t)charset_end);
	ptrdiff_t star = str_find_char(out->charset, '*', 0);
	if (star >= 0)
		out->charset.len = (size_t)star;
	if (memchr(out->charset.at, ' ', out->charset.len) || memchr(out->charset.at, '=', out->charset.len))
		return false;
	out->encoding = encoding;
	out->payload = str_slice(s, start, (size_t)end);
	out->length = (size_t)end + 2;
	return true;
}

static void add_word(struct decoder *d, const struct word *word)
{
	if (d->charset.at && (d->encoding != word->encoding || !str_eq_nocase(d->charset, word->charset)))
		flush_words(d);
	d->charset = word->charset;
	d->encoding = word->encoding;
	buf_add_str(&d->pending, word->payload);
}

static void flush_words(struct decoder *d)
{
	if (!d->charset.at)
		return;
	uint32_t ignored = 0;
	struct str payload = str_dup(d->arena, buf_str(&d->pending));
	struct str bytes =
		d->encoding == 'b' ? base64_decode(d->arena, payload, &ignored) : qp_decode(d->arena, payload, true, &ignored);
	struct str text = charset_to_utf8(d->arena, d->charset, bytes, d->defects);
	buf_add_str(&d->out, text);
	buf_reset(&d->pending);
	d->charset = STR_NULL;
}

static void add_plain(struct decoder *d, struct str plain)
{
	for (size_t i = 0; i < plain.len; i++) {
		if ((unsigned char)plain.at[i] >= 0x80) {
			*d->defects |= MAIL_DEFECT_RAW_8BIT_HEADER;
			plain = charset_to_utf8(d->arena, STR_NULL, plain, d->defects);
			break;
		}
		/* ISO-2022-JP without an encoded word. */
		if (plain.at[i] == 27 && i + 1 < plain.len && (plain.at[i + 1] == '$' || plain.at[i + 1] == '(')) {
			*d->defects |= MAIL_DEFECT_RAW_8BIT_HEADER;
			plain = charset_to_utf8(d->arena, STR("iso-2022-jp"), plain, d->defects);
			break;
		}
	}
	buf_add_str(&d->out, plain);
}

/* In an arena copy: control characters become blanks. */
static struct str one_line(struct arena *arena, struct str text)
{
	char *copy = arena_copy(arena, text.at, text.len);
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)copy[i] < 32 || copy[i] == 127)
			copy[i] = ' ';
	return str_trim((struct str){ copy, text.len });
}
