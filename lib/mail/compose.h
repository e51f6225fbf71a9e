/* SPDX-License-Identifier: Apache-2.0
 * compose - write a mail: typed fields in, CRLF bytes out
 *
 * Refuses CR, LF and NUL in fields, encodes by RFC 2047 and RFC 2231, text as UTF-8 quoted-printable or 7bit. Dot-stuffing
 * is the sender's business (edge/smtp.h).
 */
#ifndef MAILCASE_COMPOSE_H
#define MAILCASE_COMPOSE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "mail/model.h"

struct compose {
	struct mail_address from;
	struct str reply_to;         /* address, or "" */
	struct mail_addresses to, cc;
	struct str subject;
	struct str message_id;       /* without brackets */
	struct str in_reply_to;      /* without brackets, or "" */
	struct mail_strs references; /* without brackets; the first is the case's root */
	int64_t date_s;
	bool is_automatic;           /* RFC 3834: Auto-Submitted: auto-replied (reply) or auto-generated (notice) */
	bool is_auto_reply;
	struct str own_mark;         /* X-Mailcase-...: the verified own-mail mark (the token) or "" */
	struct str text;
};

/* PERM names the field that cannot be written. */
int compose(struct arena *arena, const struct compose *mail, struct str *out_bytes, struct err *err) MUST_CHECK;

/* "Re: [#12] subject" from a case's subject and tag: never doubled, at most 200 characters of it. */
struct str compose_subject(struct arena *arena, const char *prefix, struct str tag, struct str subject);

#endif
