/* SPDX-License-Identifier: Apache-2.0
 * plan_turn - case records in, notices out: who hears of what, as outbound mails, notifications and facts
 *
 * Within the turn's transaction: lock the cases, load what was known at each record's version, plan (pure), write. A
 * record that comes again writes nothing: a notification is unique by (case, version, kind, user), and an auto-reply that
 * was planned or suppressed stands in the timeline.
 */
#ifndef MAILCASE_PLAN_TURN_H
#define MAILCASE_PLAN_TURN_H

#include "domain/budget.h"
#include "kit/turn.h"
#include "notice_mail.h"
#include "sender.h"

struct plan_turn {
	struct budget_limits budgets;
	struct seal_key seal_key;
	struct sender *sender; /* woken after a commit that made mails */
	struct token_cache *tokens; /* freed by the owner */
	int64_t forget_ms; /* when idle buckets are looked at next */
	bool made_mails;
};

int plan_turn_apply(struct turn *turn, struct err *err);
void plan_turn_committed(struct turn *turn);
int plan_turn_idle(struct turn *turn, struct err *err);

#endif
