/* SPDX-License-Identifier: Apache-2.0
 * db_check URL - db, lease and outbox against a real server; run by test_db.py
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/digest.h"
#include "edge/db.h"
#include "record/lease.h"
#include "record/outbox.h"

#include "base/banned.h"

static const char *url;
static struct arena arena;
static struct err err;

#define OK(call) \
	do { \
		if ((call) < 0) \
			fail_msg("%s: %s", #call, err.text); \
	} while (0)
#define FAILS(call, kind_, part) \
	do { \
		assert_int_equal((call), -1); \
		assert_int_equal(err.kind, kind_); \
		if (!strstr(err.text, part)) \
			fail_msg("\"%s\" is not in: %s", part, err.text); \
	} while (0)

static int open_db(void **state)
{
	*state = db_open(url, "db_check", &err);
	if (!*state)
		fprintf(stderr, "%s\n", err.text);
	return *state ? 0 : -1;
}

static int close_db(void **state)
{
	db_close(*state);
	arena_reset(&arena);
	return 0;
}

static int64_t number(struct db *db, const char *sql)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	OK(db_query(db, sql, NULL, &rows, &err));
	return db_int(rows, 0, 0);
}

static void values_come_back_as_they_went(void **state)
{
	struct db *db = *state;
	const char hostile[] = { 'a', '\0', '\xff', 'z' };
	struct uuid id = uuid_v7(), null_id = { { 0 } };
	struct str texts[] = { STR("x"), STR_NULL, STR("") };
	struct uuid ids[] = { id, null_id };
	int64_t times[] = { 1, 0 }, ints[] = { -1, INT64_MAX };
	struct db_args args;
	db_args_init(&args, &arena);
	db_arg_bool(&args, true);
	db_arg_int(&args, INT64_MIN);
	db_arg_real(&args, -0.5);
	db_arg_text(&args, str_span(hostile, sizeof hostile));
	db_arg_bytes(&args, str_span(hostile, sizeof hostile));
	db_arg_json(&args, STR("{\"a\": 1}"));
	db_arg_uuid(&args, id);
	db_arg_uuid_or_null(&args, null_id);
	db_arg_time(&args, 1790000000123456);
	db_arg_time_or_null(&args, 0);
	db_arg_texts(&args, texts, 3);
	db_arg_texts(&args, NULL, 0);
	db_arg_uuids_or_null(&args, ids, 2);
	db_arg_times_or_null(&args, times, 2);
	db_arg_ints(&args, ints, 2);
	db_arg_jsons(&args, (struct str[]){ STR("[]"), STR_NULL }, 2);
	db_arg_bytess(&args, (struct str[]){ STR("b") }, 1);
	db_arg_bools(&args, (bool[]){ true, false }, 2);
	db_arg_null(&args);
	db_arg_text(&args, STR_NULL);
	struct db_result *r CLEANUP(db_result_done) = NULL;
	OK(db_query(db,
	            "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19::text, $20,"
	            " 7::smallint, 8::integer, '{}'::text[] || $11 || ARRAY['y'], octet_length($5)",
	            &args, &r, &err));
	assert_int_equal(db_rows(r), 1);
	assert_true(db_bool(r, 0, 0));
	assert_true(db_int(r, 0, 1) == INT64_MIN);
	assert_true(db_real(r, 0, 2) == -0.5);
	assert_true(str_eq(db_str(r, 0, 3), STR("a\xef\xbf\xbd\xef\xbf\xbdz")));
	assert_true(str_eq(db_str(r, 0, 4), str_span(hostile, sizeof hostile)));
	assert_true(str_eq(db_str(r, 0, 5), STR("{\"a\": 1}")));
	assert_true(uuid_eq(db_uuid(r, 0, 6), id));
	assert_true(db_is_null(r, 0, 7) && uuid_is_null(db_uuid(r, 0, 7)));
	assert_true(db_time(r, 0, 8) == 1790000000123456);
	assert_true(db_is_null(r, 0, 9) && db_time(r, 0, 9) == 0);
	struct str *back;
	assert_int_equal(db_texts(r, 0, 10, &arena, &back), 3);
	assert_true(str_eq(back[0], STR("x")) && !back[1].at && back[2].at && back[2].len == 0);
	assert_int_equal(db_texts(r, 0, 11, &arena, &back), 0);
	assert_true(db_is_null(r, 0, 18) && db_str(r, 0, 18).len == 0);
	assert_true(!db_is_null(r, 0, 19) && db_str(r, 0, 19).len == 0);
	assert_int_equal(db_int(r, 0, 20), 7);
	assert_int_equal(db_int(r, 0, 21), 8);
	assert_int_equal(db_texts(r, 0, 22, &arena, &back), 4);
	assert_true(str_eq(back[3], STR("y")));
	assert_int_equal(db_int(r, 0, 23), 4);
}

static void a_null_without_type_does_not_fix_the_type(void **state)
{
	struct db *db = *state;
	for (int i = 0; i < 3; i++) {
		struct db_args args;
		db_args_init(&args, &arena);
		if (i == 1)
			db_arg_int(&args, 42);
		else
			db_arg_null(&args);
		struct db_result *r CLEANUP(db_result_done) = NULL;
		OK(db_query(db, "SELECT $1::integer", &args, &r, &err));
		assert_int_equal(db_int(r, 0, 0), i == 1 ? 42 : 0);
	}
}

static void a_pipeline_gives_all_or_nothing(void **state)
{
	struct db *db = *state;
	struct db_result *a CLEANUP(db_result_done) = NULL, *b CLEANUP(db_result_done) = NULL;
	OK(db_begin(db, &err));
	OK(db_queue(db, "CREATE TEMPORARY TABLE t (n integer PRIMARY KEY)", NULL, NULL, &err));
	OK(db_queue(db, "INSERT INTO t VALUES (1), (2) RETURNING n", NULL, &a, &err));
	OK(db_queue(db, "SELECT count(*) FROM t", NULL, &b, &err));
	assert_null(a);
	OK(db_commit(db, &err));
	assert_int_equal(db_affected(a), 2);
	assert_int_equal(db_int(b, 0, 0), 2);
	db_result_done(&a);

	OK(db_begin(db, &err));
	OK(db_queue(db, "INSERT INTO t VALUES (3) RETURNING n", NULL, &a, &err));
	OK(db_queue(db, "INSERT INTO t VALUES (3)", NULL, NULL, &err));
	OK(db_queue(db, "INSERT INTO t VALUES (4)", NULL, NULL, &err));
	FAILS(db_commit(db, &err), ERR_TEMP, "duplicate key value violates unique constraint \"t_pkey\" (23505)");
	assert_string_equal(db_sqlstate(db), "23505");
	assert_null(a);
	FAILS(db_commit(db, &err), ERR_TEMP, "the transaction had failed");
	db_rollback(db);
	assert_int_equal(number(db, "SELECT count(*) FROM t"), 2);
}

static void rollback_undoes_what_is_only_queued(void **state)
{
	struct db *db = *state;
	OK(db_exec(db, "CREATE TEMPORARY TABLE t (n integer)", NULL, NULL, &err));
	OK(db_begin(db, &err));
	{
		struct db_result *gone = NULL;
		OK(db_queue(db, "INSERT INTO t VALUES (1) RETURNING n", NULL, &gone, &err));
	}
	db_rollback(db);
	db_rollback(db);
	assert_int_equal(number(db, "SELECT count(*) FROM t"), 0);
	OK(db_begin(db, &err));
	OK(db_exec(db, "INSERT INTO t VALUES (2)", NULL, NULL, &err));
	OK(db_begin(db, &err)); /* forgotten transactions are rolled back */
	OK(db_commit(db, &err));
	assert_int_equal(number(db, "SELECT count(*) FROM t"), 0);
}

static void large_pipelines_do_not_block(void **state)
{
	struct db *db = *state;
	size_t size = 4 << 20;
	struct str big = { arena_calloc(&arena, 1, size), size };
	struct db_result *r[20] = { NULL };
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		struct db_args args;
		db_args_init(&args, &arena);
		db_arg_bytes(&args, big);
		OK(db_queue(db, "SELECT $1", &args, &r[i], &err));
	}
	OK(db_flush(db, &err));
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		assert_int_equal(db_str(r[i], 0, 0).len, size);
		db_result_done(&r[i]);
	}
}

static void a_flush_can_be_driven_by_an_event_loop(void **state)
{
	struct db *db = *state;
	struct db_result *r CLEANUP(db_result_done) = NULL;
	OK(db_queue(db, "SELECT 5 FROM pg_sleep(0.05)", NULL, &r, &err));
	OK(db_flush_start(db, &err));
	enum db_step step = DB_STEP_READ;
	int waits = 0;
	for (;;) {
		OK(db_flush_step(db, &step, &err));
		if (step == DB_STEP_DONE)
			break;
		struct pollfd fd = { .fd = db_socket(db), .events = step == DB_STEP_WRITE ? POLLOUT | POLLIN : POLLIN };
		assert_int_equal(poll(&fd, 1, 5000), 1);
		waits++;
	}
	assert_true(waits >= 1);
	assert_int_equal(db_int(r, 0, 0), 5);
	/* A flush that is given up in the middle does not confuse the next one. */
	OK(db_begin(db, &err));
	OK(db_queue(db, "SELECT 6 FROM pg_sleep(0.02)", NULL, NULL, &err));
	OK(db_flush_start(db, &err));
	db_rollback(db);
	assert_int_equal(number(db, "SELECT 7"), 7);
}

static void failures_have_their_class_and_no_data(void **state)
{
	struct db *db = *state;
	static const struct {
		const char *sql, *part;
		enum err_kind kind;
	} cases[] = {
		{ "SELECT 1/0", "the lease is another's", ERR_TEMP },
		{ "SELECT nothing_such", "column \"nothing_such\" does not exist (42703)", ERR_FATAL },
		{ "SELECT 'secret text'::uuid FROM pg_class", "invalid input syntax for type uuid (22P02)", ERR_PERM },
		{ "DO $$ BEGIN RAISE serialization_failure; END $$", "(40001)", ERR_TEMP },
		{ "DO $$ BEGIN RAISE check_violation; END $$", "(23514)", ERR_PERM },
		{ "DO $$ BEGIN RAISE disk_full; END $$", "(53100)", ERR_TEMP },
		{ "DO $$ BEGIN RAISE insufficient_privilege; END $$", "(42501)", ERR_FATAL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		FAILS(db_exec(db, cases[i].sql, NULL, NULL, &err), cases[i].kind, cases[i].part);
		assert_null(strstr(err.text, "secret"));
	}
	assert_int_equal(number(db, "SELECT 1"), 1);
}

static void urls_do_not_leak_their_password(void **state)
{
	(void)state;
	assert_null(db_open("postgresql://me:hun%ter2@[/x", "db_check", &err));
	assert_int_equal(err.kind, ERR_FATAL);
	assert_null(strstr(err.text, "ter2"));
	assert_null(db_open("postgresql://me:hunter2@127.0.0.1:1/x", "db_check", &err));
	assert_int_equal(err.kind, ERR_TEMP);
	assert_null(strstr(err.text, "hunter2"));
}

static void the_session_is_a_services(void **state)
{
	struct db *db = *state;
	struct db_result *r CLEANUP(db_result_done) = NULL;
	OK(db_query(db,
	            "SELECT current_setting('enable_seqscan'), current_setting('statement_timeout'),"
	            " current_setting('default_toast_compression'), current_setting('application_name')",
	            NULL, &r, &err));
	assert_true(str_eq(db_str(r, 0, 0), STR("off")));
	assert_true(str_eq(db_str(r, 0, 1), STR("30s")));
	assert_true(str_eq(db_str(r, 0, 2), STR("lz4")));
	assert_true(str_eq(db_str(r, 0, 3), STR("db_check")));
}

static void statements_survive_their_number_and_a_changed_table(void **state)
{
	struct db *db = *state;
	for (int i = 0; i < 1200; i++) {
		char sql[40];
		snprintf(sql, sizeof sql, "SELECT %d", i);
		assert_int_equal(number(db, sql), i);
	}
	assert_true(number(db, "SELECT count(*) FROM pg_prepared_statements") <= 501);
	OK(db_script(db, "CREATE TEMPORARY TABLE shape (a bigint); INSERT INTO shape VALUES (1)", &err));
	assert_int_equal(number(db, "SELECT * FROM shape"), 1);
	OK(db_script(db, "ALTER TABLE shape ADD b bigint", &err));
	FAILS(db_exec(db, "SELECT * FROM shape", NULL, NULL, &err), ERR_TEMP, "(0A000)");
	assert_int_equal(number(db, "SELECT * FROM shape"), 1);
	FAILS(db_script(db, "SELECT 1; SELECT 1/0; SELECT 2", &err), ERR_TEMP, "lease");
	FAILS(db_script(db, "BEGIN; bogus", &err), ERR_FATAL, "(42601)");
	assert_int_equal(number(db, "SELECT 3"), 3);
}

static void a_lost_connection_is_found_again_with_its_channels(void **state)
{
	struct db *db = *state;
	struct db *other = db_open(url, "other", &err);
	assert_non_null(other);
	OK(db_listen(db, "bell", &err));
	char kill[80];
	snprintf(kill, sizeof kill, "SELECT pg_terminate_backend(%lld)::int", (long long)number(db, "SELECT pg_backend_pid()"));
	OK(db_begin(db, &err));
	OK(db_exec(db, "SELECT 1", NULL, NULL, &err));
	assert_int_equal(number(other, kill), 1);
	FAILS(db_exec(db, "SELECT 1", NULL, NULL, &err), ERR_TEMP, "");
	assert_int_equal(db_socket(db), -1);
	OK(db_recover(db, &err));
	OK(db_recover(db, &err));
	assert_int_equal(number(db, "SELECT 4"), 4);
	OK(db_exec(other, "NOTIFY bell", NULL, NULL, &err));
	struct pollfd fd = { .fd = db_socket(db), .events = POLLIN };
	assert_int_equal(poll(&fd, 1, 5000), 1);
	char channel[64];
	assert_int_equal(db_notification(db, channel, sizeof channel, &err), 1);
	assert_string_equal(channel, "bell");
	assert_int_equal(db_notification(db, channel, sizeof channel, &err), 0);
	OK(db_unlisten(db, "bell", &err));
	OK(db_exec(other, "NOTIFY bell", NULL, NULL, &err));
	assert_int_equal(number(db, "SELECT 5"), 5);
	assert_int_equal(db_notification(db, channel, sizeof channel, &err), 0);
	db_close(other);
}

static void a_lease_has_one_owner(void **state)
{
	struct db *db = *state;
	struct lease a = { .kind = "test", .name = STR("one"), .owner = "a" }, b = a, old;
	b.owner = "b";
	assert_int_equal(lease_take(db, &arena, &a, 60000, &err), 1);
	assert_int_equal(a.epoch, 1);
	assert_int_equal(lease_take(db, &arena, &b, 60000, &err), 0);
	assert_int_equal(lease_take(db, &arena, &a, 1, &err), 1); /* renewed, and short */
	assert_int_equal(a.epoch, 1);
	assert_int_equal(number(db, "SELECT 1 FROM pg_sleep(0.01)"), 1);
	assert_int_equal(lease_renew(db, &arena, &a, 1, &err), 1); /* late, but nobody took it */
	assert_int_equal(number(db, "SELECT 1 FROM pg_sleep(0.01)"), 1);
	old = a;
	assert_int_equal(lease_take(db, &arena, &b, 60000, &err), 1);
	assert_int_equal(b.epoch, 2);
	assert_int_equal(lease_renew(db, &arena, &a, 60000, &err), 0);

	OK(db_begin(db, &err));
	OK(lease_guard(db, &arena, &b, &err));
	OK(db_commit(db, &err));
	OK(db_begin(db, &err));
	OK(lease_guard(db, &arena, &old, &err));
	FAILS(db_commit(db, &err), ERR_TEMP, "the lease is another's");
	db_rollback(db);

	OK(lease_release(db, &arena, &b, &err));
	assert_int_equal(lease_take(db, &arena, &a, 60000, &err), 1);
	assert_int_equal(a.epoch, 3);
}

static void the_outbox_keeps_the_order_of_its_rows(void **state)
{
	struct db *db = *state;
	enum { ROWS = 300 };
	struct outbox_row *rows = ARENA_ARRAY(&arena, struct outbox_row, ROWS);
	for (int i = 0; i < ROWS; i++)
		rows[i] = (struct outbox_row){ .ce_id = uuid_v7(),
			                       .tenant = { uuid_v7() },
			                       .topic = "t",
			                       .key = STR("0123456789abcdef"),
			                       .type = "test",
			                       .sequence = i,
			                       .value = STR("v") };
	OK(db_listen(db, OUTBOX_CHANNEL, &err));
	OK(db_begin(db, &err));
	OK(outbox_put(db, &arena, rows, ROWS, &err));
	OK(outbox_put(db, &arena, rows, 0, &err));
	OK(db_commit(db, &err));
	assert_int_equal(number(db, "SELECT count(*) FROM outbox a JOIN outbox b ON b.seq = a.seq + 1"
	                            " AND b.sequence <> a.sequence + 1"), 0);
	assert_int_equal(number(db, "SELECT count(*) FROM outbox"), ROWS);
	assert_int_equal(number(db, "SELECT key_hash::bigint FROM outbox LIMIT 1"), murmur2_positive(rows[0].key));
	bool notified = false;
	OK(db_notified(db, &notified, &err));
	assert_true(notified);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: db_check URL\n");
		return 2;
	}
	url = argv[1];
	arena_init(&arena);
#define CASE(function) cmocka_unit_test_setup_teardown(function, open_db, close_db)
	const struct CMUnitTest tests[] = {
		CASE(values_come_back_as_they_went),
		CASE(a_null_without_type_does_not_fix_the_type),
		CASE(a_pipeline_gives_all_or_nothing),
		CASE(rollback_undoes_what_is_only_queued),
		CASE(large_pipelines_do_not_block),
		CASE(a_flush_can_be_driven_by_an_event_loop),
		CASE(failures_have_their_class_and_no_data),
		CASE(urls_do_not_leak_their_password),
		CASE(the_session_is_a_services),
		CASE(statements_survive_their_number_and_a_changed_table),
		CASE(a_lost_connection_is_found_again_with_its_channels),
		CASE(a_lease_has_one_owner),
		CASE(the_outbox_keeps_the_order_of_its_rows),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	arena_done(&arena);
	return failed;
}
