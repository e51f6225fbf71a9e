/* SPDX-License-Identifier: Apache-2.0
 * clock and backoff
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/backoff.h"
#include "base/clock.h"

#include "base/banned.h"

static void prints_rfc_3339(void **state)
{
	static const struct {
		int64_t us;
		const char *expected;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00Z" },
		{ 1, "1970-01-01T00:00:00.000001Z" },
		{ -1, "1969-12-31T23:59:59.999999Z" },
		{ INT64_C(1769860800123456), "2026-01-31T12:00:00.123456Z" },
		{ INT64_C(951782400000000), "2000-02-29T00:00:00Z" },
		{ INT64_C(4107542400000000), "2100-03-01T00:00:00Z" }, /* 2100 has no leap day */
		{ INT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z" },
		{ INT64_C(253402300800000000), "9999-12-31T23:59:59.999999Z" },
		{ INT64_MAX, "9999-12-31T23:59:59.999999Z" },
		{ INT64_C(-62167219200000000), "0000-01-01T00:00:00Z" },
		{ INT64_MIN, "0000-01-01T00:00:00Z" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[CLOCK_TEXT_LEN + 1];
		assert_string_equal(clock_rfc3339(cases[i].us, text), cases[i].expected);
	}
}

static void reads_rfc_3339(void **state)
{
	static const struct {
		const char *text;
		bool good;
		int64_t us;
	} cases[] = {
		{ "1970-01-01T00:00:00Z", true, 0 },
		{ "1970-01-01t00:00:00z", true, 0 },
		{ "1970-01-01 00:00:00Z", true, 0 },
		{ "1970-01-01", true, 0 },
		{ "1970-01-01T00:00:00.5Z", true, 500000 },
		{ "1970-01-01T00:00:00.123456789123Z", true, 123456 },
		{ "1969-12-31T23:59:59.999999Z", true, -1 },
		{ "1970-01-01T01:00:00+01:00", true, 0 },
		{ "1969-12-31T18:30:00-05:30", true, 0 },
		{ "1970-01-01T00:00:00-00:00", true, 0 },
		{ "2000-02-29", true, INT64_C(951782400000000) },
		{ "1990-12-31T23:59:60Z", true, INT64_C(662688000000000) },
		{ "1990-12-31T15:59:60-08:00", true, INT64_C(662688000000000) },
		{ "9999-12-31T23:59:59.999999Z", true, INT64_C(253402300799999999) },
		{ "0000-01-01T00:00:00Z", true, INT64_C(-62167219200000000) },
		{ "1990-12-31T15:59:60Z", false, 0 },
		{ "1990-12-31T23:59:61Z", false, 0 },
		{ "1900-02-29", false, 0 },
		{ "2001-02-29", false, 0 },
		{ "2001-04-31", false, 0 },
		{ "2001-00-01", false, 0 },
		{ "2001-13-01", false, 0 },
		{ "2001-01-00", false, 0 },
		{ "2001-01-01T24:00:00Z", false, 0 },
		{ "2001-01-01T00:60:00Z", false, 0 },
		{ "2001-01-01T00:00:00", false, 0 },
		{ "2001-01-01T00:00Z", false, 0 },
		{ "2001-01-01T00:00:00.Z", false, 0 },
		{ "2001-01-01T00:00:00,5Z", false, 0 },
		{ "2001-01-01T00:00:00+0100", false, 0 },
		{ "2001-01-01T00:00:00+24:00", false, 0 },
		{ "2001-01-01T00:00:00+01:60", false, 0 },
		{ "2001-01-01T00:00:00Zx", false, 0 },
		{ "2001-01-01x", false, 0 },
		{ "2001-1-1", false, 0 },
		{ "-001-01-01", false, 0 },
		{ "2001-01--1", false, 0 },
		{ "20010101", false, 0 },
		{ "", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t us = 42;
		if (clock_parse(str_of(cases[i].text), &us) != cases[i].good || us != (cases[i].good ? cases[i].us : 42))
			fail_msg("\"%s\" gave %lld", cases[i].text, (long long)us);
	}
}

static void what_is_printed_reads_back(void **state)
{
	(void)state;
	/* Steps of a prime number of microseconds, so that every field takes many values. */
	for (int64_t us = INT64_C(-62167219200000000); us < INT64_C(253402300800000000); us += INT64_C(9857734100567)) {
		char text[CLOCK_TEXT_LEN + 1];
		int64_t again;
		assert_true(clock_parse(str_of(clock_rfc3339(us, text)), &again));
		assert_true(again == us);
	}
}

static void clocks_run(void **state)
{
	int64_t mono = clock_mono_ms(), later, wall;

	(void)state;
	assert_true(clock_mono_ms() >= mono);
	assert_true(clock_parse(STR("2020-01-01"), &later));
	wall = clock_wall_us();
	assert_true(wall > later);
}

static void waits_grow_to_the_most(void **state)
{
	static const struct {
		unsigned failures;
		int64_t first, most;
		double random;
		int64_t expected;
	} cases[] = {
		{ 0, 100, 60000, 0.9, 100 },
		{ 1, 100, 60000, 0.0, 100 },
		{ 1, 100, 60000, 0.5, 150 },
		{ 3, 100, 60000, 0.5, 450 },
		{ 20, 100, 60000, 0.0, 100 },
		{ 20, 100, 60000, 0.5, 30050 },
		{ 4000000000U, 100, 60000, 0.999999, 59999 },
		{ 70, 3, INT64_MAX, 0.0, 3 },
		{ 5, 0, 1000, 0.5, 0 },
		{ 5, 1000, 10, 0.5, 10 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_true(backoff_delay_ms(cases[i].failures, cases[i].first, cases[i].most, cases[i].random) ==
		            cases[i].expected);
}

static void failures_count_until_reset(void **state)
{
	struct backoff backoff;

	(void)state;
	backoff_init(&backoff, 100, 5000);
	for (int i = 1; i <= 200; i++) {
		int64_t most = i < 6 ? INT64_C(100) << i : 5000, wait = backoff_next_ms(&backoff);
		assert_true(wait >= 100 && wait <= most);
	}
	backoff_reset(&backoff);
	assert_true(backoff_next_ms(&backoff) <= 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_rfc_3339),
		cmocka_unit_test(reads_rfc_3339),
		cmocka_unit_test(what_is_printed_reads_back),
		cmocka_unit_test(clocks_run),
		cmocka_unit_test(waits_grow_to_the_most),
		cmocka_unit_test(failures_count_until_reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
