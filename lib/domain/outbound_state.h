/* SPDX-License-Identifier: Apache-2.0
 * outbound_state - the states of one copy of a mail of ours, and when a refused one is tried again
 *
 *	queued ──start──▶ sending ──▶ accepted | deferred | failed | unknown        deferred ──start──▶ sending
 *
 * What cannot be known after the final dot is `unknown`: a late answer may make it accepted, a delivery report bounced;
 * nothing makes it queued again.
 */
#ifndef MAILCASE_OUTBOUND_STATE_H
#define MAILCASE_OUTBOUND_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum copy_state {
	COPY_QUEUED,
	COPY_SENDING,
	COPY_ACCEPTED,
	COPY_DEFERRED,
	COPY_FAILED,
	COPY_UNKNOWN,
	COPY_BOUNCED,
	COPY_STATES
};
const char *copy_state_name(enum copy_state state);
bool copy_state_parse(struct str name, enum copy_state *out);
/* Nothing that we do moves it any more. */
bool copy_state_is_final(enum copy_state state);

enum copy_event {
	COPY_STARTS,        /* the body may be written from now on */
	COPY_WAS_ACCEPTED,  /* 2xx to the final dot */
	COPY_WAS_DEFERRED,  /* 4xx, or the connection was lost before the final dot */
	COPY_WAS_REFUSED,   /* 5xx */
	COPY_GAVE_UP,       /* deferred for too long */
	COPY_LOST_TRACK,    /* the connection, or we, went away after the final dot */
	COPY_CAME_BACK,     /* a delivery report */
	COPY_EVENTS
};

/* False: the event says nothing in that state (a repeat, or a latecomer). */
bool outbound_state_next(enum copy_state from, enum copy_event event, enum copy_state *out);

/* What an SMTP reply code means: 2xx, 4xx, 5xx; anything else is trouble that may pass. */
enum copy_event outbound_reply_event(int code);

/* How long to wait after the given number of attempts (1: the first was refused), for a random number in [0,1). */
int64_t outbound_retry_us(int64_t attempts, double random);

#define OUTBOUND_GIVE_UP_US (INT64_C(5) * 24 * 3600 * 1000000)
bool outbound_gives_up(int64_t created_us, int64_t now_us);

#endif
