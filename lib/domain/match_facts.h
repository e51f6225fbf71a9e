/* SPDX-License-Identifier: Apache-2.0
 * match_facts - what is known already when a mail is matched: ids, cases, numbers, participants, our own mails
 *
 * In memory, in an arena. The threader fills it with what its batch asks for; a dry run over a mailbox keeps it as its
 * whole store. case_match() adds what it decides, so that the later mails of a batch see the earlier ones. Everything
 * put in is copied but the texts, which must live as long.
 */
#ifndef MAILCASE_MATCH_FACTS_H
#define MAILCASE_MATCH_FACTS_H

#include "base/map.h"
#include "domain/fact.h"
#include "domain/match_keys.h"

struct match_ref {
	struct uuid key;
	struct case_id case_id;
	struct message_id message; /* that bears the id; null: only referred to */
};

struct match_case {
	struct case_id id;
	struct tenant_id tenant;
	int64_t number; /* 0: not drawn yet */
	enum case_state state;
	struct queue_id queue;
	struct group_id group;
	struct str subject_base;
	int64_t opened_at, closed_at;
	struct mail_strs sent_subjects; /* base subjects of what we sent for it */
	struct match_case *next_alike;  /* same group and base subject */
};

struct match_message {
	struct message_id id;
	struct uuid identity;
	struct case_id case_id; /* null: of no case */
	struct str from;        /* folded */
	int64_t sent_at_s;      /* 0: unknown */
};

/* A mail of ours. */
struct match_outbound {
	struct outbound_id id;
	struct tenant_id tenant;
	int64_t serial;
	struct case_id case_id;
	bool is_staff;
	struct user_id user;         /* whom a notice to staff is bound to */
	struct mail_strs recipients; /* of its copies; of a notice to staff: the addresses of that user. Folded */
	struct str header_id;        /* in its normal spelling */
	struct sha256 body_sum;
	bool has_body_sum;
};

struct match_facts {
	struct arena *arena;
	struct map refs, cases, numbers, alike, identities, messages, serials, headers, participants, own;
};

void match_facts_init(struct match_facts *facts, struct arena *arena);

struct match_ref *match_facts_put_ref(struct match_facts *facts, struct match_ref ref);
struct match_case *match_facts_put_case(struct match_facts *facts, struct match_case row);
struct match_message *match_facts_put_message(struct match_facts *facts, struct match_message row);
struct match_outbound *match_facts_put_outbound(struct match_facts *facts, struct match_outbound row);
void match_facts_put_participant(struct match_facts *facts, struct case_id case_id, struct str address);
/* An address that mail to us or from us bears; `mailbox` is NULL for one that we only send from. */
void match_facts_put_own(struct match_facts *facts, struct tenant_id tenant, struct str address,
                         const struct match_mailbox *mailbox);

/* NULL where there is none. */
struct match_ref *match_facts_ref(const struct match_facts *facts, struct uuid key);
struct match_case *match_facts_case(const struct match_facts *facts, struct case_id id);
struct match_case *match_facts_number(const struct match_facts *facts, struct tenant_id tenant, int64_t number);
struct match_case *match_facts_alike(const struct match_facts *facts, struct group_id group, struct str subject_base);
struct match_message *match_facts_identity(const struct match_facts *facts, struct uuid identity);
struct match_message *match_facts_message(const struct match_facts *facts, struct message_id id);
struct match_outbound *match_facts_serial(const struct match_facts *facts, struct tenant_id tenant, int64_t serial);
struct match_outbound *match_facts_header(const struct match_facts *facts, struct tenant_id tenant,
                                          struct str header_id);
bool match_facts_participant(const struct match_facts *facts, struct case_id case_id, struct str address);
bool match_facts_own(const struct match_facts *facts, struct tenant_id tenant, struct str address,
                     const struct match_mailbox **out_mailbox);

#endif
