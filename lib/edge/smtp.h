/* SPDX-License-Identifier: Apache-2.0
 * smtp - connections to SMTP servers, non-blocking, many in one thread
 *
 * libcurl opens a connection, secures it and logs in (CURLOPT_CONNECT_ONLY); after that we speak SMTP ourselves, because
 * the moment after DATA must be known exactly. MAIL, RCPT and DATA go out together where the server takes pipelines. When
 * it says 354 the owner is asked: nothing of the body is written before smtp_body(). One mail at a time is between DATA
 * and the answer to its dot. A connection is kept for the next mail.
 *
 * Verdicts: a reply decides; a connection lost before the final dot leaves the mail untaken (deferred, or not tried where
 * the server had said nothing about it yet); one lost after it leaves it unknown.
 */
#ifndef MAILCASE_SMTP_H
#define MAILCASE_SMTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "domain/mailbox_trouble.h"
#include "edge/egress.h"

enum smtp_tls { SMTP_TLS_IMPLICIT, SMTP_TLS_STARTTLS, SMTP_TLS_CLEAR };
bool smtp_tls_parse(struct str name, enum smtp_tls *out); /* implicit|starttls|clear */

struct smtp_target { /* all texts live until smtp_open() returns */
	const char *host;
	int port;
	enum smtp_tls tls;
	const char *ca_file; /* "": the system's */
	bool insecure;
	const char *username; /* "": no login */
	const char *password;
	const char *helo;
	enum egress_policy egress;
	int64_t login_timeout_ms; /* connect, TLS and login together */
	int64_t reply_timeout_ms; /* each reply before the body, and any stand-still while the body is written */
	int64_t dot_timeout_ms;   /* the reply to the final dot */
};

enum smtp_verdict { SMTP_NOT_TRIED, SMTP_ACCEPTED, SMTP_DEFERRED, SMTP_REFUSED, SMTP_UNKNOWN };

#define SMTP_WORDS_MAX 200

struct smtp_recipient {
	struct str address;
	void *self;
	/* out */
	bool is_settled;
	enum smtp_verdict verdict;
	int code; /* the server's; 0: none came */
	char words[SMTP_WORDS_MAX];
};

struct smtp_mail { /* the owner's, untouched until `done` */
	struct str envelope_from; /* "": null return path */
	struct smtp_recipient *recipients;
	size_t recipients_len;
	struct str bytes;
	void *self;
};

struct smtp;

struct smtp_handler {
	/* Logged in, or done with a mail: smtp_send(), smtp_quit(), or leave it idle. */
	void (*ready)(void *self, struct smtp *smtp);
	/* 354 is in: smtp_body() once it may be written, or smtp_drop(). */
	void (*go_ahead)(void *self, struct smtp *smtp, struct smtp_mail *mail);
	/* Every recipient has its verdict. `ready` or `closed` follows. */
	void (*done)(void *self, struct smtp *smtp, struct smtp_mail *mail);
	/* The connection is gone, and `smtp` with this call. TROUBLE_NONE: nobody's fault (idle, quit, or the server had
	 * enough after a mail). */
	void (*closed)(void *self, struct smtp *smtp, enum trouble_cause cause, struct str words);
};

/* All connections of a thread; at most 256, since a call's cost in libcurl grows with their number. */
struct smtp_hub;
#define SMTP_HUB_MAX 256
struct smtp_hub *smtp_hub_new(void);
void smtp_hub_free(struct smtp_hub *hub); /* after smtp_cut() of what is open: `closed` is told from here too */
size_t smtp_hub_connections(const struct smtp_hub *hub);

/* Wait at most `timeout_ms` for the connections or for one of `fds` to become readable, then make all calls that are due.
 * Handlers are called from here, from the calls below where they say so, and from nowhere else. */
void smtp_hub_turn(struct smtp_hub *hub, const int *fds, size_t fds_len, int timeout_ms);

/* Starts at once; never NULL. */
struct smtp *smtp_open(struct smtp_hub *hub, const struct smtp_target *target, const struct smtp_handler *handler, void *self);

/* Begin a mail on a connection that is ready. */
void smtp_send(struct smtp *smtp, struct smtp_mail *mail);
/* The body may be written: from here on the mail may be taken. */
void smtp_body(struct smtp *smtp);
/* Give the mail up before its body: the connection is closed, nothing was taken. `done` and `closed` follow. */
void smtp_drop(struct smtp *smtp);
/* End it now, whatever it is at: a mail whose body is out becomes unknown. `done` is called at once, `closed` follows. */
void smtp_cut(struct smtp *smtp);
/* Say goodbye; `closed` follows. Only when idle. */
void smtp_quit(struct smtp *smtp);

bool smtp_is_idle(const struct smtp *smtp);
int64_t smtp_idle_since_ms(const struct smtp *smtp);
size_t smtp_mails(const struct smtp *smtp); /* begun on this connection */

#endif
