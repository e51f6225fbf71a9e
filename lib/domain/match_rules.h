/* SPDX-License-Identifier: Apache-2.0
 * match_rules - may this mail join that case: each rule of authority as a short function
 *
 * Evidence proves which case is meant, never who writes. Whoever knows a token, an id or a number can have got it by a
 * forward, a list archive or a guess; so what a mail may do in the case rests on its sender alone.
 */
#ifndef MAILCASE_MATCH_RULES_H
#define MAILCASE_MATCH_RULES_H

#include "domain/match_facts.h"

enum match_join { JOIN_NOT, JOIN_PENDING, JOIN_FULL };

/* A sender in front of a case. */
struct match_standing {
	bool is_participant;
	bool is_recipient; /* of the very mail of ours that is answered */
	bool is_staff;     /* an agent who answers a notice of ours */
	enum sender_level level;
	enum sender_trust trust;
};

/* Tokens, ids and Thread-Index. */
enum match_join match_rule_evidence(const struct match_standing *who);

/* Others have referred to this mail before it came. */
enum match_join match_rule_referred(const struct match_standing *who);

/* A number of ours in the subject. `is_subject_known`: the rest of the subject is the case's or one that we sent. */
enum match_join match_rule_number(const struct match_standing *who, bool is_subject_known);

/* The same subject within the window, nothing else. */
enum match_join match_rule_subject(const struct match_standing *who);

/* Failed authentication, where the mailbox heeds it. */
bool match_is_unverified(const struct match_standing *who);

enum closed_answer { CLOSED_STAYS, CLOSED_REOPENS, CLOSED_IS_FOLLOWED };
/* What a person's late mail does to a closed case; `queue` may be NULL (the default policy). */
enum closed_answer match_rule_closed(const struct match_queue *queue, int64_t closed_at_us, int64_t now_us);

#endif
