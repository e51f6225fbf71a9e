/* SPDX-License-Identifier: Apache-2.0
 * arena_fixture - the arena of a test program: cmocka_run_group_tests(tests, take_arena, drop_arena)
 */
#ifndef MAILCASE_ARENA_FIXTURE_H
#define MAILCASE_ARENA_FIXTURE_H

#include "base/arena.h"

static struct arena arena;

static int take_arena(void **state)
{
	(void)state;
	arena_init(&arena);
	return 0;
}

static int drop_arena(void **state)
{
	(void)state;
	arena_done(&arena);
	return 0;
}

#endif
