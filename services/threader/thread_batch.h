/* SPDX-License-Identifier: Apache-2.0
 * thread_batch - the mails of one turn on their way through the threader
 *
 * Made by understand(), completed step by step; everything lives in the turn's arena.
 */
#ifndef THREAD_BATCH_H
#define THREAD_BATCH_H

#include "domain/case_match.h"
#include "edge/bus.h"
#include "edge/parser_child.h"
#include "wire/mail_received.h"

enum thread_fate {
	FATE_MATCHED,     /* to be matched */
	FATE_SKIPPED,     /* its ledger row is terminal: done before */
	FATE_QUARANTINED, /* its bytes defeat the parser */
	FATE_SET_ASIDE,   /* a record that can never be handled */
};

struct thread_mail {
	const struct bus_record *record;
	struct mail_received received;
	enum thread_fate fate;
	const char *reason; /* set aside: why */
	enum parse_verdict parse_verdict;
	struct mail mail;
	const struct match_tenant *tenant;
	const struct match_mailbox *mailbox;
	struct match_keys keys;
	struct message_id fresh_message;
	struct case_id fresh_case;
	bool is_own_mail;
	const struct match_verdict *verdict; /* FATE_MATCHED, once decided */
};

struct thread_batch {
	struct thread_mail *mails;
	size_t len;
	int64_t now_us; /* the database's clock in this turn's transaction */
};

#endif
