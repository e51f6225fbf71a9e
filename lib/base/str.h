/* SPDX-License-Identifier: Apache-2.0
 * str - a view of bytes: pointer and length, not owned, not NUL-terminated
 *
 * Input text is viewed, not copied; a view lives as long as what it looks at. All comparisons are bytewise; those with
 * `_nocase` fold A-Z only, as the mail RFCs do.
 */
#ifndef MAILCASE_STR_H
#define MAILCASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "arena.h"

struct str {
	const char *at;
	size_t len;
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
#define STR_NULL ((struct str){ NULL, 0 })
/* For printf's "%.*s". */
#define STR_ARG(s) (int)((s).len > 100000 ? 100000 : (s).len), (s).at ? (s).at : ""

static inline struct str str_of(const char *text)
{
	return (struct str){ text, text ? strlen(text) : 0 };
}

static inline struct str str_span(const char *at, size_t len)
{
	return (struct str){ at, len };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool str_eq_nocase(struct str a, struct str b);
int str_cmp(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_ends_nocase(struct str s, struct str suffix);

/* Offset of the first occurrence at or after `from`, or -1. */
ptrdiff_t str_find(struct str s, struct str needle, size_t from);
ptrdiff_t str_find_nocase(struct str s, struct str needle, size_t from);
ptrdiff_t str_find_char(struct str s, char c, size_t from);

/* s[from, to), clipped to what is there. */
struct str str_slice(struct str s, size_t from, size_t to);

/* Without blanks, tabs, CR and LF at both ends. */
struct str str_trim(struct str s);

/* Take the piece before the first `c` off the front of *s (all of it where there is none). False when *s is empty. */
bool str_next(struct str *s, char c, struct str *out_piece);

/* Take one line off the front of *s, without its CRLF or LF. False when *s is empty. */
bool str_next_line(struct str *s, struct str *out_line);

/* The whole view as a decimal number within [least, most]; false for anything else. */
bool str_to_i64(struct str s, int64_t least, int64_t most, int64_t *out);

struct str str_lower(struct arena *arena, struct str s);
struct str str_dup(struct arena *arena, struct str s);
struct str str_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
/* NUL-terminated copy. */
char *str_cstr(struct arena *arena, struct str s);

/* Bytes of the well-formed UTF-8 character at the front of s; 0 where there is none. */
size_t str_utf8_char(struct str s);

/* True if the bytes are well-formed UTF-8 without NUL: what PostgreSQL and protobuf accept as text. */
bool str_is_text(struct str s);

/* `s` with NUL and whatever is not UTF-8 replaced by U+FFFD; `s` itself where nothing was wrong. */
struct str str_scrub(struct arena *arena, struct str s);

/* The longest prefix of at most `limit` bytes that does not cut a UTF-8 character. */
struct str str_cut_utf8(struct str s, size_t limit);

struct str str_hex(struct arena *arena, const void *bytes, size_t len);

#endif
