/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/case_effect.h"

#include "base/banned.h"

struct case_effect case_effect_of(enum author_kind author, const struct fact *facts, size_t count)
{
	struct case_effect effect = { 0 };

	for (size_t f = 0; f < count; f++) {
		const struct fact *fact = &facts[f];
		switch (fact->kind) {
		case FACT_MESSAGE_ADDED:
			effect.messages++;
			if (author == AUTHOR_USER && fact->message_added.direction != DIRECTION_IN)
				effect.is_touched = true;
			break;
		case FACT_ASSIGNED:
			effect.has_assignee = true;
			effect.assignee = fact->assigned.user;
			effect.team = fact->assigned.team;
			break;
		case FACT_QUEUE_CHANGED:
			effect.has_queue = true;
			effect.queue = fact->queue_changed.to;
			break;
		case FACT_STATE_CHANGED:
			effect.state = fact->state_changed.to;
			effect.is_touched |= author == AUTHOR_USER;
			break;
		case FACT_MESSAGE_CONFIRMED:
			effect.is_touched |= author == AUTHOR_USER;
			break;
		case FACT_CASE_OPENED:
			effect.has_queue = effect.has_assignee = true;
			effect.queue = fact->case_opened.queue;
			effect.team = fact->case_opened.team;
			effect.state = fact->case_opened.state;
			break;
		default:
			break;
		}
	}
	return effect;
}
