/* SPDX-License-Identifier: Apache-2.0
 * lane_private - what lane.c (all lanes and their mails) and lane_connection.c (what a lane does with its server) share
 */
#ifndef MAILCASE_LANE_PRIVATE_H
#define MAILCASE_LANE_PRIVATE_H

#include "lane.h"

struct lane_connection {
	struct lane *lane;
	struct smtp *smtp;
	struct send_job *job;
	int64_t generation;
	bool is_logged_in;
	struct lane_connection *next;
};

struct lane {
	struct lanes *all;
	struct outbound_mailbox_id id;
	struct tenant_id tenant;
	struct arena arena; /* of the settings below */
	struct send_mailbox settings;
	int64_t generation; /* of the settings; connections of an older one are closed */
	bool is_listed, is_proven;
	struct send_job *ready, **ready_end;
	size_t ready_copies;
	struct lane_connection *connections;
	size_t connections_len, logging_in;

	int64_t failures, next_try_ms, told_ms;
	bool has_news;
	const char *state;
	char reason[300], remedy[200];
	struct lane *next;
};

struct lanes {
	struct lane_limits limits;
	const struct seal_key *key;
	struct smtp_hub *hub;
	struct lane *first;
	size_t count;
	bool is_draining;
	struct send_job *waiting, *done, **done_end;
};

/* Open, use and close connections as the waiting mails ask for it. */
void lane_serve(struct lane *lane, int64_t now_ms);

/* All that waits for a connection goes back to the queue, as if it had never been claimed. */
void lane_give_back(struct lane *lane);
void lane_put_done(struct lanes *lanes, struct send_job *job);

#endif
