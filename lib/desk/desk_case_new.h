/* SPDX-License-Identifier: Apache-2.0
 * desk_case_new - a case by hand: with a first mail to a customer, or with a note only
 */
#ifndef MAILCASE_DESK_CASE_NEW_H
#define MAILCASE_DESK_CASE_NEW_H

#include "desk/desk.h"
#include "mail/model.h"

struct desk_case_new {
	struct queue_id queue;
	struct str subject, text;
	/* They become participants and get the text as the first mail; none: the text is a note. */
	struct mail_addresses to;
	struct user_id assignee;  /* null: the router's business */
	struct outbound_mailbox_id outbound; /* the author's choice; null: chosen by the rules */
};

struct desk_case_new_done {
	struct case_id case_id;
	int64_t number;
	struct message_id message;
	struct outbound_id outbound; /* null: no mail */
};

enum desk_status desk_case_new(const struct desk *desk, const struct desk_case_new *request,
                               struct desk_case_new_done *out, struct err *err);

#endif
