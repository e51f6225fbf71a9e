/* SPDX-License-Identifier: Apache-2.0
 * notice_plan - who hears of what became true of a case, and why somebody does not
 *
 * Pure: one case record and what was known at its version go in, a list of notices comes out. The same record gives the
 * same list whenever it is delivered, as far as it rests on the case: assignee and followers are those of its version,
 * not today's.
 *
 * Staff: the assignee is told of an assignment; assignee and followers of each message; the author of a reply of its
 * copies that failed or got lost. Nobody is told of what he did himself. The sender outside: one auto-reply a case, to
 * the mail that opened it.
 */
#ifndef MAILCASE_NOTICE_PLAN_H
#define MAILCASE_NOTICE_PLAN_H

#include <stdbool.h>

#include "base/arena.h"
#include "domain/fact.h"

struct notice_user {
	struct user_id id;
	bool is_active, wants_mail;
	struct str address; /* where notices go; "" where there is none */
};

struct notice_message {
	struct message_id id;
	bool is_automatic, is_quiet, is_variant, is_suspicious;
	bool is_authenticated, has_failed; /* sender level; neither: unknown */
	bool is_own;                       /* the sender is an address of ours */
	bool is_known;                     /* an agent has answered this sender before */
	struct str sender;
};

/* A mail of ours whose copies are in the record. */
struct notice_outbound {
	struct outbound_id id;
	bool is_reply;
	struct user_id author;
};

enum notice_trust { NOTICE_TRUST_STANDARD, NOTICE_TRUST_STRICT, NOTICE_TRUST_INTERNAL };

struct notice_input {
	const struct case_record *record;
	struct user_id assignee; /* as of the record's version, as are the followers */
	const struct user_id *followers;
	size_t followers_len;
	const struct notice_user *users;
	size_t users_len;
	const struct notice_message *messages;
	size_t messages_len;
	const struct notice_outbound *outbounds;
	size_t outbounds_len;
	/* The mailbox that received the opener; none: opened by hand. */
	bool has_mailbox, is_auto_reply_on;
	enum notice_trust trust;
	bool is_auto_reply_decided; /* the timeline says so already */
};

enum notice_audience { NOTICE_STAFF, NOTICE_CUSTOMER };

struct notice {
	enum notice_audience audience;
	const char *kind;          /* "notice", "auto_reply" */
	const char *reason;        /* "assigned", "message_in", ...: part of the natural key */
	const char *role;          /* "assignee", "follower", "author", "opener": why this one */
	struct user_id user;       /* staff */
	struct message_id message; /* what it is about; null: no message */
	size_t messages;           /* how many of that reason are in the record */
	bool by_mail;
	const char *suppressed_by; /* no mail goes out because of this; NULL: none, or nobody would wonder */
};

/* Whether a record can concern the notifier at all: a cheap look before anything is locked or loaded. */
bool notice_concerns(const struct case_record *record);

void notice_plan(struct arena *arena, const struct notice_input *input, struct notice **out, size_t *out_count);

#endif
