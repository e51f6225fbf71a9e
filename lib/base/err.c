/* SPDX-License-Identifier: Apache-2.0 */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

static void clean(char *text);

int err_set(struct err *err, enum err_kind kind, const char *format, ...)
{
	if (!err)
		return -1;
	/* The arguments may point into err->text itself. */
	char text[sizeof err->text];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	clean(text);
	err->kind = kind;
	memcpy(err->text, text, sizeof text);
	return -1;
}

int err_prefix(struct err *err, const char *format, ...)
{
	if (!err)
		return -1;
	char text[sizeof err->text];
	va_list args;
	va_start(args, format);
	int length = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (length >= 0 && (size_t)length < sizeof text - 1)
		snprintf(text + length, sizeof text - (size_t)length, ": %s", err->text);
	clean(text);
	memcpy(err->text, text, sizeof text);
	return -1;
}

const char *err_kind_name(enum err_kind kind)
{
	static const char *const names[] = { "none", "temporary", "permanent", "fatal" };
	return names[kind];
}

void die_no_memory(size_t wanted)
{
	fprintf(stderr, "out of memory: could not get %zu bytes; unconfirmed work comes back after the restart\n", wanted);
	exit(70);
}

void *xmalloc(size_t size)
{
	void *place = malloc(size ? size : 1);
	if (!place)
		die_no_memory(size);
	return place;
}

void *xcalloc(size_t count, size_t size)
{
	void *place = calloc(count ? count : 1, size ? size : 1);
	if (!place)
		die_no_memory(size);
	return place;
}

void *xrealloc(void *old, size_t size)
{
	void *place = realloc(old, size ? size : 1);
	if (!place)
		die_no_memory(size);
	return place;
}

char *xstrdup(const char *text)
{
	size_t size = strlen(text) + 1;
	return memcpy(xmalloc(size), text, size);
}

static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
}
