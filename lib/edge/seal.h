/* SPDX-License-Identifier: Apache-2.0
 * seal - secrets at rest (libsodium secretbox, XSalsa20-Poly1305)
 *
 * The key is a file of 32 bytes, or of 64 hex digits, readable by its owner only. A sealed secret is
 * version (1 byte) || first 4 bytes of the key's hash || nonce (24) || box; opening names a wrong key as such.
 */
#ifndef MAILCASE_SEAL_H
#define MAILCASE_SEAL_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct seal_key {
	unsigned char b[32];
};

/* Make a new key file, mode 0600; an existing one is an error. */
int seal_key_make(const char *path, struct err *err) MUST_CHECK;
int seal_key_load(const char *path, struct seal_key *out, struct err *err) MUST_CHECK;
void seal_key_wipe(struct seal_key *key);

struct str seal(struct arena *arena, const struct seal_key *key, struct str secret);
int seal_open(struct arena *arena, const struct seal_key *key, struct str sealed, struct str *out, struct err *err) MUST_CHECK;
/* Overwrite a secret that is no longer needed. */
void seal_forget(struct str *secret);

#endif
