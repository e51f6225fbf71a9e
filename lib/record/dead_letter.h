/* SPDX-License-Identifier: Apache-2.0
 * dead_letter - records that a group of ours could never handle, and the way back
 *
 * A row is written in the turn's own transaction. Asking one back (replay_at) makes its group take it as a batch of one;
 * nothing is ever published again.
 */
#ifndef MAILCASE_DEAD_LETTER_H
#define MAILCASE_DEAD_LETTER_H

#include "edge/bus.h"
#include "edge/db.h"

/* Queue the row into the open transaction. A repeat of the same record changes nothing. */
int dead_letter_put(struct db *db, struct arena *arena, const char *group, const struct bus_record *record,
                    const char *reason, struct err *err) MUST_CHECK;

/* Take the record of the group that was asked back first: 1, or 0 for none. Others cannot take it for a minute, and
 * longer each time: what was taken and not settled (a crash, a failure that may pass) comes again then, ever later. */
int dead_letter_take(struct db *db, struct arena *arena, const char *group, struct uuid *out_id,
                     struct bus_record *out_record, struct err *err) MUST_CHECK;

/* Queue its end into the open transaction: handled (`reason` NULL), or dead again. */
int dead_letter_settle(struct db *db, struct arena *arena, struct uuid id, const char *reason, struct err *err) MUST_CHECK;

#endif
