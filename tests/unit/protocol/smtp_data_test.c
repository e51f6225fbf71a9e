/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "protocol/smtp_data.h"

#include "base/banned.h"

static const struct {
	const char *mail, *wire;
} cases[] = {
	{ "", ".\r\n" },
	{ "a: b\r\n\r\ntext\r\n", "a: b\r\n\r\ntext\r\n.\r\n" },
	{ "no end", "no end\r\n.\r\n" },
	{ ".\r\n", "..\r\n.\r\n" },
	{ "a\r\n.b\r\n..c\r\n", "a\r\n..b\r\n...c\r\n.\r\n" },
	{ "a\n.\nb\n", "a\r\n..\r\nb\r\n.\r\n" },
	{ "a\r.\rb", "a\r\n..\r\nb\r\n.\r\n" },
	{ "a\r\r\nb\r", "a\r\n\r\nb\r\n.\r\n" },
	{ "a\n\r\nb", "a\r\n\r\nb\r\n.\r\n" },
	{ "\r\n.\n.\r.\r\n", "\r\n..\r\n..\r\n..\r\n.\r\n" },
};

static void test_the_only_lone_dot_is_the_last(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out;
		buf_init(&out, 1000);
		smtp_data_write(&out, str_of(cases[i].mail));
		assert_string_equal(out.at, cases[i].wire);
		buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_the_only_lone_dot_is_the_last) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
