/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/imap_name.h"

static const struct {
	const char *name, *wire;
} pairs[] = {
	{ "INBOX", "INBOX" },
	{ "", "" },
	{ "R&D", "R&-D" },
	{ "Entw\xc3\xbcrfe", "Entw&APw-rfe" },
	{ "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", "~peter/mail/&U,BTFw-/&ZeVnLIqe-" },
	{ "\xd0\x92\xd1\x85\xd0\xbe\xd0\xb4\xd1\x8f\xd1\x89\xd0\xb8\xd0\xb5", "&BBIERQQ+BDQETwRJBDgENQ-" },
	{ "\xf0\x9f\x93\xa7 mail", "&2D3c5w- mail" },
	{ "tab\there", "tab&AAk-here" },
	{ "a \"b\" \\c", "a \"b\" \\c" },
};

static void names_go_both_ways(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena);
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct str plain;
		assert_string_equal(str_cstr(&arena, imap_name_encode(&arena, str_of(pairs[i].name))), pairs[i].wire);
		assert_true(imap_name_decode(&arena, str_of(pairs[i].wire), &plain));
		assert_string_equal(str_cstr(&arena, plain), pairs[i].name);
	}
	arena_done(&arena);
}

static void malformed_names_are_refused(void **state)
{
	static const char *const bad[] = { "&", "&AB", "&A-", "&2D0-", "&3Oc-", "&AAA-", "&!!-", "Entw\xc3\xbcrfe", "a\x01z" };
	struct arena arena;

	(void)state;
	arena_init(&arena);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct str plain;
		if (imap_name_decode(&arena, str_of(bad[i]), &plain))
			fail_msg("'%s' was taken", bad[i]);
	}
	arena_done(&arena);
}

static void quotes_are_escaped(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 100);
	imap_quote(&buf, STR("a \"b\" \\c"));
	assert_string_equal(buf.at, "\"a \\\"b\\\" \\\\c\"");
	buf_done(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_go_both_ways),
		cmocka_unit_test(malformed_names_are_refused),
		cmocka_unit_test(quotes_are_escaped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
