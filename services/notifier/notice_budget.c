/* SPDX-License-Identifier: Apache-2.0 */
#include "notice_budget.h"

#include "base/map.h"
#include "domain/recipients.h"

#include "base/banned.h"

struct needed {
	struct budget_bucket *buckets[BUDGET_SCOPES];
	size_t len;
};

static struct budget_bucket *bucket_of(struct arena *arena, struct map *by_key, struct budget_bucket *buckets, size_t *len,
                                       enum budget_scope scope, struct tenant_id tenant, struct str what);

int notice_budget_spend(struct db *db, struct arena *arena, const struct budget_limits *limits,
                        struct notice_spending *spendings, size_t count, int64_t now_us, struct err *err)
{
	static const char *const by[BUDGET_SCOPES] = { "budget_address", "budget_domain", "budget_mailbox" };
	struct budget_bucket *buckets = ARENA_ARRAY(arena, struct budget_bucket, BUDGET_SCOPES * count + 1);
	struct needed *needed = ARENA_ARRAY(arena, struct needed, count + 1);
	size_t len = 0;
	struct map by_key;

	if (!count)
		return 0;
	map_init(&by_key, arena);
	for (size_t i = 0; i < count; i++) {
		struct str domain = recipient_domain(spendings[i].address);
		struct str whats[BUDGET_SCOPES] = { spendings[i].address, domain, uuid_str(arena, spendings[i].mailbox.id) };
		for (int scope = 0; scope < BUDGET_SCOPES; scope++) {
			/* The users of a domain that serves the public have nothing in common. */
			if (scope != BUDGET_DOMAIN || !domain_is_freemail(domain))
				needed[i].buckets[needed[i].len++] = bucket_of(arena, &by_key, buckets, &len, (enum budget_scope)scope,
				                                               spendings[i].tenant, whats[scope]);
		}
	}
	if (notice_store_buckets(db, arena, limits, buckets, len, now_us, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		enum budget_scope refused;
		if (!budget_take(limits, needed[i].buckets, needed[i].len, now_us, &refused)) {
			spendings[i].notice->by_mail = false;
			spendings[i].notice->suppressed_by = by[refused];
		}
	}
	return notice_store_spend(db, arena, buckets, len, err);
}

static struct budget_bucket *bucket_of(struct arena *arena, struct map *by_key, struct budget_bucket *buckets, size_t *len,
                                       enum budget_scope scope, struct tenant_id tenant, struct str what)
{
	struct str key = budget_key(arena, scope, tenant, what);
	struct budget_bucket *bucket = map_get(by_key, key);

	if (!bucket) {
		bucket = &buckets[(*len)++];
		*bucket = (struct budget_bucket){ .key = key, .tenant = tenant, .scope = scope };
		map_put(by_key, key, bucket);
	}
	return bucket;
}
