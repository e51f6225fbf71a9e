/* SPDX-License-Identifier: Apache-2.0
 * thread_claim - the first half of thread_facts: ledger rows, our own mails, identities
 */
#ifndef THREAD_CLAIM_H
#define THREAD_CLAIM_H

#include "thread_facts.h"

/* Lock the ledger rows and drop what is done; read the clock. */
int thread_claim_ledger(struct thread_view *view, struct err *err) MUST_CHECK;

/* The mails of ours that the batch names by token or id. They never change: no lock is needed. */
int thread_load_sent(struct thread_view *view, struct err *err) MUST_CHECK;

/* Insert the messages that are new; load and lock those that are not. */
int thread_claim_messages(struct thread_view *view, struct err *err) MUST_CHECK;

/* All keys of the batch, each once and in order, into view->refs. */
void thread_list_refs(struct thread_view *view);

/* Where ids, tokens, numbers and subjects lead to, seen without a lock: the cases to be locked. */
int thread_guess_cases(struct thread_view *view, struct case_id **out, size_t *out_count, struct err *err) MUST_CHECK;

/* Set a savepoint, insert the unseen ids with their tentative cases, lock the cases. *out_is_settled is false if a
 * rival had one of the ids. */
int thread_claim_refs(struct thread_view *view, const struct case_id *cases, size_t count, bool *out_is_settled,
                      struct err *err) MUST_CHECK;

#endif
