/* SPDX-License-Identifier: Apache-2.0
 * recipients - which addresses a mail of ours goes to, with a reason for every address in or out
 *
 * Own addresses (mailboxes, outbound senders, archives) are never written to, whoever asks: a mail to ourselves is a
 * loop. An address gets one copy, in the place that was named first.
 */
#ifndef MAILCASE_RECIPIENTS_H
#define MAILCASE_RECIPIENTS_H

#include <stdbool.h>

#include "base/arena.h"
#include "mail/model.h"

struct recipient_candidate {
	struct mail_address who;
	bool is_cc;
	const char *why; /* "participant", "named", "opener", ...: outlives the verdict */
};

struct recipient_verdict {
	const struct recipient_candidate *candidate;
	bool is_in;
	const char *reason; /* the candidate's why, or "own_address", "repeated", "invalid_address" */
};

/* One verdict a candidate, in their order. `own` are addresses in any case. */
struct recipient_verdict *recipients_choose(struct arena *arena, const struct recipient_candidate *candidates, size_t count,
                                            const struct str *own, size_t own_len);

/* local@domain that compose() and SMTP will take: ASCII, no blanks, no quoting. */
bool recipient_is_valid(struct str address);

/* A role that answers no mail (noreply@, mailer-daemon@, list-bounces@): an automatic mail to it comes back or loops. */
bool recipient_is_unattended(struct str address);

/* The domain serves the public, so that its users have nothing in common. Folded or not. */
bool domain_is_freemail(struct str domain);

/* The part behind the last @; "" where there is none. */
struct str recipient_domain(struct str address);

#endif
