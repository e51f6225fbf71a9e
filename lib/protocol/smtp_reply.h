/* SPDX-License-Identifier: Apache-2.0
 * smtp_reply - the grammar of what an SMTP server answers: replies of one or more lines, fed in any pieces
 *
 * Pure and streaming. Limits: a line of 2,000 bytes, 100 lines a reply; text is kept up to SMTP_TEXT_MAX bytes and cut
 * there. A reply that breaks the grammar or a limit is BAD: nothing behind it can be trusted, close the connection.
 */
#ifndef MAILCASE_SMTP_REPLY_H
#define MAILCASE_SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define SMTP_TEXT_MAX 4096
#define SMTP_LINE_MAX 2000
#define SMTP_LINES_MAX 100

struct smtp_reply {
	int code;            /* 200 to 599 */
	char enhanced[12];   /* "5.1.1" (RFC 2034), or "" */
	size_t lines;
	size_t text_len;
	char text[SMTP_TEXT_MAX + 1]; /* lines without code, joined by \n; printable, NUL at the end */
};

struct smtp_reply_parser {
	struct smtp_reply reply; /* in the making */
	char line[SMTP_LINE_MAX];
	size_t line_len;
	bool is_done, is_bad;
};

enum smtp_feed { SMTP_FEED_MORE, SMTP_FEED_REPLY, SMTP_FEED_BAD };

void smtp_reply_init(struct smtp_reply_parser *parser);

/* Take bytes off the front of *bytes, up to the end of one reply. REPLY: it is in *out, valid until the next call. */
enum smtp_feed smtp_reply_feed(struct smtp_reply_parser *parser, struct str *bytes, const struct smtp_reply **out);

struct smtp_capabilities {
	bool has_pipelining, has_starttls, has_8bitmime, has_smtputf8, has_enhanced_codes;
	bool has_auth_plain, has_auth_login;
	int64_t size_max; /* of SIZE; 0: not said */
};

/* From the reply to EHLO; that to HELO has none. */
void smtp_capabilities_read(const struct smtp_reply *reply, struct smtp_capabilities *out);

#endif
