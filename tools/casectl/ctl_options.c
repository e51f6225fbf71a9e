/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_options.h"

#include <getopt.h>
#include <string.h>

#include "base/str.h"

#include "base/banned.h"

#define HELP_COLUMN 34
#define FIRST_LONG 256 /* past all short ones */

static size_t table_len(const struct option_def *table);
static bool take(struct arena *arena, struct option_value *value, const char *text);
static bool is_choice(const char *choices, const char *text);
static bool is_exact(const struct option_def *def, char **argv, const char *value);
static void explain(int which, const struct option_value *values, char **argv);

bool options_parse(struct arena *arena, const struct option_def *own, const struct option_def *common, int argc,
                   char **argv, bool stop_at_operand, struct options *out)
{
	size_t own_len = table_len(own), len = own_len + table_len(common);
	struct option_value *values = ARENA_ARRAY(arena, struct option_value, len + 1);
	struct option *longs = ARENA_ARRAY(arena, struct option, len + 2);

	for (size_t i = 0; i < len; i++) {
		const struct option_def *def = i < own_len ? &own[i] : &common[i - own_len];
		values[i].def = def;
		longs[i] = (struct option){ def->name, def->kind == OPTION_FLAG ? no_argument : required_argument, NULL,
			                    (int)i + FIRST_LONG };
	}
	longs[len] = (struct option){ "help", no_argument, NULL, 'h' };
	*out = (struct options){ .values = values, .values_len = len };
	optind = 0; /* glibc: begin anew */
	opterr = 0; /* its words repeat what was given, and that may be a password */
	for (int which; (which = getopt_long(argc, argv, stop_at_operand ? "+:h" : ":h", longs, NULL)) != -1;) {
		if (which == 'h') {
			out->wants_help = true;
			continue;
		}
		if (which == '?' || which == ':' || !is_exact(values[which - FIRST_LONG].def, argv, optarg)) {
			explain(which, values, argv);
			return false;
		}
		if (!take(arena, &values[which - FIRST_LONG], optarg))
			return false;
	}
	out->operands = argv + optind;
	out->operands_len = argc - optind;
	return true;
}

const struct option_value *options_find(const struct options *options, const char *name)
{
	for (size_t i = 0; i < options->values_len; i++)
		if (strcmp(options->values[i].def->name, name) == 0)
			return &options->values[i];
	return NULL;
}

bool options_complete(const struct options *options)
{
	bool complete = true;

	for (size_t i = 0; i < options->values_len; i++) {
		const struct option_value *value = &options->values[i];
		if (value->def->required && value->given_len == 0) {
			fprintf(stderr, "casectl: --%s is missing: %s\n", value->def->name, value->def->help);
			complete = false;
		}
	}
	return complete;
}

void options_help(const struct option_def *table, FILE *out)
{
	for (; table && table->name; table++) {
		int width = fprintf(out, "  --%s%s%s", table->name, table->argument ? " " : "",
		                    table->argument ? table->argument : table->kind == OPTION_SWITCH ? " on|off" : "");
		if (width >= HELP_COLUMN) {
			fputc('\n', out);
			width = 0;
		}
		fprintf(out, "%*s%s%s%s\n", HELP_COLUMN - width, "", table->help, table->required ? " (required)" : "",
		        table->kind == OPTION_LIST ? " (may be given again)" : "");
	}
}

static size_t table_len(const struct option_def *table)
{
	size_t len = 0;

	while (table && table[len].name)
		len++;
	return len;
}

/* The word that getopt_long has just dealt with. */
static struct str word_of(char **argv, const char *value)
{
	struct str word = str_of(argv[optind - 1]), name;

	if (value && value == argv[optind - 1])
		word = str_of(argv[optind - 2]);
	return str_next(&word, '=', &name) ? name : STR("");
}

/* getopt_long takes abbreviations: --password for --password-file would go and look for a file of that name. */
static bool is_exact(const struct option_def *def, char **argv, const char *value)
{
	struct str word = word_of(argv, value);

	return str_eq(str_slice(word, 2, word.len), str_of(def->name));
}

static void explain(int which, const struct option_value *values, char **argv)
{
	const char *name = (which == ':' || which == '?') && optopt >= FIRST_LONG ? values[optopt - FIRST_LONG].def->name : NULL;

	if (name && which == ':')
		fprintf(stderr, "casectl: --%s takes a value; --help says which\n", name);
	else if (name)
		fprintf(stderr, "casectl: --%s takes no value\n", name);
	else if (which == '?' && optopt)
		fprintf(stderr, "casectl: there is no option -%c; --help lists what there is\n", optopt);
	else
		fprintf(stderr, "casectl: there is no option %.*s; --help lists what there is\n",
		        STR_ARG(word_of(argv, optarg)));
}

bool options_is_line(const char *text)
{
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return false;
	return str_is_text(str_of(text));
}

/* One occurrence; what is wrong with it is printed here, where the option's name is known. */
static bool take(struct arena *arena, struct option_value *value, const char *text)
{
	const struct option_def *def = value->def;

	if (value->given_len == value->given_room) {
		size_t room = value->given_room ? value->given_room * 2 : 4;
		const char **more = ARENA_ARRAY(arena, const char *, room);
		for (size_t i = 0; i < value->given_len; i++)
			more[i] = value->given[i];
		value->given = more;
		value->given_room = room;
	}
	value->given[value->given_len++] = text ? text : "";
	if ((def->kind == OPTION_TEXT || def->kind == OPTION_LIST) && !def->is_prose && !options_is_line(text)) {
		fprintf(stderr, "casectl: --%s: one line of UTF-8 is expected\n", def->name);
		return false;
	}
	if (def->kind == OPTION_INT && !str_to_i64(str_of(text), def->min, def->max, &value->number)) {
		fprintf(stderr, "casectl: --%s %s: a number from %lld to %lld is expected\n", def->name, text,
		        (long long)def->min, (long long)def->max);
		return false;
	}
	if (def->kind == OPTION_SWITCH) {
		value->number = strcmp(text, "on") == 0;
		if (!value->number && strcmp(text, "off") != 0) {
			fprintf(stderr, "casectl: --%s %s: on or off is expected\n", def->name, text);
			return false;
		}
	}
	if (def->kind == OPTION_CHOICE && !is_choice(def->argument, text)) {
		fprintf(stderr, "casectl: --%s %s: one of %s is expected\n", def->name, text, def->argument);
		return false;
	}
	return true;
}

static bool is_choice(const char *choices, const char *text)
{
	struct str left = str_of(choices), choice;

	while (str_next(&left, '|', &choice))
		if (str_eq(choice, str_of(text)))
			return true;
	return false;
}
