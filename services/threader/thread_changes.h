/* SPDX-License-Identifier: Apache-2.0
 * thread_changes - the verdicts of a batch, gathered by case: one record a case and transaction
 */
#ifndef THREAD_CHANGES_H
#define THREAD_CHANGES_H

#include "thread_facts.h"

struct thread_changes {
	struct case_change *at; /* in case id order */
	int64_t *next_position; /* of each case's next message */
	size_t len;
};

/* Draws the numbers of new cases. */
int thread_changes_gather(struct thread_view *view, struct thread_changes *out, struct err *err) MUST_CHECK;

/* The place of the case's next message; counts on. */
int64_t thread_changes_position(struct thread_changes *changes, struct case_id id);

#endif
