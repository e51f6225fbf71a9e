/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "edge/bus_engine.h"

#include "base/banned.h"

static void partitions_are_dealt_as_kafkas_range_does(void **state)
{
	static const struct {
		int32_t partitions;
		size_t members, index;
		int32_t first, count;
	} cases[] = {
		{ 12, 1, 0, 0, 12 }, { 12, 4, 0, 0, 3 }, { 12, 4, 3, 9, 3 }, { 12, 5, 0, 0, 3 }, { 12, 5, 1, 3, 3 },
		{ 12, 5, 2, 6, 2 },  { 12, 5, 4, 10, 2 }, { 1, 3, 0, 0, 1 }, { 1, 3, 1, 1, 0 },  { 1, 3, 2, 1, 0 },
		{ 0, 2, 1, 0, 0 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int32_t first, count;
		bus_range(cases[i].partitions, cases[i].members, cases[i].index, &first, &count);
		assert_int_equal(first, cases[i].first);
		assert_int_equal(count, cases[i].count);
	}
}

static void each_partition_has_one_member(void **state)
{
	(void)state;
	for (int32_t partitions = 0; partitions <= 40; partitions++)
		for (size_t members = 1; members <= 45; members++) {
			int32_t next = 0;
			for (size_t index = 0; index < members; index++) {
				int32_t first, count;
				bus_range(partitions, members, index, &first, &count);
				assert_int_equal(first, next);
				next += count;
			}
			assert_int_equal(next, partitions);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(partitions_are_dealt_as_kafkas_range_does),
		cmocka_unit_test(each_partition_has_one_member),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
