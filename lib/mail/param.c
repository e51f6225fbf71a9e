/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/param.h"

#include "base/buf.h"
#include "base/vec.h"
#include "mail/charset.h"
#include "mail/encoded_word.h"
#include "mail/raw_header.h"

#include "base/banned.h"

enum { PARAMS_MOST = 200, PIECES_MOST = 100 };

struct piece {
	struct str value;
	bool is_percent;
	int64_t number;
};

static size_t skip_blanks(struct str s, size_t at);
static struct str read_value(struct arena *arena, struct str s, size_t *at);
static struct str percent_decode(struct arena *arena, struct str s);
static struct str join_pieces(struct arena *arena, struct piece *pieces, size_t len, uint32_t *defects);

struct str param_head(struct arena *arena, struct str raw_value)
{
	struct str value = raw_unfold(arena, raw_value);
	size_t end = 0;
	while (end < value.len && value.at[end] != ';' && value.at[end] != ',')
		end++;
	struct str head = str_trim(str_slice(value, 0, end));
	/* "text/html charset=utf-8" and "text/plain (comment)" are met. */
	for (size_t i = 0; i < head.len; i++)
		if (head.at[i] == ' ' || head.at[i] == '\t' || head.at[i] == '(') {
			head.len = i;
			break;
		}
	if (head.len >= 2 && head.at[0] == '"' && head.at[head.len - 1] == '"')
		head = str_slice(head, 1, head.len - 1);
	return str_lower(arena, head);
}

struct str param_get(struct arena *arena, struct str raw_value, const char *name, uint32_t *defects)
{
	struct str value = raw_unfold(arena, raw_value);
	struct str wanted = str_of(name);
	VEC(struct piece) pieces = { 0 };
	struct str plain = STR_NULL;
	size_t at = 0;
	while (at < value.len && value.at[at] != ';' && value.at[at] != ' ')
		at++;
	for (int count = 0; at < value.len && count < PARAMS_MOST; count++) {
		while (at < value.len &&
		       (value.at[at] == ';' || value.at[at] == ' ' || value.at[at] == '\t' || value.at[at] == ','))
			at++;
		size_t start = at;
		while (at < value.len && !strchr("=;\" \t", value.at[at]))
			at++;
		struct str key = str_slice(value, start, at);
		at = skip_blanks(value, at);
		if (at >= value.len || value.at[at] != '=') {
			/* No "name=": on behind the next ";". */
			if (at == start)
				at++;
			continue;
		}
		at = skip_blanks(value, at + 1);
		struct str got = read_value(arena, value, &at);
		if (!str_starts_nocase(key, wanted))
			continue;
		if (key.len == wanted.len) {
			if (!plain.at)
				plain = got;
			continue;
		}
		/* name*, name*0, name*0* */
		struct str star = str_slice(key, wanted.len, key.len);
		if (star.at[0] != '*' || pieces.len == PIECES_MOST)
			continue;
		struct piece piece = { .value = got, .is_percent = star.at[star.len - 1] == '*' };
		struct str digits = str_slice(star, 1, star.len - (piece.is_percent && star.len > 1 ? 1 : 0));
		if (digits.len && !str_to_i64(digits, 0, PIECES_MOST, &piece.number))
			continue;
		*VEC_PUSH(arena, &pieces) = piece;
	}
	if (pieces.len)
		return join_pieces(arena, pieces.at, pieces.len, defects);
	if (!plain.at)
		return STR_NULL;
	struct str text = header_text(arena, plain, defects);
	/* Some write RFC 2231's charset'language'text without its star, others percent alone: left as they are. */
	return text.at ? text : STR("");
}

static size_t skip_blanks(struct str s, size_t at)
{
	while (at < s.len && (s.at[at] == ' ' || s.at[at] == '\t'))
		at++;
	return at;
}

static struct str read_value(struct arena *arena, struct str s, size_t *at)
{
	if (*at < s.len && s.at[*at] == '"') {
		char *out = arena_alloc(arena, s.len - *at + 1);
		size_t len = 0, i = *at + 1;
		for (; i < s.len && s.at[i] != '"'; i++) {
			/* A backslash escapes a quote or itself; in "C:\dir" it is meant. */
			if (s.at[i] == '\\' && i + 1 < s.len && (s.at[i + 1] == '"' || s.at[i + 1] == '\\'))
				i++;
			out[len++] = s.at[i];
		}
		*at = i < s.len ? i + 1 : i;
		return (struct str){ out, len };
	}
	size_t start = *at;
	/* Names with blanks and without quotes are common: up to the ";". */
	while (*at < s.len && s.at[*at] != ';')
		(*at)++;
	return str_trim(str_slice(s, start, *at));
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static struct str percent_decode(struct arena *arena, struct str s)
{
	char *out = arena_alloc(arena, s.len + 1);
	size_t len = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '%' && i + 2 < s.len && hex(s.at[i + 1]) >= 0 && hex(s.at[i + 2]) >= 0) {
			out[len++] = (char)(hex(s.at[i + 1]) << 4 | hex(s.at[i + 2]));
			i += 2;
		} else {
			out[len++] = s.at[i];
		}
	}
	return (struct str){ out, len };
}

static struct str join_pieces(struct arena *arena, struct piece *pieces, size_t len, uint32_t *defects)
{
	/* Few and mostly in order: insertion sort, stable. */
	for (size_t i = 1; i < len; i++)
		for (size_t k = i; k && pieces[k].number < pieces[k - 1].number; k--) {
			struct piece swap = pieces[k];
			pieces[k] = pieces[k - 1];
			pieces[k - 1] = swap;
		}
	struct str charset = STR_NULL;
	struct buf joined;
	buf_init(&joined, 64 << 10);
	bool is_percent = false;
	for (size_t i = 0; i < len; i++) {
		struct str value = pieces[i].value;
		if (i == 0 && pieces[i].is_percent) {
			ptrdiff_t first = str_find_char(value, '\'', 0);
			ptrdiff_t second = first < 0 ? -1 : str_find_char(value, '\'', (size_t)first + 1);
			if (second >= 0) {
				charset = str_slice(value, 0, (size_t)first);
				value = str_slice(value, (size_t)second + 1, value.len);
			}
		}
		is_percent |= pieces[i].is_percent;
		buf_add_str(&joined, pieces[i].is_percent ? percent_decode(arena, value) : value);
	}
	struct str bytes = str_dup(arena, buf_str(&joined));
	buf_done(&joined);
	/* Encoded words cut into pieces: against the standard, and done. */
	if (!is_percent)
		return header_text(arena, bytes, defects);
	return charset_to_utf8(arena, charset, bytes, defects);
}
