/* SPDX-License-Identifier: Apache-2.0
 * lease - who may do a thing now: (kind, name) -> owner, epoch, expiry
 *
 * The epoch grows by one at every change of hands; every transaction that rests on a lease checks owner and epoch FOR
 * SHARE. The database's clock decides about expiry; the holder counts from before it asked, on its own monotonic clock,
 * and stops early.
 */
#ifndef MAILCASE_LEASE_H
#define MAILCASE_LEASE_H

#include "edge/db.h"

struct lease {
	const char *kind;
	struct str name;
	const char *owner;
	int64_t epoch;
	int64_t expires_mono_ms; /* by our own clock; past it the lease is not ours any more */
};

/* 1 taken (or still ours: renewed), 0 another's, -1 error. Fills epoch and expires. */
int lease_take(struct db *db, struct arena *arena, struct lease *lease, int64_t ttl_ms, struct err *err) MUST_CHECK;

/* Renew under the same epoch. 1 still ours, 0 lost. */
int lease_renew(struct db *db, struct arena *arena, struct lease *lease, int64_t ttl_ms, struct err *err) MUST_CHECK;

/* Give it up at once, if it is still ours. */
int lease_release(struct db *db, struct arena *arena, struct lease *lease, struct err *err) MUST_CHECK;

/* Queue into the open transaction: fails the whole transaction (TEMP, division by zero is mapped to "lease lost") unless
 * the lease is ours; locks its row FOR SHARE until commit. */
int lease_guard(struct db *db, struct arena *arena, const struct lease *lease, struct err *err) MUST_CHECK;

#endif
