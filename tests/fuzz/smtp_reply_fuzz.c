/* SPDX-License-Identifier: Apache-2.0
 * smtp_reply_fuzz - whatever a server answers, in whatever pieces: the same replies as in one piece
 */
#include <stdint.h>
#include <stdlib.h>

#include "protocol/smtp_reply.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t replies_in_pieces(struct str all, size_t piece, int *out_code_sum)
{
	static struct smtp_reply_parser parser;
	struct smtp_capabilities capabilities;
	const struct smtp_reply *reply;
	size_t count = 0;

	smtp_reply_init(&parser);
	*out_code_sum = 0;
	for (size_t at = 0; at < all.len; at += piece) {
		struct str bytes = str_slice(all, at, at + piece);
		while (bytes.len) {
			enum smtp_feed result = smtp_reply_feed(&parser, &bytes, &reply);
			if (result == SMTP_FEED_BAD)
				return count;
			if (result == SMTP_FEED_REPLY) {
				count++;
				*out_code_sum += reply->code;
				smtp_capabilities_read(reply, &capabilities);
			}
		}
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str all = str_span((const char *)data, size);
	int whole_sum, pieces_sum;
	size_t whole = replies_in_pieces(all, size ? size : 1, &whole_sum);
	size_t pieces = replies_in_pieces(all, 3, &pieces_sum);

	if (whole != pieces || whole_sum != pieces_sum)
		abort();
	return 0;
}
