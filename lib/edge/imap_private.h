/* SPDX-License-Identifier: Apache-2.0
 * imap_private - what imap_hub.c (libcurl: from nothing to logged in) and imap.c (the dialogue after) share
 */
#ifndef MAILCASE_IMAP_PRIVATE_H
#define MAILCASE_IMAP_PRIVATE_H

#include <curl/curl.h>

#include "base/buf.h"
#include "edge/imap.h"

struct imap_multi; /* one curl_multi and its share of the connections */

struct imap_hub {
	struct loop *loop;
	struct imap_multi *multis;
	struct imap *graveyard;
};

struct imap_waiting {
	char tag[16];
	int kind;
	struct imap_waiting *next;
};

struct imap {
	struct imap_hub *hub;
	struct imap_multi *multi;
	struct imap *next_dead;
	CURL *easy;
	const struct imap_handler *handler;
	void *self;
	struct imap_target target;
	struct egress egress;
	struct imap_parser parser;
	struct loop_watch watch;
	struct loop_timer deadline; /* silence while a command waits */
	struct loop_timer more;     /* this turn's share is read, there may be more */
	struct buf out;             /* bytes that the socket did not take */
	struct buf words;           /* what the server said last while logging in */
	struct imap_waiting *waiting, **waiting_end;
	size_t waiting_count;
	uint32_t capabilities;
	uint32_t tags;
	char error[CURL_ERROR_SIZE];
	bool is_ready, is_idling, is_closed, has_failed;
};

/* From imap_hub.c to imap.c: logged in, the socket is ours. */
void imap_take_over(struct imap *imap);
/* Tell the owner once and stop everything. */
void imap_fail(struct imap *imap, enum trouble_cause cause, struct str words);
void imap_trace(struct imap *imap, bool from_server, struct str line);
/* Give the curl handle back. */
void imap_hub_remove(struct imap *imap);
int imap_hub_add(struct imap *imap);

#endif
