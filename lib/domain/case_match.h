/* SPDX-License-Identifier: Apache-2.0
 * case_match - to which case does each mail of a batch belong, and what may it do there (design.md section 5)
 *
 * Pure: mails and facts in, verdicts out. The evidence is weighed from the strongest down; the first that is allowed
 * decides, and all that was found is recorded. Earlier mails of the batch are facts for the later ones. `now` is each
 * mail's recorded intake time.
 */
#ifndef MAILCASE_CASE_MATCH_H
#define MAILCASE_CASE_MATCH_H

#include "domain/match_facts.h"
#include "domain/match_keys.h"

struct match_mail {
	const struct mail *mail;
	const struct match_tenant *tenant;
	const struct match_mailbox *mailbox; /* that received it */
	const struct match_keys *keys;
	int64_t received_at_us;
	enum sender_level level;
	bool is_quiet;
	struct message_id fresh_message; /* ids to use if it becomes a message, if it opens a case */
	struct case_id fresh_case;
};

enum match_outcome {
	MATCH_OPENED,
	MATCH_JOINED,
	MATCH_DUPLICATE, /* of a message that has its place */
	MATCH_PERSONAL,  /* a message of no case */
	MATCH_OWN_MAIL,  /* a mail of ours that came back */
};

struct match_verdict {
	enum match_outcome outcome;
	struct message_id message; /* the fresh one, or the one that is known already */
	bool is_known_message;     /* it has a row already (came through a personal mailbox before) */
	struct case_id case_id;    /* null: none */
	struct case_id follows;    /* opened after this closed case */
	bool is_pending, is_external, is_unverified;
	struct str matched_by; /* opened, token, ids, thread_index, number, subject */
	struct str evidence;   /* JSON object: what was found, what decided, why */

	struct message_id variant_of; /* same id, sender and date, another body */
	bool is_suspicious;           /* another sender under a known Message-ID */

	/* Opened: where. */
	const struct match_mailbox *home; /* whose queue the case goes to */
	const struct match_queue *queue;  /* NULL: none */
	enum case_state state;            /* of the case after this mail */
	bool adds_opener;                 /* its From becomes the participant */

	/* Joined: what it changes. */
	enum case_state state_before; /* other than `state`: a change */
	struct str state_reason;      /* customer_wrote, reopened */

	struct str token_refused; /* why a token that was addressed to us is none; "" where there was none */
	struct case_id suggested; /* a case that the mail may belong to, which was not allowed to decide */
	struct str suggested_rung, suggested_reason;
};

void case_match(struct arena *arena, struct match_facts *facts, const struct match_mail *mails, size_t count,
                struct match_verdict *out_verdicts);

/* Is it a mail of ours that came back? Only if it is byte for byte what we sent under that Message-ID: an outsider who
 * learns an id of ours can make no other mail vanish, not even his own. */
bool match_is_own_mail(const struct match_facts *facts, const struct match_mail *mail);

/* The case that each mail would lead to by its ids and tokens if its sender had every right: what a threader claims the
 * ids with before it knows better. */
void match_guess(struct arena *arena, const struct match_facts *facts, const struct match_mail *mails, size_t count,
                 struct case_id *out_cases);

#endif
