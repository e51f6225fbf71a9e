/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "protocol/smtp_reply.h"

#include "base/banned.h"

static const struct {
	const char *bytes;
	int code; /* 0: more is wanted; -1: bad */
	const char *enhanced, *text;
} cases[] = {
	{ "250 OK\r\n", 250, "", "OK" },
	{ "250\r\n", 250, "", "" },
	{ "250 2.1.0 Ok\r\n", 250, "2.1.0", "2.1.0 Ok" },
	{ "550 5.1.1 <a@b>: no such user\r\n", 550, "5.1.1", "5.1.1 <a@b>: no such user" },
	{ "550 2.1.1 class of another reply\r\n", 550, "", "2.1.1 class of another reply" },
	{ "550 5.1111.1 too many digits\r\n", 550, "", "5.1111.1 too many digits" },
	{ "550 5.1.1\r\n", 550, "5.1.1", "5.1.1" },
	{ "550 5.123.456 x\r\n", 550, "5.123.456", "5.123.456 x" },
	{ "550 5.1.1x\r\n", 550, "", "5.1.1x" },
	{ "250 bare line feed\n", 250, "", "bare line feed" },
	{ "250-first\r\n250-second\r\n250 last\r\n", 250, "", "first\nsecond\nlast" },
	{ "250-first\r\n250\r\n", 250, "", "first\n" },
	{ "250 control \x01 and \xff\r\n", 250, "", "control ? and ?" },
	{ "250-first\r\n", 0, "", "" },
	{ "250 no end", 0, "", "" },
	{ "", 0, "", "" },
	{ "250-first\r\n550 other code\r\n", -1, "", "" },
	{ "25\r\n", -1, "", "" },
	{ "\r\n", -1, "", "" },
	{ "abc\r\n", -1, "", "" },
	{ "199 too low\r\n", -1, "", "" },
	{ "600 too high\r\n", -1, "", "" },
	{ "2500 four digits\r\n", -1, "", "" },
	{ "250_no separator\r\n", -1, "", "" },
	{ "* OK an IMAP server\r\n", -1, "", "" },
};

static struct smtp_reply_parser parser;

static void test_replies_in_any_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t piece = 1; piece <= 64; piece += 21) {
			struct str all = str_of(cases[i].bytes);
			const struct smtp_reply *reply = NULL;
			enum smtp_feed result = SMTP_FEED_MORE;
			smtp_reply_init(&parser);
			for (size_t at = 0; at < all.len && result == SMTP_FEED_MORE; at += piece) {
				struct str bytes = str_slice(all, at, at + piece);
				result = smtp_reply_feed(&parser, &bytes, &reply);
			}
			int code = result == SMTP_FEED_BAD ? -1 : reply ? reply->code : 0;
			if (code != cases[i].code)
				fail_msg("%s: %d", cases[i].bytes, code);
			if (reply) {
				assert_string_equal(reply->enhanced, cases[i].enhanced);
				assert_string_equal(reply->text, cases[i].text);
			}
		}
	}
}

static void test_pipelined_replies_come_one_by_one(void **state)
{
	(void)state;
	struct str bytes = STR("250 a\r\n450 b\r\n354 c\r\n25");
	const struct smtp_reply *reply;

	smtp_reply_init(&parser);
	assert_int_equal(smtp_reply_feed(&parser, &bytes, &reply), SMTP_FEED_REPLY);
	assert_int_equal(reply->code, 250);
	assert_int_equal(smtp_reply_feed(&parser, &bytes, &reply), SMTP_FEED_REPLY);
	assert_int_equal(reply->code, 450);
	assert_int_equal(smtp_reply_feed(&parser, &bytes, &reply), SMTP_FEED_REPLY);
	assert_string_equal(reply->text, "c");
	assert_int_equal(smtp_reply_feed(&parser, &bytes, &reply), SMTP_FEED_MORE);
	assert_int_equal(bytes.len, 0);
}

static void test_limits(void **state)
{
	(void)state;
	const struct smtp_reply *reply;
	static char line[SMTP_LINE_MAX + 10];
	struct str bytes;

	memset(line, 'x', sizeof line);
	bytes = str_span(line, sizeof line);
	smtp_reply_init(&parser);
	assert_int_equal(smtp_reply_feed(&parser, &bytes, &reply), SMTP_FEED_BAD);
	bytes = STR("250 OK\r\n");
	assert_int_equal(smtp_reply_feed(&parser, &bytes, &reply), SMTP_FEED_BAD); /* and stays so */

	enum smtp_feed result = SMTP_FEED_MORE;
	smtp_reply_init(&parser);
	for (int i = 0; i <= SMTP_LINES_MAX && result == SMTP_FEED_MORE; i++) {
		bytes = STR("250-again\r\n");
		result = smtp_reply_feed(&parser, &bytes, &reply);
	}
	assert_int_equal(result, SMTP_FEED_BAD);

	smtp_reply_init(&parser);
	memcpy(line, "250-", 4);
	memcpy(line + 1500, "\r\n", 2);
	for (int i = 0; i < 20; i++) {
		bytes = str_span(line, 1502);
		assert_int_equal(smtp_reply_feed(&parser, &bytes, &reply), SMTP_FEED_MORE);
	}
	bytes = STR("250 end\r\n");
	assert_int_equal(smtp_reply_feed(&parser, &bytes, &reply), SMTP_FEED_REPLY);
	assert_int_equal(reply->text_len, SMTP_TEXT_MAX);
}

static void test_capabilities(void **state)
{
	(void)state;
	struct str bytes = STR("250-mail.example PIPELINING\r\n250-size 1000\r\n250-PIPELINING\r\n250-STARTTLS\r\n"
	                       "250-AUTH LOGIN PLAIN\r\n250-AUTH=LOGIN\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n"
	                       "250 SMTPUTF8\r\n");
	const struct smtp_reply *reply;
	struct smtp_capabilities has;

	smtp_reply_init(&parser);
	assert_int_equal(smtp_reply_feed(&parser, &bytes, &reply), SMTP_FEED_REPLY);
	smtp_capabilities_read(reply, &has);
	assert_true(has.has_pipelining && has.has_starttls && has.has_8bitmime && has.has_smtputf8 && has.has_enhanced_codes);
	assert_true(has.has_auth_plain && has.has_auth_login);
	assert_int_equal(has.size_max, 1000);

	bytes = STR("250 PIPELINING\r\n");
	assert_int_equal(smtp_reply_feed(&parser, &bytes, &reply), SMTP_FEED_REPLY);
	smtp_capabilities_read(reply, &has);
	assert_false(has.has_pipelining || has.has_auth_plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies_in_any_pieces),
		cmocka_unit_test(test_pipelined_replies_come_one_by_one),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_capabilities),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
