/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "domain/token.h"

#include "base/banned.h"

static struct token_key ring[] = {
	{ .id = 9, .secret = "the newest secret of three here" },
	{ .id = 4, .secret = "an older secret that has retired", .is_retired = true },
};
static const struct token_keys keys = { .tenant = { { { 1, 2, 3 } } }, .at = ring, .len = 2 };

static struct str made(const struct token_keys *with, int64_t serial, char out[TOKEN_LEN + 1])
{
	assert_true(token_make(with, serial, out));
	return str_of(out);
}

static void test_round_trip(void **state)
{
	(void)state;
	static const int64_t serials[] = { 1, 2, 235, 255, 256, 65536, INT64_C(1) << 40, INT64_MAX };
	for (size_t i = 0; i < ARRAY_LEN(serials); i++) {
		char text[TOKEN_LEN + 1];
		int64_t serial = 0;
		assert_int_equal(made(&keys, serials[i], text).len, TOKEN_LEN);
		assert_true(token_looks_like(str_of(text)));
		assert_true(token_verify(&keys, str_of(text), &serial));
		assert_int_equal(serial, serials[i]);
	}
}

static void test_same_serial_gives_the_same_token(void **state)
{
	(void)state;
	char one[TOKEN_LEN + 1], two[TOKEN_LEN + 1];
	made(&keys, 77, one);
	made(&keys, 77, two);
	assert_string_equal(one, two);
	made(&keys, 78, two);
	assert_string_not_equal(one, two);
}

static void test_upper_case_verifies(void **state)
{
	(void)state;
	char text[TOKEN_LEN + 1];
	int64_t serial = 0;
	made(&keys, 42, text);
	for (int i = 0; i < TOKEN_LEN; i += 2)
		if (text[i] >= 'a' && text[i] <= 'z')
			text[i] = (char)(text[i] - 'a' + 'A');
	assert_true(token_verify(&keys, str_of(text), &serial));
	assert_int_equal(serial, 42);
}

static void test_every_tampered_digit_is_refused(void **state)
{
	(void)state;
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	for (int at = 0; at < TOKEN_LEN; at++) {
		char text[TOKEN_LEN + 1];
		int64_t serial = -5;
		made(&keys, 42, text);
		char was = text[at];
		for (int d = 0; d < 32; d++) {
			text[at] = digits[d];
			assert_int_equal(token_verify(&keys, str_of(text), &serial), digits[d] == was);
		}
	}
}

static void test_refused_output_is_untouched(void **state)
{
	(void)state;
	int64_t serial = -5;
	assert_false(token_verify(&keys, STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), &serial));
	assert_int_equal(serial, -5);
}

static void test_another_tenant_does_not_verify(void **state)
{
	(void)state;
	char text[TOKEN_LEN + 1];
	int64_t serial;
	made(&keys, 42, text);
	struct token_keys foreign = keys;
	foreign.tenant.id.b[15] ^= 1;
	assert_false(token_verify(&foreign, str_of(text), &serial));
}

static void test_retired_key_verifies_and_does_not_sign(void **state)
{
	(void)state;
	char text[TOKEN_LEN + 1], now[TOKEN_LEN + 1];
	int64_t serial = 0;
	struct token_key young = ring[1];
	young.is_retired = false;
	const struct token_keys before = { .tenant = keys.tenant, .at = &young, .len = 1 };
	made(&before, 7, text);
	assert_true(token_verify(&keys, str_of(text), &serial));
	assert_int_equal(serial, 7);
	assert_string_not_equal(made(&keys, 7, now).at, text);
	const struct token_keys only_retired = { .tenant = keys.tenant, .at = &ring[1], .len = 1 };
	assert_false(token_make(&only_retired, 7, text));
}

static void test_a_key_that_is_gone_does_not_verify(void **state)
{
	(void)state;
	char text[TOKEN_LEN + 1];
	int64_t serial;
	made(&keys, 7, text);
	const struct token_keys rest = { .tenant = keys.tenant, .at = &ring[1], .len = 1 };
	assert_false(token_verify(&rest, str_of(text), &serial));
	const struct token_keys none = { .tenant = keys.tenant };
	assert_false(token_verify(&none, str_of(text), &serial));
	assert_false(token_make(&none, 7, text));
}

static void test_same_key_id_with_another_secret_does_not_verify(void **state)
{
	(void)state;
	char text[TOKEN_LEN + 1];
	int64_t serial;
	made(&keys, 7, text);
	struct token_key other = ring[0];
	other.secret[0] ^= 1;
	const struct token_keys forged = { .tenant = keys.tenant, .at = &other, .len = 1 };
	assert_false(token_verify(&forged, str_of(text), &serial));
}

static void test_wrong_lengths_are_refused(void **state)
{
	(void)state;
	char text[TOKEN_LEN + 2];
	int64_t serial;
	made(&keys, 7, text);
	for (size_t len = 0; len < TOKEN_LEN; len++)
		assert_false(token_verify(&keys, str_span(text, len), &serial));
	text[TOKEN_LEN] = 'a';
	assert_false(token_verify(&keys, str_span(text, TOKEN_LEN + 1), &serial));
}

static void test_foreign_alphabet_is_no_token(void **state)
{
	(void)state;
	assert_false(token_looks_like(STR("0123456789012345678901234567890123456789")));
	assert_false(token_looks_like(STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=")));
	assert_false(token_looks_like(STR("aaaaaaaaaaaaaaaaaaaa aaaaaaaaaaaaaaaaaaa")));
	assert_false(token_looks_like(STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa4")));
}

static void test_next_finds_what_stands_alone(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int count;
	} cases[] = {
		{ "", 0 },
		{ "short words only, nothing else", 0 },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1 },
		{ "support+c.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@x.example", 1 },
		{ "<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@x> bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 2 },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0 },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0 },
		{ "1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa9", 1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t from = 0;
		struct str token;
		int found = 0;
		while (token_next(str_of(cases[i].text), &from, &token)) {
			assert_true(token_looks_like(token));
			found++;
		}
		assert_int_equal(found, cases[i].count);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_same_serial_gives_the_same_token),
		cmocka_unit_test(test_upper_case_verifies),
		cmocka_unit_test(test_every_tampered_digit_is_refused),
		cmocka_unit_test(test_refused_output_is_untouched),
		cmocka_unit_test(test_another_tenant_does_not_verify),
		cmocka_unit_test(test_retired_key_verifies_and_does_not_sign),
		cmocka_unit_test(test_a_key_that_is_gone_does_not_verify),
		cmocka_unit_test(test_same_key_id_with_another_secret_does_not_verify),
		cmocka_unit_test(test_wrong_lengths_are_refused),
		cmocka_unit_test(test_foreign_alphabet_is_no_token),
		cmocka_unit_test(test_next_finds_what_stands_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
