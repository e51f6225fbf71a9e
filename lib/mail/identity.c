/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/identity.h"

#include "base/vec.h"

#include "base/banned.h"

static struct str canonical_lines(struct arena *arena, struct str bytes);
static bool is_trace(struct str name);

struct sha256 identity_body_sum(struct arena *arena, struct str body)
{
	return sha256_of(canonical_lines(arena, body));
}

struct sha256 identity_headless_sum(struct arena *arena, struct str raw, const struct raw_headers *headers)
{
	VEC(struct str) pieces = { 0 };
	for (size_t i = 0; i < headers->len; i++) {
		const struct raw_field *field = &headers->at[i];
		if (is_trace(field->name))
			continue;
		struct str line = str_slice(raw, field->offset, field->offset + field->length);
		*VEC_PUSH(arena, &pieces) = canonical_lines(arena, line);
		*VEC_PUSH(arena, &pieces) = STR("\r\n");
	}
	*VEC_PUSH(arena, &pieces) = STR("\r\n");
	*VEC_PUSH(arena, &pieces) = canonical_lines(arena, str_slice(raw, headers->body, raw.len));
	return sha256_of_pieces(pieces.at, pieces.len);
}

/* Where `c` is at or after `from`, or the end. Looked for again only when it was passed, so that all stays linear. */
static size_t next_of(struct str bytes, char c, size_t from, size_t known)
{
	if (known >= from && known != SIZE_MAX)
		return known;
	ptrdiff_t at = str_find_char(bytes, c, from);
	return at < 0 ? bytes.len : (size_t)at;
}

/* Every line end (CRLF, LF, lone CR) becomes CRLF, those at the very end are cut. */
static struct str canonical_lines(struct arena *arena, struct str bytes)
{
	while (bytes.len && (bytes.at[bytes.len - 1] == '\n' || bytes.at[bytes.len - 1] == '\r'))
		bytes.len--;
	/* What came over IMAP is canonical already: looked at, not copied. */
	size_t at = 0, ends = 0, cr = SIZE_MAX, lf = SIZE_MAX;
	bool is_canonical = true;
	while (at < bytes.len) {
		cr = next_of(bytes, '\r', at, cr);
		lf = next_of(bytes, '\n', at, lf);
		size_t end = cr < lf ? cr : lf;
		if (end == bytes.len)
			break;
		is_canonical &= lf == cr + 1;
		ends++;
		at = lf == cr + 1 ? lf + 1 : end + 1;
	}
	if (is_canonical)
		return bytes;

	char *out = arena_alloc(arena, bytes.len + ends * 2);
	size_t len = 0;
	cr = lf = SIZE_MAX;
	for (at = 0; at < bytes.len;) {
		cr = next_of(bytes, '\r', at, cr);
		lf = next_of(bytes, '\n', at, lf);
		size_t end = cr < lf ? cr : lf;
		memcpy(out + len, bytes.at + at, end - at);
		len += end - at;
		if (end == bytes.len)
			break;
		memcpy(out + len, "\r\n", 2);
		len += 2;
		at = lf == cr + 1 ? lf + 1 : end + 1;
	}
	return (struct str){ out, len };
}

static bool is_trace(struct str name)
{
	static const char *const exact[] = { "Return-Path", "Delivered-To",           "X-Original-To",
		                                 "Received",    "Authentication-Results", "Status",
		                                 "X-UID" };
	for (size_t i = 0; i < ARRAY_LEN(exact); i++)
		if (str_eq_nocase(name, str_of(exact[i])))
			return true;
	return str_starts_nocase(name, STR("ARC-")) || str_starts_nocase(name, STR("X-Spam-"));
}
