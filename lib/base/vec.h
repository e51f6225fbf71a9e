/* SPDX-License-Identifier: Apache-2.0
 * vec - a growing array in an arena
 *
 *	VEC(struct mail_address) to = { 0 };
 *	*VEC_PUSH(arena, &to) = address;
 *	for (size_t i = 0; i < to.len; i++) use(&to.at[i]);
 *
 * Pushing may move the elements: hold indexes, not pointers, while it grows.
 */
#ifndef MAILCASE_VEC_H
#define MAILCASE_VEC_H

#include <string.h>

#include "arena.h"

#define VEC(type) \
	struct { \
		type *at; \
		size_t len, room; \
	}

/* A pointer to a new cleared element at the end. */
#define VEC_PUSH(arena, vec) \
	(vec_make_room((arena), &(vec)->at, (vec)->len, &(vec)->room, sizeof *(vec)->at), &(vec)->at[(vec)->len++])

/* `at` points to a pointer of any type: it is read and written by memcpy, because the types differ. */
static inline void vec_make_room(struct arena *arena, void *at, size_t len, size_t *room, size_t size)
{
	if (len == *room) {
		size_t more = *room ? *room * 2 : 8;
		void *moved = arena_calloc(arena, more, size), *old;
		memcpy(&old, at, sizeof old);
		if (len)
			memcpy(moved, old, len * size);
		memcpy(at, &moved, sizeof moved);
		*room = more;
	}
}

#endif
