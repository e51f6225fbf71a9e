/* SPDX-License-Identifier: Apache-2.0
 *
 * The first byte says in which pieces the rest arrives. Whole or in pieces, the same replies must come out.
 */
#include <stdlib.h>

#include "protocol/imap_name.h"
#include "protocol/imap_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct tally {
	uint64_t hash;
	uint64_t open; /* bytes of the body that is still to come */
};

static void mix(struct tally *tally, uint64_t value)
{
	tally->hash = (tally->hash ^ value) * UINT64_C(0x100000001b3);
}

static bool begin(void *self, uint64_t size, bool is_nil)
{
	struct tally *tally = self;

	mix(tally, size * 2 + is_nil);
	tally->open = size;
	return size % 7 != 3;
}

static void bytes(void *self, const char *at, size_t len)
{
	struct tally *tally = self;

	if (len > tally->open)
		abort();
	tally->open -= len;
	for (size_t i = 0; i < len; i++)
		mix(tally, (unsigned char)at[i]);
}

static void end(void *self)
{
	struct tally *tally = self;

	if (tally->open != 0)
		abort();
}

static void mix_str(struct tally *tally, struct str s)
{
	mix(tally, s.len);
	for (size_t i = 0; i < s.len; i++)
		mix(tally, (unsigned char)s.at[i]);
}

static uint64_t run(struct str input, size_t step)
{
	struct tally tally = { .hash = 1 };
	struct imap_sink sink = { .self = &tally, .begin = begin, .bytes = bytes, .end = end };
	struct imap_limits limits = { .text_max = 4096, .search_max = 8192, .literal_max = 16384, .literals_max = 8 };
	struct imap_parser parser;
	struct arena arena;
	int rc = 0;

	arena_init(&arena);
	imap_parser_init(&parser, &limits, &sink);
	for (size_t i = 0; i < input.len && rc >= 0; i += step) {
		struct str piece = str_slice(input, i, i + step);
		struct imap_reply reply;
		struct err err;
		while ((rc = imap_parser_feed(&parser, &piece, &reply, &err)) == 1) {
			mix(&tally, reply.kind);
			mix(&tally, reply.fetch.uid);
			mix_str(&tally, reply.tag);
			mix_str(&tally, reply.code_args);
			mix_str(&tally, reply.text);
			for (size_t r = 0; r < reply.range_count; r++)
				mix(&tally, reply.ranges[r].first ^ (uint64_t)reply.ranges[r].last << 32);
			if (reply.kind == IMAP_LIST) {
				struct str name, again;
				if (imap_name_decode(&arena, reply.list.name, &name) &&
				    (!imap_name_decode(&arena, imap_name_encode(&arena, name), &again) || !str_eq(name, again)))
					abort();
			}
		}
	}
	imap_parser_done(&parser);
	arena_done(&arena);
	return rc < 0 ? 0 : tally.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct str input = { (const char *)data + 1, size - 1 };
	uint64_t whole = run(input, input.len), pieces = run(input, data[0] % 16 + 1u);
	/* Limits are checked at the ends of pieces, so that only one of them may be broken; else they agree. */
	if (whole && pieces && whole != pieces)
		abort();
	return 0;
}
