/* SPDX-License-Identifier: Apache-2.0 */
#include "buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"

#include "banned.h"

#define ROOM_MIN ((size_t)256)

void buf_init(struct buf *buf, size_t ceiling)
{
	/* One byte is kept for the NUL, and doubling must not wrap. */
	*buf = (struct buf){ .ceiling = ceiling < SIZE_MAX / 4 ? ceiling : SIZE_MAX / 4 };
}

void buf_done(struct buf *buf)
{
	free(buf->at);
	buf_init(buf, buf->ceiling);
}

void buf_reset(struct buf *buf)
{
	buf->len = 0;
	buf->overflowed = false;
	if (buf->at)
		buf->at[0] = '\0';
}

char *buf_reserve(struct buf *buf, size_t len)
{
	if (buf->overflowed)
		return NULL;
	if (len > buf->ceiling - buf->len) {
		buf->overflowed = true;
		return NULL;
	}
	size_t need = buf->len + len + 1;
	if (need > buf->room) {
		size_t room = buf->room ? buf->room * 2 : ROOM_MIN;
		if (room < need)
			room = need;
		if (room > buf->ceiling + 1)
			room = buf->ceiling + 1;
		buf->at = xrealloc(buf->at, room);
		buf->room = room;
		buf->at[buf->len] = '\0';
	}
	return buf->at + buf->len;
}

void buf_grew(struct buf *buf, size_t len)
{
	buf->len += len;
	buf->at[buf->len] = '\0';
}

void buf_add(struct buf *buf, const void *bytes, size_t len)
{
	if (len == 0)
		return;
	char *place = buf_reserve(buf, len);
	if (!place)
		return;
	memcpy(place, bytes, len);
	buf_grew(buf, len);
}

void buf_add_str(struct buf *buf, struct str s)
{
	buf_add(buf, s.at, s.len);
}

void buf_add_text(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_add_char(struct buf *buf, char c)
{
	buf_add(buf, &c, 1);
}

void buf_addf(struct buf *buf, const char *format, ...)
{
	va_list args, again;

	va_start(args, format);
	va_copy(again, args);
	int length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	char *place = length > 0 ? buf_reserve(buf, (size_t)length) : NULL;
	if (place) {
		/* buf_reserve() always leaves the byte for the NUL. */
		vsnprintf(place, (size_t)length + 1, format, again);
		buf_grew(buf, (size_t)length);
	}
	va_end(again);
}

void buf_consume(struct buf *buf, size_t len)
{
	if (len > buf->len)
		len = buf->len;
	if (len == 0)
		return;
	memmove(buf->at, buf->at + len, buf->len - len);
	buf->len -= len;
	buf->at[buf->len] = '\0';
}
