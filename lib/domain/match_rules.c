/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/match_rules.h"

#include "base/clock.h"

#include "base/banned.h"

enum { REOPEN_DAYS_DEFAULT = 30, SECONDS_OF_DAY = 86400 };

/* In a mailbox that only colleagues can reach, From is believed; elsewhere it is what authentication said. */
static enum sender_level effective_level(const struct match_standing *who)
{
	return who->trust == TRUST_INTERNAL ? SENDER_AUTHENTICATED : who->level;
}

bool match_is_unverified(const struct match_standing *who)
{
	return effective_level(who) == SENDER_FAILED;
}

/* In full joins who takes part already, or who was sent the mail that is answered: those two know the conversation
 * anyway. Everybody else waits for a person. A mail whose authentication failed says nothing reliable of its sender.
 *
 * An agent who answers a notice shows a token of the staff kind that was sent to him. Speaking as an agent needs more
 * than From can show, and to let the mail in as a customer's would reopen cases in the agent's name: so it waits.
 * A token of that kind in any other hand (the notice was forwarded) gives its bearer nothing. */
enum match_join match_rule_evidence(const struct match_standing *who)
{
	if (who->is_staff || match_is_unverified(who))
		return JOIN_PENDING;
	return who->is_participant || who->is_recipient ? JOIN_FULL : JOIN_PENDING;
}

/* The mail was mentioned before it came. If its sender takes part in the case of those who mentioned it, it is the late
 * parent and belongs there. If not, somebody may have mentioned it first in order to have it filed in a case of his:
 * it opens its own. */
enum match_join match_rule_referred(const struct match_standing *who)
{
	if (!who->is_participant)
		return JOIN_NOT;
	return match_is_unverified(who) ? JOIN_PENDING : JOIN_FULL;
}

/* Numbers are guessed by counting. A participant may use one; a stranger's must at least come with the subject that
 * goes with it, and waits even then. The strict mailbox wants the participant to be authenticated. */
enum match_join match_rule_number(const struct match_standing *who, bool is_subject_known)
{
	if (who->trust == TRUST_STRICT)
		return who->is_participant && effective_level(who) == SENDER_AUTHENTICATED ? JOIN_FULL : JOIN_NOT;
	if (who->is_participant)
		return match_is_unverified(who) ? JOIN_PENDING : JOIN_FULL;
	return is_subject_known ? JOIN_PENDING : JOIN_NOT;
}

/* Many mails are called "Invoice". Only a participant's counts, and as From is easily written it waits unless it is
 * authenticated. */
enum match_join match_rule_subject(const struct match_standing *who)
{
	if (!who->is_participant)
		return JOIN_NOT;
	if (effective_level(who) == SENDER_AUTHENTICATED)
		return JOIN_FULL;
	return who->trust == TRUST_STRICT ? JOIN_NOT : JOIN_PENDING;
}

/* A conversation that rested for long is over for the agent who closed it: what comes then is a new matter that follows
 * the old one. Time is counted from closing to the recorded intake. */
enum closed_answer match_rule_closed(const struct match_queue *queue, int64_t closed_at_us, int64_t now_us)
{
	enum closed_policy policy = queue ? queue->closed : CLOSED_REOPEN_WITHIN;
	int64_t days = queue ? queue->reopen_days : REOPEN_DAYS_DEFAULT;
	if (policy == CLOSED_REOPEN)
		return CLOSED_REOPENS;
	if (policy == CLOSED_NEW_CASE)
		return CLOSED_IS_FOLLOWED;
	return now_us - closed_at_us <= days * SECONDS_OF_DAY * USEC_PER_SEC ? CLOSED_REOPENS : CLOSED_IS_FOLLOWED;
}
