/* SPDX-License-Identifier: Apache-2.0
 * match_keys - all that a mail says of where it belongs, taken from it once
 *
 * The keys tell the loader what to look up and the decision what to weigh. They prove nothing by themselves; only a
 * token is checked here, because its check needs nothing but the tenant's secrets.
 */
#ifndef MAILCASE_MATCH_KEYS_H
#define MAILCASE_MATCH_KEYS_H

#include "domain/token.h"
#include "mail/model.h"

enum sender_trust { TRUST_STANDARD, TRUST_STRICT, TRUST_INTERNAL };
const char *sender_trust_name(enum sender_trust trust);
bool sender_trust_parse(struct str name, enum sender_trust *out);

enum closed_policy { CLOSED_REOPEN, CLOSED_REOPEN_WITHIN, CLOSED_NEW_CASE };
bool closed_policy_parse(struct str name, enum closed_policy *out);

/* What was found out about a mail's sender. */
enum sender_level { SENDER_UNKNOWN, SENDER_FAILED, SENDER_AUTHENTICATED };
const char *sender_level_name(enum sender_level level);

struct match_queue {
	struct queue_id id;
	struct team_id team;
	struct str format; /* "[#%d]" */
	enum closed_policy closed;
	int64_t reopen_days;
};

/* Of a mail's text no more is looked through. */
#define MATCH_TEXT_MOST 65536
#define MATCH_SENDER_MOST 500

/* A tenant's part in matching. */
struct match_tenant {
	struct tenant_id id;
	struct token_keys keys;
	const struct match_queue *queues;
	size_t queues_len;
	struct mail_strs formats; /* of the queues, each once */
	struct mail_strs senders; /* addresses that we send from, folded */
};

struct match_mailbox {
	struct mailbox_id id;
	struct tenant_id tenant;
	struct group_id group;
	struct queue_id queue;
	struct str address; /* folded */
	enum sender_trust trust;
	bool is_personal, rung5;
	int64_t rung5_days;
};

enum match_place {
	PLACE_TO,
	PLACE_CC,
	PLACE_DELIVERED_TO,
	PLACE_IN_REPLY_TO,
	PLACE_REFERENCES,
	PLACE_INNER, /* the mail that a report or an automatic reply is about */
	PLACE_SUBJECT,
	PLACE_BODY,
	PLACE_THREAD_INDEX,
	PLACE_OWN_ID, /* others have referred to this mail before it came */
};
const char *match_place_name(enum match_place place);

struct match_id {
	struct uuid key; /* in message_ref */
	struct str text; /* in its normal spelling */
	enum match_place place;
};

struct match_token {
	struct str text;
	enum match_place place;
	struct str domain; /* of the address or id that it stood in; "" elsewhere */
	struct str base;   /* the address without its extension, folded; recipients only */
	bool is_verified;
	int64_t serial; /* if so */
};

struct match_keys {
	struct uuid identity; /* the same for the same message (design.md section 6) */
	struct str from;      /* who wrote: the first From, folded; "" where there is no valid one */
	struct str sender;    /* to compare only, as the message's row has it: From as it stands, else what comes nearest */
	struct str header_id; /* Message-ID in its normal spelling, or "" */
	struct uuid own_key;  /* of header_id; null where there is none */
	struct match_id *ids; /* nearest first, each once; the own id is never among them */
	size_t ids_len;
	struct uuid thread_key;     /* of the Thread-Index; null where there is none */
	struct match_token *tokens; /* strongest place first */
	size_t tokens_len;
	int64_t *numbers; /* in the subject, in any format of the tenant's queues */
	size_t numbers_len;
	struct str subject_base;
	bool is_reply;               /* by its subject's prefix */
	struct mail_strs recipients; /* To, then Cc, folded: candidates for our own addresses */
	size_t to_len;
};

void match_keys_of(struct arena *arena, const struct match_tenant *tenant, const struct match_mailbox *mailbox,
                   const struct mail *mail, struct match_keys *out);

/* The key of an id in message_ref: sha256(tenant || group || normalised id), first 16 bytes. `normalised` comes from
 * msgid_normal(). */
struct uuid message_ref_key(struct tenant_id tenant, struct group_id group, struct str normalised);

/* Every key under which the mail is or will be found: own id, ids, Thread-Index. Each once. */
struct uuid *match_ref_keys(struct arena *arena, const struct match_keys *keys, size_t *out_count);

#endif
