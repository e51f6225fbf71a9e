/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../../services/notifier/notice_text.h"

#include "base/banned.h"

static struct arena arena;

static const struct notice_words words = {
	.number = 12,
	.tag = { "[#12]", 5 },
	.case_subject = { "Re: Buy pills", 13 },
	.signature = { "Demo", 4 },
	.state = { "open", 4 },
	.who = { "ann", 3 },
	.excerpt = { "line one\nline two\n", 18 },
};

static void test_the_auto_reply_has_the_number_and_none_of_the_senders_words(void **state)
{
	(void)state;
	struct notice notice = { .audience = NOTICE_CUSTOMER, .kind = "auto_reply", .reason = "case_opened", .role = "opener" };
	struct str subject = notice_subject(&arena, &notice, &words), text = notice_text(&arena, &notice, &words);

	assert_true(str_eq(subject, STR("[#12] We have received your message")));
	assert_true(str_find(text, STR("[#12]"), 0) >= 0);
	assert_true(str_find(text, STR("pills"), 0) < 0 && str_find(text, STR("line one"), 0) < 0);
}

static void test_staff_sees_an_excerpt_as_a_quotation(void **state)
{
	(void)state;
	struct notice notice = { .audience = NOTICE_STAFF, .kind = "notice", .reason = "message_in", .role = "follower",
		                 .messages = 2 };
	struct str text = notice_text(&arena, &notice, &words);

	assert_true(str_eq(notice_subject(&arena, &notice, &words), STR("[#12] Re: Buy pills")));
	assert_true(str_find(text, STR("> line one\n> line two\n"), 0) >= 0);
	assert_true(str_find(text, STR("2 new messages"), 0) >= 0);
	assert_true(str_find(text, STR("You follow"), 0) >= 0);
}

static void test_senders_of_one_time_codes_are_not_quoted(void **state)
{
	(void)state;
	assert_false(notice_may_quote(STR("no-reply@bank.example")));
	assert_true(notice_may_quote(STR("anna@client.example")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_auto_reply_has_the_number_and_none_of_the_senders_words),
		cmocka_unit_test(test_staff_sees_an_excerpt_as_a_quotation),
		cmocka_unit_test(test_senders_of_one_time_codes_are_not_quoted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
