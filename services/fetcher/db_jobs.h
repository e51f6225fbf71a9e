/* SPDX-License-Identifier: Apache-2.0
 * db_jobs - database work of an event loop: each job is one flush of one pipeline, taken in turn
 *
 * A job is embedded in what it serves. Everybody has at most one job of a kind waiting, so that the queue is fair. TEMP
 * failures (connection, deadlock, ...) are retried here, with growing waits, for as long as it takes: the job is built
 * again. Everything else, a lost lease, and a key that exists already are the owner's to handle: the same job would fail
 * for ever, and hold one of the few connections.
 */
#ifndef MAILCASE_DB_JOBS_H
#define MAILCASE_DB_JOBS_H

#include "edge/db.h"
#include "edge/loop.h"

struct db_jobs;

struct db_job {
	/* Queue all statements; results go where they say. PERM or FATAL from here goes to `done` at once. */
	int (*build)(struct db_job *job, struct db *db, struct arena *arena, struct err *err);
	/* Once: with NULL when all of it is durable. `sqlstate` is "" without an error of the server. */
	void (*done)(struct db_job *job, const struct err *err, const char *sqlstate);
	void *self;
	bool is_busy; /* queued or running: hands off */
	bool is_running;
	struct db_job *next;
};

#define SQLSTATE_LEASE_LOST "22012"
#define SQLSTATE_EXISTS_ALREADY "23505"

/* Takes the connections over. `notified` (may be NULL) is called when a notification came on an idle connection. */
struct db_jobs *db_jobs_new(struct loop *loop, struct db **connections, size_t count, void (*notified)(void *self),
                            void *self);
void db_jobs_free(struct db_jobs *jobs); /* closes the connections */

/* Queue it. Neither `build` nor `done` is called before this returns: they come from the loop. */
void db_jobs_add(struct db_jobs *jobs, struct db_job *job);

/* Take a job out of the queue. False if it runs: `done` will come. */
bool db_jobs_cancel(struct db_jobs *jobs, struct db_job *job);

/* No connection is in trouble. */
bool db_jobs_healthy(const struct db_jobs *jobs);
bool db_jobs_idle(const struct db_jobs *jobs);

#endif
