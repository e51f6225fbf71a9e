/* SPDX-License-Identifier: Apache-2.0
 * thread_facts - claim, lock and load what the decision about a batch rests on (design.md sections 4 and 5)
 *
 * In the global lock order: ledger rows, identities, ids, cases. What is read before its lock is a guess that tells
 * what to claim and lock; it is read again under the lock, and where it moved the ids are claimed anew.
 */
#ifndef THREAD_FACTS_H
#define THREAD_FACTS_H

#include "edge/db.h"
#include "record/case_record.h"
#include "record/message.h"
#include "thread_batch.h"
#include "thread_setup.h"

/* A row of message_ref as this transaction sees it. */
struct thread_ref {
	struct uuid key;
	struct tenant_id tenant;
	struct case_id case_id;
	struct message_id message;
	bool is_claimed; /* inserted by this turn, with a tentative case */
};

struct thread_view {
	struct db *db;
	struct arena *arena;
	struct thread_batch *batch;
	const struct thread_setup *setup;
	struct thread_mail **mails; /* those to be matched, in order */
	struct match_mail *inputs;  /* the same as the decision takes them */
	size_t len;
	struct match_outbound *sent; /* mails of ours that the batch names */
	size_t sent_len;
	struct match_message *known; /* messages that have one of the batch's identities already */
	size_t known_len;
	struct map refs; /* key -> struct thread_ref */
	struct thread_ref *refs_list;
	size_t refs_len;
	struct case_row *cases; /* locked, in id order */
	size_t cases_len;
	struct match_facts facts;
};

/* All of it, inside the turn's transaction. *out_is_settled is false if the ids kept moving under our hands: the turn
 * starts again. */
int thread_facts_load(struct db *db, struct arena *arena, struct thread_batch *batch, const struct thread_setup *setup,
                      struct thread_view *out, bool *out_is_settled, struct err *err) MUST_CHECK;

/* NULL where it is not locked. */
const struct case_row *thread_view_case(const struct thread_view *view, struct case_id id);

#endif
