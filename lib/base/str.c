/* SPDX-License-Identifier: Apache-2.0 */
#include "str.h"

#include <stdarg.h>
#include <stdio.h>

#include "banned.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static char fold(char c);
static bool is_blank(char c);
static bool same_nocase(const char *a, const char *b, size_t len);
static size_t text_prefix(struct str s);

bool str_eq_nocase(struct str a, struct str b)
{
	return a.len == b.len && same_nocase(a.at, b.at, a.len);
}

int str_cmp(struct str a, struct str b)
{
	size_t shorter = a.len < b.len ? a.len : b.len;
	int order = shorter ? memcmp(a.at, b.at, shorter) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

bool str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq(str_span(s.at, prefix.len), prefix);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
	return s.len >= prefix.len && same_nocase(s.at, prefix.at, prefix.len);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.len >= suffix.len && str_eq(str_slice(s, s.len - suffix.len, s.len), suffix);
}

bool str_ends_nocase(struct str s, struct str suffix)
{
	return s.len >= suffix.len && str_eq_nocase(str_slice(s, s.len - suffix.len, s.len), suffix);
}

ptrdiff_t str_find(struct str s, struct str needle, size_t from)
{
	if (from > s.len || needle.len > s.len - from)
		return -1;
	if (needle.len == 0)
		return (ptrdiff_t)from;
	const char *found = memmem(s.at + from, s.len - from, needle.at, needle.len);
	return found ? found - s.at : -1;
}

ptrdiff_t str_find_nocase(struct str s, struct str needle, size_t from)
{
	if (from > s.len || needle.len > s.len - from)
		return -1;
	for (size_t i = from; i <= s.len - needle.len; i++)
		if (same_nocase(s.at + i, needle.at, needle.len))
			return (ptrdiff_t)i;
	return -1;
}

ptrdiff_t str_find_char(struct str s, char c, size_t from)
{
	if (from >= s.len)
		return -1;
	const char *found = memchr(s.at + from, c, s.len - from);
	return found ? found - s.at : -1;
}

struct str str_slice(struct str s, size_t from, size_t to)
{
	if (to > s.len)
		to = s.len;
	if (from > to)
		from = to;
	return str_span(from ? s.at + from : s.at, to - from);
}

struct str str_trim(struct str s)
{
	size_t from = 0, to = s.len;

	while (from < to && is_blank(s.at[from]))
		from++;
	while (to > from && is_blank(s.at[to - 1]))
		to--;
	return str_slice(s, from, to);
}

bool str_next(struct str *s, char c, struct str *out_piece)
{
	if (s->len == 0)
		return false;
	ptrdiff_t end = str_find_char(*s, c, 0);
	if (end < 0) {
		*out_piece = *s;
		*s = str_slice(*s, s->len, s->len);
	} else {
		*out_piece = str_slice(*s, 0, (size_t)end);
		*s = str_slice(*s, (size_t)end + 1, s->len);
	}
	return true;
}

bool str_next_line(struct str *s, struct str *out_line)
{
	struct str line;

	if (!str_next(s, '\n', &line))
		return false;
	/* A CR without the LF behind it, at the very end of the text, is a byte of the line. */
	bool ended = line.at + line.len != s->at;
	if (ended && line.len > 0 && line.at[line.len - 1] == '\r')
		line.len--;
	*out_line = line;
	return true;
}

bool str_to_i64(struct str s, int64_t least, int64_t most, int64_t *out)
{
	size_t i = 0;
	bool negative = s.len > 0 && s.at[0] == '-';
	int64_t value = 0;

	if (negative)
		i++;
	if (i == s.len)
		return false;
	for (; i < s.len; i++) {
		if (s.at[i] < '0' || s.at[i] > '9')
			return false;
		int digit = s.at[i] - '0';
		/* Summed on the negative side, whose range is the larger. */
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, digit, &value))
			return false;
	}
	if (!negative && __builtin_sub_overflow((int64_t)0, value, &value))
		return false;
	if (value < least || value > most)
		return false;
	*out = value;
	return true;
}

struct str str_lower(struct arena *arena, struct str s)
{
	char *copy = arena_copy(arena, s.at, s.len);

	for (size_t i = 0; i < s.len; i++)
		copy[i] = fold(copy[i]);
	return str_span(copy, s.len);
}

struct str str_dup(struct arena *arena, struct str s)
{
	return str_span(arena_copy(arena, s.at, s.len), s.len);
}

struct str str_printf(struct arena *arena, const char *format, ...)
{
	va_list args, again;

	va_start(args, format);
	va_copy(again, args);
	int length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (length < 0)
		length = 0;
	char *text = arena_alloc(arena, (size_t)length + 1);
	text[0] = '\0';
	vsnprintf(text, (size_t)length + 1, format, again);
	va_end(again);
	return str_span(text, (size_t)length);
}

char *str_cstr(struct arena *arena, struct str s)
{
	return arena_copy(arena, s.at, s.len);
}

size_t str_utf8_char(struct str s)
{
	if (s.len == 0)
		return 0;
	unsigned char first = (unsigned char)s.at[0];
	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	size_t len = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	if (s.len < len)
		return 0;
	/* The second byte's range excludes overlong forms, surrogates and what is past U+10FFFF. */
	unsigned char least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	unsigned char most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	unsigned char second = (unsigned char)s.at[1];
	if (second < least || second > most)
		return 0;
	for (size_t i = 2; i < len; i++)
		if (((unsigned char)s.at[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool str_is_text(struct str s)
{
	return text_prefix(s) == s.len;
}

struct str str_scrub(struct arena *arena, struct str s)
{
	size_t good = text_prefix(s);

	if (good == s.len)
		return s;
	/* Each wrong byte becomes at most three. */
	size_t room;
	if (__builtin_mul_overflow(s.len, sizeof REPLACEMENT - 1, &room))
		room = SIZE_MAX; /* which the arena answers */
	char *clean = arena_alloc(arena, room);
	size_t len = 0;
	while (s.len) {
		if (good)
			memcpy(clean + len, s.at, good);
		len += good;
		s = str_slice(s, good, s.len);
		if (s.len) {
			memcpy(clean + len, REPLACEMENT, sizeof REPLACEMENT - 1);
			len += sizeof REPLACEMENT - 1;
			s = str_slice(s, 1, s.len);
		}
		good = text_prefix(s);
	}
	return str_span(clean, len);
}

struct str str_cut_utf8(struct str s, size_t limit)
{
	if (s.len <= limit)
		return s;
	/* A character that the limit would cut begins at most three bytes before it. */
	for (size_t back = 1; back <= 3 && back <= limit; back++) {
		size_t len = str_utf8_char(str_slice(s, limit - back, s.len));
		if (len > back)
			return str_slice(s, 0, limit - back);
		if (len > 0)
			break;
	}
	return str_slice(s, 0, limit);
}

struct str str_hex(struct arena *arena, const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *from = bytes;

	if (len > SIZE_MAX / 4)
		len = SIZE_MAX / 4; /* more than any arena has */
	char *text = arena_alloc(arena, 2 * len + 1);
	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[from[i] >> 4];
		text[2 * i + 1] = digits[from[i] & 15];
	}
	text[2 * len] = '\0';
	return str_span(text, 2 * len);
}

static char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool same_nocase(const char *a, const char *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (fold(a[i]) != fold(b[i]))
			return false;
	return true;
}

/* Length of the prefix that is text. */
static size_t text_prefix(struct str s)
{
	size_t i = 0;

	while (i < s.len) {
		size_t len = s.at[i] == '\0' ? 0 : str_utf8_char(str_span(s.at + i, s.len - i));
		if (len == 0)
			break;
		i += len;
	}
	return i;
}
