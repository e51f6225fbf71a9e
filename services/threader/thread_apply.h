/* SPDX-License-Identifier: Apache-2.0
 * thread_apply - write what was decided: membership, participants, ids, cases with their facts, the ledger
 */
#ifndef THREAD_APPLY_H
#define THREAD_APPLY_H

#include "thread_facts.h"

/* Queue it all into the turn's transaction. *out_changed_cases tells whether there is news for the bus. */
int thread_apply(struct thread_view *view, bool *out_changed_cases, struct err *err) MUST_CHECK;

/* One record is set aside: its ledger row is dead. */
int thread_apply_dead(struct db *db, struct arena *arena, struct intake_id intake, const char *reason,
                      struct err *err) MUST_CHECK;

#endif
