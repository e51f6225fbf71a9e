/* SPDX-License-Identifier: Apache-2.0
 * turn - take a batch, decide, commit, confirm; retries and dead letters live here and nowhere else
 *
 *	poll -> prepare (slow, outside the transaction) -> begin -> apply (claim, lock, load, decide, write) -> commit ->
 *	confirm
 *
 * TEMP from prepare or apply: roll back, wait (growing, with jitter, memberships kept alive), the same batch again, after
 * some failures one by one. PERM of a batch: its records one by one, so that only the culprit is set aside as a
 * dead_letter row in its own transaction; so is a duplicate key that repeats itself. FATAL: the loop ends, as a crash that
 * counts against the record. Dead letters marked for replay come as a batch of one before the next poll.
 */
#ifndef MAILCASE_TURN_H
#define MAILCASE_TURN_H

#include "base/arena.h"
#include "edge/bus.h"
#include "edge/db.h"
#include "kit/service.h"

struct turn {
	struct service *service;
	struct arena arena; /* reset before each attempt; the records themselves live longer */
	struct db *db;      /* the turn's own connection; a transaction is open during apply */
	struct bus_record *records;
	size_t count;
	bool is_replay; /* a dead letter that was asked back */
	bool filled_outbox; /* apply sets it: the relay is woken after the commit */
	void *batch; /* what prepare leaves for apply; in the arena */
	void *self;
	struct turn_private *priv;
};

struct turn_handler {
	const char *group;
	const char *const *topics; /* NULL-terminated */
	size_t bytes_max;          /* of record values; 0: 4 MiB */
	int64_t idle_ms;           /* longest wait for a record: how often `idle` is called at least */
	void *self;
	/* Slow and foreign work; may use turn->db outside a transaction. May be NULL. */
	int (*prepare)(struct turn *turn, struct err *err);
	/* Inside the transaction. May be called again with the same records after a roll-back. */
	int (*apply)(struct turn *turn, struct err *err);
	/* After the commit (wake a sender, count). May be NULL. */
	void (*committed)(struct turn *turn);
	/* This record is being set aside in the transaction that is open: set what else must say so (the ledger's row).
	 * May be NULL. */
	int (*set_aside)(struct turn *turn, const struct bus_record *record, const char *reason, struct err *err);
	/* Between turns: timers, housekeeping. Own transactions. May be NULL. */
	int (*idle)(struct turn *turn, struct err *err);
};

/* A verdict inside apply: this record can never be handled. Queues its dead letter into the open transaction; the rest
 * of the batch goes on. */
int turn_set_aside(struct turn *turn, const struct bus_record *record, const char *reason, struct err *err) MUST_CHECK;

/* Something moved between reading and locking: roll back and run the same batch again at once, without counting it as
 * a failure. Returns -1: `return turn_again(err);` */
int turn_again(struct err *err);

/* Run until the service stops. 0, or -1 with a FATAL. */
int turn_loop(struct service *service, const struct turn_handler *handler, struct err *err) MUST_CHECK;

#endif
