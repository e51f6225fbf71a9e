/* SPDX-License-Identifier: Apache-2.0
 * automatic - mail that no person wrote: lists, automatic replies, reports of delivery, and which mail they are about
 *
 * By headers and by the parts of a report; wording counts only where a mail system signs as the sender or where a
 * subject is the fixed phrase of a known program. Classification is not dropping: it decides who is answered.
 */
#ifndef MAILCASE_AUTOMATIC_H
#define MAILCASE_AUTOMATIC_H

#include "base/arena.h"
#include "mail/model.h"
#include "mail/raw_header.h"

/* What parse.c met among the parts. All decoded; "" where absent. */
struct mail_report {
	bool is_report;             /* multipart/report */
	struct str type;            /* its report-type, lower case */
	struct str delivery_status; /* message/delivery-status */
	struct str disposition;     /* message/disposition-notification */
	bool has_feedback;          /* message/feedback-report */
	struct str returned;        /* message/rfc822, message/global or text/rfc822-headers, the first */
};

/* Fills is_automatic, kind and inner_ids of `mail`, whose headers and text are there already. */
void automatic_judge(struct arena *arena, const struct raw_headers *headers, const struct mail_report *report,
                     struct mail *mail);

#endif
