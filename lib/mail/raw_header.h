/* SPDX-License-Identifier: Apache-2.0
 * raw_header - the fields of a header block, found in raw bytes
 *
 * Used where GMime would be too late or too much: the fetcher's thread hint, the identity sums, the top header of a
 * mail (so that a first line which is no header, or 64,000 groups in To, never reach GMime) and the header of a mail
 * that came back inside another. Everything is a view; nothing is decoded here.
 */
#ifndef MAILCASE_RAW_HEADER_H
#define MAILCASE_RAW_HEADER_H

#include "base/arena.h"
#include "base/str.h"
#include "mail/model.h"

struct raw_field {
	struct str name;
	struct str value;      /* still folded, without the last line end */
	size_t offset, length; /* the whole field with its line end */
};

struct raw_headers {
	struct raw_field *at;
	size_t len;
	size_t begin; /* where the first field starts, after junk */
	size_t body;  /* where the body starts */
	uint32_t defects;
};

/* Read the header block of `raw` within `limits`. The first empty line ends it, and so does a line that can be no
 * field, which then belongs to the body. */
void raw_headers_read(struct arena *arena, struct str raw, const struct mail_limits *limits, struct raw_headers *out);

/* The value of the first field of that name, trimmed; STR_NULL where there is none. */
struct str raw_headers_get(const struct raw_headers *headers, const char *name);
size_t raw_headers_count(const struct raw_headers *headers, const char *name);

/* Without line ends: a folded value becomes one line. A view where it was one already. */
struct str raw_unfold(struct arena *arena, struct str value);

/* Walking without an arena. */
struct raw_walk {
	struct str bytes;
	size_t at;
	bool cr_ends; /* lines end with a lone CR: the first line does */
};
void raw_walk_init(struct raw_walk *walk, struct str bytes, uint32_t *out_defects);
/* False at the end of the block; walk->at is then where the body starts. */
bool raw_walk_next(struct raw_walk *walk, struct raw_field *out);

/* True if the first line ends with a CR that no LF follows: then all lone CRs count as line ends. */
bool raw_lines_end_with_cr(struct str bytes);

#endif
