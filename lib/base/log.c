/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"

#include "banned.h"

#define STRING_MOST ((size_t)1000)
#define LINE_MOST ((size_t)64 * 1024)
#define FIELDS_MOST 64 /* a list without its LOG_END stops somewhere */

static const char *service_name = "mailcase";
static enum log_level least_level = LOG_INFO;
static pthread_mutex_t one_line = PTHREAD_MUTEX_INITIALIZER;

static const char *const level_names[] = { "debug", "info", "warn", "error" };

static void add_field(struct buf *line, const struct log_field *field);
static void add_string(struct buf *line, struct str s);
static void write_all(const char *at, size_t len);

void log_init(const char *service, enum log_level least)
{
	service_name = service;
	least_level = least;
}

bool log_level_parse(struct str name, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++)
		if (str_eq(name, str_of(level_names[i]))) {
			*out = (enum log_level)i;
			return true;
		}
	return false;
}

bool log_enabled(enum log_level level)
{
	return level >= least_level;
}

void log_write(enum log_level level, const char *event, ...)
{
	char time[CLOCK_TEXT_LEN + 1];
	va_list fields;

	if (!log_enabled(level))
		return;
	struct buf line CLEANUP(buf_done);
	buf_init(&line, LINE_MOST);
	buf_addf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"service\":", clock_rfc3339(clock_wall_us(), time),
	         level_names[level]);
	add_string(&line, str_of(service_name));
	buf_add_text(&line, ",\"event\":");
	add_string(&line, str_of(event));
	va_start(fields, event);
	for (int i = 0; i < FIELDS_MOST; i++) {
		struct log_field field = va_arg(fields, struct log_field);
		if (field.kind == LOG_FIELD_END)
			break;
		/* A field that does not fit goes as a whole, so that the line stays JSON. */
		size_t before = line.len;
		add_field(&line, &field);
		if (line.overflowed || line.len > LINE_MOST - 2) {
			line.overflowed = false;
			line.len = before;
			break;
		}
	}
	va_end(fields);
	buf_add_text(&line, "}\n");
	write_all(line.at, line.len);
}

static void add_field(struct buf *line, const struct log_field *field)
{
	char id[UUID_TEXT_LEN + 1];

	buf_add_char(line, ',');
	add_string(line, str_of(field->name));
	buf_add_char(line, ':');
	switch (field->kind) {
	case LOG_FIELD_STR:
		add_string(line, field->str);
		break;
	case LOG_FIELD_INT:
		buf_addf(line, "%lld", (long long)field->integer);
		break;
	case LOG_FIELD_REAL:
		/* JSON has no word for infinity or for what is no number. */
		if (isfinite(field->real))
			buf_addf(line, "%.9g", field->real);
		else
			buf_add_text(line, "null");
		break;
	case LOG_FIELD_BOOL:
		buf_add_text(line, field->boolean ? "true" : "false");
		break;
	case LOG_FIELD_UUID:
		buf_addf(line, "\"%s\"", uuid_text(field->uuid, id));
		break;
	case LOG_FIELD_END:
		break;
	}
}

/* Strangers' bytes: what could steer a terminal or break the line is escaped, what is not UTF-8 is replaced. */
static void add_string(struct buf *line, struct str s)
{
	struct str rest = str_cut_utf8(s, STRING_MOST);

	buf_add_char(line, '"');
	while (rest.len) {
		size_t len = str_utf8_char(rest);
		unsigned char c = (unsigned char)rest.at[0];
		if (len == 0) {
			buf_add_text(line, "\\ufffd");
			len = 1;
		} else if (c == '"' || c == '\\') {
			buf_addf(line, "\\%c", c);
		} else if (c < 0x20 || c == 0x7f) {
			buf_addf(line, "\\u%04x", c);
		} else if (c == 0xc2 && (unsigned char)rest.at[1] < 0xa0) {
			buf_addf(line, "\\u%04x", (unsigned char)rest.at[1]);
		} else {
			buf_add(line, rest.at, len);
		}
		rest = str_slice(rest, len, rest.len);
	}
	if (s.len > STRING_MOST)
		buf_add_text(line, "…");
	buf_add_char(line, '"');
}

/* One write a line; the lock matters only where a pipe took less than the line. A log that cannot be written is lost:
 * there is nowhere to say so. */
static void write_all(const char *at, size_t len)
{
	pthread_mutex_lock(&one_line);
	while (len) {
		ssize_t wrote = write(STDOUT_FILENO, at, len);
		if (wrote < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){ .fd = STDOUT_FILENO, .events = POLLOUT }, 1, -1);
			continue;
		}
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			break;
		at += wrote;
		len -= (size_t)wrote;
	}
	pthread_mutex_unlock(&one_line);
}
