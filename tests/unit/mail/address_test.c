/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mail/address.h"
#include "mail/parse.h"

#include "base/banned.h"

/* "name <address>|..." of a header value. */
static struct str shown(struct arena *arena, const char *header)
{
	uint32_t defects = 0;
	struct mail_addresses list = address_list(arena, str_of(header), 1000, &defects);
	struct str out = STR("");

	for (size_t i = 0; i < list.len; i++)
		out = str_printf(arena, "%.*s%s%.*s <%.*s>", STR_ARG(out), i ? "|" : "", STR_ARG(list.at[i].name),
		                 STR_ARG(list.at[i].address));
	return out;
}

static void test_lists(void **state)
{
	static const struct {
		const char *what, *header, *expected;
	} cases[] = {
		{ "nothing", "", "" },
		{ "bare", "a@example.org", " <a@example.org>" },
		{ "name", "Ann Doe <a@example.org>", "Ann Doe <a@example.org>" },
		{ "quoted comma", "\"Doe, Ann\" <a@example.org>, b@example.org", "Doe, Ann <a@example.org>| <b@example.org>" },
		{ "escaped quote", "\"Ann \\\"A\\\" Doe\" <a@example.org>", "Ann \"A\" Doe <a@example.org>" },
		{ "comment as name", "a@example.org (Ann (the one))", "Ann (the one) <a@example.org>" },
		{ "encoded word", "=?utf-8?Q?J=C3=B6rg?= <j@example.org>", "J\xc3\xb6rg <j@example.org>" },
		{ "raw comma in an encoded word", "=?utf-8?Q?Doe, J=C3=B6rg?= <j@example.org>",
		  "Doe, J\xc3\xb6rg <j@example.org>" },
		{ "group", "Friends: a@example.org, B <b@example.org>;, c@example.org",
		  " <a@example.org>|B <b@example.org>| <c@example.org>" },
		{ "empty group", "undisclosed-recipients:;", "" },
		{ "semicolons", "a@example.org; b@example.org", " <a@example.org>| <b@example.org>" },
		{ "route", "<@x.org,@y.org:a@example.org>", " <a@example.org>" },
		{ "name without brackets", "Ann Doe a@example.org", "Ann Doe <a@example.org>" },
		{ "unclosed bracket", "Ann <a@example.org", "Ann <a@example.org>" },
		{ "unclosed quote", "\"Ann <a@example.org>", "Ann <a@example.org>" },
		{ "address in quotes", "\"a@example.org\"", " <a@example.org>" },
		{ "quoted local part", "\"a b\"@example.org", " <\"a b\"@example.org>" },
		{ "obsolete blanks", "a @ example . org", " <a@example.org>" },
		{ "mailto", "<mailto:a@example.org>", " <a@example.org>" },
		{ "no address", "root", " <root>" },
		{ "folded", "Ann\r\n <a@example.org>,\r\n\tb@example.org", "Ann <a@example.org>| <b@example.org>" },
		{ "at sign in the name", "\"a@x.org\" <a@example.org>", "a@x.org <a@example.org>" },
		{ "empty entries", ", ,a@example.org,,", " <a@example.org>" },
	};
	struct arena arena CLEANUP(arena_done);

	(void)state;
	arena_init(&arena);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str got = shown(&arena, cases[i].header);
		if (!str_eq(got, str_of(cases[i].expected)))
			fail_msg("%s: got '%.*s', not '%s'", cases[i].what, STR_ARG(got), cases[i].expected);
	}
}

static void test_a_list_is_cut_at_its_limit(void **state)
{
	struct arena arena CLEANUP(arena_done);
	uint32_t defects = 0;

	(void)state;
	arena_init(&arena);
	assert_int_equal(address_list(&arena, STR("a@x.org, b@x.org, c@x.org"), 2, &defects).len, 2);
	assert_true(defects & MAIL_DEFECT_TOO_BIG);
}

static void test_validity(void **state)
{
	static const struct {
		const char *address;
		bool is_valid;
	} cases[] = {
		{ "a@example.org", true },
		{ "a.b+c@example.org", true },
		{ "a@[127.0.0.1]", true },
		{ "\"a b\"@example.org", true },
		{ "a@localhost", true },
		{ "", false },
		{ "a", false },
		{ "@example.org", false },
		{ "a@", false },
		{ "a b@example.org", false },
		{ "a@exa mple.org", false },
		{ "a@example..org", false },
		{ "a@.example.org", false },
		{ "a@example.org.", false },
		{ "a\n@example.org", false },
		{ "a@b@example.org", false },
		{ "j\xc3\xb6rg@example.org", true },
		{ "a,b@example.org", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (address_is_valid(str_of(cases[i].address)) != cases[i].is_valid)
			fail_msg("%s", cases[i].address);
}

static void test_comparing_and_tokens(void **state)
{
	struct arena arena CLEANUP(arena_done);
	struct str base = STR("Support@Example.org");

	(void)state;
	arena_init(&arena);
	assert_true(address_same(STR(" a@EXAMPLE.org"), STR("A@example.org")));
	assert_true(str_eq(address_fold(&arena, STR(" A@Example.ORG ")), STR("a@example.org")));
	assert_true(str_eq(address_plus_token(STR("support+tok-1@example.org"), base), STR("tok-1")));
	assert_null(address_plus_token(STR("support@example.org"), base).at);
	assert_null(address_plus_token(STR("support+@example.org"), base).at);
	assert_null(address_plus_token(STR("supporter+t@example.org"), base).at);
	assert_null(address_plus_token(STR("support+t@example.com"), base).at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_a_list_is_cut_at_its_limit),
		cmocka_unit_test(test_validity),
		cmocka_unit_test(test_comparing_and_tokens),
	};
	mail_parse_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
