/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/transfer.h"

#include "base/banned.h"

/* 0-63: a digit; 64: padding; 65: white space; 66: foreign. */
enum { B64_PAD = 64, B64_SPACE = 65, B64_FOREIGN = 66 };

/* clang-format off */
static const uint8_t base64_values[256] = {
	65, 66, 66, 66, 66, 66, 66, 66, 66, 65, 65, 66, 66, 65, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66,
	65, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 62, 66, 66, 66, 63, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 66, 66, 66, 64, 66, 66,
	66, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 66, 66, 66, 66, 66,
	66, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 66, 66, 66, 66, 66,
	66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66,
	66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66,
	66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66,
	66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66,
};
/* clang-format on */

static int hex_value(char c);

enum mail_encoding transfer_encoding(struct str value)
{
	value = str_trim(value);
	/* "base64;", "base64 (comment)", "\"base64\"" are met. */
	size_t start = 0;
	while (start < value.len && value.at[start] == '"')
		start++;
	size_t end = start;
	while (end < value.len && value.at[end] > 32 && !strchr("\";(,", value.at[end]))
		end++;
	value = str_slice(value, start, end);
	if (str_eq_nocase(value, STR("base64")) || str_eq_nocase(value, STR("x-base64")))
		return MAIL_ENC_BASE64;
	if (str_eq_nocase(value, STR("quoted-printable")))
		return MAIL_ENC_QP;
	if (str_eq_nocase(value, STR("x-uuencode")) || str_eq_nocase(value, STR("uuencode")) ||
	    str_eq_nocase(value, STR("x-uue")))
		return MAIL_ENC_UUENCODE;
	return MAIL_ENC_IDENTITY;
}

struct str transfer_decode(struct arena *arena, enum mail_encoding encoding, struct str bytes, uint32_t *defects)
{
	switch (encoding) {
	case MAIL_ENC_BASE64:
		return base64_decode(arena, bytes, defects);
	case MAIL_ENC_QP:
		return qp_decode(arena, bytes, false, defects);
	case MAIL_ENC_UUENCODE:
		return uu_decode(arena, bytes);
	case MAIL_ENC_IDENTITY:
		break;
	}
	return bytes;
}

struct str base64_decode(struct arena *arena, struct str bytes, uint32_t *defects)
{
	uint8_t *out = arena_alloc(arena, bytes.len / 4 * 3 + 4);
	size_t len = 0;
	uint32_t bits = 0;
	int digits = 0;
	bool padded = false;
	for (size_t i = 0; i < bytes.len; i++) {
		/* Four digits at a time where nothing is in the way. */
		while (digits == 0 && i + 4 <= bytes.len) {
			uint8_t a = base64_values[(uint8_t)bytes.at[i]], b = base64_values[(uint8_t)bytes.at[i + 1]];
			uint8_t c = base64_values[(uint8_t)bytes.at[i + 2]], d = base64_values[(uint8_t)bytes.at[i + 3]];
			if ((a | b | c | d) >= 64)
				break;
			if (padded) {
				/* Two pieces, each with its own padding, were put one behind the other. */
				*defects |= MAIL_DEFECT_BAD_BASE64;
				padded = false;
			}
			uint32_t word = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | d;
			out[len++] = (uint8_t)(word >> 16);
			out[len++] = (uint8_t)(word >> 8);
			out[len++] = (uint8_t)word;
			i += 4;
		}
		if (i >= bytes.len)
			break;
		uint8_t value = base64_values[(uint8_t)bytes.at[i]];
		if (value < 64) {
			bits = bits << 6 | value;
			if (++digits == 4) {
				out[len++] = (uint8_t)(bits >> 16);
				out[len++] = (uint8_t)(bits >> 8);
				out[len++] = (uint8_t)bits;
				bits = 0;
				digits = 0;
			}
		} else if (value == B64_PAD) {
			if (digits == 2) {
				out[len++] = (uint8_t)(bits >> 4);
			} else if (digits == 3) {
				out[len++] = (uint8_t)(bits >> 10);
				out[len++] = (uint8_t)(bits >> 2);
			} else if (digits == 1) {
				*defects |= MAIL_DEFECT_BAD_BASE64;
			}
			padded = true;
			bits = 0;
			digits = 0;
		} else if (value == B64_FOREIGN) {
			*defects |= MAIL_DEFECT_BAD_BASE64;
			/* Text behind the data (a footer of a list) is no data. */
			if (padded && digits == 0)
				break;
		}
	}
	if (digits >= 2) {
		out[len++] = (uint8_t)(bits >> (digits == 2 ? 4 : 10));
		if (digits == 3)
			out[len++] = (uint8_t)(bits >> 2);
	}
	if (digits)
		*defects |= MAIL_DEFECT_BAD_BASE64;
	return (struct str){ (char *)out, len };
}

struct str qp_decode(struct arena *arena, struct str bytes, bool underscore_is_blank, uint32_t *defects)
{
	char *out = arena_alloc(arena, bytes.len + 1);
	size_t len = 0;
	size_t firm = 0; /* out[firm, len) are plain blanks: dropped at a line's end, where they were added on the way */
	for (size_t i = 0; i < bytes.len; i++) {
		char c = bytes.at[i];
		if (c == '_' && underscore_is_blank) {
			out[len++] = ' ';
			continue;
		}
		if (c == '\n' || (c == '\r' && i + 1 < bytes.len && bytes.at[i + 1] == '\n')) {
			if (!underscore_is_blank)
				len = firm;
			out[len++] = c;
			firm = len;
			continue;
		}
		if (c != '=') {
			out[len++] = c;
			if (c != ' ' && c != '\t')
				firm = len;
			continue;
		}
		int high = i + 1 < bytes.len ? hex_value(bytes.at[i + 1]) : -1;
		int low = i + 2 < bytes.len ? hex_value(bytes.at[i + 2]) : -1;
		if (high >= 0 && low >= 0) {
			out[len++] = (char)(high << 4 | low);
			firm = len;
			i += 2;
			continue;
		}
		/* A soft line break, perhaps with blanks behind it. */
		size_t next = i + 1;
		while (next < bytes.len && (bytes.at[next] == ' ' || bytes.at[next] == '\t' || bytes.at[next] == '\r'))
			next++;
		if (next == bytes.len || bytes.at[next] == '\n') {
			i = next;
			firm = len;
			continue;
		}
		*defects |= MAIL_DEFECT_BAD_QUOTED_PRINTABLE;
		out[len++] = '=';
		firm = len;
	}
	return (struct str){ out, len };
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

struct str uu_decode(struct arena *arena, struct str bytes)
{
	uint8_t *out = arena_alloc(arena, bytes.len + 4);
	size_t len = 0;
	struct str rest = bytes, line;
	/* What stands before "begin" is no data; where there is none, all of it is. */
	bool has_begin = str_starts(bytes, STR("begin ")) || str_find(bytes, STR("\nbegin "), 0) >= 0;
	while (str_next_line(&rest, &line)) {
		if (has_begin) {
			has_begin = !str_starts(line, STR("begin "));
			continue;
		}
		if (str_eq(line, STR("end")) || line.len == 0)
			continue;
		size_t wanted = ((unsigned char)line.at[0] - 32u) & 63;
		/* A line shorter than it says lost its trailing blanks. */
		for (size_t i = 1; wanted > 0 && i <= line.len; i += 4) {
			uint32_t word = 0;
			for (size_t k = 0; k < 4; k++) {
				unsigned char c = i + k < line.len ? (unsigned char)line.at[i + k] : ' ';
				word = word << 6 | ((c - 32u) & 63);
			}
			for (int shift = 16; shift >= 0 && wanted > 0; shift -= 8, wanted--)
				out[len++] = (uint8_t)(word >> shift);
		}
	}
	return (struct str){ (char *)out, len };
}
