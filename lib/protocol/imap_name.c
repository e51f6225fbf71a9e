/* SPDX-License-Identifier: Apache-2.0 */
#include "imap_name.h"

#include "base/banned.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static void put_utf8(char **at, uint32_t c)
{
	if (c < 0x80) {
		*(*at)++ = (char)c;
	} else if (c < 0x800) {
		*(*at)++ = (char)(0xc0 | c >> 6);
		*(*at)++ = (char)(0x80 | (c & 63));
	} else if (c < 0x10000) {
		*(*at)++ = (char)(0xe0 | c >> 12);
		*(*at)++ = (char)(0x80 | (c >> 6 & 63));
		*(*at)++ = (char)(0x80 | (c & 63));
	} else {
		*(*at)++ = (char)(0xf0 | c >> 18);
		*(*at)++ = (char)(0x80 | (c >> 12 & 63));
		*(*at)++ = (char)(0x80 | (c >> 6 & 63));
		*(*at)++ = (char)(0x80 | (c & 63));
	}
}

/* One base64 run, without & and -. */
static bool decode_run(struct str run, char **at)
{
	uint32_t bits = 0, high = 0;
	int count = 0;

	for (size_t i = 0; i < run.len; i++) {
		const char *place = memchr(alphabet, run.at[i], sizeof alphabet - 1);
		if (!place)
			return false;
		bits = bits << 6 | (uint32_t)(place - alphabet);
		count += 6;
		if (count < 16)
			continue;
		count -= 16;
		uint32_t unit = bits >> count & 0xffff;
		bits &= (1u << count) - 1;
		if (high) {
			if (unit < 0xdc00 || unit > 0xdfff)
				return false;
			put_utf8(at, 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00));
			high = 0;
		} else if (unit >= 0xd800 && unit <= 0xdbff) {
			high = unit;
		} else if (unit == 0 || (unit >= 0xdc00 && unit <= 0xdfff)) {
			return false;
		} else {
			put_utf8(at, unit);
		}
	}
	return !high && count < 6 && bits == 0;
}

bool imap_name_decode(struct arena *arena, struct str wire, struct str *out)
{
	char *text = arena_alloc(arena, wire.len * 3 / 2 + 4), *at = text;

	for (size_t i = 0; i < wire.len; i++) {
		if (wire.at[i] < 0x20 || wire.at[i] > 0x7e) /* 8-bit bytes are negative, or above */
			return false;
		if (wire.at[i] != '&') {
			*at++ = wire.at[i];
			continue;
		}
		ptrdiff_t end = str_find_char(wire, '-', i);
		if (end < 0)
			return false;
		struct str run = str_slice(wire, i + 1, (size_t)end);
		if (run.len == 0)
			*at++ = '&';
		else if (!decode_run(run, &at))
			return false;
		i = (size_t)end;
	}
	*out = str_span(text, (size_t)(at - text));
	return true;
}

/* The next character of UTF-8 that is known to be well-formed. */
static uint32_t take_utf8(struct str s, size_t *i)
{
	unsigned char c = (unsigned char)s.at[(*i)++];
	int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	uint32_t code = more == 0 ? c : c & (0x3fu >> more);

	for (; more > 0 && *i < s.len; more--)
		code = code << 6 | ((unsigned char)s.at[(*i)++] & 63);
	return code;
}

static void put_unit(char **at, uint32_t *bits, int *count, uint32_t unit)
{
	*bits = *bits << 16 | unit;
	*count += 16;
	while (*count >= 6) {
		*count -= 6;
		*(*at)++ = alphabet[*bits >> *count & 63];
	}
	*bits &= (1u << *count) - 1;
}

struct str imap_name_encode(struct arena *arena, struct str name)
{
	name = str_scrub(arena, name);
	char *text = arena_alloc(arena, name.len * 5 + 4), *at = text;

	for (size_t i = 0; i < name.len;) {
		if (name.at[i] >= 0x20 && name.at[i] <= 0x7e) {
			*at++ = name.at[i];
			if (name.at[i++] == '&')
				*at++ = '-';
			continue;
		}
		uint32_t bits = 0;
		int count = 0;
		*at++ = '&';
		while (i < name.len && (name.at[i] < 0x20 || name.at[i] > 0x7e)) {
			uint32_t c = take_utf8(name, &i);
			if (c >= 0x10000) {
				put_unit(&at, &bits, &count, 0xd800 + ((c - 0x10000) >> 10));
				c = 0xdc00 + ((c - 0x10000) & 0x3ff);
			}
			put_unit(&at, &bits, &count, c);
		}
		if (count > 0)
			*at++ = alphabet[bits << (6 - count) & 63];
		*at++ = '-';
	}
	return str_span(text, (size_t)(at - text));
}

void imap_quote(struct buf *buf, struct str ascii)
{
	buf_add_char(buf, '"');
	for (size_t i = 0; i < ascii.len; i++) {
		if (ascii.at[i] == '"' || ascii.at[i] == '\\')
			buf_add_char(buf, '\\');
		buf_add_char(buf, ascii.at[i]);
	}
	buf_add_char(buf, '"');
}
