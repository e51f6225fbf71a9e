/* SPDX-License-Identifier: Apache-2.0
 * token_keys - a tenant's signing keys, opened with the seal key
 */
#ifndef MAILCASE_TOKEN_KEYS_H
#define MAILCASE_TOKEN_KEYS_H

#include "domain/token.h"
#include "edge/db.h"
#include "edge/seal.h"

/* All keys of the tenant, newest first. */
int token_keys_load(struct db *db, struct arena *arena, const struct seal_key *seal_key, struct tenant_id tenant,
                    struct token_keys *out, struct err *err) MUST_CHECK;

/* A new key; the former ones retire. */
int token_keys_rotate(struct db *db, struct arena *arena, const struct seal_key *seal_key, struct tenant_id tenant,
                      struct err *err) MUST_CHECK;

#endif
