/* SPDX-License-Identifier: Apache-2.0
 * turn_private - what turn.c and turn_dead_letter.c share; nobody else includes it
 */
#ifndef MAILCASE_TURN_PRIVATE_H
#define MAILCASE_TURN_PRIVATE_H

#include "base/backoff.h"
#include "base/vec.h"
#include "kit/turn.h"

enum settled { SETTLED, LEFT, FAILED };

/* A record that the open transaction sets aside; said aloud only after the commit. */
struct verdict {
	struct bus_record record;
	const char *reason;
};

struct turn_private {
	const struct turn_handler *handler;
	struct bus_consumer *consumer;
	struct arena batch_arena; /* the records, over all attempts */
	struct backoff backoff;
	int64_t next_idle_ms, next_replay_ms, next_gauges_ms;
	const struct uuid *replayed; /* the dead letter that is being handled, or NULL */
	bool is_records_fault;       /* the loop ends with FATAL because of what is in hand */
	VEC(struct verdict) verdicts;
};

/* The transaction of the records in hand, again while rows move. `replayed`: the dead letter that ends with it. */
int turn_apply(struct turn *turn, const struct uuid *replayed, struct err *err) MUST_CHECK;

/* After each commit: say what was set aside, wake the relay. */
void turn_committed(struct turn *turn);
void turn_verdicts_reset(struct turn *turn);

/* Set one record aside in a transaction of its own. */
int turn_bury(struct turn *turn, const struct bus_record *record, const char *reason, struct err *err) MUST_CHECK;

/* Handle one dead letter that was asked back: 1, or 0 where there is none. */
int turn_replay(struct turn *turn, struct err *err) MUST_CHECK;

#endif
