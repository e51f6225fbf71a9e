/* SPDX-License-Identifier: Apache-2.0
 * notice_text - what the notifier's own mails say
 *
 * Pure. To the outside only a fixed text: the number goes in, the sender's words stay out, so that nobody can make us
 * send his words to somebody else. To staff an excerpt of the message, but never of one that may hold a one-time code.
 */
#ifndef MAILCASE_NOTICE_TEXT_H
#define MAILCASE_NOTICE_TEXT_H

#include "domain/notice_plan.h"

struct notice_words {
	int64_t number;
	struct str tag;         /* "[#12]" */
	struct str case_subject;
	struct str signature;   /* the outbound mailbox's sender name */
	struct str state;       /* of the case */
	struct str who;         /* author of the message: a name or an address; "" where none */
	struct str excerpt;     /* of the message; "" where none may be shown */
	bool excerpt_is_cut;
	struct str recipients;  /* copies that failed or got lost, one a line: "a@b: 550 no such user" */
};

struct str notice_subject(struct arena *arena, const struct notice *notice, const struct notice_words *words);
struct str notice_text(struct arena *arena, const struct notice *notice, const struct notice_words *words);

/* May a message of this sender be quoted in a notice? Unattended senders send one-time codes. */
bool notice_may_quote(struct str sender);

#endif
