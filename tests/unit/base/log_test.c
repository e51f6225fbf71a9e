/* SPDX-License-Identifier: Apache-2.0
 * log and json
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

#include "../arena_fixture.h"

#include "base/banned.h"

static int log_fd = -1;
static int kept_stdout = -1;

/* Standard output goes to a file without a name until captured() gives it back, with what was written. */
static void capture(void)
{
	fflush(stdout);
	FILE *file = tmpfile();
	assert_non_null(file);
	log_fd = dup(fileno(file));
	fclose(file);
	kept_stdout = dup(STDOUT_FILENO);
	assert_true(dup2(log_fd, STDOUT_FILENO) >= 0);
}

static struct str captured(void)
{
	enum { MOST = 4 * 1024 * 1024 };
	char *text = arena_alloc(&arena, MOST);

	fflush(stdout);
	dup2(kept_stdout, STDOUT_FILENO);
	close(kept_stdout);
	ssize_t len = pread(log_fd, text, MOST, 0);
	close(log_fd);
	assert_true(len >= 0 && len < MOST);
	return str_span(text, (size_t)len);
}

/* The value of `field` in the JSON text of one line, which must be an object. */
static struct str field_of(struct str line, const char *field)
{
	const char *reason = "";
	json_t *object = json_parse(line, 1024 * 1024, &reason);

	if (!object)
		fail_msg("%s: %.*s", reason, STR_ARG(line));
	struct str value = str_dup(&arena, json_str(object, field));
	json_decref(object);
	return value;
}

static void a_line_has_all_its_fields(void **state)
{
	struct uuid id = { { 0xab } };
	struct err err;

	(void)state;
	err_set(&err, ERR_TEMP, "could not");
	log_init("threader", LOG_INFO);
	capture();
	log_info("mail.attached", LOG_UUID("case", id), LOG_INT("bytes", -5), LOG_REAL("seconds", 0.25),
	         LOG_REAL("odd", NAN), LOG_BOOL("quiet", true), LOG_TEXT("kind", "reply"), LOG_TEXT("none", NULL),
	         LOG_ERR(&err), LOG_END);
	struct str text = captured();
	struct str tail =
		STR("\"level\":\"info\",\"service\":\"threader\",\"event\":\"mail.attached\","
	        "\"case\":\"ab000000-0000-0000-0000-000000000000\",\"bytes\":-5,\"seconds\":0.25,\"odd\":null,"
	        "\"quiet\":true,\"kind\":\"reply\",\"none\":\"\",\"error\":\"could not\"}\n");
	assert_true(str_starts(text, STR("{\"time\":\"2")));
	assert_true(str_ends(text, tail));
	int64_t when;
	assert_true(clock_parse(field_of(text, "time"), &when));
}

static void strangers_bytes_are_escaped(void **state)
{
	static const struct {
		struct str value, escaped;
	} cases[] = {
		{ STR("a\"b\\c"), STR("a\\\"b\\\\c") },
		{ STR("a\nb\rc\td\0e\x1b[31m\x7f"), STR("a\\u000ab\\u000dc\\u0009d\\u0000e\\u001b[31m\\u007f") },
		{ STR("\xc3\xa4\xf0\x9f\x98\x80"), STR("\xc3\xa4\xf0\x9f\x98\x80") },
		{ STR("a\xff"
		      "b\xc3"),
		  STR("a\\ufffdb\\ufffd") },
		{ STR("\xed\xa0\x80"), STR("\\ufffd\\ufffd\\ufffd") },
		{ STR("\xc2\x9b"
		      "1m\xc2\xa0"),
		  STR("\\u009b1m\xc2\xa0") }, /* a control sequence in one character */
		{ STR(""), STR("") },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		capture();
		log_warn("x", LOG_STR("value", cases[i].value), LOG_END);
		struct str text = captured();
		struct str tail = str_printf(&arena, "\"value\":\"%.*s\"}\n", STR_ARG(cases[i].escaped));
		if (!str_ends(text, tail))
			fail_msg("%.*s lacks %.*s", STR_ARG(text), STR_ARG(tail));
	}
}

static void long_strings_are_cut_between_characters(void **state)
{
	char long_text[1500];

	(void)state;
	memset(long_text, 'x', sizeof long_text);
	capture();
	log_info("x", LOG_STR("value", str_span(long_text, 1000)), LOG_END);
	assert_int_equal(field_of(captured(), "value").len, 1000);
	memcpy(long_text + 999, "\xc3\xa4", 2);
	capture();
	log_info("x", LOG_STR("value", str_span(long_text, 1500)), LOG_END);
	struct str value = field_of(captured(), "value");
	assert_int_equal(value.len, 999 + strlen("…"));
	assert_true(str_ends(value, STR("x…")));
}

static void a_field_that_does_not_fit_is_left_out(void **state)
{
	char bytes[1000];

	(void)state;
	memset(bytes, 0x01, sizeof bytes); /* six bytes each, escaped */
	struct str s = str_span(bytes, sizeof bytes);
	capture();
	log_info("x", LOG_STR("a", s), LOG_STR("b", s), LOG_STR("c", s), LOG_STR("d", s), LOG_STR("e", s), LOG_STR("f", s),
	         LOG_STR("g", s), LOG_STR("h", s), LOG_STR("i", s), LOG_STR("j", s), LOG_STR("k", s), LOG_STR("l", s),
	         LOG_END);
	struct str text = captured();
	assert_true(str_ends(text, STR("}\n")));
	assert_int_equal(field_of(text, "a").len, 1000);
	assert_int_equal(field_of(text, "j").len, 1000);
	assert_int_equal(field_of(text, "l").len, 0);
}

static void levels_below_the_least_are_silent(void **state)
{
	enum log_level level = LOG_ERROR;

	(void)state;
	log_init("threader", LOG_WARN);
	capture();
	log_debug("a", LOG_END);
	log_info("b", LOG_END);
	log_warn("c", LOG_END);
	log_error("d", LOG_END);
	struct str text = captured(), line;
	assert_true(str_next_line(&text, &line) && str_eq(field_of(line, "event"), STR("c")));
	assert_true(str_next_line(&text, &line) && str_eq(field_of(line, "level"), STR("error")));
	assert_false(str_next_line(&text, &line));
	assert_true(log_level_parse(STR("debug"), &level));
	assert_int_equal(level, LOG_DEBUG);
	assert_false(log_level_parse(STR("Debug"), &level));
	assert_false(log_level_parse(STR(""), &level));
	log_init("threader", LOG_INFO);
}

enum { THREADS = 4, LINES = 500 };

static void *write_lines(void *unused)
{
	char value[700];

	memset(value, 'y', sizeof value);
	for (int i = 0; i < LINES; i++)
		log_info("x", LOG_STR("value", str_span(value, sizeof value)), LOG_END);
	return unused;
}

static void threads_do_not_mix_their_lines(void **state)
{
	pthread_t threads[THREADS];
	struct str line;
	int count = 0;

	(void)state;
	capture();
	for (int t = 0; t < THREADS; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, write_lines, NULL), 0);
	for (int t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	struct str text = captured();
	for (; str_next_line(&text, &line); count++)
		assert_int_equal(field_of(line, "value").len, 700);
	assert_int_equal(count, THREADS * LINES);
}

static void json_keeps_strangers_bytes_as_text(void **state)
{
	json_t *object CLEANUP(json_done) = json_object();

	(void)state;
	json_put_str(object, "bad", STR("a\0\xff"));
	json_put_str(object, "none", STR_NULL);
	json_put_int(object, "most", INT64_MAX);
	json_put_bool(object, "flag", false);
	json_put_uuid(object, "id", (struct uuid){ { [15] = 1 } });
	json_put_uuid(object, "null_id", (struct uuid){ { 0 } });
	json_put(object, "nothing", NULL);
	json_put(object, "when", json_time(0));
	struct str text = json_dump(&arena, object);
	assert_true(str_eq(text, STR("{\"bad\":\"a\xef\xbf\xbd\xef\xbf\xbd\",\"none\":\"\",\"most\":9223372036854775807,"
	                             "\"flag\":false,\"id\":\"00000000-0000-0000-0000-000000000001\",\"null_id\":null,"
	                             "\"nothing\":null,\"when\":\"1970-01-01T00:00:00Z\"}")));
	assert_true(str_eq(json_str(object, "when"), STR("1970-01-01T00:00:00Z")));
	assert_true(str_eq(json_str(object, "most"), STR("")));
	assert_true(str_eq(json_str(object, "absent"), STR("")));
	assert_true(str_eq(json_str(NULL, "absent"), STR("")));
	capture();
	json_print_line(stdout, object);
	struct str line = captured();
	assert_true(str_eq(line, str_printf(&arena, "%.*s\n", STR_ARG(text))));
}

static void json_refuses_with_a_reason(void **state)
{
	static const struct {
		struct str text;
		const char *reason; /* part of it; NULL: good */
	} cases[] = {
		{ STR("{\"a\":[1,2.5,null]}"), NULL },
		{ STR("{\"a\":1,\"a\":2}"), "duplicate" },
		{ STR("{\"a\":1"), "}" },
		{ STR("{} x"), "end of file" },
		{ STR(""), "expected" },
		{ STR("{\"a\":\"\\u0000\"}"), "\\u0000" },
		{ STR("{\"a\":\"\xff\"}"), "unable to decode" },
		{ STR("{\"a\":99999999999999999999}"), "too big" },
		{ STR("{\"a\":\"0123456789012345678901234567890\"}"), "longer than 32 bytes" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *reason = NULL;
		json_t *json CLEANUP(json_done) = json_parse(cases[i].text, 32, &reason);
		assert_int_equal(json != NULL, cases[i].reason == NULL);
		if (cases[i].reason && !strstr(reason, cases[i].reason))
			fail_msg("%.*s: %s", STR_ARG(cases[i].text), reason);
	}
	assert_null(json_parse(STR("["), 32, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_all_its_fields),
		cmocka_unit_test(strangers_bytes_are_escaped),
		cmocka_unit_test(long_strings_are_cut_between_characters),
		cmocka_unit_test(a_field_that_does_not_fit_is_left_out),
		cmocka_unit_test(levels_below_the_least_are_silent),
		cmocka_unit_test(threads_do_not_mix_their_lines),
		cmocka_unit_test(json_keeps_strangers_bytes_as_text),
		cmocka_unit_test(json_refuses_with_a_reason),
	};
	return cmocka_run_group_tests(tests, take_arena, drop_arena);
}
