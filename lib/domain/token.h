/* SPDX-License-Identifier: Apache-2.0
 * token - our own signed mark: which outbound mail is answered (design.md section 5)
 *
 * key id (1 byte) || outbound serial (8, big endian) || HMAC-SHA-256 over tenant id and those nine, cut to 16 bytes;
 * lower-case base32 (RFC 4648 alphabet), 40 characters without padding. A token proves which mail, never who. One that
 * does not verify is no token.
 */
#ifndef MAILCASE_TOKEN_H
#define MAILCASE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "base/uuid.h"

#define TOKEN_LEN 40
#define TOKEN_SECRET_LEN 32

struct token_key {
	uint8_t id;
	uint8_t secret[TOKEN_SECRET_LEN];
	bool is_retired; /* verifies, does not sign */
};

struct token_keys {
	struct tenant_id tenant;
	const struct token_key *at;
	size_t len;
};

/* Sign with the newest key that is not retired; false where there is none. */
bool token_make(const struct token_keys *keys, int64_t serial, char out[TOKEN_LEN + 1]);

/* Exactly 40 characters, either case. */
bool token_verify(const struct token_keys *keys, struct str text, int64_t *out_serial);

/* Whether this looks like a token at all (length and alphabet), verified or not. */
bool token_looks_like(struct str text);

/* Walk over all places in `text` that look like tokens: *from is moved past each. */
bool token_next(struct str text, size_t *from, struct str *out);

#endif
