/* SPDX-License-Identifier: Apache-2.0
 * conf - a table of settings, filled from the environment before anything is opened
 *
 *	static const struct conf_setting settings[] = {
 *		{ "MAILCASE_BATCH_MAX", CONF_INT, offsetof(struct threader_conf, batch_max), .def = "200", .min = 1,
 *		  .max = 1000, .help = "mails taken per turn" },
 *		{ 0 } };
 *
 * A program loads several tables at once: the kit's common one and its own. All mistakes are reported together. A
 * variable that is set to nothing counts as not set. Secrets may also come as NAME_FILE and are never printed. No other
 * getenv anywhere.
 */
#ifndef MAILCASE_CONF_H
#define MAILCASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cleanup.h"
#include "str.h"

enum conf_kind {
	CONF_INT,    /* int64_t, within min and max */
	CONF_BOOL,   /* bool: on|off|true|false|1|0|yes|no */
	CONF_TEXT,   /* char *, owned by the struct until conf_done(); "" where not set and no default */
	CONF_SECRET, /* char *, also from NAME_FILE; never printed */
	CONF_CHOICE, /* char *, one of .choices ("a|b|c") */
};

struct conf_setting {
	const char *name;
	enum conf_kind kind;
	size_t offset;       /* into the config struct */
	const char *def;     /* default as text; NULL: none */
	int64_t min, max;    /* CONF_INT only */
	const char *choices; /* CONF_CHOICE only */
	bool required;
	const char *help;
};

/* Fill `configs[i]` (cleared by the caller) from `tables[i]` and the environment. Every mistake (not a number, out of
 * range, unknown choice, missing, unreadable file, both NAME and NAME_FILE) is one line on `complaints`; returns how many
 * there were. So is a MAILCASE_* variable that is in no table but looks like a slip of the pen for one that is; others
 * are ignored, because one file of variables serves all programs. conf_done() is due even after complaints. */
size_t conf_load_tables(const struct conf_setting *const *tables, void *const *configs, size_t count, FILE *complaints);
void conf_done_tables(const struct conf_setting *const *tables, void *const *configs, size_t count);

/* The tables as --settings prints them: as text for people, or as Markdown rows for docs/settings.md. */
void conf_print_tables(const struct conf_setting *const *tables, size_t count, const char *program, bool markdown,
                       FILE *out);

/* The same for a single table. */
size_t conf_load(const struct conf_setting *table, void *config, FILE *complaints);
void conf_done(const struct conf_setting *table, void *config);
void conf_print(const struct conf_setting *table, const char *program, bool markdown, FILE *out);

#endif
