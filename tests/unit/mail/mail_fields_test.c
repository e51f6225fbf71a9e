/* SPDX-License-Identifier: Apache-2.0
 * Dates, message ids, subjects, the thread hint, header text: tables of what is written and what is meant.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "mail/date.h"
#include "mail/encoded_word.h"
#include "mail/msgid.h"
#include "mail/param.h"
#include "mail/parse.h"
#include "mail/subject.h"
#include "mail/thread_hint.h"

#include "../arena_fixture.h"

#include "base/banned.h"

static void assert_text(const char *what, struct str got, const char *expected)
{
	if (!str_eq(got, str_of(expected)))
		fail_msg("%s: got '%.*s', not '%s'", what, STR_ARG(got), expected);
}

static void test_dates(void **state)
{
	static const struct {
		const char *header, *expected; /* NULL: no date */
	} cases[] = {
		{ "Tue, 5 Mar 2019 10:00:00 +0100", "2019-03-05T09:00:00Z" },
		{ "5 Mar 2019 10:00 GMT", "2019-03-05T10:00:00Z" },
		{ "Tue, 5 Mar 2019 10:00:00 -0000 (no zone)", "2019-03-05T10:00:00Z" },
		{ "Tue, 05 Mar 19 10:00:00 EST", "2019-03-05T15:00:00Z" },
		{ "Tue, 5 Mar 2019 (a (nested) 31 comment) 10:00:00 +0000", "2019-03-05T10:00:00Z" },
		{ "Tue Mar  5 10:00:00 2019", "2019-03-05T10:00:00Z" },
		{ "Tue Mar  5 10:00:00 PST 2019", "2019-03-05T18:00:00Z" },
		{ "5-Mar-2019 10:00:00 +0530", "2019-03-05T04:30:00Z" },
		{ "2019-03-05T10:00:00Z", "2019-03-05T10:00:00Z" },
		{ "2019-03-05 10:00:00 +02:00", "2019-03-05T08:00:00Z" },
		{ "05.03.2019 10:00:00", "2019-03-05T10:00:00Z" },
		{ "3/5/2019 10:00:00 PM", "2019-03-05T22:00:00Z" },
		{ "Tue, 5 Mar 2019 10:00:00 GMT+0200", "2019-03-05T08:00:00Z" },
		{ "Di, 5 M\xc3\xa4rz 2019 10:00:00 +0100", NULL },
		{ "Mi, 15 Mai 2019 10:00:00 +0200", "2019-05-15T08:00:00Z" },
		{ "Tue, 29 Feb 2019 10:00:00 +0000", "2019-03-01T10:00:00Z" },
		{ "", NULL },
		{ "yesterday", NULL },
		{ "Tue, 45 Mar 2019 10:00:00 +0000", NULL },
		{ "Tue, 5 Mar 2019 99:00:00 +0000", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t got = 0;
		char text[CLOCK_TEXT_LEN + 1];
		bool is_date = date_parse(str_of(cases[i].header), &got);
		if (is_date != (cases[i].expected != NULL))
			fail_msg("%s: %s", cases[i].header, is_date ? "a date" : "no date");
		if (is_date)
			assert_text(cases[i].header, str_of(clock_rfc3339(got * USEC_PER_SEC, text)), cases[i].expected);
	}
}

static void test_ids(void **state)
{
	static const struct {
		const char *header, *expected;
	} cases[] = {
		{ "<a@x>", "a@x" },
		{ "<a@x> <b@y>\r\n <c@z>", "a@x b@y c@z" },
		{ "<a@x>,<b@y>", "a@x b@y" },
		{ "Message of \"Tue\" <a@x> from me@example.org", "a@x" },
		{ "a@x b@y", "a@x b@y" },
		{ "not-an-id", "not-an-id" },
		{ "two words", "" },
		{ "<a@x <b@y>", "a@x b@y" },
		{ "<a\r\n @x>", "a@x" },
		{ "<>", "" },
		{ "<a@x", "a@x" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t defects = 0;
		struct mail_strs ids = msgid_list(&arena, str_of(cases[i].header), 100, &defects);
		struct str joined = STR("");
		for (size_t k = 0; k < ids.len; k++)
			joined = str_printf(&arena, "%.*s%s%.*s", STR_ARG(joined), k ? " " : "", STR_ARG(ids.at[k]));
		assert_text(cases[i].header, joined, cases[i].expected);
	}
}

static void test_of_too_many_ids_the_root_and_the_nearest_are_kept(void **state)
{
	struct str header = STR("");
	uint32_t defects = 0;

	(void)state;
	for (int i = 0; i < 2000; i++)
		header = str_printf(&arena, "%.*s <%d@x>", STR_ARG(header), i);
	struct mail_strs ids = msgid_list(&arena, header, 500, &defects);
	assert_int_equal(ids.len, 500);
	assert_true(defects & MAIL_DEFECT_TOO_BIG);
	assert_text("root", ids.at[0], "0@x");
	assert_text("first of the nearest", ids.at[1], "1501@x");
	assert_text("nearest", ids.at[499], "1999@x");
	ids = msgid_list(&arena, header, 1, &defects);
	assert_int_equal(ids.len, 1);
	assert_text("the only one wanted", ids.at[0], "0@x");
}

static void test_the_normal_spelling_of_an_id(void **state)
{
	(void)state;
	assert_text("domain", msgid_normal(&arena, STR(" <AbC@Example.ORG> ")), "AbC@example.org");
	assert_text("no domain", msgid_normal(&arena, STR("AbC")), "AbC");
	assert_text("nothing", msgid_normal(&arena, STR("<>")), "");
	char *many = arena_alloc(&arena, 2000);
	memset(many, 'a', 2000);
	struct str first = msgid_normal(&arena, str_span(many, 2000)), second = msgid_normal(&arena, str_span(many, 1999));
	assert_true(first.len <= MSGID_MOST && second.len <= MSGID_MOST && !str_eq(first, second));
}

static void test_base_subjects(void **state)
{
	static const struct {
		const char *subject, *expected;
	} cases[] = {
		{ "Printer on fire", "printer on fire" },
		{ "Re: Printer on fire", "printer on fire" },
		{ "RE: Re: AW: WG: Printer  on\tfire", "printer on fire" },
		{ "Re[2]: Printer", "printer" },
		{ "Re(3): Printer", "printer" },
		{ "Re^4: Printer", "printer" },
		{ "Re : Printer", "printer" },
		{ "SV: VS: Antw: RIF: Printer", "printer" },
		{ "\xe5\x9b\x9e\xe5\xa4\x8d\xef\xbc\x9aPrinter", "printer" },
		{ "Fwd: Printer (fwd)", "printer" },
		{ "[fwd: Printer]", "printer" },
		{ "Re: [dev] Printer", "[dev] printer" },
		{ "[dev] Re: Printer", "[dev] printer" },
		{ "[#235] Re: Printer", "printer" },
		{ "Re: [#235] Printer", "printer" },
		{ "Re: Printer [#235]", "printer" },
		{ "Reset: my password", "reset: my password" },
		{ "Regarding the printer", "regarding the printer" },
		{ "Re:", "" },
		{ "", "" },
		{ "[dev]", "[dev]" },
	};
	struct str format = STR("[#%d]");
	struct mail_strs formats = { &format, 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_text(cases[i].subject, subject_base(&arena, str_of(cases[i].subject), &formats), cases[i].expected);
	assert_text("tags stay", subject_base(&arena, STR("Re: [#235] x"), NULL), "[#235] x");
	assert_true(subject_is_reply(STR("AW: x")));
	assert_false(subject_is_reply(STR("Fwd: x")));
	assert_false(subject_is_reply(STR("Answer: x")));
}

static void test_numbers_in_subjects(void **state)
{
	static const struct {
		const char *subject, *format, *expected;
	} cases[] = {
		{ "Re: [#235] x", "[#%d]", "235" },
		{ "[#1] and [#2] and [#1]", "[#%d]", "1,2" },
		{ "[#0235]", "[#%d]", "235" },
		{ "[# 235]", "[#%d]", "" },
		{ "[#235", "[#%d]", "" },
		{ "[#]", "[#%d]", "" },
		{ "[#99999999999999999999]", "[#%d]", "" },
		{ "re: [case 7]", "[Case %d]", "7" },
		{ "Case#12x", "Case#%d", "12" },
		{ "12-CASE", "%d-Case", "12" },
		{ "235", "%d", "" },
		{ "[#235]", "no number", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct subject_numbers numbers;
		subject_numbers(&arena, str_of(cases[i].subject), str_of(cases[i].format), &numbers);
		struct str joined = STR("");
		for (size_t k = 0; k < numbers.len; k++)
			joined = str_printf(&arena, "%.*s%s%lld", STR_ARG(joined), k ? "," : "", (long long)numbers.at[k]);
		assert_text(cases[i].subject, joined, cases[i].expected);
	}
	assert_text("tag", subject_tag(&arena, STR("[#%d]"), 235), "[#235]");
}

static void test_header_text(void **state)
{
	static const struct {
		const char *raw, *expected;
	} cases[] = {
		{ "plain", "plain" },
		{ "two\r\n lines", "two lines" },
		{ "=?iso-8859-1?Q?J=F6rg_M?=", "J\xc3\xb6rg M" },
		{ "=?utf-8?B?w6Q=?= =?utf-8?B?w7Y=?=", "\xc3\xa4\xc3\xb6" },
		{ "=?utf-8?B?w6TD?=\r\n =?utf-8?B?tg==?=", "\xc3\xa4\xc3\xb6" },
		{ "a =?utf-8?Q?=C3=A4?= b", "a \xc3\xa4 b" },
		{ "a=?utf-8?Q?=C3=A4?=b", "a\xc3\xa4"
		                          "b" },
		{ "=?utf-8?Q?broken", "=?utf-8?Q?broken" },
		{ "=?windows-31j?B?h0A=?=", "\xe2\x91\xa0" },
		{ "=?iso-2022-jp?B?GyRCLSEbKEI=?=", "\xe2\x91\xa0" },
		{ "=?ks_c_5601-1987?B?sKE=?=", "\xea\xb0\x80" },
		{ "=?unheard-of?Q?=C3=A4?=", "\xc3\xa4" },
		{ "J\xf6rg", "J\xc3\xb6rg" },
		{ "J\xc3\xb6rg", "J\xc3\xb6rg" },
		{ "=?utf-8*de?Q?x?=", "x" },
		{ "a\001b", "a b" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t defects = 0;
		struct str got = header_text(&arena, str_of(cases[i].raw), &defects);
		assert_text(cases[i].raw, got, cases[i].expected);
	}
}

static void test_parameters(void **state)
{
	static const struct {
		const char *header, *name, *expected; /* NULL: absent */
	} cases[] = {
		{ "text/plain; charset=utf-8", "charset", "utf-8" },
		{ "text/plain; CHARSET = \"utf-8\"; x=y", "charset", "utf-8" },
		{ "text/plain", "charset", NULL },
		{ "attachment; filename=\"a b.pdf\"", "filename", "a b.pdf" },
		{ "attachment; filename=a b.pdf", "filename", "a b.pdf" },
		{ "attachment; filename*=utf-8''%C3%A4.pdf", "filename", "\xc3\xa4.pdf" },
		{ "attachment; filename*0=\"a\"; filename*1=\"b.pdf\"", "filename", "ab.pdf" },
		{ "attachment; filename*1*=%B6; filename*0*=iso-8859-1''%E4", "filename", "\xc3\xa4\xc2\xb6" },
		{ "attachment; filename=old.pdf; filename*=utf-8''new.pdf", "filename", "new.pdf" },
		{ "attachment; filename=\"=?utf-8?Q?=C3=A4?=.pdf\"", "filename", "\xc3\xa4.pdf" },
		{ "attachment; filename=\"C:\\dir\\a.pdf\"", "filename", "C:\\dir\\a.pdf" },
		{ "multipart/mixed; boundary=\"a;b\"", "boundary", "a;b" },
		{ "multipart/mixed; boundary=", "boundary", "" },
		{ ";;;=;\"", "x", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t defects = 0;
		struct str got = param_get(&arena, str_of(cases[i].header), cases[i].name, &defects);
		if (!cases[i].expected)
			assert_null(got.at);
		else
			assert_text(cases[i].header, got, cases[i].expected);
	}
	assert_text("head", param_head(&arena, STR("Text/HTML ; charset=x")), "text/html");
}

static struct str hint(const char *mail)
{
	char *out = arena_alloc(&arena, THREAD_HINT_LEN + 1);

	return str_of(thread_hint(str_of(mail), sha256_of(str_of(mail)), out));
}

static void test_thread_hints(void **state)
{
	(void)state;
	struct str root = hint("Message-ID: <root@Example.org>\n\nx");
	assert_int_equal(root.len, THREAD_HINT_LEN);
	assert_true(str_eq(
		root, hint("From: x\r\nreferences: <root@example.org>\r\n <2@example.org>\r\nMessage-ID: <3@x>\r\n\r\n")));
	assert_true(str_eq(root, hint("In-Reply-To: <root@example.org>\nMessage-ID: <3@x>\n\n")));
	assert_true(str_eq(root, hint("From x Mon\nIn-Reply-To: <root@example.org>\n\n")));
	assert_false(str_eq(root, hint("In-Reply-To: <other@example.org>\n\n")));
	assert_false(str_eq(hint("Subject: a\n\nx"), hint("Subject: b\n\nx")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_dates, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(test_ids, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(test_of_too_many_ids_the_root_and_the_nearest_are_kept, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(test_the_normal_spelling_of_an_id, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(test_base_subjects, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(test_numbers_in_subjects, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(test_header_text, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(test_parameters, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(test_thread_hints, take_arena, drop_arena),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
