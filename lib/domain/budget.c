/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/budget.h"

#include "base/clock.h"

#include "base/banned.h"

static void refill(const struct budget_limit *limit, struct budget_bucket *bucket, int64_t now_us);

const char *budget_scope_name(enum budget_scope scope)
{
	static const char *const names[BUDGET_SCOPES] = { "address", "domain", "mailbox" };

	return names[scope];
}

struct str budget_key(struct arena *arena, enum budget_scope scope, struct tenant_id tenant, struct str what)
{
	char id[UUID_TEXT_LEN + 1];

	return str_printf(arena, "%s:%s:%.*s", budget_scope_name(scope), uuid_text(tenant.id, id),
	                  STR_ARG(str_lower(arena, what)));
}

struct budget_bucket budget_full(const struct budget_limits *limits, enum budget_scope scope, struct str key, int64_t now_us)
{
	return (struct budget_bucket){ .key = key, .scope = scope, .tokens = limits->of[scope].burst, .updated_us = now_us };
}

bool budget_take(const struct budget_limits *limits, struct budget_bucket *const *buckets, size_t count, int64_t now_us,
                 enum budget_scope *out_refused)
{
	for (size_t i = 0; i < count; i++) {
		refill(&limits->of[buckets[i]->scope], buckets[i], now_us);
		if (buckets[i]->tokens < 1) {
			*out_refused = buckets[i]->scope;
			return false;
		}
	}
	for (size_t i = 0; i < count; i++) {
		buckets[i]->tokens -= 1;
		buckets[i]->spent++;
	}
	return true;
}

/* A clock that went back refills nothing, and a limit that was lowered empties what is above it. */
static void refill(const struct budget_limit *limit, struct budget_bucket *bucket, int64_t now_us)
{
	if (now_us > bucket->updated_us) {
		double hours = (double)(now_us - bucket->updated_us) / (3600.0 * (double)USEC_PER_SEC);
		bucket->tokens += hours * limit->per_hour;
		bucket->updated_us = now_us;
	}
	if (bucket->tokens > limit->burst)
		bucket->tokens = limit->burst;
}
