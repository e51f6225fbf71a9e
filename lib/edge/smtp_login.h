/* SPDX-License-Identifier: Apache-2.0
 * smtp_login - the part of an SMTP connection that libcurl does: connect, TLS, EHLO, STARTTLS, AUTH
 *
 * What the server says meanwhile is read along: its capabilities (those of the last EHLO: what it said before TLS does
 * not count) and its last refusal.
 */
#ifndef MAILCASE_SMTP_LOGIN_H
#define MAILCASE_SMTP_LOGIN_H

#include <curl/curl.h>

#include "domain/mailbox_trouble.h"
#include "edge/egress.h"
#include "protocol/smtp_reply.h"

struct smtp_target;

struct smtp_login {
	struct egress egress;
	struct smtp_reply_parser parser;
	struct smtp_capabilities capabilities;
	bool wants_login;
	int refusal_code;
	char refusal[200];
	char curl_text[CURL_ERROR_SIZE];
};

/* A handle for curl_multi, to be cleaned up by the caller. `login` must not move while it lives. Never NULL. */
CURL *smtp_login_begin(struct smtp_login *login, const struct smtp_target *target);

/* What came of it; words of the server, else of libcurl. TROUBLE_NONE: logged in. */
enum trouble_cause smtp_login_result(const struct smtp_login *login, CURL *easy, CURLcode code, struct str *out_words);

#endif
