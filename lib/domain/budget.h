/* SPDX-License-Identifier: Apache-2.0
 * budget - how many automatic mails may go out: token buckets for an address, its domain, a mailbox
 *
 * Pure: levels come from rows, `now` is an argument. A mail goes out when every bucket that it needs holds a token, and
 * then takes one of each; one that is refused takes none.
 */
#ifndef MAILCASE_BUDGET_H
#define MAILCASE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "base/uuid.h"

/* Finest first: the order in which rows are locked, and that of their keys. */
enum budget_scope { BUDGET_ADDRESS, BUDGET_DOMAIN, BUDGET_MAILBOX, BUDGET_SCOPES };
const char *budget_scope_name(enum budget_scope scope); /* "address", ... */

struct budget_limit {
	double burst;    /* tokens of a full bucket */
	double per_hour; /* refill */
};

struct budget_limits {
	struct budget_limit of[BUDGET_SCOPES];
};

struct budget_bucket {
	struct str key;
	struct tenant_id tenant;
	enum budget_scope scope;
	double tokens;
	int64_t updated_us;
	int64_t spent;  /* tokens taken since it was read */
	bool was_there; /* there was a row to read */
};

/* "address:TENANT:a@b", "domain:TENANT:b", "mailbox:TENANT:ID". `what` is folded here. */
struct str budget_key(struct arena *arena, enum budget_scope scope, struct tenant_id tenant, struct str what);

/* A bucket that nobody has touched yet. */
struct budget_bucket budget_full(const struct budget_limits *limits, enum budget_scope scope, struct str key, int64_t now_us);

/* Take one token of each bucket, or none. False: *out_refused is the first scope that had none. A bucket that is named
 * twice must be passed once. */
bool budget_take(const struct budget_limits *limits, struct budget_bucket *const *buckets, size_t count, int64_t now_us,
                 enum budget_scope *out_refused);

#endif
