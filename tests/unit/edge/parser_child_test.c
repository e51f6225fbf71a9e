/* SPDX-License-Identifier: Apache-2.0
 * Parsing in sandboxed children: the model is that of the process itself, and only the mail that kills is condemned.
 * The linker wraps mail_parse(), so that a mail with the header X-Test-Parser kills the child in the way that it names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "edge/parser_child.h"
#include "mail/charset.h"
#include "mail/parse.h"
#include "mail/raw_header.h"
#include "wire/parsed_mail.h"

#include "base/banned.h"

void __wrap_mail_parse(struct arena *arena, struct str raw, const struct mail_limits *limits, struct mail *out);
void __real_mail_parse(struct arena *arena, struct str raw, const struct mail_limits *limits, struct mail *out);

static volatile int sink;

/* Uses up the stack. */
static int recurse(volatile int depth)
{
	volatile char frame[4096];

	frame[0] = (char)depth;
	return depth < 0 ? 0 : recurse(depth + 1) + frame[0];
}

void __wrap_mail_parse(struct arena *arena, struct str raw, const struct mail_limits *limits, struct mail *out)
{
	struct raw_headers headers;

	raw_headers_read(arena, raw, limits, &headers);
	struct str how = raw_headers_get(&headers, "X-Test-Parser");
	if (str_eq(how, STR("abort")))
		abort();
	if (str_eq(how, STR("crash")))
		sink = recurse(1);
	while (str_eq(how, STR("loop")))
		sink++;
	while (str_eq(how, STR("memory")))
		memset(arena_alloc(arena, 16 << 20), 1, 16 << 20);
	if (str_eq(how, STR("socket")))
		sink = socket(AF_INET, SOCK_STREAM, 0);
	if (str_eq(how, STR("kill")))
		sink = kill(getppid(), 0);
	if (str_eq(how, STR("file")) && open("/etc/passwd", O_RDONLY) >= 0)
		abort();
	__real_mail_parse(arena, raw, limits, out);
}

static struct parser_pool *pool;
static struct arena arena;

static int set_up(void **state)
{
	(void)state;
	arena_init(&arena);
	pool = parser_pool_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	parser_pool_free(pool);
	arena_done(&arena);
	return 0;
}

static struct str plain_mail(int number)
{
	return str_printf(
		&arena,
		"From: \"Number %d\" <n%d@example.org>\r\nSubject: mail %d\r\nMessage-ID: <%d@example.org>\r\n\r\nHello %d\r\n",
		number, number, number, number, number);
}

static struct str killer(const char *how)
{
	return str_printf(&arena, "From: <x@example.org>\r\nX-Test-Parser: %s\r\n\r\nx\r\n", how);
}

static void assert_is_mail(const struct parse_job *job, int number)
{
	struct str subject = str_printf(&arena, "mail %d", number);

	assert_int_equal(job->verdict, PARSE_OK);
	assert_true(str_eq(job->mail.subject, subject));
	assert_int_equal(job->mail.from.len, 1);
	assert_false(job->mail.defects & MAIL_DEFECT_TOO_BIG);
}

static void test_many_mails_come_back_in_order(void **state)
{
	enum { COUNT = 1000 };
	struct parse_job *jobs = ARENA_ARRAY(&arena, struct parse_job, COUNT);
	struct err err;

	(void)state;
	for (int i = 0; i < COUNT; i++)
		jobs[i].raw = plain_mail(i);
	assert_int_equal(parser_pool_run(pool, &arena, jobs, COUNT, &err), 0);
	for (int i = 0; i < COUNT; i++)
		assert_is_mail(&jobs[i], i);
	assert_int_equal(parser_pool_run(pool, &arena, jobs, 0, &err), 0);
}

static void test_only_the_killer_is_condemned(void **state)
{
	static const struct {
		const char *how;
		enum parse_verdict verdict;
	} cases[] = {
		{ "abort", PARSE_NO_MEMORY }, /* an abort is how libraries say that memory is out */
#if !defined(__SANITIZE_ADDRESS__)
		/* The sanitizer's own handlers and allocator would step in. */
		{ "crash", PARSE_CRASHED },
		{ "memory", PARSE_NO_MEMORY },
#endif
		{ "loop", PARSE_OVERRAN },
		{ "socket", PARSE_FORBIDDEN },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum { COUNT = 40 };
		struct parse_job jobs[COUNT] = { 0 };
		struct err err;
		for (int k = 0; k < COUNT; k++)
			jobs[k].raw = plain_mail(k);
		/* Each condemned mail that loops costs seconds: one of them is enough. */
		int second = cases[i].verdict == PARSE_OVERRAN ? 0 : 17;
		jobs[0].raw = jobs[second].raw = killer(cases[i].how);
		assert_int_equal(parser_pool_run(pool, &arena, jobs, COUNT, &err), 0);
		for (int k = 0; k < COUNT; k++) {
			if (k != 0 && k != second)
				assert_is_mail(&jobs[k], k);
			else
				assert_string_equal(parse_verdict_name(jobs[k].verdict), parse_verdict_name(cases[i].verdict));
		}
	}
}

static void test_the_child_cannot_reach_files_or_processes(void **state)
{
	struct parse_job jobs[2] = { { .raw = killer("file") }, { .raw = killer("kill") } };
	struct err err;

	(void)state;
	assert_int_equal(parser_pool_run(pool, &arena, jobs, 2, &err), 0);
	assert_int_equal(jobs[0].verdict, PARSE_OK);
	assert_int_equal(jobs[1].verdict, PARSE_FORBIDDEN);
}

static void test_big_mails_among_small_ones(void **state)
{
	enum { BIG = 9 << 20 };
	char *bytes = arena_alloc(&arena, BIG);
	struct parse_job jobs[9] = { 0 };
	struct err err;

	(void)state;
	memset(bytes, 'x', BIG);
	struct str head = STR("Subject: big\r\nContent-Type: application/octet-stream\r\n\r\n");
	memcpy(bytes, head.at, head.len);
	for (int i = 0; i < 9; i++)
		jobs[i].raw = i % 4 == 1 ? str_span(bytes, BIG) : plain_mail(i);
	assert_int_equal(parser_pool_run(pool, &arena, jobs, 9, &err), 0);
	for (int i = 0; i < 9; i++) {
		if (i % 4 != 1) {
			assert_is_mail(&jobs[i], i);
			continue;
		}
		assert_int_equal(jobs[i].verdict, PARSE_OK);
		assert_int_equal(jobs[i].mail.parts_len, 1);
		assert_int_equal(jobs[i].mail.parts[0].size, BIG - head.len);
		assert_int_equal(jobs[i].mail.parts[0].offset, head.len);
	}
}

static void test_no_more_text_comes_back_than_is_wanted(void **state)
{
	enum { LETTERS = 300000 };
	char *text = arena_alloc(&arena, 2 * LETTERS);
	struct parse_job jobs[3] = { { .text_most = 1001 }, { .text_most = 0 }, { .text_most = 1000 } };
	struct err err;

	(void)state;
	for (size_t i = 0; i < LETTERS; i++)
		memcpy(text + 2 * i, "\xc3\xa4", 2);
	for (size_t i = 0; i < 2; i++)
		jobs[i].raw = str_printf(&arena,
		                         "Subject: mail 0\r\nFrom: <a@example.org>\r\nContent-Type: text/plain; charset=utf-8\r\n"
		                         "Content-Transfer-Encoding: 8bit\r\n\r\n%.*s",
		                         2 * LETTERS, text);
	jobs[2].raw = plain_mail(2);
	assert_int_equal(parser_pool_run(pool, &arena, jobs, 3, &err), 0);
	/* Never half a letter; and it is no defect of the mail's. */
	assert_is_mail(&jobs[0], 0);
	assert_int_equal(jobs[0].mail.text.len, 1000);
	assert_is_mail(&jobs[1], 0);
	assert_true(jobs[1].mail.text.len >= 2 * LETTERS);
	assert_is_mail(&jobs[2], 2);
	assert_true(jobs[2].mail.text.len < 100);
}

static void test_empty_and_odd_bytes(void **state)
{
	struct parse_job jobs[] = { { .raw = STR("") },
		                        { .raw = STR("\n") },
		                        { .raw = STR("\0\0\0\0") },
		                        { .raw = STR("no header at all") },
		                        { .raw = STR("Content-Type: multipart/mixed; boundary=\n\n--\n--\n----\n") } };
	struct err err;

	(void)state;
	assert_int_equal(parser_pool_run(pool, &arena, jobs, ARRAY_LEN(jobs), &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		assert_int_equal(jobs[i].verdict, PARSE_OK);
}

/* Each charset once: a converter that the child lacks would fail silently in it. */
static void test_the_model_is_that_of_the_process_itself(void **state)
{
	static const char *const charsets[] = {
		"utf-8",          "iso-8859-1",  "iso-8859-2", "iso-8859-15", "windows-1251", "koi8-r",       "shift_jis",
		"windows-31j",    "iso-2022-jp", "euc-jp",     "gb2312",      "gb18030",      "big5",         "euc-kr",
		"ks_c_5601-1987", "utf-16",      "utf-7",      "iso-2022-kr", "windows-1256", "iso-8859-8-i", "tis-620",
		"koi8-u",         "macintosh",   "cp850",      "x-unknown",   "iso-8859-7",   "us-ascii",
	};
	static const char *const bodies[] = { "plain",    "=E4=F6=FC =C4=D6", "=1B$B%F%9%H=1B(B", "=B0=A1=B3=AA=B4=D9",
		                                  "+APw-ber", "=00A=00B" };
	enum { COUNT = ARRAY_LEN(charsets) * ARRAY_LEN(bodies) };
	struct parse_job jobs[COUNT] = { 0 };
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		jobs[i].raw = str_printf(&arena,
		                         "From: =?%s?Q?%s?= <a@example.org>\nContent-Type: text/plain; charset=%s\n"
		                         "Content-Transfer-Encoding: quoted-printable\n\n%s\n",
		                         charsets[i % ARRAY_LEN(charsets)], "=E4=F6=FC", charsets[i % ARRAY_LEN(charsets)],
		                         bodies[i / ARRAY_LEN(charsets)]);
	assert_int_equal(parser_pool_run(pool, &arena, jobs, COUNT, &err), 0);
	for (size_t i = 0; i < COUNT; i++) {
		struct mail own;
		mail_parse(&arena, jobs[i].raw, &mail_limits_default, &own);
		assert_int_equal(jobs[i].verdict, PARSE_OK);
		assert_true(str_eq(parsed_mail_encode(&arena, &own), parsed_mail_encode(&arena, &jobs[i].mail)));
	}
}

/* An answer that no healthy child gives is refused. */
static void test_answers_are_checked(void **state)
{
	struct mail mail, got;
	struct err err;

	(void)state;
	mail_parse(&arena, STR("Subject: x\nContent-Type: application/pdf\n\nabc"), &mail_limits_default, &mail);
	assert_int_equal(parsed_mail_decode(&arena, parsed_mail_encode(&arena, &mail), 46, &got, &err), 0);
	assert_int_equal(parsed_mail_decode(&arena, parsed_mail_encode(&arena, &mail), 40, &got, &err), -1);
	mail.subject = STR("\xff");
	assert_int_equal(parsed_mail_decode(&arena, parsed_mail_encode(&arena, &mail), 46, &got, &err), -1);
	assert_int_equal(err.kind, ERR_PERM);
	assert_int_equal(parsed_mail_decode(&arena, STR("\xff\xff"), 46, &got, &err), -1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_many_mails_come_back_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_only_the_killer_is_condemned, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_child_cannot_reach_files_or_processes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_big_mails_among_small_ones, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_more_text_comes_back_than_is_wanted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_empty_and_odd_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_model_is_that_of_the_process_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_answers_are_checked, set_up, tear_down),
	};

	parser_child_main_if_asked(argc, argv);
	mail_parse_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
