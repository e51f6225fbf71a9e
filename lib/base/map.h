/* SPDX-License-Identifier: Apache-2.0
 * map - a hash from bytes to a pointer, in an arena
 *
 * Keys are viewed, not copied. The hash is seeded at random per process (SipHash would be the textbook answer; the seed
 * and the arena's bounds are enough here, since every batch that fills a map has a bounded number of keys).
 */
#ifndef MAILCASE_MAP_H
#define MAILCASE_MAP_H

#include "arena.h"
#include "str.h"

struct map_slot;

struct map {
	struct arena *arena;
	struct map_slot *slots;
	size_t len, room;
};

void map_init(struct map *map, struct arena *arena);

/* NULL where there is none. */
void *map_get(const struct map *map, struct str key);

/* Put or replace. `value` must not be NULL. */
void map_put(struct map *map, struct str key, void *value);

#endif
