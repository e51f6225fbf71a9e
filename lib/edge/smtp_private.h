/* SPDX-License-Identifier: Apache-2.0
 * smtp_private - what smtp.c (the dialogue of one connection) and smtp_hub.c (all of them) share
 */
#ifndef MAILCASE_SMTP_PRIVATE_H
#define MAILCASE_SMTP_PRIVATE_H

#include <curl/curl.h>

#include "base/buf.h"
#include "edge/smtp.h"
#include "edge/smtp_login.h"
#include "protocol/smtp_reply.h"

enum smtp_state {
	SMTP_LOGGING_IN,
	SMTP_IDLE,
	SMTP_ENVELOPE, /* MAIL, RCPT.., DATA are on their way */
	SMTP_WAITING,  /* 354 is in, the owner thinks */
	SMTP_BODY,     /* being written */
	SMTP_DOT,      /* written; the answer decides */
	SMTP_LONE_DOT, /* nobody was taken but 354 came: an empty mail ends it */
	SMTP_QUITTING,
	SMTP_GONE,
};

enum command { COMMAND_RSET, COMMAND_MAIL, COMMAND_RCPT, COMMAND_DATA, COMMAND_END };

struct smtp {
	struct smtp_hub *hub;
	const struct smtp_handler *handler;
	void *self;
	CURL *easy;
	curl_socket_t fd;
	struct smtp_login login;
	enum smtp_state state;
	int64_t login_timeout_ms, reply_timeout_ms, dot_timeout_ms;
	int64_t deadline_ms, idle_since_ms;

	struct smtp_reply_parser parser;
	struct buf out;  /* bytes to write */
	size_t out_done; /* of them written */
	bool wants_write, had_reply, needs_reset;

	struct smtp_mail *mail;
	size_t mails, taken; /* recipients of this mail that the server takes */
	enum command sent, awaited;       /* the next command to send, and the one whose reply comes next */
	size_t sent_rcpt, awaited_rcpt;

	enum trouble_cause gone_cause;
	char gone_words[SMTP_WORDS_MAX];
};

struct smtp_hub {
	CURLM *multi;
	struct smtp *at[SMTP_HUB_MAX];
	size_t len;
};

/* Its socket is readable or writable. */
void smtp_serve(struct smtp *smtp);
void smtp_read(struct smtp *smtp);
void smtp_become_ready(struct smtp *smtp);
/* The end of a connection, whatever it was at; `closed` is told by the hub at the end of its turn. */
void smtp_lose(struct smtp *smtp, enum trouble_cause cause, struct str words);

#endif
