/* SPDX-License-Identifier: Apache-2.0
 * fetcher - what all parts of the program share
 */
#ifndef MAILCASE_FETCHER_H
#define MAILCASE_FETCHER_H

#include "db_jobs.h"
#include "edge/imap.h"
#include "edge/loop.h"
#include "edge/seal.h"
#include "kit/metrics.h"
#include "kit/service.h"

struct fetcher_conf {
	char *egress;             /* MAILCASE_EGRESS */
	int64_t action_delay_s;   /* MAILCASE_ACTION_DELAY_S */
	int64_t safety_sync_s;    /* MAILCASE_SAFETY_SYNC_S */
	int64_t login_timeout_ms; /* MAILCASE_LOGIN_TIMEOUT_MS */
	int64_t silence_ms;       /* MAILCASE_SILENCE_MS */
	int64_t lease_ms;         /* MAILCASE_MAILBOX_LEASE_MS */
	int64_t fetch_bytes;      /* MAILCASE_FETCH_BYTES */
	int64_t wait_most_ms;     /* MAILCASE_RETRY_MOST_MS */
	int64_t late_s;           /* MAILCASE_LATE_S */
};

struct fetcher {
	struct service *service;
	const struct fetcher_conf *conf;
	struct loop *loop;
	struct imap_hub *hub;
	struct db_jobs *jobs; /* intake, cursors, states: two connections */
	struct seal_key key;
	bool has_key;
	enum egress_policy egress;
	uint32_t start_spread_ms; /* mailboxes taken together log in within this time */
	int64_t bytes_in_flight; /* of mails that were asked for and are not stored yet */
};

#endif
