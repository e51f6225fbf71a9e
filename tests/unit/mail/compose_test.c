/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "mail/compose.h"

#include "base/banned.h"

static struct arena arena;

static struct compose simple(void)
{
	struct compose mail = {
		.from = { STR("Support"), STR("support@demo.example") },
		.subject = STR("[#1] Hello"),
		.message_id = STR("abc@demo.example"),
		.date_s = 1700000000,
		.text = STR("Hello,\nthis is all.\n"),
	};
	mail.to.at = ARENA_NEW(&arena, struct mail_address);
	mail.to.at[0] = (struct mail_address){ STR("A Person"), STR("a@client.example") };
	mail.to.len = 1;
	return mail;
}

static struct str written(const struct compose *mail)
{
	struct str bytes = STR_NULL;
	struct err err = { 0 };

	if (compose(&arena, mail, &bytes, &err) < 0)
		fail_msg("%s", err.text);
	return bytes;
}

/* The unfolded value of a header, or NULL view. */
static struct str header(struct str bytes, const char *name)
{
	struct str start = str_printf(&arena, "\r\n%s: ", name);
	ptrdiff_t at = str_find(str_printf(&arena, "\r\n%.*s", STR_ARG(bytes)), start, 0);
	char *value;
	size_t len = 0;

	if (at < 0)
		return STR_NULL;
	bytes = str_slice(bytes, (size_t)at + start.len - 2, bytes.len);
	value = str_cstr(&arena, bytes);
	for (size_t i = 0; i < bytes.len; i++) {
		if (bytes.at[i] == '\r' && bytes.at[i + 1] == '\n') {
			if (bytes.at[i + 2] != ' ')
				break;
			i++;
			continue;
		}
		value[len++] = bytes.at[i];
	}
	return str_span(value, len);
}

/* What every mail of ours must keep, whatever its fields: CRLF only, short ASCII lines, a header block without a line
 * that is neither a field nor a continuation. */
static void assert_wellformed(struct str bytes)
{
	bool in_header = true;
	size_t column = 0;

	for (size_t i = 0; i < bytes.len; i++) {
		unsigned char c = (unsigned char)bytes.at[i];
		assert_true(c < 0x7f);
		assert_true(c >= 0x20 || c == '\r' || c == '\n' || c == '\t');
		if (c == '\n')
			assert_true(i > 0 && bytes.at[i - 1] == '\r');
		if (c == '\r') {
			assert_int_equal(bytes.at[i + 1], '\n');
			assert_true(column <= 998);
			struct str line = str_slice(bytes, i - column, i);
			if (column == 0)
				in_header = false;
			else if (in_header)
				assert_true(line.at[0] == ' ' || str_find_char(line, ':', 0) > 0);
			if (in_header)
				assert_true(str_trim(line).len > 0);
			column = 0;
			i++;
			continue;
		}
		column++;
	}
	assert_false(in_header);
}

static void test_plain(void **state)
{
	(void)state;
	struct compose mail = simple();
	struct str bytes = written(&mail);

	assert_wellformed(bytes);
	assert_string_equal(str_cstr(&arena, bytes),
	                    "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
	                    "From: \"Support\" <support@demo.example>\r\n"
	                    "To: \"A Person\" <a@client.example>\r\n"
	                    "Subject: [#1] Hello\r\n"
	                    "Message-ID: <abc@demo.example>\r\n"
	                    "MIME-Version: 1.0\r\n"
	                    "Content-Type: text/plain; charset=us-ascii\r\n"
	                    "Content-Transfer-Encoding: 7bit\r\n"
	                    "\r\nHello,\r\nthis is all.\r\n");
}

static void test_threading_and_marks(void **state)
{
	(void)state;
	struct compose mail = simple();
	struct str ids[] = { STR("root@x"), STR("bad id@x"), STR("last@x") };

	mail.reply_to = STR("group@demo.example");
	mail.in_reply_to = STR("last@x");
	mail.references = (struct mail_strs){ ids, 3 };
	mail.is_automatic = mail.is_auto_reply = true;
	mail.own_mark = STR("abcd");
	struct str bytes = written(&mail);
	assert_wellformed(bytes);
	assert_true(str_eq(header(bytes, "Reply-To"), STR("group@demo.example")));
	assert_true(str_eq(header(bytes, "In-Reply-To"), STR("<last@x>")));
	assert_true(str_eq(header(bytes, "References"), STR("<root@x> <last@x>")));
	assert_true(str_eq(header(bytes, "Auto-Submitted"), STR("auto-replied")));
	assert_true(str_eq(header(bytes, "X-Auto-Response-Suppress"), STR("All")));
	assert_true(str_eq(header(bytes, "X-Mailcase-Token"), STR("abcd")));
}

static void test_long_reference_lists_keep_the_root_and_the_latest(void **state)
{
	(void)state;
	struct compose mail = simple();
	struct str ids[100];

	for (size_t i = 0; i < 100; i++)
		ids[i] = str_printf(&arena, "id%zu@x", i);
	mail.references = (struct mail_strs){ ids, 100 };
	struct str value = header(written(&mail), "References");
	assert_true(str_starts(value, STR("<id0@x> <id81@x>")));
	assert_true(str_ends(value, STR("<id99@x>")));
}

static void test_refuses_line_ends_and_nul(void **state)
{
	(void)state;
	static const struct str bad[] = { { "a\rb", 3 }, { "a\nb", 3 }, { "a\0b", 3 }, { "x\r\nBcc: y@z", 11 } };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		for (int field = 0; field < 9; field++) {
			struct compose mail = simple();
			struct str bytes = STR("untouched"), ids[] = { bad[i] };
			struct err err = { 0 };
			if (field == 0)
				mail.subject = bad[i];
			else if (field == 1)
				mail.from.name = bad[i];
			else if (field == 2)
				mail.to.at[0].name = bad[i];
			else if (field == 3)
				mail.to.at[0].address = bad[i];
			else if (field == 4)
				mail.reply_to = bad[i];
			else if (field == 5)
				mail.message_id = bad[i];
			else if (field == 6)
				mail.in_reply_to = bad[i];
			else if (field == 7)
				mail.references = (struct mail_strs){ ids, 1 };
			else
				mail.own_mark = bad[i];
			assert_int_equal(compose(&arena, &mail, &bytes, &err), -1);
			assert_int_equal(err.kind, ERR_PERM);
			assert_true(str_eq(bytes, STR("untouched")));
		}
	}
	struct compose mail = simple();
	struct str bytes;
	struct err err = { 0 };
	mail.text = str_span("a\0b", 3);
	assert_int_equal(compose(&arena, &mail, &bytes, &err), -1);
}

static void test_refuses_what_is_no_address(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "a", "@b", "a@", "a@b@c", "a b@c", "a@b>", "<a@b", "a@b, c@d", "\xc3\xa4@b",
		                           "a@b\xc3\xa4.de", "a;b@c", "\"a b\"@c", "a@[1.2.3.4](x)", "a\t@b" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct compose mail = simple();
		struct str bytes;
		struct err err = { 0 };
		mail.to.at[0].address = str_of(bad[i]);
		assert_int_equal(compose(&arena, &mail, &bytes, &err), -1);
		assert_int_equal(err.kind, ERR_PERM);
	}
	struct compose mail = simple();
	struct str bytes;
	struct err err = { 0 };
	mail.to.len = 0;
	assert_int_equal(compose(&arena, &mail, &bytes, &err), -1);
}

static void test_hostile_names(void **state)
{
	(void)state;
	static const struct {
		const char *name, *written;
	} cases[] = {
		{ "a \"quoted\" \\ name", "\"a \\\"quoted\\\" \\\\ name\" <a@client.example>" },
		{ "boss@demo.example, other", "\"boss@demo.example, other\" <a@client.example>" },
		{ "=?utf-8?q?boss?=", "=?utf-8?q?=3D=3Futf-8=3Fq=3Fboss=3F=3D?= <a@client.example>" },
		{ "J\xc3\xbcrgen", "=?utf-8?q?J=C3=BCrgen?= <a@client.example>" },
		{ "tab\there", "=?utf-8?q?tab=09here?= <a@client.example>" },
		{ "  ", "<a@client.example>" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct compose mail = simple();
		mail.to.at[0].name = str_of(cases[i].name);
		struct str bytes = written(&mail);
		assert_wellformed(bytes);
		assert_string_equal(str_cstr(&arena, header(bytes, "To")), cases[i].written);
	}
}

static void test_subjects_fold_and_unfold_to_themselves(void **state)
{
	(void)state;
	struct compose mail = simple();

	mail.subject = STR("[#1] word  two   three words that go on and on until the line is far longer than seventy-eight "
	                   "characters and must be folded somewhere");
	struct str bytes = written(&mail);
	assert_wellformed(bytes);
	assert_true(str_eq(header(bytes, "Subject"), mail.subject));
	for (struct str line; str_next_line(&bytes, &line);)
		assert_true(line.len <= 78);
}

static void test_encoded_words_cut_no_character(void **state)
{
	(void)state;
	struct buf long_subject;
	struct str word;

	buf_init(&long_subject, 10000);
	for (int i = 0; i < 150; i++)
		buf_add_text(&long_subject, i % 3 ? "\xe6\x97\xa5" : "\xf0\x9f\x98\x80");
	struct compose mail = simple();
	mail.subject = buf_str(&long_subject);
	struct str bytes = written(&mail), value = header(bytes, "Subject");
	assert_wellformed(bytes);
	while (str_next(&value, ' ', &word)) {
		assert_true(word.len <= 75);
		assert_true(str_starts(word, STR("=?utf-8?q?=E6")) || str_starts(word, STR("=?utf-8?q?=F0")));
		assert_true(str_ends(word, STR("?=")));
	}
	buf_done(&long_subject);
}

static void test_the_number_stays_readable_where_the_rest_is_encoded(void **state)
{
	(void)state;
	static const struct {
		const char *subject, *header;
	} cases[] = {
		{ "[#1] \xc3\xbc", "[#1] =?utf-8?q?=C3=BC?=" },
		{ "Re: [#1] a  \xc3\xbc b", "Re: [#1] a =?utf-8?q?_=C3=BC_b?=" },
		{ "[#1] =?x?= b", "[#1] =?utf-8?q?=3D=3Fx=3F=3D_b?=" },
		{ "\xc3\xbc [#1]", "=?utf-8?q?=C3=BC_=5B=231=5D?=" },
		{ "a beginning of more than forty characters, \xc3\xbc",
		  "a beginning of more than forty =?utf-8?q?characters=2C_=C3=BC?=" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct compose mail = simple();
		mail.subject = str_of(cases[i].subject);
		struct str bytes = written(&mail);
		assert_wellformed(bytes);
		assert_string_equal(str_cstr(&arena, header(bytes, "Subject")), cases[i].header);
	}
}

static void test_a_word_that_cannot_be_folded_is_encoded(void **state)
{
	(void)state;
	struct compose mail = simple();
	char *word = arena_alloc(&arena, 3000);

	memset(word, 'x', 3000);
	mail.subject = str_span(word, 3000);
	assert_wellformed(written(&mail));
}

static void test_text(void **state)
{
	(void)state;
	static const struct {
		const char *text, *encoding, *body;
	} cases[] = {
		{ "a\r\nb\nc", "7bit", "a\r\nb\r\nc\r\n" },
		{ "a\rb", "quoted-printable", "a=0Db\r\n" },
		{ "Gr\xc3\xbc\xc3\x9f" "e \n.\n", "quoted-printable", "Gr=C3=BC=C3=9Fe=20\r\n.\r\n" },
		{ "bad \xff byte", "quoted-printable", "bad =EF=BF=BD byte\r\n" },
		{ "", "7bit", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct compose mail = simple();
		mail.text = str_of(cases[i].text);
		struct str bytes = written(&mail);
		assert_wellformed(bytes);
		assert_string_equal(str_cstr(&arena, header(bytes, "Content-Transfer-Encoding")), cases[i].encoding);
		ptrdiff_t end = str_find(bytes, STR("\r\n\r\n"), 0);
		assert_string_equal(str_cstr(&arena, str_slice(bytes, (size_t)end + 4, bytes.len)), cases[i].body);
	}
}

static void test_long_lines_become_quoted_printable(void **state)
{
	(void)state;
	struct compose mail = simple();
	char *line = arena_alloc(&arena, 5000);

	memset(line, '=', 5000);
	mail.text = str_span(line, 5000);
	struct str bytes = written(&mail), rest = bytes;
	assert_wellformed(bytes);
	for (struct str piece; str_next_line(&rest, &piece);)
		assert_true(piece.len <= 76);
}

static void test_subject_of_an_answer(void **state)
{
	(void)state;
	static const struct {
		const char *prefix, *tag, *subject, *expected;
	} cases[] = {
		{ "Re: ", "[#12]", "Printer", "Re: [#12] Printer" },
		{ "Re: ", "[#12]", "Re: [#12] Printer", "Re: [#12] Printer" },
		{ "Re: ", "[#12]", "AW: Re: Printer [#12] broken", "Re: [#12] Printer broken" },
		{ "", "[#12]", "Re: Printer", "[#12] Re: Printer" },
		{ "Re: ", "[#12]", "", "Re: [#12]" },
		{ "Re: ", "[#12]", "a\r\nBcc: x@y", "Re: [#12] a Bcc: x@y" },
		{ "Re: ", "", "Printer", "Re: Printer" },
		{ "Re: ", "[#12]", "[#123] Printer", "Re: [#12] [#123] Printer" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str subject = compose_subject(&arena, cases[i].prefix, str_of(cases[i].tag), str_of(cases[i].subject));
		assert_string_equal(str_cstr(&arena, subject), cases[i].expected);
	}
	char *many = arena_alloc(&arena, 800);
	for (size_t i = 0; i < 400; i++)
		memcpy(many + 2 * i, "\xc3\xa4", 2);
	assert_int_equal(compose_subject(&arena, "", STR(""), str_span(many, 800)).len, 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_threading_and_marks),
		cmocka_unit_test(test_long_reference_lists_keep_the_root_and_the_latest),
		cmocka_unit_test(test_refuses_line_ends_and_nul),
		cmocka_unit_test(test_refuses_what_is_no_address),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_subjects_fold_and_unfold_to_themselves),
		cmocka_unit_test(test_encoded_words_cut_no_character),
		cmocka_unit_test(test_the_number_stays_readable_where_the_rest_is_encoded),
		cmocka_unit_test(test_a_word_that_cannot_be_folded_is_encoded),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_long_lines_become_quoted_printable),
		cmocka_unit_test(test_subject_of_an_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
