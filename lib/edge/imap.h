/* SPDX-License-Identifier: Apache-2.0
 * imap - one connection to an IMAP server, non-blocking
 *
 * libcurl opens it, secures it and logs in (CURLOPT_CONNECT_ONLY within a curl_multi that runs in our loop); after that
 * we speak IMAP ourselves over curl_easy_send/recv. Commands are pipelined; replies go to the handler as they come. Any
 * trouble ends the connection: `failed` is called once, after which only imap_close() is left. A server that says
 * nothing while a command waits is in trouble after `silence_ms`. What must be decided is the owner's: this file knows
 * neither folders nor cursors.
 */
#ifndef MAILCASE_IMAP_H
#define MAILCASE_IMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "domain/mailbox_trouble.h"
#include "edge/egress.h"
#include "edge/loop.h"
#include "protocol/imap_reply.h"

enum imap_tls { IMAP_TLS_IMPLICIT, IMAP_TLS_STARTTLS, IMAP_TLS_CLEAR };
bool imap_tls_parse(struct str name, enum imap_tls *out); /* implicit|starttls|clear */

struct imap_target {
	const char *host;
	int port;
	enum imap_tls tls;
	const char *ca_file; /* "": the system's */
	bool insecure;       /* no verification; clear text to other machines too */
	const char *username;
	struct str password; /* copied by libcurl, and wiped there by nobody: it lives until imap_close() */
	enum egress_policy egress;
	int64_t login_timeout_ms; /* connect, TLS and login together */
	int64_t silence_ms;
};

struct imap;

struct imap_handler {
	/* Logged in; capabilities are known or asked for. Send a command at once. */
	void (*ready)(void *self);
	/* Anything but the answers to commands. Body bytes went to the sink before. */
	void (*reply)(void *self, const struct imap_reply *reply);
	/* The command of `kind` has ended. */
	void (*done)(void *self, int kind, const struct imap_reply *reply);
	void (*failed)(void *self, enum trouble_cause cause, struct str words);
	/* May be NULL: every line of both directions but bodies, redacted. */
	void (*trace)(void *self, bool from_server, struct str line);
};

/* All connections of a thread; holds the curl_multi handles (at most 256 connections each: a call's cost grows with
 * their number). */
struct imap_hub;
struct imap_hub *imap_hub_new(struct loop *loop);
void imap_hub_free(struct imap_hub *hub);
/* Free what was closed since; call it between loop turns. */
void imap_hub_reap(struct imap_hub *hub);

/* Starts at once. `sink` takes body literals; `literal_max` is the largest that may come at all. Never NULL: trouble is
 * told by `failed`, and never from within this call. */
struct imap *imap_open(struct imap_hub *hub, const struct imap_target *target, const struct imap_handler *handler,
                       const struct imap_sink *sink, uint64_t literal_max, void *self);

/* Ends it without a word to the handler; safe from within a handler's call. Accepts NULL. */
void imap_close(struct imap *imap);

/* Queue one command ("UID FETCH 1:* (UID)"), without tag and CRLF. */
void imap_command(struct imap *imap, int kind, struct str command);

/* IDLE, and its end: while idling silence is no trouble. imap_idle_end() does nothing when not idling. */
void imap_idle(struct imap *imap, int kind);
void imap_idle_end(struct imap *imap);

/* IMAP_CAP_* of protocol/imap_reply.h, as known now. */
uint32_t imap_capabilities(const struct imap *imap);
size_t imap_commands_waiting(const struct imap *imap);

#endif
