/* SPDX-License-Identifier: Apache-2.0
 * case_effect - what the facts of one record make of the case's row
 *
 * Whoever applies the facts of a case from its first record on, in order, has its row: the writer does, the auditor
 * does, and so can any consumer.
 */
#ifndef MAILCASE_CASE_EFFECT_H
#define MAILCASE_CASE_EFFECT_H

#include "domain/fact.h"

struct case_effect {
	int64_t messages; /* more than before */
	bool is_touched, has_queue, has_assignee;
	struct queue_id queue;   /* if has_queue */
	struct user_id assignee; /* these two if has_assignee */
	struct team_id team;
	enum case_state state; /* CASE_NO_STATE: as it was */
};

struct case_effect case_effect_of(enum author_kind author, const struct fact *facts, size_t count);

#endif
