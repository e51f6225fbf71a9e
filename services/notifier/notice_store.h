/* SPDX-License-Identifier: Apache-2.0
 * notice_store - what the plan turn reads and writes: facts of cases, people, mailboxes, budgets, notifications
 */
#ifndef MAILCASE_NOTICE_STORE_H
#define MAILCASE_NOTICE_STORE_H

#include "domain/budget.h"
#include "domain/notice_plan.h"
#include "edge/db.h"

/* A fact of the timeline that plans rest on, in the order of cases and versions. */
struct notice_event {
	struct case_id case_id;
	int64_t version;
	enum fact_kind kind; /* assigned, followed, notice_planned, notice_suppressed */
	struct user_id user;
	bool is_following, is_auto_reply;
};

struct notice_mailbox {
	struct mailbox_id id;
	struct str address;
	bool is_auto_reply_on;
	enum notice_trust trust;
};

struct notice_queue {
	struct queue_id id;
	struct str subject_format;
};

/* What is needed of a message beside struct notice_message, at the same index. */
struct notice_origin {
	struct str header_id, from_name;
	struct user_id author;
	enum direction direction;
};

struct notice_facts {
	struct notice_event *events;
	size_t events_len;
	struct notice_message *messages;
	struct notice_origin *origins;
	size_t messages_len;
	struct notice_mailbox *mailboxes;
	size_t mailboxes_len;
	struct notice_queue *queues;
	size_t queues_len;
	struct notice_outbound *outbounds;
	size_t outbounds_len;
	struct notice_user *users;
	struct str *user_names; /* at the same index */
	size_t users_len;
};

struct notice_wanted {
	const struct uuid *cases, *messages, *mailboxes, *queues, *outbounds, *users;
	size_t cases_len, messages_len, mailboxes_len, queues_len, outbounds_len, users_len;
};

/* Everything that is wanted, and the users whom events, messages and outbounds name besides. */
int notice_store_load(struct db *db, struct arena *arena, const struct notice_wanted *wanted, struct notice_facts *out,
                      struct err *err) MUST_CHECK;

struct notice_body {
	struct message_id message;
	struct str text;
	bool is_cut;
};
int notice_store_bodies(struct db *db, struct arena *arena, const struct uuid *messages, size_t count,
                        struct notice_body **out, size_t *out_count, struct err *err) MUST_CHECK;

/* "address: code words" of an outbound mail's copies in a state, one a line. */
int notice_store_copies(struct db *db, struct arena *arena, struct outbound_id outbound, const char *state, struct str *out,
                        struct err *err) MUST_CHECK;

struct notification_new {
	struct tenant_id tenant;
	struct user_id user;
	struct case_id case_id;
	int64_t version;
	const char *kind;
	bool is_new; /* out: false where it was there already: this record was planned before */
};
int notice_store_notify(struct db *db, struct arena *arena, struct notification_new *rows, size_t count, int64_t now_us,
                        struct err *err) MUST_CHECK;

/* Lock and read the buckets of these keys (the database sorts them); one that is not there yet is full. */
int notice_store_buckets(struct db *db, struct arena *arena, const struct budget_limits *limits, struct budget_bucket *buckets,
                         size_t count, int64_t now_us, struct err *err) MUST_CHECK;
/* Queue what was taken. */
int notice_store_spend(struct db *db, struct arena *arena, const struct budget_bucket *buckets, size_t count,
                       struct err *err) MUST_CHECK;

/* Forget buckets that nobody has touched for a day: they are full again. */
int notice_store_forget_buckets(struct db *db, struct err *err) MUST_CHECK;

#endif
