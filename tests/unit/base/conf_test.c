/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"

#include "base/banned.h"

struct sample {
	int64_t batch_max;
	bool is_on;
	char *name;
	char *password;
	char *level;
};

struct common {
	char *database_url;
};

static const struct conf_setting sample_table[] = {
	{ "MAILCASE_BATCH_MAX", CONF_INT, offsetof(struct sample, batch_max), .def = "200", .min = 1, .max = 1000,
	  .help = "mails taken per turn" },
	{ "MAILCASE_RELAY", CONF_BOOL, offsetof(struct sample, is_on), .def = "on", .help = "take part in relaying" },
	{ "MAILCASE_NAME", CONF_TEXT, offsetof(struct sample, name), .help = "what it is called" },
	{ "MAILCASE_PASSWORD", CONF_SECRET, offsetof(struct sample, password), .help = "a | secret" },
	{ "MAILCASE_LEVEL", CONF_CHOICE, offsetof(struct sample, level), .def = "info", .choices = "debug|info|warn",
	  .help = "least level" },
	{ 0 },
};

static const struct conf_setting common_table[] = {
	{ "MAILCASE_DATABASE_URL", CONF_SECRET, offsetof(struct common, database_url), .required = true,
	  .help = "how to reach PostgreSQL" },
	{ 0 },
};

static struct sample sample;
static char *complaints;
static size_t complaints_len;

/* Loads sample_table under exactly these variables (NULL ends the list). */
static size_t load(const char *const *variables)
{
	clearenv();
	for (; *variables; variables++)
		putenv((char *)(uintptr_t)*variables);
	conf_done(sample_table, &sample);
	free(complaints);
	sample = (struct sample){ 0 };
	FILE *out = open_memstream(&complaints, &complaints_len);
	size_t mistakes = conf_load(sample_table, &sample, out);
	fclose(out);
	return mistakes;
}
#define LOAD(...) load((const char *const[]){ __VA_ARGS__, NULL })

static int forget(void **state)
{
	(void)state;
	conf_done(sample_table, &sample);
	free(complaints);
	complaints = NULL;
	return 0;
}

static void defaults_fill_what_is_not_set(void **state)
{
	(void)state;
	assert_int_equal(LOAD("HOME=/"), 0);
	assert_int_equal(sample.batch_max, 200);
	assert_true(sample.is_on);
	assert_string_equal(sample.name, "");
	assert_string_equal(sample.password, "");
	assert_string_equal(sample.level, "info");
	assert_string_equal(complaints, "");
	/* Set to nothing is not set. */
	assert_int_equal(LOAD("MAILCASE_BATCH_MAX=", "MAILCASE_RELAY=", "MAILCASE_LEVEL="), 0);
	assert_int_equal(sample.batch_max, 200);
	assert_true(sample.is_on);
	assert_string_equal(sample.level, "info");
}

static void values_of_each_kind(void **state)
{
	static const struct {
		const char *word;
		bool good, flag;
	} words[] = { { "on", true, true },   { "TRUE", true, true },    { "yes", true, true },  { "1", true, true },
		          { "off", true, false }, { "False", true, false },  { "no", true, false },  { "0", true, false },
		          { "2", false, false },  { "maybe", false, false }, { "on ", false, false } };
	static const struct {
		const char *number;
		size_t mistakes;
	} numbers[] = { { "1", 0 },    { "1000", 0 }, { "0", 1 },
		            { "1001", 1 }, { "ten", 1 },  { "1.5", 1 },
		            { " 5", 1 },   { "0x10", 1 }, { "99999999999999999999", 1 } };
	char variable[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		snprintf(variable, sizeof variable, "MAILCASE_RELAY=%s", words[i].word);
		assert_int_equal(LOAD(variable), !words[i].good);
		assert_int_equal(sample.is_on, words[i].flag);
	}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		snprintf(variable, sizeof variable, "MAILCASE_BATCH_MAX=%s", numbers[i].number);
		assert_int_equal(LOAD(variable), numbers[i].mistakes);
	}
	assert_int_equal(LOAD("MAILCASE_NAME=a=b c", "MAILCASE_PASSWORD=pw", "MAILCASE_LEVEL=warn"), 0);
	assert_string_equal(sample.name, "a=b c");
	assert_string_equal(sample.password, "pw");
	assert_string_equal(sample.level, "warn");
}

static void all_mistakes_are_named_at_once(void **state)
{
	(void)state;
	assert_int_equal(LOAD("MAILCASE_BATCH_MAX=5000", "MAILCASE_RELAY=perhaps", "MAILCASE_LEVEL=loud",
	                      "MAILCASE_PASSWORD=hunter2", "MAILCASE_PASSWORD_FILE=/nowhere", "MAILCASE_NAMME=x"),
	                 5);
	assert_string_equal(complaints, "MAILCASE_BATCH_MAX is 5000: not between 1 and 1000\n"
	                                "MAILCASE_RELAY is \"perhaps\": neither on nor off\n"
	                                "MAILCASE_PASSWORD and MAILCASE_PASSWORD_FILE are both set: unset one\n"
	                                "MAILCASE_LEVEL is \"loud\": not one of debug|info|warn\n"
	                                "MAILCASE_NAMME is no setting: did you mean MAILCASE_NAME?\n");
}

static void slips_are_told_from_other_programs_settings(void **state)
{
	static const struct {
		const char *variable;
		size_t mistakes;
	} cases[] = {
		{ "MAILCASE_BATCHMAX=1", 1 },     { "MAILCASE_BACTH_MAX=1", 1 }, { "MAILCASE_PASSWORD_FIL=1", 0 },
		{ "MAILCASE_BATCH_MAXX=1", 1 },   { "MAILCASE_LISTEN=1", 0 },    { "MAILCASE_RELAY_LEASE_MS=1", 0 },
		{ "MAILCASE_PASSWORDS=1", 1 },    { "MAILCASE=1", 0 },           { "MAILCASE_=1", 0 },
		{ "MAILCASE_batch_max=1", 0 },    { "BATCH_MAX=1", 0 },          { "MAILCASE_LEVELL=1", 1 },
		{ "MAILCASE_PASSWORD_FILE=", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (LOAD(cases[i].variable) != cases[i].mistakes)
			fail_msg("%s: %s", cases[i].variable, complaints);
}

static void secrets_come_from_files(void **state)
{
	static const struct {
		struct str content;
		size_t mistakes;
		const char *expected;
	} cases[] = {
		{ STR("pw\n"), 0, "pw" }, { STR("pw\r\n\n"), 0, "pw" }, { STR(" p w "), 0, " p w " },
		{ STR(""), 1, NULL },     { STR("\n"), 1, NULL },       { STR("a\0b"), 1, NULL },
	};
	char path[] = "/tmp/conf_test.XXXXXX", variable[128];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	snprintf(variable, sizeof variable, "MAILCASE_PASSWORD_FILE=%s", path);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, cases[i].content.at, cases[i].content.len, 0), cases[i].content.len);
		assert_int_equal(LOAD(variable), cases[i].mistakes);
		if (cases[i].expected)
			assert_string_equal(sample.password, cases[i].expected);
		else
			assert_null(sample.password);
	}
	assert_int_equal(ftruncate(fd, 64 * 1024), 0);
	assert_int_equal(LOAD(variable), 1);
	assert_non_null(strstr(complaints, "longer than 65535 bytes"));
	close(fd);
	unlink(path);
	assert_int_equal(LOAD(variable), 1);
	assert_non_null(strstr(complaints, "MAILCASE_PASSWORD_FILE: cannot read "));
	assert_non_null(strstr(complaints, "No such file"));
	assert_int_equal(LOAD("MAILCASE_PASSWORD_FILE=/"), 1);
	assert_non_null(strstr(complaints, "Is a directory"));
}

static void tables_are_loaded_together(void **state)
{
	const struct conf_setting *const tables[] = { common_table, sample_table };
	struct common common = { 0 };
	void *const configs[] = { &common, &sample };

	(void)state;
	forget(NULL);
	clearenv();
	putenv((char *)(uintptr_t) "MAILCASE_BATCH_MAX=0");
	putenv((char *)(uintptr_t) "MAILCASE_DATABSE_URL=x");
	FILE *out = open_memstream(&complaints, &complaints_len);
	assert_int_equal(conf_load_tables(tables, configs, 2, out), 3);
	fclose(out);
	assert_string_equal(complaints, "MAILCASE_DATABASE_URL is not set: how to reach PostgreSQL\n"
	                                "MAILCASE_BATCH_MAX is 0: not between 1 and 1000\n"
	                                "MAILCASE_DATABSE_URL is no setting: did you mean MAILCASE_DATABASE_URL?\n");
	conf_done_tables(tables, configs, 2);
	assert_null(sample.level);
	conf_done_tables(tables, configs, 2);
}

static void printed_tables_hold_no_values(void **state)
{
	const struct conf_setting *const tables[] = { common_table, sample_table };
	char *text;
	size_t len;

	(void)state;
	LOAD("MAILCASE_PASSWORD=hunter2");
	FILE *out = open_memstream(&text, &len);
	conf_print_tables(tables, 2, "threader", true, out);
	fclose(out);
	assert_string_equal(
		text, "| `MAILCASE_DATABASE_URL` | secret, also as a file: NAME_FILE | required | how to reach PostgreSQL |\n"
			  "| `MAILCASE_BATCH_MAX` | 1 to 1000 | `200` | mails taken per turn |\n"
			  "| `MAILCASE_RELAY` | on or off | `on` | take part in relaying |\n"
			  "| `MAILCASE_NAME` | text | – | what it is called |\n"
			  "| `MAILCASE_PASSWORD` | secret, also as a file: NAME_FILE | – | a \\| secret |\n"
			  "| `MAILCASE_LEVEL` | debug, info, warn | `info` | least level |\n");
	free(text);
	out = open_memstream(&text, &len);
	conf_print(common_table, "threader", false, out);
	fclose(out);
	assert_string_equal(text, "threader reads these settings from its environment:\n"
	                          "\nMAILCASE_DATABASE_URL  (secret, also as a file: NAME_FILE; required)\n"
	                          "    how to reach PostgreSQL\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_fill_what_is_not_set),  cmocka_unit_test(values_of_each_kind),
		cmocka_unit_test(all_mistakes_are_named_at_once), cmocka_unit_test(slips_are_told_from_other_programs_settings),
		cmocka_unit_test(secrets_come_from_files),        cmocka_unit_test(tables_are_loaded_together),
		cmocka_unit_test(printed_tables_hold_no_values),
	};
	return cmocka_run_group_tests(tests, NULL, forget);
}
