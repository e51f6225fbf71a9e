/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "domain/recipients.h"

#include "base/banned.h"

static struct arena arena;

static const struct {
	const char *address;
	bool is_valid, is_unattended;
} addresses[] = {
	{ "a@client.example", true, false },
	{ "first.last+tag@client.example", true, false },
	{ "o'brien@client.example", true, false },
	{ "", false, false },
	{ "a", false, false },
	{ "@b", false, false },
	{ "a@", false, false },
	{ "a@b@c.example", false, false },
	{ "a b@c.example", false, false },
	{ "a@b..example", false, false },
	{ "a@-b.example", false, false },
	{ "a@b.example.", false, false },
	{ "a@b\r\nRCPT TO:<x@y>", false, false },
	{ "<a@b.example>", false, false },
	{ "a@[127.0.0.1]", false, false },
	{ "\xc3\xa4@b.example", false, false },
	{ "noreply@b.example", true, true },
	{ "No-Reply@b.example", true, true },
	{ "shop-noreply@b.example", true, true },
	{ "MAILER-DAEMON@b.example", true, true },
	{ "list-bounces@b.example", true, true },
	{ "bounces+123=x@b.example", true, true },
	{ "owner-list@b.example", true, true },
	{ "postmaster@b.example", true, true },
	{ "nora.reply@b.example", true, false },
	{ "owner@b.example", true, false },
};

static void test_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		struct str address = str_of(addresses[i].address);
		if (recipient_is_valid(address) != addresses[i].is_valid ||
		    recipient_is_unattended(address) != addresses[i].is_unattended)
			fail_msg("%s", addresses[i].address);
	}
	char local[66];
	memset(local, 'x', sizeof local);
	assert_false(recipient_is_valid(str_printf(&arena, "%.65s@b.example", local)));
	assert_true(recipient_is_valid(str_printf(&arena, "%.64s@b.example", local)));
}

static void test_freemail(void **state)
{
	(void)state;
	assert_true(domain_is_freemail(STR("gmail.com")));
	assert_true(domain_is_freemail(STR("GMX.de")));
	assert_false(domain_is_freemail(STR("client.example")));
	assert_false(domain_is_freemail(STR("sub.gmail.com")));
	assert_false(domain_is_freemail(STR("")));
	assert_true(str_eq(recipient_domain(STR("a@b@c")), STR("c")));
}

static void test_reasons(void **state)
{
	(void)state;
	const struct recipient_candidate candidates[] = {
		{ { STR("A"), STR("a@client.example") }, false, "participant" },
		{ { STR("A again"), STR("A@Client.Example") }, true, "named" },
		{ { STR(""), STR("Support@demo.example") }, true, "participant" },
		{ { STR(""), STR("no address") }, true, "named" },
		{ { STR(""), STR("b@client.example") }, true, "named" },
	};
	const struct str own[] = { STR("support@demo.example") };
	static const struct {
		bool is_in;
		const char *reason;
	} expected[] = { { true, "participant" }, { false, "repeated" }, { false, "own_address" }, { false, "invalid_address" },
		         { true, "named" } };
	struct recipient_verdict *verdicts = recipients_choose(&arena, candidates, ARRAY_LEN(candidates), own, 1);

	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		assert_ptr_equal(verdicts[i].candidate, &candidates[i]);
		assert_int_equal(verdicts[i].is_in, expected[i].is_in);
		assert_string_equal(verdicts[i].reason, expected[i].reason);
	}
}

/* For any candidates and own addresses: every candidate has a reason; own addresses are never in; no address is in twice;
 * whoever is valid and not own is in, exactly once. */
static void test_properties(void **state)
{
	(void)state;
	unsigned seed = 4711;
	static const char *const pool[] = { "a@x.example", "A@X.example", "b@x.example", "c@y.example", "C@Y.EXAMPLE", "bad",
		                            "d@z.example", "support@demo.example", "Support@Demo.Example", "", "e@@z" };

	for (int round = 0; round < 5000; round++) {
		struct recipient_candidate candidates[12];
		struct str own[4];
		size_t count = (size_t)rand_r(&seed) % 13, own_len = (size_t)rand_r(&seed) % 5;
		for (size_t i = 0; i < count; i++)
			candidates[i] = (struct recipient_candidate){
				{ STR(""), str_of(pool[(size_t)rand_r(&seed) % ARRAY_LEN(pool)]) }, rand_r(&seed) % 2, "named"
			};
		for (size_t i = 0; i < own_len; i++)
			own[i] = str_of(pool[(size_t)rand_r(&seed) % ARRAY_LEN(pool)]);
		struct recipient_verdict *verdicts = recipients_choose(&arena, candidates, count, own, own_len);
		for (size_t i = 0; i < count; i++) {
			bool is_own = false, has_place = false;
			assert_non_null(verdicts[i].reason);
			for (size_t k = 0; k < own_len; k++)
				is_own = is_own || str_eq_nocase(own[k], candidates[i].who.address);
			if (is_own)
				assert_false(verdicts[i].is_in);
			for (size_t k = 0; k < count; k++) {
				bool is_same = str_eq_nocase(candidates[k].who.address, candidates[i].who.address);
				if (verdicts[k].is_in && is_same) {
					assert_false(has_place);
					has_place = true;
				}
			}
			assert_int_equal(has_place, !is_own && recipient_is_valid(candidates[i].who.address));
		}
		arena_reset(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_freemail),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_properties),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
