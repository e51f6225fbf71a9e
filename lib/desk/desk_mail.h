/* SPDX-License-Identifier: Apache-2.0
 * desk_mail - one mail of a person on a case: what a reply and the first mail of a case by hand have in common
 *
 * Within the act's transaction: chooses the outbound mailbox, composes one byte string, and queues the message, its
 * place in the case, its reference, the outbound message and a copy for each recipient. The facts are the act's.
 */
#ifndef MAILCASE_DESK_MAIL_H
#define MAILCASE_DESK_MAIL_H

#include "desk/desk.h"
#include "domain/recipients.h"

struct desk_mail {
	const struct case_row *row; /* as locked; version and message count from before this act */
	struct mailbox_id mailbox;  /* whose address is Reply-To: the receiving one, or one of the queue; null: none */
	struct outbound_mailbox_id outbound; /* the author's choice; null: chosen by the rules */
	const char *prefix; /* of the subject: "Re: " or "" */
	struct str text;
	const struct recipient_candidate *candidates;
	size_t candidates_len;
	struct mail_strs references; /* root first */
	struct str in_reply_to;      /* "" for none */
	const char *reason;          /* why it is sent: agent_replied, case_opened */
};

struct desk_mail_done {
	struct message_id message;
	struct outbound_id outbound;
	struct str header_id;
	const struct recipient_verdict *verdicts; /* one a candidate */
	size_t recipients_len;
	int64_t size;
	/* JSON for the timeline: each candidate with the reason for or against, and the outbound mailbox. */
	struct str detail;
};

enum desk_status desk_mail_put(const struct desk *desk, const struct desk_mail *mail, struct desk_mail_done *out,
                               struct err *err);

/* The mailbox of a queue that answers to a case by hand come back to: the first active one by address. Null: none. */
int desk_mailbox_of_queue(const struct desk *desk, struct queue_id queue, struct mailbox_id *out_mailbox,
                          struct group_id *out_group, struct err *err) MUST_CHECK;

#endif
