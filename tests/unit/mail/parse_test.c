/* SPDX-License-Identifier: Apache-2.0
 * Whole mails: what is automatic, where attachments lie, what identity rests on, and that hostile shapes cost little.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "mail/charset.h"
#include "mail/html.h"
#include "mail/parse.h"
#include "mail/transfer.h"

#include "../arena_fixture.h"

#include "base/banned.h"

static struct mail mail;

static void parse(struct str raw)
{
	mail_parse(&arena, raw, &mail_limits_default, &mail);
}

static void test_what_is_automatic(void **state)
{
	static const struct {
		const char *what, *headers;
		bool is_automatic;
		enum mail_kind kind;
	} cases[] = {
		{ "a person", "From: a@x.org\nSubject: hello\n", false, MAIL_NORMAL },
		{ "auto-submitted: no", "From: a@x.org\nAuto-Submitted: no\n", false, MAIL_NORMAL },
		{ "auto-submitted", "From: a@x.org\nAuto-Submitted: auto-generated\n", true, MAIL_AUTO_REPLY },
		{ "empty return path", "Return-Path: <>\nFrom: a@x.org\n", true, MAIL_NORMAL },
		{ "return path", "Return-Path: <a@x.org>\nFrom: a@x.org\n", false, MAIL_NORMAL },
		{ "list", "From: a@x.org\nList-Id: <l.x.org>\n", true, MAIL_LIST },
		{ "bulk", "From: a@x.org\nPrecedence: bulk\n", true, MAIL_LIST },
		{ "precedence of a person", "From: a@x.org\nPrecedence: first-class\n", false, MAIL_NORMAL },
		{ "report", "From: a@x.org\nContent-Type: multipart/report; boundary=x\n", true, MAIL_NORMAL },
		{ "out of office", "From: a@x.org\nSubject: Out of Office: x\n", true, MAIL_AUTO_REPLY },
		{ "reply about it", "From: a@x.org\nSubject: Re: Out of Office: x\n", false, MAIL_NORMAL },
		{ "old bounce", "Return-Path: <>\nFrom: MAILER-DAEMON@x.org\nSubject: failure notice\n", true, MAIL_BOUNCE },
		{ "failed recipients", "From: a@x.org\nX-Failed-Recipients: b@x.org\n", true, MAIL_BOUNCE },
		{ "postmaster writes", "From: postmaster@x.org\nSubject: your question\n", false, MAIL_NORMAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		parse(str_printf(&arena, "%s\ntext\n", cases[i].headers));
		if (mail.is_automatic != cases[i].is_automatic || mail.kind != cases[i].kind)
			fail_msg("%s: %d, %s", cases[i].what, mail.is_automatic, mail_kind_name(mail.kind));
	}
}

static void test_attachments_lie_where_the_model_says(void **state)
{
	static const struct str mails[] = {
		STR("Content-Type: multipart/mixed; boundary=x\n\n--x\n\ntext\n--x\nContent-Type: a/b\nContent-Transfer-Encoding: base64\n\n"
		    "aGVsbG8=\n--x\nContent-Type: a/b\n\nplain bytes\n--x\nContent-Type: a/b\nContent-Transfer-Encoding: quoted-printable\n\n"
		    "=41=\nb\n--x--\n"),
		STR("From a Mon\r\nSubject: whole mail\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n"),
		STR("junk\nA: b\nC: d\nContent-Type: multipart/mixed; boundary=\"y\"\n\n--y\nContent-Disposition: attachment\n\none\n--y--\n"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(mails); i++) {
		parse(mails[i]);
		assert_true(mail.parts_len > 0);
		for (size_t k = 0; k < mail.parts_len; k++) {
			const struct mail_part *part = &mail.parts[k];
			uint32_t defects = 0;
			assert_true(part->offset + part->length <= mails[i].len);
			struct str raw = str_slice(mails[i], part->offset, part->offset + part->length);
			struct str bytes = transfer_decode(&arena, part->encoding, raw, &defects);
			struct sha256 sum = sha256_of(bytes);
			assert_int_equal(bytes.len, part->size);
			assert_memory_equal(sum.b, part->sum.b, sizeof sum.b);
		}
	}
}

static void assert_same_identity(struct str a, struct str b, bool is_same_body, bool is_same_whole)
{
	struct mail first;

	parse(a);
	first = mail;
	parse(b);
	assert_int_equal(memcmp(&first.body_sum, &mail.body_sum, sizeof first.body_sum) == 0, is_same_body);
	assert_int_equal(memcmp(&first.headless_sum, &mail.headless_sum, sizeof first.headless_sum) == 0, is_same_whole);
}

static void test_identity(void **state)
{
	struct str mail_lf = STR("Received: by a\nSubject: x\nARC-Seal: y\n\nbody\nmore\n\n\n");

	(void)state;
	assert_same_identity(mail_lf, STR("Received: by b\r\nX-Spam-Score: 1\r\nSubject: x\r\n\r\nbody\r\nmore"), true,
	                     true);
	assert_same_identity(mail_lf, STR("Subject: x\n\nbody\n\nmore\n"), false, false);
	assert_same_identity(mail_lf, STR("Subject: y\n\nbody\nmore\n"), true, false);
	assert_same_identity(STR("A: b\n\na\rb\n"), STR("A: b\n\na\r\nb\r\n"), true, true);
	assert_same_identity(STR("A: b\n\n"), STR("A: b\n"), true, true);
}

static void test_best_sender(void **state)
{
	(void)state;
	parse(STR("From: Ann <ann>\nReply-To: Bob <bob@x.org>\n\n"));
	assert_true(str_eq(mail.best_sender.address, STR("bob@x.org")));
	parse(STR("From: ann\nReturn-Path: <c@x.org>\n\n"));
	assert_true(str_eq(mail.best_sender.address, STR("c@x.org")));
	parse(STR("From: ann\n\n"));
	assert_true(str_eq(mail.best_sender.address, STR("ann")));
}

static void test_inner_ids(void **state)
{
	(void)state;
	parse(STR(
		"From: MAILER-DAEMON@x.org\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
		"--b\nContent-Type: message/delivery-status\n\nAction: failed\n--b\nContent-Type: message/rfc822\n"
		"Content-Transfer-Encoding: base64\n\nTWVzc2FnZS1JRDogPG91cnNAeD4KUmVmZXJlbmNlczogPGE+IDxiPgoKeAo=\n--b--\n"));
	assert_int_equal(mail.kind, MAIL_BOUNCE);
	assert_int_equal(mail.inner_ids.len, 3);
	assert_true(str_eq(mail.inner_ids.at[0], STR("ours@x")));
	assert_true(str_eq(mail.inner_ids.at[2], STR("b")));
}

static void test_html(void **state)
{
	static const struct {
		const char *html, *text;
	} cases[] = {
		{ "a<br>b", "a\nb" },
		{ "<p>a</p><p>b</p>", "a\n\nb" },
		{ "<div>a</div><div>b</div>", "a\nb" },
		{ " a \n  b\t c ", "a b c" },
		{ "<pre>a  b\nc</pre>", "a  b\nc" },
		{ "a<script>x</script><style>y</style>b<!-- c -->d", "abd" },
		{ "&lt;b&gt; &auml; &#8364; &#x41; &unknown;", "<b> \xc3\xa4 \xe2\x82\xac A &unknown;" },
		{ "<a href=\"x>y\">link</a>", "link" },
		{ "a < b", "a < b" },
		{ "<b>never closed", "never closed" },
		{ "", "" },
	};
	struct mail_limits strict = mail_limits_default;

	(void)state;
	strict.html_bytes = 0;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t defects = 0;
		struct str by_tree = html_to_text(&arena, str_of(cases[i].html), &mail_limits_default, &defects);
		struct str by_scan = html_to_text(&arena, str_of(cases[i].html), &strict, &defects);
		if (!str_eq(by_tree, str_of(cases[i].text)) || !str_eq(by_scan, str_of(cases[i].text)))
			fail_msg("%s: '%.*s' and '%.*s'", cases[i].html, STR_ARG(by_tree), STR_ARG(by_scan));
	}
	assert_true(
		str_eq(html_declared_charset(STR("<meta http-equiv=x content=\"text/html; charset=koi8-r\">")), STR("koi8-r")));
}

/* `head`, then `piece` over and over up to about `size`, then `tail`. */
static struct str flood(const char *head, const char *piece, size_t size, const char *tail)
{
	struct buf out;

	buf_init(&out, size + 4096);
	buf_add_text(&out, head);
	for (int i = 0; out.len < size; i++) {
		if (strstr(piece, "%d"))
			buf_addf(&out, "%.*s%d%s", (int)(strstr(piece, "%d") - piece), piece, i, strstr(piece, "%d") + 2);
		else
			buf_add_text(&out, piece);
	}
	buf_add_text(&out, tail);
	struct str copy = str_dup(&arena, buf_str(&out));
	buf_done(&out);
	return copy;
}

static void test_hostile_shapes_cost_little(void **state)
{
	static const struct {
		const char *what, *head, *piece;
	} cases[] = {
		{ "headers", "", "A%d: b\n" },
		{ "one long header", "To: ", "abcdefgh" },
		{ "groups", "To: ", "a:" },
		{ "comments", "To: ", "(" },
		{ "quotes", "To: ", "\"" },
		{ "angles", "To: ", "<" },
		{ "addresses", "To: ", "a@x," },
		{ "references", "References: ", "<%d@x> " },
		{ "open ids", "References: ", "<a" },
		{ "encoded words", "Subject: ", "=?utf-8?Q?a?= " },
		{ "open encoded words", "Subject: ", "=?utf-8?Q?" },
		{ "parameters", "Content-Type: text/plain", "; a%d=b" },
		{ "pieces of a parameter", "Content-Disposition: attachment", "; filename*%d=b" },
		{ "parts", "Content-Type: multipart/mixed; boundary=x\n\n", "--x\n\n\n" },
		{ "part headers", "Content-Type: multipart/mixed; boundary=x\n\n--x\n", "A: b\n" },
		{ "nesting", "Content-Type: multipart/mixed; boundary=x0\n\n--x0\n",
		  "Content-Type: multipart/mixed; boundary=x%d\n\n--x%d\n" },
		{ "messages in messages", "Content-Type: message/rfc822\n\n", "Content-Type: message/rfc822\n\n" },
		{ "div", "Content-Type: text/html\n\n", "<div>" },
		{ "formatting", "Content-Type: text/html\n\n", "<a><b><i>" },
		{ "formatting kept open", "Content-Type: text/html\n\n", "<div><b x=%d></div>" },
		{ "tables", "Content-Type: text/html\n\n", "<table><tr><td>" },
		{ "attributes", "Content-Type: text/html\n\n<a ", "x%d=y " },
		{ "open tags", "Content-Type: text/html\n\n", "<a x=\"" },
		{ "comments in html", "Content-Type: text/html\n\n", "<!--" },
		{ "scripts", "Content-Type: text/html\n\n", "<script>" },
		{ "lone cr", "", "a\r" },
		{ "junk lines", "", "a\nb\n" },
		{ "empty lines", "", "\n" },
		{ "nul", "", "\001" },
	};
	/* Big enough to show what is quadratic; a sanitizer may take ten times as long. */
	const size_t size = 400 << 10;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str raw = flood(cases[i].head, cases[i].piece, size, "");
		int64_t start = clock_mono_ms();
		parse(raw);
		int64_t took = clock_mono_ms() - start;
		if (took > 5000)
			fail_msg("%s took %lld ms", cases[i].what, (long long)took);
		arena_reset(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_automatic, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(test_attachments_lie_where_the_model_says, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(test_identity, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(test_best_sender, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(test_inner_ids, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(test_html, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(test_hostile_shapes_cost_little, take_arena, drop_arena),
	};
	mail_parse_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
