/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "protocol/imap_reply.h"

/* Everything the replies say, as text: what the tables below compare. A body stands before its FETCH. */
static struct buf said;

static bool begin(void *self, uint64_t size, bool is_nil)
{
	(void)self;
	buf_addf(&said, "body %s%llu<", is_nil ? "NIL " : "", (unsigned long long)size);
	return true;
}

static void bytes(void *self, const char *at, size_t len)
{
	(void)self;
	buf_add(&said, at, len);
}

static void end(void *self)
{
	(void)self;
	buf_add_text(&said, ">\n");
}

static const struct imap_sink sink = { .begin = begin, .bytes = bytes, .end = end };

static void say_reply(const struct imap_reply *r)
{
	static const char *const kinds[] = { "other", "continue", "OK", "NO", "BAD", "BYE", "PREAUTH", "capability",
		                             "exists", "expunge", "fetch", "list", "search" };

	buf_add_text(&said, kinds[r->kind]);
	if (r->tag.len)
		buf_addf(&said, " tag=%.*s", STR_ARG(r->tag));
	if (r->code.len)
		buf_addf(&said, " code=%.*s(%.*s)", STR_ARG(r->code), STR_ARG(r->code_args));
	if (r->text.len)
		buf_addf(&said, " text=%.*s", STR_ARG(r->text));
	if (r->kind == IMAP_EXISTS || r->kind == IMAP_EXPUNGE)
		buf_addf(&said, " %u", r->number);
	if (r->kind == IMAP_FETCH) {
		buf_addf(&said, " seq=%u uid=%u", r->fetch.seq, r->fetch.uid);
		if (r->fetch.has_size)
			buf_addf(&said, " size=%llu", (unsigned long long)r->fetch.size);
		if (r->fetch.has_date)
			buf_addf(&said, " date=%lld", (long long)(r->fetch.date_us / 1000000));
		if (r->fetch.has_flags)
			buf_addf(&said, " flags=%s%s", r->fetch.is_seen ? "S" : "", r->fetch.is_deleted ? "D" : "");
		if (r->fetch.bodies)
			buf_addf(&said, " bodies=%u", r->fetch.bodies);
	}
	if (r->kind == IMAP_LIST)
		buf_addf(&said, " name=%.*s delimiter=%c%s use=%s", STR_ARG(r->list.name),
		         r->list.delimiter ? r->list.delimiter : '0', r->list.no_select ? " noselect" : "", r->list.use);
	for (size_t i = 0; i < r->range_count; i++)
		buf_addf(&said, " %u-%u", r->ranges[i].first, r->ranges[i].last);
	if (r->min || r->max)
		buf_addf(&said, " min=%u max=%u", r->min, r->max);
	buf_add_text(&said, "\n");
}

/* Feed in pieces of `step` bytes; 0 when all was taken, -1 when the stream broke. */
static int feed(struct str input, size_t step, const struct imap_limits *limits, struct err *err)
{
	struct imap_parser parser;
	int result = 0;

	buf_init(&said, 64 << 20);
	imap_parser_init(&parser, limits, &sink);
	for (size_t i = 0; i < input.len && result == 0; i += step) {
		struct str piece = str_slice(input, i, i + step);
		struct imap_reply reply;
		int rc;
		while ((rc = imap_parser_feed(&parser, &piece, &reply, err)) == 1)
			say_reply(&reply);
		if (rc < 0)
			result = -1;
	}
	imap_parser_done(&parser);
	return result;
}

static const struct {
	const char *about, *input, *expect;
} dialogues[] = {
	{ "a greeting with capabilities", "* OK [CAPABILITY IMAP4rev1 IDLE] ready\r\n",
	  "OK code=CAPABILITY(IMAP4rev1 IDLE) text=ready\n" },
	{ "a status text that ends like a literal is text", "* OK see {5}\r\n* NO {3}\r\nA1 BAD no {2}\r\n",
	  "OK text=see {5}\nNO text={3}\nBAD tag=A1 text=no {2}\n" },
	{ "what SELECT answers",
	  "* FLAGS (\\Answered \\Seen)\r\n* OK [PERMANENTFLAGS (\\Seen \\*)] ok\r\n* 23 EXISTS\r\n* 1 RECENT\r\n"
	  "* OK [UIDVALIDITY 1700000000] ok\r\n* OK [UIDNEXT 24] next\r\nA2 OK [READ-ONLY] done\r\n",
	  "other\nOK code=PERMANENTFLAGS((\\Seen \\*)) text=ok\nexists 23\nother\nOK code=UIDVALIDITY(1700000000) text=ok\n"
	  "OK code=UIDNEXT(24) text=next\nOK tag=A2 code=READ-ONLY() text=done\n" },
	{ "a fetched mail, uid before the body",
	  "* 1 FETCH (UID 7 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" BODY[] {5}\r\nab\r\nc)\r\n",
	  "body 5<ab\r\nc>\nfetch seq=1 uid=7 date=837596665 bodies=1\n" },
	{ "uid behind the body, size and flags around it",
	  "* 1 FETCH (FLAGS (\\Seen $X) BODY[] {2}\r\nhi RFC822.SIZE 2 UID 9)\r\n",
	  "body 2<hi>\nfetch seq=1 uid=9 size=2 flags=S bodies=1\n" },
	{ "a mail that speaks IMAP stays a mail",
	  "* 1 FETCH (UID 1 BODY[] {21}\r\nA005 OK done\r\n* BYE\r\n)\r\nA5 OK true\r\n",
	  "body 21<A005 OK done\r\n* BYE\r\n>\nfetch seq=1 uid=1 bodies=1\nOK tag=A5 text=true\n" },
	{ "a binary literal, a non-synchronising one, an empty one",
	  "* 1 FETCH (UID 1 BODY[] ~{3}\r\na\x01z)\r\n* 2 FETCH (UID 2 BODY[] {1+}\r\nx)\r\n* 3 FETCH (UID 3 BODY[] {0}\r\n)\r\n",
	  "body 3<a\x01z>\nfetch seq=1 uid=1 bodies=1\nbody 1<x>\nfetch seq=2 uid=2 bodies=1\nbody 0<>\nfetch seq=3 uid=3 "
	  "bodies=1\n" },
	{ "a quoted body and NIL", "* 1 FETCH (BODY[] \"a \\\"b\\\"\" UID 4)\r\n* 2 FETCH (BODY[] NIL UID 5)\r\n",
	  "body 5<a \"b\">\nfetch seq=1 uid=4 bodies=1\nbody NIL 0<>\nfetch seq=2 uid=5 bodies=1\n" },
	{ "sections with lists, and partial bodies",
	  "* 1 FETCH (UID 4 BODY[HEADER.FIELDS (MESSAGE-ID)] {4}\r\nM: 1)\r\n* 2 FETCH (UID 5 BODY[]<0> {1}\r\nx)\r\n"
	  "* 3 FETCH (RFC822 {1}\r\ny UID 6)\r\n",
	  "body 4<M: 1>\nfetch seq=1 uid=4 bodies=1\nbody 1<x>\nfetch seq=2 uid=5 bodies=1\nbody 1<y>\nfetch seq=3 uid=6 "
	  "bodies=1\n" },
	{ "attributes nobody asked for",
	  "* 1 FETCH (ENVELOPE (\"d\" {3}\r\nsub ((NIL NIL \"a\" \"b\")) NIL) X-GM-LABELS (\"\\\\Inbox\" a) MODSEQ (12) "
	  "BODYSTRUCTURE ((\"text\" \"plain\" NIL) \"mixed\") UID 3)\r\n",
	  "fetch seq=1 uid=3\n" },
	{ "UIDFETCH as Yahoo says it", "* 77 UIDFETCH (FLAGS () RFC822.SIZE 10)\r\n", "fetch seq=0 uid=77 size=10 flags=\n" },
	{ "push and loss", "+ idling\r\n* 24 EXISTS\r\n* 3 EXPUNGE\r\n* BYE bye\r\n",
	  "continue text=idling\nexists 24\nexpunge 3\nBYE text=bye\n" },
	{ "folders",
	  "* LIST (\\HasNoChildren \\Sent) \"/\" \"Sent &APw-\"\r\n* LIST (\\Noselect) NIL {3}\r\nx\"y\r\n"
	  "* XLIST (\\Inbox) \"/\" Posteingang\r\n* LSUB () \"\\\\\" a\\b\r\n* LIST () \".\" inbox (\"CHILDINFO\" (\"x\"))\r\n",
	  "list name=Sent &APw- delimiter=/ use=sent\nlist name=x\"y delimiter=0 noselect use=\n"
	  "list name=Posteingang delimiter=/ use=inbox\nlist name=a\\b delimiter=\\ use=\nlist name=inbox delimiter=. use=inbox\n" },
	{ "searches", "* SEARCH 1 2 3 7 9 10\r\n* SEARCH\r\n* SEARCH 5 (MODSEQ 9)\r\n",
	  "search 1-3 7-7 9-10\nsearch\nsearch 5-5\n" },
	{ "extended searches",
	  "* ESEARCH (TAG \"A1\") UID ALL 1:3,7,12:9\r\n* ESEARCH (TAG \"A2\") UID\r\n* ESEARCH (TAG \"a\") UID MIN 4 MAX 9 COUNT "
	  "3\r\n",
	  "search 1-3 7-7 9-12\nsearch\nsearch min=4 max=9\n" },
	{ "bare line feeds", "* 1 EXISTS\nA1 OK done\n", "exists 1\nOK tag=A1 text=done\n" },
	{ "refusals with codes", "A1 NO [AUTHENTICATIONFAILED] Authentication failed.\r\n* OK [ALERT] full\r\n",
	  "NO tag=A1 code=AUTHENTICATIONFAILED() text=Authentication failed.\nOK code=ALERT() text=full\n" },
	{ "capabilities", "* CAPABILITY IMAP4rev1 IDLE\r\n", "capability text=IMAP4rev1 IDLE\n" },
};

static void dialogues_are_understood_in_pieces_of_any_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dialogues); i++) {
		struct str input = str_of(dialogues[i].input);
		for (size_t step = 1; step <= input.len; step++) {
			struct err err = { 0 };
			int rc = feed(input, step, &IMAP_LIMITS_DEFAULT, &err);
			if (rc < 0 || !str_eq(buf_str(&said), str_of(dialogues[i].expect)))
				fail_msg("%s, steps of %zu: %d %s\n%s--- instead of\n%s", dialogues[i].about, step, rc, err.text,
				         said.at ? said.at : "", dialogues[i].expect);
			buf_done(&said);
		}
	}
}

static void what_is_no_imap_breaks_the_stream(void **state)
{
	static const char *const broken[] = {
		"\r\n",
		"HTTP/1.1 400 Bad Request\r\n",
		"* 1 FETCH UID 5\r\n",
		"* 1 FETCH (UID x)\r\n",
		"* 1 FETCH (UID 0)\r\n",
		"* 1 FETCH (UID 5\r\n",
		"* 1 FETCH (X ((a)\r\n",
		"* 1 FETCH (X \"abc)\r\n",
		"* 1 FETCH (X \"abc {2}\r\nxy\")\r\n",
		"* 1 FETCH (BODY[] (a) UID 3)\r\n",
		"* 1 FETCH (BODY[] {99999999999}\r\n",
		"* 1 FETCH (UID 4 X {9999999}\r\n",
		"* SEARCH one\r\n",
		"* LIST \"/\" a\r\n",
		"A1 FINE\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		struct err err = { 0 };
		if (feed(str_of(broken[i]), 1000, &IMAP_LIMITS_DEFAULT, &err) != -1)
			fail_msg("taken: %s", broken[i]);
		assert_int_equal(err.kind, ERR_PERM);
		buf_done(&said);
	}
}

static void limits_hold(void **state)
{
	struct imap_limits limits = { .text_max = 200, .search_max = 400, .literal_max = 10, .literals_max = 2 };
	char line[600];
	struct err err;

	(void)state;
	assert_int_equal(feed(STR("* 1 FETCH (BODY[] {11}\r\n"), 99, &limits, &err), -1);
	buf_done(&said);
	assert_int_equal(feed(STR("* 1 FETCH (A {1}\r\na B {1}\r\nb C {1}\r\nc)\r\n"), 99, &limits, &err), -1);
	buf_done(&said);
	memset(line, '1', sizeof line);
	memcpy(line, "* 1 FETCH (", 11);
	assert_int_equal(feed(str_span(line, 300), 7, &limits, &err), -1);
	buf_done(&said);
	memcpy(line, "* SEARCH   ", 11);
	assert_int_equal(feed(str_span(line, 300), 7, &limits, &err), 0);
	buf_done(&said);
	assert_int_equal(feed(str_span(line, 500), 7, &limits, &err), -1);
	buf_done(&said);
}

static void dates_are_read_strictly(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds; /* -1: refused */
	} dates[] = {
		{ "17-Jul-1996 02:44:25 -0700", 837596665 }, { " 1-Jan-1970 00:00:01 +0000", 1 },
		{ "1-Jan-1970 01:00:01 +0100", 1 },          { "29-Feb-2024 23:59:60 +0000", 1709251200 },
		{ "17-Foo-1996 02:44:25 -0700", -1 },        { "17-Jul-96 02:44:25 -0700", -1 },
		{ "17-Jul-1996 02:44:25", -1 },              { "", -1 },
		{ "00-Jul-1996 02:44:25 +0000", -1 },        { "17-Jul-1996 24:44:25 +0000", -1 },
	};
	struct arena arena;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dates); i++) {
		int64_t us = -1000000;
		bool taken = imap_date_parse(str_of(dates[i].text), &us);
		if (taken != (dates[i].seconds >= 0) || (taken && us / 1000000 != dates[i].seconds))
			fail_msg("%s: %d %lld", dates[i].text, taken, (long long)us);
	}
	arena_init(&arena);
	assert_string_equal(imap_day(&arena, INT64_C(837596665) * 1000000), "17-Jul-1996");
	assert_string_equal(imap_day(&arena, 0), "1-Jan-1970");
	arena_done(&arena);
}

static void capabilities_are_found(void **state)
{
	(void)state;
	assert_int_equal(imap_capability_bits(STR("IMAP4rev1 idle UIDPLUS AUTH=PLAIN X-IDLE")),
	                 IMAP_CAP_IDLE | IMAP_CAP_UIDPLUS | IMAP_CAP_AUTH_PLAIN);
}

/* A recorded answer. Some of their literals were counted with line ends as LF, some as CRLF. */
static struct str load(const char *path, bool with_crlf)
{
	static char content[4 << 20];
	size_t len = 0;
	int c, before = 0;
	FILE *file = fopen(path, "rb");

	if (!file)
		return STR_NULL;
	while ((c = fgetc(file)) != EOF && len + 2 < sizeof content) {
		if (with_crlf && c == '\n' && before != '\r')
			content[len++] = '\r';
		content[len++] = (char)c;
		before = c;
	}
	fclose(file);
	return str_span(content, len);
}

static void recorded_answers_of_real_servers_do_not_break_the_stream(void **state)
{
	static const char *const sets[] = { "common", "dovecot", "exchange", "gmail", "icloud", "metadata", "yandex", "zoho" };
	const char *places[] = { "../shared", "../../shared", getenv("MAILCASE_SHARED") };
	size_t files = 0, wrong = 0;

	(void)state;
	for (size_t place = 0; place < ARRAY_LEN(places) && files == 0; place++) {
		for (size_t i = 0; places[place] && i < ARRAY_LEN(sets); i++) {
			char folder[600], path[900];
			struct dirent *entry;
			snprintf(folder, sizeof folder, "%s/corpora/dialogues/imap/%s", places[place], sets[i]);
			DIR *dir = opendir(folder);
			while (dir && (entry = readdir(dir))) {
				struct err err = { 0 };
				if (entry->d_name[0] == '.')
					continue;
				snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
				int rc = feed(load(path, true), 1000, &IMAP_LIMITS_DEFAULT, &err);
				buf_done(&said);
				if (rc < 0) {
					rc = feed(load(path, false), 1000, &IMAP_LIMITS_DEFAULT, &err);
					buf_done(&said);
				}
				if (rc < 0) {
					print_message("%s: %s\n", path, err.text);
					wrong++;
				}
				files++;
			}
			if (dir)
				closedir(dir);
		}
	}
	if (files == 0)
		skip();
	assert_in_range(wrong, 0, 2); /* a few recordings were cut by hand and count wrong */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dialogues_are_understood_in_pieces_of_any_size),
		cmocka_unit_test(what_is_no_imap_breaks_the_stream),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(dates_are_read_strictly),
		cmocka_unit_test(capabilities_are_found),
		cmocka_unit_test(recorded_answers_of_real_servers_do_not_break_the_stream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
