/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/wire_help.h"

#include <string.h>

#include "base/banned.h"

static void *take(void *arena, size_t size);
static void give_back(void *arena, void *place);

ProtobufCAllocator wire_allocator(struct arena *arena)
{
	return (ProtobufCAllocator){ .alloc = take, .free = give_back, .allocator_data = arena };
}

char *wire_uuid(struct arena *arena, struct uuid id)
{
	if (uuid_is_null(id))
		return arena_copy(arena, "", 0);
	return uuid_text(id, arena_alloc(arena, UUID_TEXT_LEN + 1));
}

bool wire_uuid_parse(const char *text, struct uuid *out)
{
	if (!*text) {
		*out = (struct uuid){ { 0 } };
		return true;
	}
	return uuid_parse(str_of(text), out);
}

char *wire_text(struct arena *arena, struct str s)
{
	return str_cstr(arena, str_scrub(arena, s));
}

static void *take(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

/* The arena forgets everything at once. */
static void give_back(void *arena, void *place)
{
	(void)arena;
	(void)place;
}
