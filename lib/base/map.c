/* SPDX-License-Identifier: Apache-2.0 */
#include "map.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "digest.h"

#include "banned.h"

#define ROOM_MIN ((size_t)16)

struct map_slot {
	struct str key;
	uint64_t hash;
	void *value; /* NULL: the slot is free */
};

static pthread_once_t seeded = PTHREAD_ONCE_INIT;
static uint64_t seed[2];

static void draw_seed(void)
{
	random_bytes(seed, sizeof seed);
	seed[1] |= 1;
}

static uint64_t hash_of(struct str key);
static struct map_slot *slot_of(struct map_slot *slots, size_t room, struct str key, uint64_t hash);
static void grow(struct map *map);

void map_init(struct map *map, struct arena *arena)
{
	pthread_once(&seeded, draw_seed);
	*map = (struct map){ .arena = arena };
}

void *map_get(const struct map *map, struct str key)
{
	return map->len ? slot_of(map->slots, map->room, key, hash_of(key))->value : NULL;
}

void map_put(struct map *map, struct str key, void *value)
{
	uint64_t hash = hash_of(key);

	/* At most three quarters full, so that a free slot ends every search. */
	if (map->len + 1 > map->room - map->room / 4)
		grow(map);
	struct map_slot *slot = slot_of(map->slots, map->room, key, hash);
	if (!slot->value) {
		slot->key = key;
		slot->hash = hash;
		map->len++;
	}
	slot->value = value;
}

/* Eight bytes at a time, each folded in by a full multiplication. */
static uint64_t hash_of(struct str key)
{
	uint64_t hash = seed[0] ^ key.len;

	for (size_t i = 0; i < key.len; i += 8) {
		uint64_t word = 0;
		memcpy(&word, key.at + i, key.len - i < 8 ? key.len - i : 8);
		__extension__ unsigned __int128 product =
			(unsigned __int128)(hash ^ word) * (seed[1] ^ UINT64_C(0x9e3779b97f4a7c14));
		hash = (uint64_t)product ^ (uint64_t)(product >> 64) ^ (hash << 29 | hash >> 35);
	}
	hash ^= hash >> 32;
	hash *= UINT64_C(0xd6e8feb86659fd93);
	return hash ^ hash >> 32;
}

static struct map_slot *slot_of(struct map_slot *slots, size_t room, struct str key, uint64_t hash)
{
	size_t at = (size_t)hash & (room - 1);

	while (slots[at].value && !(slots[at].hash == hash && str_eq(slots[at].key, key)))
		at = (at + 1) & (room - 1);
	return &slots[at];
}

static void grow(struct map *map)
{
	size_t room = map->room ? map->room * 2 : ROOM_MIN;
	struct map_slot *slots = ARENA_ARRAY(map->arena, struct map_slot, room);

	for (size_t i = 0; i < map->room; i++)
		if (map->slots[i].value)
			*slot_of(slots, room, map->slots[i].key, map->slots[i].hash) = map->slots[i];
	map->slots = slots;
	map->room = room;
}
