/* SPDX-License-Identifier: Apache-2.0
 * arena, vec, map, buf and err: what holds bytes, and its limits
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/vec.h"

#include "../arena_fixture.h"

#include "base/banned.h"

static void arena_aligns_and_keeps_apart(void **state)
{
	char *last = NULL;

	(void)state;
	for (size_t size = 0; size < 200000; size += 997) {
		char *place = arena_alloc(&arena, size);
		assert_int_equal((uintptr_t)place % _Alignof(max_align_t), 0);
		memset(place, 0xaa, size);
		if (last)
			assert_int_equal((unsigned char)last[0], 0xaa);
		last = size ? place : NULL;
	}
	char *cleared = arena_calloc(&arena, 1000, 7);
	for (size_t i = 0; i < 7000; i++)
		assert_int_equal(cleared[i], 0);
}

static void arena_reset_forgets(void **state)
{
	(void)state;
	arena_alloc(&arena, (size_t)8 * 1024 * 1024);
	assert_true(arena.used >= (size_t)8 * 1024 * 1024);
	arena_reset(&arena);
	assert_int_equal(arena.used, 0);
	/* What was used before is handed out again and must be cleared again. */
	memset(arena_alloc(&arena, 1000), 0xff, 1000);
	arena_reset(&arena);
	const char *cleared = arena_calloc(&arena, 1, 1000);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(cleared[i], 0);
	assert_string_equal(arena_printf(&arena, "%s %d", "a", 5), "a 5");
	assert_string_equal(arena_copy(&arena, NULL, 0), "");
}

static void overflowing_calloc_ends_the_process(void **state)
{
	int status;

	(void)state;
	pid_t child = fork();
	if (child == 0) {
		close(STDERR_FILENO);
		arena_calloc(&arena, SIZE_MAX / 2, 3);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 70);
}

static void vec_keeps_what_was_pushed(void **state)
{
	VEC(struct str) names = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		*VEC_PUSH(&arena, &names) = str_printf(&arena, "name %d", i);
	assert_int_equal(names.len, 1000);
	assert_true(str_eq(names.at[0], STR("name 0")) && str_eq(names.at[999], STR("name 999")));
	assert_int_equal(VEC_PUSH(&arena, &names)->len, 0);
}

static void map_finds_each_of_many_keys(void **state)
{
	enum { COUNT = 20000 };
	struct map map;
	int *values = ARENA_ARRAY(&arena, int, COUNT);

	(void)state;
	map_init(&map, &arena);
	assert_null(map_get(&map, STR("anything")));
	for (int i = 0; i < COUNT; i++)
		map_put(&map, str_printf(&arena, "<%d@example.org>", i), &values[i]);
	assert_int_equal(map.len, COUNT);
	for (int i = 0; i < COUNT; i++)
		assert_ptr_equal(map_get(&map, str_printf(&arena, "<%d@example.org>", i)), &values[i]);
	assert_null(map_get(&map, STR("<20000@example.org>")));
}

static void map_tells_odd_keys_apart(void **state)
{
	static const struct str keys[] = { STR(""),         STR("\0"),         STR("\0\0"),      STR("a"), STR("a\0"),
		                               STR("12345678"), STR("12345678\0"), STR("123456789"), STR("A") };
	struct map map;
	char values[ARRAY_LEN(keys)];

	(void)state;
	map_init(&map, &arena);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		map_put(&map, keys[i], &values[i]);
	assert_int_equal(map.len, ARRAY_LEN(keys));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_ptr_equal(map_get(&map, keys[i]), &values[i]);
	assert_ptr_equal(map_get(&map, STR_NULL), &values[0]);
	map_put(&map, keys[3], &values[0]);
	assert_ptr_equal(map_get(&map, keys[3]), &values[0]);
	assert_int_equal(map.len, ARRAY_LEN(keys));
}

static void buf_stops_at_its_ceiling(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 10);
	assert_true(str_eq(buf_str(&buf), STR("")));
	buf_add_text(&buf, "12345");
	buf_addf(&buf, "%05d", 67890);
	assert_false(buf.overflowed);
	assert_string_equal(buf.at, "1234567890");
	buf_add_char(&buf, 'x');
	assert_true(buf.overflowed);
	buf_consume(&buf, 5);
	buf_add_char(&buf, 'y'); /* nothing more after an overflow, even where there is room again */
	assert_string_equal(buf.at, "67890");
	buf_reset(&buf);
	assert_false(buf.overflowed);
	buf_addf(&buf, "%s", "longer than ten bytes");
	assert_true(buf.overflowed);
	assert_int_equal(buf.len, 0);
	buf_done(&buf);
	assert_null(buf.at);
}

static void buf_refuses_sizes_that_wrap(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, SIZE_MAX);
	buf_add_text(&buf, "abc");
	assert_null(buf_reserve(&buf, SIZE_MAX));
	assert_null(buf_reserve(&buf, SIZE_MAX - 2));
	assert_true(buf.overflowed);
	assert_string_equal(buf.at, "abc");
	buf_done(&buf);
	buf_init(&buf, 0);
	buf_add_char(&buf, 'x');
	assert_true(buf.overflowed);
	buf_done(&buf);
}

static void buf_grows_and_is_consumed(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 1000000);
	for (int i = 0; i < 100000; i++)
		buf_add_str(&buf, STR("0123456789"));
	assert_int_equal(buf.len, 1000000);
	assert_false(buf.overflowed);
	assert_true(buf.room <= 1000001);
	buf_consume(&buf, 999995);
	assert_string_equal(buf.at, "56789");
	buf_consume(&buf, SIZE_MAX);
	assert_int_equal(buf.len, 0);
	memcpy(buf_reserve(&buf, 3), "abc", 3);
	buf_grew(&buf, 3);
	assert_string_equal(buf.at, "abc");
	buf_done(&buf);
	buf_consume(&buf, 1);
}

static void err_tells_and_is_cut(void **state)
{
	struct err err = { 0 };
	char text[500];

	(void)state;
	assert_int_equal(err_set(&err, ERR_TEMP, "could not store mail %d: %s", 42, "connection\r\nlost"), -1);
	assert_int_equal(err.kind, ERR_TEMP);
	assert_string_equal(err.text, "could not store mail 42: connection  lost");
	assert_int_equal(err_prefix(&err, "mailbox %d", 7), -1);
	assert_string_equal(err.text, "mailbox 7: could not store mail 42: connection  lost");
	assert_int_equal(err.kind, ERR_TEMP);
	err_set(&err, ERR_PERM, "again: %s", err.text);
	assert_string_equal(err.text, "again: mailbox 7: could not store mail 42: connection  lost");
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	err_set(&err, ERR_FATAL, "%s", text);
	assert_int_equal(strlen(err.text), sizeof err.text - 1);
	err_prefix(&err, "%s", text);
	assert_int_equal(strlen(err.text), sizeof err.text - 1);
	assert_int_equal(err_set(NULL, ERR_TEMP, "x"), -1);
	assert_int_equal(err_prefix(NULL, "x"), -1);
	assert_string_equal(err_kind_name(ERR_PERM), "permanent");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arena_aligns_and_keeps_apart),
		cmocka_unit_test(arena_reset_forgets),
		cmocka_unit_test(overflowing_calloc_ends_the_process),
		cmocka_unit_test(vec_keeps_what_was_pushed),
		cmocka_unit_test(map_finds_each_of_many_keys),
		cmocka_unit_test(map_tells_odd_keys_apart),
		cmocka_unit_test(buf_stops_at_its_ceiling),
		cmocka_unit_test(buf_refuses_sizes_that_wrap),
		cmocka_unit_test(buf_grows_and_is_consumed),
		cmocka_unit_test(err_tells_and_is_cut),
	};
	return cmocka_run_group_tests(tests, take_arena, drop_arena);
}
