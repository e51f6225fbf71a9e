/* SPDX-License-Identifier: Apache-2.0 */
#include "uuid.h"

#include <stdatomic.h>
#include <string.h>

#include "clock.h"
#include "digest.h"

#include "banned.h"

static int hex_value(char c);

struct uuid uuid_v7(void)
{
	/* 48 bits of milliseconds and 12 of their fraction (RFC 9562, 6.2, method 3), which count on where the clock stands
	 * still or is set back: two ids of one process are never equal in these 60 bits. */
	static _Atomic uint64_t latest;
	uint64_t us = (uint64_t)clock_wall_us();
	uint64_t stamp = (us / 1000) << 12 | (us % 1000) * 4096 / 1000;
	uint64_t seen = atomic_load(&latest), next;
	struct uuid id;

	do
		next = stamp > seen ? stamp : seen + 1;
	while (!atomic_compare_exchange_weak(&latest, &seen, next));

	random_bytes(id.b + 8, 8);
	for (int i = 0; i < 6; i++)
		id.b[i] = (uint8_t)(next >> (52 - 8 * i));
	id.b[6] = (uint8_t)(0x70 | (next >> 8 & 0x0f));
	id.b[7] = (uint8_t)next;
	id.b[8] = (uint8_t)(0x80 | (id.b[8] & 0x3f));
	return id;
}

char *uuid_text(struct uuid id, char out[UUID_TEXT_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	char *at = out;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		*at++ = digits[id.b[i] >> 4];
		*at++ = digits[id.b[i] & 15];
	}
	*at = '\0';
	return out;
}

struct str uuid_str(struct arena *arena, struct uuid id)
{
	return str_span(uuid_text(id, arena_alloc(arena, UUID_TEXT_LEN + 1)), UUID_TEXT_LEN);
}

bool uuid_parse(struct str text, struct uuid *out)
{
	struct uuid id;
	size_t at = 0;

	if (text.len != UUID_TEXT_LEN)
		return false;
	for (int i = 0; i < 16; i++) {
		if ((i == 4 || i == 6 || i == 8 || i == 10) && text.at[at++] != '-')
			return false;
		int high = hex_value(text.at[at]), low = hex_value(text.at[at + 1]);
		if (high < 0 || low < 0)
			return false;
		id.b[i] = (uint8_t)(high << 4 | low);
		at += 2;
	}
	*out = id;
	return true;
}

int uuid_cmp(struct uuid a, struct uuid b)
{
	return memcmp(a.b, b.b, sizeof a.b);
}

bool uuid_is_null(struct uuid id)
{
	static const struct uuid null;

	return uuid_cmp(id, null) == 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}
