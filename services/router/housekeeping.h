/* SPDX-License-Identifier: Apache-2.0
 * housekeeping - what must be swept now and then, by one router at a time
 */
#ifndef MAILCASE_HOUSEKEEPING_H
#define MAILCASE_HOUSEKEEPING_H

#include "edge/db.h"

struct housekeeping {
	const char *owner; /* of the lease */
	int64_t every_ms;
	int64_t next_mono_ms;
};

/* If it is time and the lease is to be had. */
int housekeeping_turn(struct housekeeping *housekeeping, struct db *db, struct arena *arena,
                      struct err *err) MUST_CHECK;

#endif
