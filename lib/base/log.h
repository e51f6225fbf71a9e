/* SPDX-License-Identifier: Apache-2.0
 * log - one JSON object a line on standard output
 *
 *	log_info("mail.attached", LOG_UUID("case", id), LOG_INT("bytes", n), LOG_END);
 *
 * An event is a stable dotted name (listed in docs/operations.md) with named fields. Ids at info; addresses and
 * subjects only at debug; bodies never. Warn: we went on; error: somebody should look. A line is written by one write,
 * so that threads do not mix; strings are escaped and cut at 1,000 bytes.
 */
#ifndef MAILCASE_LOG_H
#define MAILCASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "str.h"
#include "uuid.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_field_kind { LOG_FIELD_END, LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_REAL, LOG_FIELD_BOOL, LOG_FIELD_UUID };

struct log_field {
	const char *name;
	enum log_field_kind kind;
	union {
		struct str str;
		int64_t integer;
		double real;
		bool boolean;
		struct uuid uuid;
	};
};

#define LOG_STR(field, value) ((struct log_field){ .name = (field), .kind = LOG_FIELD_STR, .str = (value) })
#define LOG_TEXT(field, value) ((struct log_field){ .name = (field), .kind = LOG_FIELD_STR, .str = str_of(value) })
#define LOG_INT(field, value) \
	((struct log_field){ .name = (field), .kind = LOG_FIELD_INT, .integer = (int64_t)(value) })
#define LOG_REAL(field, value) ((struct log_field){ .name = (field), .kind = LOG_FIELD_REAL, .real = (value) })
#define LOG_BOOL(field, value) ((struct log_field){ .name = (field), .kind = LOG_FIELD_BOOL, .boolean = (value) })
#define LOG_UUID(field, value) ((struct log_field){ .name = (field), .kind = LOG_FIELD_UUID, .uuid = (value) })
#define LOG_ERR(err_) LOG_TEXT("error", (err_)->text)
#define LOG_END ((struct log_field){ .name = NULL, .kind = LOG_FIELD_END })

/* Before the first line. `service` must live as long as the process. */
void log_init(const char *service, enum log_level least);
bool log_level_parse(struct str name, enum log_level *out);
bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *event, ...);

#define log_debug(...) \
	do { \
		if (log_enabled(LOG_DEBUG)) \
			log_write(LOG_DEBUG, __VA_ARGS__); \
	} while (0)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif
