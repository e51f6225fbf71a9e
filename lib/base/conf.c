/* SPDX-License-Identifier: Apache-2.0 */
#include "conf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "err.h"

#include "banned.h"

#define PREFIX "MAILCASE_"
#define FILE_MOST ((size_t)64 * 1024)
#define NAME_MOST ((size_t)64)

extern char **environ;

static bool load_one(const struct conf_setting *setting, void *config, FILE *complaints);
static const char *value_of(const char *name);
static bool read_secret(const char *name, const char *path, struct buf *out, FILE *complaints);
static bool store(const struct conf_setting *setting, struct str value, void *config, FILE *complaints);
static bool parse_bool(struct str value, bool *out);
static bool is_choice(const char *choices, struct str value);
static size_t complain_of_slips(const struct conf_setting *const *tables, size_t count, FILE *complaints);
static bool names_setting(const struct conf_setting *setting, struct str name);
static size_t slips_between(struct str a, struct str b);
static void print_kind(const struct conf_setting *setting, FILE *out);
static void print_cell(const char *text, FILE *out);

size_t conf_load(const struct conf_setting *table, void *config, FILE *complaints)
{
	return conf_load_tables(&table, &config, 1, complaints);
}

void conf_done(const struct conf_setting *table, void *config)
{
	conf_done_tables(&table, &config, 1);
}

void conf_print(const struct conf_setting *table, const char *program, bool markdown, FILE *out)
{
	conf_print_tables(&table, 1, program, markdown, out);
}

size_t conf_load_tables(const struct conf_setting *const *tables, void *const *configs, size_t count, FILE *complaints)
{
	size_t mistakes = 0;

	for (size_t i = 0; i < count; i++)
		for (const struct conf_setting *setting = tables[i]; setting->name; setting++)
			mistakes += !load_one(setting, configs[i], complaints);
	return mistakes + complain_of_slips(tables, count, complaints);
}

void conf_done_tables(const struct conf_setting *const *tables, void *const *configs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (const struct conf_setting *setting = tables[i]; setting->name; setting++) {
			if (setting->kind == CONF_INT || setting->kind == CONF_BOOL)
				continue;
			char **text = (char **)(void *)((char *)configs[i] + setting->offset);
			if (*text && setting->kind == CONF_SECRET)
				explicit_bzero(*text, strlen(*text));
			free(*text);
			*text = NULL;
		}
}

void conf_print_tables(const struct conf_setting *const *tables, size_t count, const char *program, bool markdown,
                       FILE *out)
{
	if (!markdown)
		fprintf(out, "%s reads these settings from its environment:\n", program);
	for (size_t i = 0; i < count; i++)
		for (const struct conf_setting *setting = tables[i]; setting->name; setting++) {
			fprintf(out, markdown ? "| `%s` | " : "\n%s  (", setting->name);
			print_kind(setting, out);
			fputs(markdown ? " | " : "; ", out);
			if (setting->required)
				fputs("required", out);
			else if (setting->def && setting->def[0])
				fprintf(out, markdown ? "`%s`" : "default %s", setting->def);
			else
				fputs(markdown ? "–" : "no default", out);
			fputs(markdown ? " | " : ")\n    ", out);
			if (markdown)
				print_cell(setting->help ? setting->help : "", out);
			else
				fputs(setting->help ? setting->help : "", out);
			fputs(markdown ? " |\n" : "\n", out);
		}
}

static bool load_one(const struct conf_setting *setting, void *config, FILE *complaints)
{
	const char *value = value_of(setting->name), *path = NULL;
	struct buf secret CLEANUP(buf_done);

	buf_init(&secret, FILE_MOST);
	if (setting->kind == CONF_SECRET) {
		char name[NAME_MOST + sizeof "_FILE"];
		snprintf(name, sizeof name, "%.*s_FILE", (int)NAME_MOST, setting->name);
		path = value_of(name);
	}
	if (value && path) {
		fprintf(complaints, "%s and %s_FILE are both set: unset one\n", setting->name, setting->name);
		return false;
	}
	if (path) {
		bool stored = read_secret(setting->name, path, &secret, complaints) &&
		              store(setting, buf_str(&secret), config, complaints);
		if (secret.room)
			explicit_bzero(secret.at, secret.room);
		return stored;
	}
	if (!value && setting->required) {
		fprintf(complaints, "%s is not set: %s\n", setting->name, setting->help ? setting->help : "it has no default");
		return false;
	}
	if (!value)
		value = setting->def ? setting->def : "";
	if (value[0] == '\0' && (setting->kind == CONF_INT || setting->kind == CONF_BOOL))
		return true; /* without a default it stays zero */
	return store(setting, str_of(value), config, complaints);
}

static const char *value_of(const char *name)
{
	const char *value = getenv(name);

	return value && value[0] ? value : NULL;
}

/* The file without the line end that editors leave. */
static bool read_secret(const char *name, const char *path, struct buf *out, FILE *complaints)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = -1;

	if (fd >= 0) {
		/* All the room at once, so that no copy of a secret is left behind by growing. */
		char *place = buf_reserve(out, FILE_MOST);
		size_t len = 0;
		while (len < FILE_MOST && (got = read(fd, place + len, FILE_MOST - len)) > 0)
			len += (size_t)got;
		buf_grew(out, len);
	}
	int reason = errno;
	if (fd >= 0)
		close(fd);
	if (got < 0) {
		fprintf(complaints, "%s_FILE: cannot read %s: %s\n", name, path, strerror(reason));
		return false;
	}
	if (out->len == FILE_MOST) {
		fprintf(complaints, "%s_FILE: %s is longer than %zu bytes\n", name, path, FILE_MOST - 1);
		return false;
	}
	while (out->len && (out->at[out->len - 1] == '\n' || out->at[out->len - 1] == '\r'))
		out->at[--out->len] = '\0';
	if (out->len == 0 || memchr(out->at, '\0', out->len)) {
		fprintf(complaints, "%s_FILE: %s %s\n", name, path, out->len ? "holds a NUL byte" : "is empty");
		return false;
	}
	return true;
}

static bool store(const struct conf_setting *setting, struct str value, void *config, FILE *complaints)
{
	void *place = (char *)config + setting->offset;

	switch (setting->kind) {
	case CONF_INT: {
		int64_t number;
		if (!str_to_i64(value, INT64_MIN, INT64_MAX, &number)) {
			fprintf(complaints, "%s is \"%.*s\": not a whole number\n", setting->name,
			        STR_ARG(str_cut_utf8(value, 100)));
			return false;
		}
		if (number < setting->min || number > setting->max) {
			fprintf(complaints, "%s is %" PRId64 ": not between %" PRId64 " and %" PRId64 "\n", setting->name, number,
			        setting->min, setting->max);
			return false;
		}
		memcpy(place, &number, sizeof number);
		return true;
	}
	case CONF_BOOL: {
		bool flag;
		if (!parse_bool(value, &flag)) {
			fprintf(complaints, "%s is \"%.*s\": neither on nor off\n", setting->name,
			        STR_ARG(str_cut_utf8(value, 100)));
			return false;
		}
		memcpy(place, &flag, sizeof flag);
		return true;
	}
	case CONF_CHOICE:
		if (!is_choice(setting->choices, value)) {
			fprintf(complaints, "%s is \"%.*s\": not one of %s\n", setting->name, STR_ARG(str_cut_utf8(value, 100)),
			        setting->choices);
			return false;
		}
		break;
	case CONF_TEXT:
	case CONF_SECRET:
		break;
	}
	char *text = xstrdup(value.at);
	memcpy(place, &text, sizeof text);
	return true;
}

static bool parse_bool(struct str value, bool *out)
{
	static const struct {
		const char *word;
		bool flag;
	} words[] = { { "on", true },   { "true", true },   { "yes", true }, { "1", true },
		          { "off", false }, { "false", false }, { "no", false }, { "0", false } };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq_nocase(value, str_of(words[i].word))) {
			*out = words[i].flag;
			return true;
		}
	return false;
}

static bool is_choice(const char *choices, struct str value)
{
	struct str rest = str_of(choices), choice;

	while (str_next(&rest, '|', &choice))
		if (str_eq(choice, value))
			return true;
	return false;
}

static size_t complain_of_slips(const struct conf_setting *const *tables, size_t count, FILE *complaints)
{
	size_t mistakes = 0;

	for (char **variable = environ; variable && *variable; variable++) {
		struct str rest = str_of(*variable), name;
		if (!str_next(&rest, '=', &name) || !str_starts(name, STR(PREFIX)) || name.len > NAME_MOST)
			continue;
		const char *meant = NULL;
		/* A slip is at most one letter in five of what follows the prefix, and at most three: shorter names differ by
		 * as much and are both right. */
		size_t least = (name.len - strlen(PREFIX)) / 5;
		least = (least < 1 ? 1 : least > 3 ? 3 : least) + 1;
		for (size_t i = 0; i < count && least; i++)
			for (const struct conf_setting *setting = tables[i]; setting->name && least; setting++) {
				size_t slips = names_setting(setting, name) ? 0 : slips_between(name, str_of(setting->name));
				if (slips < least) {
					least = slips;
					meant = setting->name;
				}
			}
		if (meant && least > 0) {
			fprintf(complaints, "%.*s is no setting: did you mean %s?\n", STR_ARG(name), meant);
			mistakes++;
		}
	}
	return mistakes;
}

static bool names_setting(const struct conf_setting *setting, struct str name)
{
	struct str known = str_of(setting->name);

	return str_eq(name, known) || (setting->kind == CONF_SECRET && name.len == known.len + strlen("_FILE") &&
	                               str_starts(name, known) && str_ends(name, STR("_FILE")));
}

/* How many letters to put in, take out, change, or swap with their neighbour make `a` into `b`. */
static size_t slips_between(struct str a, struct str b)
{
	size_t rows[3][NAME_MOST + 1];
	size_t *before = rows[0], *last = rows[1], *row = rows[2];

	if (b.len > NAME_MOST)
		return SIZE_MAX;
	for (size_t j = 0; j <= b.len; j++)
		last[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		row[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			size_t best = last[j - 1] + (a.at[i - 1] != b.at[j - 1]);
			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1] && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			row[j] = best;
		}
		size_t *oldest = before;
		before = last;
		last = row;
		row = oldest;
	}
	return last[b.len];
}

static void print_kind(const struct conf_setting *setting, FILE *out)
{
	struct str rest, choice;

	switch (setting->kind) {
	case CONF_INT:
		fprintf(out, "%" PRId64 " to %" PRId64, setting->min, setting->max);
		break;
	case CONF_BOOL:
		fputs("on or off", out);
		break;
	case CONF_TEXT:
		fputs("text", out);
		break;
	case CONF_SECRET:
		fputs("secret, also as a file: NAME_FILE", out);
		break;
	case CONF_CHOICE:
		rest = str_of(setting->choices);
		for (const char *comma = ""; str_next(&rest, '|', &choice); comma = ", ")
			fprintf(out, "%s%.*s", comma, STR_ARG(choice));
		break;
	}
}

/* A bar would end the cell of the Markdown table. */
static void print_cell(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (*text == '|')
			fputc('\\', out);
		fputc(*text, out);
	}
}
