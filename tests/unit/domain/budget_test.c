/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "domain/budget.h"

#include "base/banned.h"

static const struct budget_limits limits = { { { 20, 6 }, { 500, 300 }, { 5000, 36000 } } };
static struct arena arena;

#define HOUR (INT64_C(3600) * USEC_PER_SEC)

static void test_a_burst_and_then_the_refill(void **state)
{
	(void)state;
	struct budget_bucket bucket = budget_full(&limits, BUDGET_ADDRESS, STR("a"), 0), *all[] = { &bucket };
	enum budget_scope refused = BUDGET_SCOPES;

	for (int i = 0; i < 20; i++)
		assert_true(budget_take(&limits, all, 1, 1, &refused));
	assert_false(budget_take(&limits, all, 1, 1, &refused));
	assert_int_equal(refused, BUDGET_ADDRESS);
	assert_int_equal(bucket.spent, 20);
	assert_false(budget_take(&limits, all, 1, HOUR / 6 - 10, &refused));
	assert_true(budget_take(&limits, all, 1, HOUR / 6 + 10, &refused));
	assert_false(budget_take(&limits, all, 1, HOUR / 6 + 10, &refused));
}

static void test_a_full_bucket_does_not_run_over(void **state)
{
	(void)state;
	struct budget_bucket bucket = budget_full(&limits, BUDGET_ADDRESS, STR("a"), 0), *all[] = { &bucket };
	enum budget_scope refused;

	assert_true(budget_take(&limits, all, 1, 1000 * HOUR, &refused));
	assert_true(bucket.tokens > 18.99 && bucket.tokens < 19.01);
}

static void test_one_empty_bucket_takes_from_none(void **state)
{
	(void)state;
	struct budget_bucket address = budget_full(&limits, BUDGET_ADDRESS, STR("a"), 0),
	                     domain = budget_full(&limits, BUDGET_DOMAIN, STR("d"), 0),
	                     mailbox = budget_full(&limits, BUDGET_MAILBOX, STR("m"), 0), *all[] = { &address, &domain, &mailbox };
	enum budget_scope refused;

	domain.tokens = 0;
	assert_false(budget_take(&limits, all, 3, 0, &refused));
	assert_int_equal(refused, BUDGET_DOMAIN);
	assert_int_equal(address.spent + domain.spent + mailbox.spent, 0);
	assert_true(address.tokens > 19.9);
}

static void test_a_clock_that_goes_back_refills_nothing(void **state)
{
	(void)state;
	struct budget_bucket bucket = { .scope = BUDGET_ADDRESS, .tokens = 0, .updated_us = 100 * HOUR }, *all[] = { &bucket };
	enum budget_scope refused;

	assert_false(budget_take(&limits, all, 1, HOUR, &refused));
	assert_int_equal(bucket.updated_us, 100 * HOUR);
}

static void test_a_lowered_limit_empties_what_is_above_it(void **state)
{
	(void)state;
	struct budget_bucket bucket = { .scope = BUDGET_ADDRESS, .tokens = 1000, .updated_us = 0 }, *all[] = { &bucket };
	enum budget_scope refused;

	assert_true(budget_take(&limits, all, 1, 0, &refused));
	assert_true(bucket.tokens < 19.1);
}

static void test_keys_sort_coarse_last(void **state)
{
	(void)state;
	struct tenant_id tenant = { uuid_v7() };
	struct str address = budget_key(&arena, BUDGET_ADDRESS, tenant, STR("Zoe@Example.COM")),
	           domain = budget_key(&arena, BUDGET_DOMAIN, tenant, STR("example.com")),
	           mailbox = budget_key(&arena, BUDGET_MAILBOX, tenant, STR("0"));

	assert_true(str_cmp(address, domain) < 0 && str_cmp(domain, mailbox) < 0);
	assert_true(str_ends(address, STR(":zoe@example.com")));
	assert_true(str_starts(mailbox, STR("mailbox:")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_burst_and_then_the_refill),
		cmocka_unit_test(test_a_full_bucket_does_not_run_over),
		cmocka_unit_test(test_one_empty_bucket_takes_from_none),
		cmocka_unit_test(test_a_clock_that_goes_back_refills_nothing),
		cmocka_unit_test(test_a_lowered_limit_empties_what_is_above_it),
		cmocka_unit_test(test_keys_sort_coarse_last),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
