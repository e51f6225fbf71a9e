/* SPDX-License-Identifier: Apache-2.0
 * due - cases for which nobody was available, tried again
 */
#ifndef MAILCASE_DUE_H
#define MAILCASE_DUE_H

#include "edge/db.h"

/* One round, in a transaction of its own where something is due. *out_wrote: the outbox was filled. */
int due_turn(struct db *db, struct arena *arena, int64_t retry_us, bool *out_wrote, struct err *err) MUST_CHECK;

#endif
