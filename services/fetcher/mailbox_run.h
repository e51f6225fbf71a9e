/* SPDX-License-Identifier: Apache-2.0
 * mailbox_run - one mailbox that is ours: its settings, its lease, a session per folder, and its state as people see it
 *
 * The state of a mailbox is that of its worst folder. Changes go to mailbox_state and, in the same transaction, to topic
 * mailbox.events. A run that is closed frees itself once none of its database jobs is running.
 */
#ifndef MAILCASE_MAILBOX_RUN_H
#define MAILCASE_MAILBOX_RUN_H

#include "domain/mailbox_trouble.h"
#include "fetcher.h"
#include "record/lease.h"
#include "record/mailbox.h"
#include "wire/mailbox_event.h"

struct mailbox_session;

/* How a folder fares. */
struct session_health {
	enum mailbox_state state; /* starting, ok, backing_off, auth_failed */
	struct mailbox_trouble trouble;
	char words[200];
	int64_t failures;
	int64_t next_try_at_us;
	bool has_idle;
};

/* What people see of a mailbox. */
struct mailbox_shown {
	enum mailbox_state state;
	char reason[300];
	const char *remedy, *cause;
	int64_t failures, next_try_at_us;
	bool has_idle;
};

struct mailbox_run {
	struct fetcher *fetcher;
	struct mailbox mailbox; /* texts in the arena */
	struct arena arena;
	struct lease lease;
	struct str password;
	const char *host, *ca_file, *username;
	struct mailbox_session **sessions;
	size_t session_count;
	struct mailbox_session *logging_in; /* whether the password is taken, one session finds out */
	bool login_works;
	int64_t refused_until_us; /* what the row says of an earlier login; 0: nothing */
	int64_t waiting;   /* mails of the mailbox that are not terminal, when last counted */
	int64_t in_flight; /* mails that were asked for and are not stored yet */
	struct db_job state_job;
	struct mailbox_shown wanted, writing, told; /* now; in the job; in the row */
	int64_t version;                            /* of the row, the job's included */
	bool is_step;                               /* what is being written is news for others */
	bool is_closed, is_wanted;
	struct mailbox_run *next; /* in the roll */
};

/* Starts all sessions. `mailbox` is copied. */
struct mailbox_run *mailbox_run_new(struct fetcher *fetcher, const struct mailbox *mailbox, const struct lease *lease);

/* Stop at once; writes nothing more. */
void mailbox_run_close(struct mailbox_run *run);

/* Is the lease still ours by our own clock, with five seconds to spare? */
bool mailbox_run_holds(const struct mailbox_run *run);

/* Does any of its folders wait longer for its new mail than it should? */
bool mailbox_run_is_late(const struct mailbox_run *run, int64_t now_ms);

/* How many more mails may be asked for. */
int64_t mailbox_run_credit(const struct mailbox_run *run);

/* A session's health has changed. */
void mailbox_run_report(struct mailbox_run *run);

/* From a session whose last job has ended after the close. */
void mailbox_run_free_if_done(struct mailbox_run *run);

#endif
