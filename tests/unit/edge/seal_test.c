/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "edge/seal.h"

#include "base/banned.h"

static char folder[] = "/tmp/seal-test-XXXXXX";
static char path[sizeof folder + 16];

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/key", folder);
	return 0;
}

static int drop_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void test_what_is_sealed_opens_with_the_same_key(void **state)
{
	struct seal_key key, other;
	struct arena arena;
	struct str plain;
	struct err err = { 0 };

	(void)state;
	arena_init(&arena);
	assert_int_equal(seal_key_make(path, &err), 0);
	assert_int_equal(seal_key_make(path, &err), -1); /* never over an existing one */
	assert_int_equal(seal_key_load(path, &key, &err), 0);
	struct str sealed = seal(&arena, &key, STR("correct horse"));
	assert_int_equal(str_find(sealed, STR("correct"), 0), -1);
	assert_int_equal(seal_open(&arena, &key, sealed, &plain, &err), 0);
	assert_true(str_eq(plain, STR("correct horse")));

	other = key;
	other.b[0] ^= 1;
	assert_int_equal(seal_open(&arena, &other, sealed, &plain, &err), -1);
	assert_non_null(strstr(err.text, "another key"));

	char *damaged = arena_copy(&arena, sealed.at, sealed.len);
	damaged[sealed.len - 1] ^= 1;
	assert_int_equal(seal_open(&arena, &key, str_span(damaged, sealed.len), &plain, &err), -1);
	assert_non_null(strstr(err.text, "damaged"));
	assert_int_equal(seal_open(&arena, &key, STR(""), &plain, &err), -1);
	arena_done(&arena);
}

static void test_a_key_that_others_may_read_is_refused(void **state)
{
	struct seal_key key;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(seal_key_load(path, &key, &err), -1);
	assert_non_null(strstr(err.text, "chmod 600"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_sealed_opens_with_the_same_key),
		cmocka_unit_test(test_a_key_that_others_may_read_is_refused),
	};
	return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
