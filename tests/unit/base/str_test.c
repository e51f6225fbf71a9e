/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"

#include "../arena_fixture.h"

#include "base/banned.h"

#define assert_str(actual, expected) assert_true(str_eq(actual, expected))


static void finds_at_the_edges(void **state)
{
	static const struct {
		const char *s, *needle;
		size_t from;
		ptrdiff_t expected, expected_nocase;
	} cases[] = {
		{ "abcabc", "ca", 0, 2, 2 },      { "abcabc", "ca", 3, -1, -1 }, { "abcABC", "AB", 0, 3, 0 },
		{ "abc", "abc", 0, 0, 0 },        { "abc", "abcd", 0, -1, -1 },  { "abc", "", 3, 3, 3 },
		{ "abc", "", 4, -1, -1 },         { "", "", 0, 0, 0 },           { "", "a", 0, -1, -1 },
		{ "abc", "c", SIZE_MAX, -1, -1 }, { "aXb", "xB", 0, -1, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(str_find(str_of(cases[i].s), str_of(cases[i].needle), cases[i].from), cases[i].expected);
		assert_int_equal(str_find_nocase(str_of(cases[i].s), str_of(cases[i].needle), cases[i].from),
		                 cases[i].expected_nocase);
	}
	assert_int_equal(str_find_char(STR("a\0b"), '\0', 0), 1);
	assert_int_equal(str_find_char(STR("abc"), 'a', 1), -1);
	assert_int_equal(str_find_char(STR_NULL, 'a', 0), -1);
}

static void compares(void **state)
{
	(void)state;
	assert_true(str_eq(STR_NULL, STR("")));
	assert_false(str_eq(STR("a\0b"), STR("a\0c")));
	assert_true(str_eq_nocase(STR("Re:"), STR("RE:")));
	assert_false(str_eq_nocase(STR("\xc3\x84"), STR("\xc3\xa4"))); /* only A-Z is folded */
	assert_false(str_eq_nocase(STR("["), STR("{")));
	assert_true(str_cmp(STR("a"), STR("ab")) < 0);
	assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
	assert_int_equal(str_cmp(STR_NULL, STR("")), 0);
	assert_true(str_starts(STR("abc"), STR("ab")) && !str_starts(STR("a"), STR("ab")) && str_starts(STR(""), STR("")));
	assert_true(str_starts_nocase(STR("ABc"), STR("ab")) && !str_starts_nocase(STR("A"), STR("ab")));
	assert_true(str_ends(STR("abc"), STR("bc")) && !str_ends(STR("c"), STR("bc")) && str_ends(STR("x"), STR("")));
	assert_true(str_ends_nocase(STR("x.EML"), STR(".eml")) && !str_ends_nocase(STR("eml"), STR(".eml")));
}

static void slices_and_trims(void **state)
{
	static const struct {
		struct str s, expected;
	} trims[] = {
		{ STR(" \t\r\n a b \r\n"), STR("a b") }, { STR("   "), STR("") }, { STR(""), STR("") }, { STR("a"), STR("a") }
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(trims); i++)
		assert_str(str_trim(trims[i].s), trims[i].expected);
	assert_str(str_slice(STR("abc"), 1, 2), STR("b"));
	assert_str(str_slice(STR("abc"), 1, SIZE_MAX), STR("bc"));
	assert_str(str_slice(STR("abc"), 2, 1), STR(""));
	assert_str(str_slice(STR("abc"), 9, 12), STR(""));
	assert_int_equal(str_slice(STR_NULL, 0, 5).len, 0);
}

static void takes_pieces_and_lines(void **state)
{
	static const struct {
		struct str text;
		size_t count;
		struct str lines[4];
	} cases[] = {
		{ STR("a\r\nb\n\nc"), 4, { STR("a"), STR("b"), STR(""), STR("c") } },
		{ STR("a\r\n"), 1, { STR("a") } },
		{ STR("\n"), 1, { STR("") } },
		{ STR(""), 0, { STR("") } },
		{ STR("a\rb\r\r\n"), 1, { STR("a\rb\r") } },
		{ STR("a\r"), 1, { STR("a\r") } },
	};
	struct str rest, piece;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t count = 0;
		for (rest = cases[i].text; str_next_line(&rest, &piece); count++) {
			assert_true(count < cases[i].count);
			assert_str(piece, cases[i].lines[count]);
		}
		assert_int_equal(count, cases[i].count);
	}
	rest = STR("a,,b");
	assert_true(str_next(&rest, ',', &piece));
	assert_str(piece, STR("a"));
	assert_true(str_next(&rest, ',', &piece));
	assert_str(piece, STR(""));
	assert_true(str_next(&rest, ',', &piece));
	assert_str(piece, STR("b"));
	assert_false(str_next(&rest, ',', &piece));
}

static void reads_numbers_within_limits(void **state)
{
	static const struct {
		const char *text;
		int64_t least, most;
		bool good;
		int64_t expected;
	} cases[] = {
		{ "0", 0, 0, true, 0 },
		{ "-0", -1, 1, true, 0 },
		{ "007", 0, 10, true, 7 },
		{ "9223372036854775807", INT64_MIN, INT64_MAX, true, INT64_MAX },
		{ "-9223372036854775808", INT64_MIN, INT64_MAX, true, INT64_MIN },
		{ "9223372036854775808", INT64_MIN, INT64_MAX, false, 0 },
		{ "-9223372036854775809", INT64_MIN, INT64_MAX, false, 0 },
		{ "99999999999999999999999999", INT64_MIN, INT64_MAX, false, 0 },
		{ "11", 0, 10, false, 0 },
		{ "-1", 0, 10, false, 0 },
		{ "", 0, 10, false, 0 },
		{ "-", -10, 10, false, 0 },
		{ "+1", 0, 10, false, 0 },
		{ " 1", 0, 10, false, 0 },
		{ "1 ", 0, 10, false, 0 },
		{ "1a", 0, 10, false, 0 },
		{ "0x1", 0, 10, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t number = 42;
		assert_int_equal(str_to_i64(str_of(cases[i].text), cases[i].least, cases[i].most, &number), cases[i].good);
		assert_true(number == (cases[i].good ? cases[i].expected : 42));
	}
}

static void knows_utf8_from_what_resembles_it(void **state)
{
	static const struct {
		const char *why;
		struct str s;
		bool is_text;
		struct str scrubbed;
	} cases[] = {
		{ "ascii", STR("abc"), true, STR("abc") },
		{ "empty", STR(""), true, STR("") },
		{ "two bytes", STR("\xc2\x80\xdf\xbf"), true, STR("\xc2\x80\xdf\xbf") },
		{ "three bytes", STR("\xe0\xa0\x80\xef\xbf\xbf"), true, STR("\xe0\xa0\x80\xef\xbf\xbf") },
		{ "four bytes", STR("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"), true, STR("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf") },
		{ "around the surrogates", STR("\xed\x9f\xbf\xee\x80\x80"), true, STR("\xed\x9f\xbf\xee\x80\x80") },
		{ "NUL", STR("a\0b"), false,
		  STR("a\xef\xbf\xbd"
		      "b") },
		{ "surrogate", STR("\xed\xa0\x80"), false, STR("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") },
		{ "overlong two", STR("\xc0\xaf"), false, STR("\xef\xbf\xbd\xef\xbf\xbd") },
		{ "overlong two, last", STR("\xc1\xbf"), false, STR("\xef\xbf\xbd\xef\xbf\xbd") },
		{ "overlong three", STR("\xe0\x9f\xbf"), false, STR("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") },
		{ "overlong four", STR("\xf0\x8f\xbf\xbf"), false, STR("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") },
		{ "past U+10FFFF", STR("\xf4\x90\x80\x80"), false, STR("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") },
		{ "lone continuation", STR("a\x80z"), false, STR("a\xef\xbf\xbdz") },
		{ "cut off", STR("a\xe2\x82"), false, STR("a\xef\xbf\xbd\xef\xbf\xbd") },
		{ "latin 1", STR("M\xfcller"), false, STR("M\xef\xbf\xbdller") },
		{ "good around bad", STR("\xc3\xa4\xff\xc3\xb6"), false, STR("\xc3\xa4\xef\xbf\xbd\xc3\xb6") },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str clean = str_scrub(&arena, cases[i].s);
		if (str_is_text(cases[i].s) != cases[i].is_text || !str_eq(clean, cases[i].scrubbed) || !str_is_text(clean))
			fail_msg("%s", cases[i].why);
		if (cases[i].is_text)
			assert_ptr_equal(clean.at, cases[i].s.at);
	}
	assert_int_equal(str_utf8_char(STR_NULL), 0);
	assert_int_equal(str_utf8_char(STR("\xf0\x9f\x98\x80x")), 4);
}

static void cuts_between_characters(void **state)
{
	static const struct {
		struct str s;
		size_t limit, expected;
	} cases[] = {
		{ STR("abc"), 5, 3 },
		{ STR("abc"), 2, 2 },
		{ STR("a\xc3\xa4"), 2, 1 },
		{ STR("a\xc3\xa4"), 3, 3 },
		{ STR("a\xc3\xa4z"), 3, 3 },
		{ STR("\xf0\x9f\x98\x80z"), 3, 0 },
		{ STR("\xf0\x9f\x98\x80z"), 4, 4 },
		{ STR("\xf0\x9f\x98\x80\xf0\x9f\x98\x80"), 5, 4 },
		{ STR("\x80\x80\x80\x80\x80\x80"), 4, 4 }, /* not UTF-8: nothing to keep whole */
		{ STR("\xc3\xa4"), 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(str_cut_utf8(cases[i].s, cases[i].limit).len, cases[i].expected);
}

static void copies_into_the_arena(void **state)
{
	struct str s = STR("ABc\xc3\x84");

	(void)state;
	assert_str(str_lower(&arena, s), STR("abc\xc3\x84"));
	assert_str(str_dup(&arena, s), s);
	assert_true(str_dup(&arena, s).at != s.at);
	assert_string_equal(str_cstr(&arena, str_slice(s, 0, 2)), "AB");
	assert_string_equal(str_cstr(&arena, STR_NULL), "");
	assert_str(str_printf(&arena, "%d-%s", 7, "x"), STR("7-x"));
	assert_str(str_printf(&arena, "%.*s", STR_ARG(STR_NULL)), STR(""));
	assert_str(str_hex(&arena, "\x00\xff\x1a", 3), STR("00ff1a"));
	assert_str(str_hex(&arena, "", 0), STR(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_at_the_edges),
		cmocka_unit_test(compares),
		cmocka_unit_test(slices_and_trims),
		cmocka_unit_test(takes_pieces_and_lines),
		cmocka_unit_test(reads_numbers_within_limits),
		cmocka_unit_test(knows_utf8_from_what_resembles_it),
		cmocka_unit_test(cuts_between_characters),
		cmocka_unit_test(copies_into_the_arena),
	};
	return cmocka_run_group_tests(tests, take_arena, drop_arena);
}
