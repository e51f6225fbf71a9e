/* SPDX-License-Identifier: Apache-2.0 */
#include "arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"

/* Under the address sanitizer what is not handed out is poisoned, with a gap behind each piece, so that a step past its
 * end is found although the next piece lies in the same block. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONS 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONS 1
#endif
#ifdef ARENA_POISONS
#include <sanitizer/asan_interface.h>
#define GAP ((size_t)32)
#else
#define GAP ((size_t)0)
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

#include "banned.h"

#define BLOCK_MIN ((size_t)64 * 1024)
#define BLOCK_KEPT ((size_t)1024 * 1024)
#define ALIGNMENT (sizeof(max_align_t))

struct arena_block {
	struct arena_block *older;
	size_t size; /* bytes in data */
	size_t used;
	max_align_t data[];
};

static struct arena_block *block_new(size_t size, struct arena_block *older);
static void block_free(struct arena_block *block);

void arena_init(struct arena *arena)
{
	*arena = (struct arena){ 0 };
}

void arena_done(struct arena *arena)
{
	while (arena->head) {
		struct arena_block *older = arena->head->older;
		block_free(arena->head);
		arena->head = older;
	}
	arena->used = 0;
}

void arena_reset(struct arena *arena)
{
	struct arena_block *kept = NULL;

	while (arena->head) {
		struct arena_block *block = arena->head;
		arena->head = block->older;
		if (!kept && block->size <= BLOCK_KEPT) {
			block->older = NULL;
			block->used = 0;
			ASAN_POISON_MEMORY_REGION(block->data, block->size);
			kept = block;
		} else {
			block_free(block);
		}
	}
	arena->head = kept;
	arena->used = 0;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->head;

	if (size > SIZE_MAX / 2)
		die_no_memory(size);
	size_t asked = size;
	size = (size + GAP + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
	if (!block || block->size - block->used < size) {
		size_t want = block && block->size < BLOCK_KEPT ? block->size * 2 : BLOCK_MIN;
		if (want < size)
			want = size;
		block = arena->head = block_new(want, block);
	}
	char *place = (char *)block->data + block->used;
	ASAN_UNPOISON_MEMORY_REGION(place, asked);
	block->used += size;
	arena->used += size;
	return place;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		die_no_memory(SIZE_MAX);
	return memset(arena_alloc(arena, bytes), 0, bytes);
}

char *arena_copy(struct arena *arena, const void *bytes, size_t size)
{
	char *copy = arena_alloc(arena, size + 1);

	if (size)
		memcpy(copy, bytes, size);
	copy[size] = '\0';
	return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args, again;

	va_start(args, format);
	va_copy(again, args);
	int length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	char *text = arena_alloc(arena, (size_t)length + 1);
	vsnprintf(text, (size_t)length + 1, format, again);
	va_end(again);
	return text;
}

static struct arena_block *block_new(size_t size, struct arena_block *older)
{
	struct arena_block *block = malloc(sizeof *block + size);

	if (!block)
		die_no_memory(size);
	block->older = older;
	block->size = size;
	block->used = 0;
	ASAN_POISON_MEMORY_REGION(block->data, size);
	return block;
}

static void block_free(struct arena_block *block)
{
	ASAN_UNPOISON_MEMORY_REGION(block->data, block->size);
	free(block);
}
