/* SPDX-License-Identifier: Apache-2.0
 * httpd - a small HTTP server (libmicrohttpd) with a thread of its own
 *
 * The handler runs on that thread and answers at once, from memory; request bodies are not taken.
 */
#ifndef MAILCASE_HTTPD_H
#define MAILCASE_HTTPD_H

#include "base/buf.h"
#include "base/err.h"

struct httpd;

struct httpd_answer {
	unsigned status;
	const char *type; /* Content-Type */
	struct buf body;
};

typedef void httpd_handler(void *self, const char *method, const char *path, struct httpd_answer *answer);

/* Listen on `host:port`, `[v6]:port` or `:port` (all addresses); port 0 takes a free one. */
struct httpd *httpd_start(const char *listen, httpd_handler *handler, void *self, struct err *err);
int httpd_port(const struct httpd *httpd);
void httpd_stop(struct httpd *httpd); /* accepts NULL */

/* What a server that listens so answers to GET `path`: its status, or -1. `body` gets the text, up to its ceiling. An
 * address that means all of them is asked on loopback. */
int httpd_ask(const char *listen, const char *path, int timeout_ms, struct buf *body, struct err *err);

#endif
