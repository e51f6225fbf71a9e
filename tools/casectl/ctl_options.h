/* SPDX-License-Identifier: Apache-2.0
 * ctl_options - one table per command: parsed by getopt_long, printed by --help
 */
#ifndef MAILCASE_CTL_OPTIONS_H
#define MAILCASE_CTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"

enum option_kind {
	OPTION_FLAG,   /* --json */
	OPTION_TEXT,   /* --name TEXT */
	OPTION_LIST,   /* --folder NAME, any number of times */
	OPTION_INT,    /* --port N, within min and max */
	OPTION_SWITCH, /* --rung5 on|off */
	OPTION_CHOICE, /* --tls implicit|starttls|clear: `argument` lists what is allowed */
};

struct option_def {
	const char *name; /* without the dashes; NULL ends the table */
	enum option_kind kind;
	const char *argument;
	const char *help;
	int64_t min, max;
	bool required;
	bool is_prose; /* OPTION_TEXT: may have several lines. What is no prose may become a header, or a name in one */
};

struct option_value {
	const struct option_def *def;
	const char **given; /* each occurrence; the last one counts but for lists */
	size_t given_len, given_room;
	int64_t number; /* OPTION_INT; OPTION_SWITCH: 0 or 1 */
};

struct options {
	struct option_value *values;
	size_t values_len;
	bool wants_help;
	char **operands;
	int operands_len;
};

/* Parse argv[0..argc) by the two tables (the second may be NULL). argv[0] is skipped; its operands are permuted to the
 * end. With `stop_at_operand` parsing ends at the first operand. False: the mistake was printed. */
bool options_parse(struct arena *arena, const struct option_def *own, const struct option_def *common, int argc,
                   char **argv, bool stop_at_operand, struct options *out);

/* NULL where there is no such option in the table. */
const struct option_value *options_find(const struct options *options, const char *name);

/* All required ones are there; false: the mistake was printed. */
bool options_complete(const struct options *options);

/* Valid UTF-8 on one line, without control characters. */
bool options_is_line(const char *text);

void options_help(const struct option_def *table, FILE *out);

#endif
