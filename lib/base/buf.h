/* SPDX-License-Identifier: Apache-2.0
 * buf - growing bytes with a ceiling
 *
 * The ceiling is set once; what would pass it sets `overflowed` and is not added, and nothing more is, so that a writer
 * need check once, at the end. The bytes are owned by the buf and always followed by a NUL that does not count.
 */
#ifndef MAILCASE_BUF_H
#define MAILCASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "str.h"

struct buf {
	char *at;
	size_t len;
	size_t room;    /* bytes allocated */
	size_t ceiling; /* most bytes it may ever hold */
	bool overflowed;
};

void buf_init(struct buf *buf, size_t ceiling);
void buf_done(struct buf *buf);
void buf_reset(struct buf *buf); /* empty again; keeps its memory */

void buf_add(struct buf *buf, const void *bytes, size_t len);
void buf_add_str(struct buf *buf, struct str s);
void buf_add_text(struct buf *buf, const char *text);
void buf_add_char(struct buf *buf, char c);
void buf_addf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);

/* Room for `len` more bytes at buf->at + buf->len, to be counted by buf_grew(); NULL past the ceiling. */
char *buf_reserve(struct buf *buf, size_t len);
void buf_grew(struct buf *buf, size_t len);

/* Drop `len` bytes from the front. */
void buf_consume(struct buf *buf, size_t len);

static inline struct str buf_str(const struct buf *buf)
{
	return (struct str){ buf->at ? buf->at : "", buf->len };
}

#endif
