/* SPDX-License-Identifier: Apache-2.0
 * notice_budget - auto-replies that are free to go take their tokens: of the address, its domain, the mailbox
 */
#ifndef MAILCASE_NOTICE_BUDGET_H
#define MAILCASE_NOTICE_BUDGET_H

#include "notice_store.h"

struct notice_spending {
	struct notice *notice; /* one that is refused goes by no mail and says which budget it was */
	struct tenant_id tenant;
	struct mailbox_id mailbox;
	struct str address;
};

/* Locks the buckets until the transaction's end. */
int notice_budget_spend(struct db *db, struct arena *arena, const struct budget_limits *limits,
                        struct notice_spending *spendings, size_t count, int64_t now_us, struct err *err) MUST_CHECK;

#endif
