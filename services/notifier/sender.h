/* SPDX-License-Identifier: Apache-2.0
 * sender - the notifier's second loop: claimed copies leave by SMTP; own thread, own connection to the database
 *
 * In turn: claim what is due, let the lanes work, and commit in one transaction what came of the finished mails together
 * with `sending` for all mails whose server has said 354; only then their bodies are written. What is done when somebody
 * kills it: copies in `sending` become unknown when their lease runs out (at most one mail a connection), all others are
 * claimed again.
 */
#ifndef MAILCASE_SENDER_H
#define MAILCASE_SENDER_H

#include "kit/service.h"
#include "lane.h"

struct sender;

struct sender_options {
	struct service *service;
	struct lane_limits lanes;
	int64_t drain_ms; /* how long mails on the wire may take once the service stops */
	struct seal_key seal_key;
};

/* Starts the thread. */
struct sender *sender_start(const struct sender_options *options, struct err *err);

/* There is something to send. Safe from any thread. */
void sender_wake(struct sender *sender);

/* After the service began to stop: wait for the thread's end. */
void sender_join(struct sender *sender);

#endif
