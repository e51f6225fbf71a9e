/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/str.h"

#include "base/banned.h"

static void test_finds(void **state)
{
	(void)state;
	assert_int_equal(str_find(STR("abcabc"), STR("ca"), 0), 2);
	assert_int_equal(str_find(STR("abcabc"), STR("ca"), 3), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_finds) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
