/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "domain/fetch_plan.h"

#define DAY INT64_C(86400000000)

static const struct {
	const char *about;
	struct fetch_cursor cursor;
	int64_t uidvalidity, uidnext;
	enum fetch_start start;
	struct fetch_opening expect;
} openings[] = {
	{ "a new folder from now on begins at what comes next", { 0, 1, 0 }, 5, 42, FETCH_FROM_NOW,
	  { .kind = OPEN_AT, .floor_uid = 42 } },
	{ "without UIDNEXT the date of adding is searched", { 0, 1, 0 }, 5, 0, FETCH_FROM_NOW,
	  { .kind = OPEN_SEARCH, .floor_uid = 1, .since_us = 9 * DAY } },
	{ "a new folder from a date is searched", { 0, 1, 0 }, 5, 42, FETCH_FROM_DATE,
	  { .kind = OPEN_SEARCH, .floor_uid = 1, .since_us = 4 * DAY } },
	{ "all begins at one", { 0, 1, 0 }, 5, 42, FETCH_FROM_ALL, { .kind = OPEN_AT, .floor_uid = 1 } },
	{ "a known folder goes on", { 5, 7, 30 }, 5, 42, FETCH_FROM_NOW, { .kind = OPEN_CONTINUE, .floor_uid = 7 } },
	{ "a new UIDVALIDITY reads all again where all was wanted", { 4, 1, 30 }, 5, 42, FETCH_FROM_ALL,
	  { .kind = OPEN_AT, .is_new_epoch = true, .floor_uid = 1 } },
	{ "a new UIDVALIDITY must not skip what came since the mailbox was added", { 4, 7, 30 }, 5, 42, FETCH_FROM_NOW,
	  { .kind = OPEN_SEARCH, .is_new_epoch = true, .floor_uid = 1, .since_us = 9 * DAY } },
	{ "no UIDVALIDITY, no promise", { 4, 7, 30 }, 0, 42, FETCH_FROM_NOW, { .kind = OPEN_SESSION_ONLY, .floor_uid = 1 } },
};

static void a_folder_is_opened_where_it_should_be(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(openings); i++) {
		struct fetch_opening got = fetch_open(&openings[i].cursor, openings[i].uidvalidity, openings[i].uidnext,
		                                      openings[i].start, 5 * DAY, 10 * DAY);
		const struct fetch_opening *want = &openings[i].expect;
		if (got.kind != want->kind || got.is_new_epoch != want->is_new_epoch || got.floor_uid != want->floor_uid ||
		    got.since_us != want->since_us)
			fail_msg("%s: kind %d, new epoch %d, floor %lld, since %lld", openings[i].about, got.kind,
			         got.is_new_epoch, (long long)got.floor_uid, (long long)got.since_us);
	}
	assert_int_equal(fetch_floor(17, 42), 17);
	assert_int_equal(fetch_floor(0, 42), 42);
	assert_int_equal(fetch_floor(50, 42), 42); /* moved here after SELECT, with an old date, beside a new one */
	assert_int_equal(fetch_floor(0, 0), 1);
}

static void batches_keep_to_mails_bytes_and_credit(void **state)
{
	struct fetch_item items[150];
	int64_t bytes;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(items); i++)
		items[i] = (struct fetch_item){ .uid = (uint32_t)i + 1, .size = 10000 };
	struct fetch_limits limits = { FETCH_BATCH_MAILS, FETCH_BATCH_BYTES, 500 };
	assert_int_equal(fetch_batch(items, 150, &limits, &bytes), 100);
	assert_int_equal(bytes, 1000000);
	assert_int_equal(fetch_batch(items, 20, &limits, &bytes), 20);
	limits.credit = 7;
	assert_int_equal(fetch_batch(items, 150, &limits, &bytes), 7);
	limits.credit = 0;
	assert_int_equal(fetch_batch(items, 150, &limits, &bytes), 0);
	limits.credit = 500;
	items[2].size = 30 << 20;
	assert_int_equal(fetch_batch(items, 150, &limits, &bytes), 2);
	assert_int_equal(fetch_batch(items + 2, 148, &limits, &bytes), 1);
	items[2].kind = FETCH_HEADER; /* its body is not fetched */
	assert_int_equal(fetch_batch(items, 150, &limits, &bytes), 100);
}

static void sets_join_runs_of_one_kind(void **state)
{
	const struct fetch_item items[] = {
		{ .uid = 3 }, { .uid = 4 }, { .uid = 5, .kind = FETCH_HEADER }, { .uid = 6 }, { .uid = 9 }, { .uid = 10 },
		{ .uid = 11 }, { .uid = 20, .kind = FETCH_HEADER },
	};
	struct buf set;

	(void)state;
	buf_init(&set, 1000);
	assert_true(fetch_set(&set, items, ARRAY_LEN(items), FETCH_MAIL));
	assert_string_equal(set.at, "3:4,6,9:11");
	buf_reset(&set);
	assert_true(fetch_set(&set, items, ARRAY_LEN(items), FETCH_HEADER));
	assert_string_equal(set.at, "5,20");
	buf_reset(&set);
	assert_false(fetch_set(&set, items, ARRAY_LEN(items), FETCH_KNOWN));
	buf_done(&set);
}

static void old_mail_is_quiet(void **state)
{
	(void)state;
	assert_true(fetch_is_quiet(8000000, 9500000, false));
	assert_false(fetch_is_quiet(9000000, 9500000, false)); /* of the same second */
	assert_false(fetch_is_quiet(10000000, 9500000, false));
	assert_false(fetch_is_quiet(8000000, 9500000, true));
	assert_false(fetch_is_quiet(0, 9500000, false)); /* no date: better loud than lost */
}

static void message_ids_are_bared(void **state)
{
	static const struct {
		const char *block, *id;
	} blocks[] = {
		{ "Message-ID: <a@b>\r\n\r\n", "a@b" },    { "message-id:\r\n <a@b>\r\n\r\n", "a@b" },
		{ "MESSAGE-ID: < a@b > x\r\n\r\n", "a@b" }, { "Message-ID: a@b\r\n\r\n", "" },
		{ "\r\n", "" },                            { "Message-ID: <a@b\r\n", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
		assert_true(str_eq(fetch_message_id(str_of(blocks[i].block)), str_of(blocks[i].id)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_folder_is_opened_where_it_should_be),
		cmocka_unit_test(batches_keep_to_mails_bytes_and_credit),
		cmocka_unit_test(sets_join_runs_of_one_kind),
		cmocka_unit_test(old_mail_is_quiet),
		cmocka_unit_test(message_ids_are_bared),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
