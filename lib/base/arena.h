/* SPDX-License-Identifier: Apache-2.0
 * arena - the memory of one turn
 *
 * Everything derived from the current batch is taken from the turn's arena and vanishes together at arena_reset().
 * Nothing from it is freed singly, and nothing from it is stored in something that lives longer. When malloc fails
 * the process logs and exits: unconfirmed work comes back. An arena belongs to one thread.
 */
#ifndef MAILCASE_ARENA_H
#define MAILCASE_ARENA_H

#include <stddef.h>

#include "cleanup.h"

struct arena_block;

struct arena {
	struct arena_block *head; /* the block in use; older ones behind it */
	size_t used;              /* bytes handed out since the last reset */
};

void arena_init(struct arena *arena);
void arena_done(struct arena *arena);

/* Forget everything. One block of moderate size is kept for the next turn. */
void arena_reset(struct arena *arena);

/* `size` bytes, aligned for any type, not cleared. Never NULL. */
void *arena_alloc(struct arena *arena, size_t size);

/* `count` cleared elements of `size` bytes. The product is checked. Never NULL. */
void *arena_calloc(struct arena *arena, size_t count, size_t size);

/* A copy of `size` bytes, with a NUL behind it that does not count. */
char *arena_copy(struct arena *arena, const void *bytes, size_t size);

/* printf into the arena; NUL-terminated. */
char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

#define ARENA_NEW(arena, type) ((type *)arena_calloc((arena), 1, sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_calloc((arena), (count), sizeof(type)))

#endif
