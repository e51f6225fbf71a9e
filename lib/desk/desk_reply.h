/* SPDX-License-Identifier: Apache-2.0
 * desk_reply - an agent answers from a case
 *
 * The answer goes to the participants and to whom the author names; whoever stood in Cc of an incoming mail is a
 * candidate and no more. open -> waiting. A closed case is refused unless `reopen`.
 */
#ifndef MAILCASE_DESK_REPLY_H
#define MAILCASE_DESK_REPLY_H

#include "desk/desk.h"
#include "mail/model.h"

struct desk_reply {
	int64_t number;
	struct str text;
	struct mail_strs to, cc; /* besides the participants */
	bool only_named;         /* not to the participants */
	bool reopen;
	struct outbound_mailbox_id outbound; /* the author's choice; null: chosen by the rules */
};

struct desk_reply_done {
	struct case_id case_id;
	struct message_id message;
	struct outbound_id outbound;
	struct str header_id;
	size_t recipients_len;
};

enum desk_status desk_reply(const struct desk *desk, const struct desk_reply *request, struct desk_reply_done *out,
                            struct err *err);

#endif
