/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/msgid.h"

#include "base/digest.h"
#include "base/vec.h"
#include "mail/charset.h"
#include "mail/raw_header.h"

#include "base/banned.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',' || c == ';';
}

bool msgid_next(struct str *rest, struct str *out_id)
{
	for (;;) {
		ptrdiff_t open = str_find_char(*rest, '<', 0);
		if (open < 0)
			break;
		ptrdiff_t close = str_find_char(*rest, '>', (size_t)open + 1);
		/* A bracket opened again: "<a@b <c@d>"; one never closed ends with its word. */
		ptrdiff_t again = str_find_char(*rest, '<', (size_t)open + 1);
		size_t end, next;
		if (close >= 0 && (again < 0 || close < again)) {
			end = (size_t)close;
			next = end + 1;
		} else {
			end = (size_t)open + 1;
			while (end < rest->len && rest->at[end] != '<' && !is_blank(rest->at[end]))
				end++;
			next = end;
		}
		struct str id = str_trim(str_slice(*rest, (size_t)open + 1, end));
		*rest = str_slice(*rest, next, rest->len);
		/* After brackets, the words outside of them are comments: none must look like an id later. */
		if (str_find_char(*rest, '<', 0) < 0)
			rest->len = 0;
		if (id.len) {
			*out_id = id;
			return true;
		}
	}
	while (rest->len) {
		size_t start = 0;
		while (start < rest->len && is_blank(rest->at[start]))
			start++;
		size_t end = start;
		while (end < rest->len && !is_blank(rest->at[end]))
			end++;
		struct str word = str_slice(*rest, start, end);
		bool is_only = start == 0 && end == rest->len;
		*rest = str_slice(*rest, end, rest->len);
		while (word.len && word.at[word.len - 1] == '>')
			word.len--;
		if (word.len && (is_only || memchr(word.at, '@', word.len))) {
			*out_id = word;
			return true;
		}
	}
	return false;
}

struct mail_strs msgid_list(struct arena *arena, struct str raw_value, size_t most, uint32_t *defects)
{
	VEC(struct str) found = { 0 }, ids = { 0 };
	struct str rest = str_trim(raw_unfold(arena, raw_value)), id;
	while ((most > 1 || found.len < 2) && msgid_next(&rest, &id))
		*VEC_PUSH(arena, &found) = id;
	/* Of too many the first, which is the root of the conversation, and the last, which are nearest. */
	if (found.len > most) {
		*defects |= MAIL_DEFECT_TOO_BIG;
		for (size_t i = 1; i < most; i++)
			found.at[i] = found.at[found.len - most + i];
		found.len = most;
	}
	for (size_t at = 0; at < found.len; at++) {
		id = found.at[at];
		char *out = arena_alloc(arena, id.len + 1);
		size_t len = 0;
		for (size_t i = 0; i < id.len; i++)
			if (id.at[i] != ' ' && id.at[i] != '\t')
				out[len++] = id.at[i];
		struct str tight = { out, len };
		*VEC_PUSH(arena, &ids) = str_is_text(tight) ? tight : charset_to_utf8(arena, STR_NULL, tight, defects);
	}
	return (struct mail_strs){ ids.at, ids.len };
}

struct str msgid_normal(struct arena *arena, struct str id)
{
	id = str_trim(id);
	while (id.len && (id.at[0] == '<' || id.at[0] == ' '))
		id = str_slice(id, 1, id.len);
	while (id.len && (id.at[id.len - 1] == '>' || id.at[id.len - 1] == ' '))
		id.len--;
	if (!id.len)
		return STR("");
	char *out = arena_copy(arena, id.at, id.len);
	size_t at = id.len;
	while (at && out[at - 1] != '@')
		at--;
	for (size_t i = at; at && i < id.len; i++)
		if (out[i] >= 'A' && out[i] <= 'Z')
			out[i] = (char)(out[i] + ('a' - 'A'));
	struct str normal = { out, id.len };
	if (normal.len <= MSGID_MOST)
		return str_scrub(arena, normal);
	struct sha256 sum = sha256_of(normal);
	struct str hex = str_hex(arena, sum.b, sizeof(sum.b));
	return str_printf(arena, "sha256.%.*s", STR_ARG(hex));
}
