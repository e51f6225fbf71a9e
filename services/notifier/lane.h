/* SPDX-License-Identifier: Apache-2.0
 * lane - one outbound mailbox: its connections, the mails that wait for one, its back-off
 *
 * A lane knows nothing of the database. It is given claimed mails and hands them back: to `waiting` when the server has
 * said 354 and the body may not be written yet, to `done` when each recipient has its verdict. A dead or slow host fills
 * its own lane and no other.
 */
#ifndef MAILCASE_LANE_H
#define MAILCASE_LANE_H

#include "edge/smtp.h"
#include "send_store.h"

struct lane_limits {
	int64_t connections;        /* of one outbound mailbox */
	int64_t mails;              /* on one connection before it is closed */
	int64_t idle_ms;            /* an unused connection is closed after this */
	int64_t lease_ms;           /* of a claim */
	int64_t login_timeout_ms, reply_timeout_ms, dot_timeout_ms;
	enum egress_policy egress;
	const char *helo;
};

enum send_phase { SEND_READY, SEND_ON_WIRE, SEND_WAITS, SEND_STARTED, SEND_DONE };

/* One mail with the copies of it that were claimed together. */
struct send_job {
	struct send_job *next, *next_waiting;
	struct lane *lane;
	struct smtp *smtp; /* while on the wire */
	enum send_phase phase;
	int64_t claimed_ms, renewed_ms; /* monotonic */
	struct outbound_id outbound;
	struct tenant_id tenant;
	struct case_id case_id;
	int64_t created_us;
	struct smtp_mail mail;
	struct send_claim *copies; /* one a recipient, in the same order */
};

struct lanes;

struct lanes *lanes_new(const struct lane_limits *limits, const struct seal_key *key);
void lanes_free(struct lanes *lanes);

/* The mailboxes as they are now: new ones get a lane, changed ones new connections, missing ones are emptied. */
void lanes_refresh(struct lanes *lanes, const struct send_mailbox *mailboxes, size_t count);

/* How many copies each lane could take now; room for lanes_count() elements. */
size_t lanes_count(const struct lanes *lanes);
size_t lanes_wanted(const struct lanes *lanes, int64_t now_ms, struct outbound_mailbox_id *out_ids, int64_t *out_wanted);

/* Claimed copies; what is kept is copied. */
void lanes_take(struct lanes *lanes, const struct send_claim *claims, size_t count, int64_t now_ms);

/* Open, use and close connections, then wait for them or for `fds` at most `timeout_ms`, and hear them. */
void lanes_turn(struct lanes *lanes, const int *fds, size_t fds_len, int timeout_ms);

/* Mails whose body may be written once `sending` is committed, linked by next_waiting; stays until lanes_started(). */
struct send_job *lanes_waiting(struct lanes *lanes);
/* The transaction is through: write the bodies of those that may start, drop the others. */
void lanes_started(struct lanes *lanes);
/* Take up to `most` finished mails off; the caller frees them with send_job_free(). */
struct send_job *lanes_done(struct lanes *lanes, size_t most);
/* Put them back in front: the database was not there. */
void lanes_done_again(struct lanes *lanes, struct send_job *jobs);
void send_job_free(struct send_job *job);

/* All mails whose body is under way, for the renewal of their leases. */
size_t lanes_under_way(const struct lanes *lanes, struct copy_id *out, size_t most);

/* Mails that the next transaction is about; mails whose server's answer is awaited. */
size_t lanes_to_commit(const struct lanes *lanes);
size_t lanes_in_flight(const struct lanes *lanes);

/* No new mails; those on the wire end. */
void lanes_drain(struct lanes *lanes);
bool lanes_are_empty(const struct lanes *lanes);
/* The time is up: whatever is on the wire is cut. */
void lanes_cut(struct lanes *lanes);

/* A state that people should see: the next lane that has one, or false. Views live until the next call. */
struct lane_state {
	struct outbound_mailbox_id id;
	struct tenant_id tenant;
	const char *state;
	struct str reason, remedy;
	int64_t failures, next_try_ms;
};
bool lanes_next_state(struct lanes *lanes, struct lane_state *out);

#endif
