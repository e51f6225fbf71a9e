/* SPDX-License-Identifier: Apache-2.0
 * route_store - the statements of the router
 */
#ifndef MAILCASE_ROUTE_STORE_H
#define MAILCASE_ROUTE_STORE_H

#include "route.h"

/* Which of these (locked) cases have never been given to anybody, by a person or by us? is_new[i] for ids[i]. */
int route_store_untouched(struct db *db, struct arena *arena, const struct case_id *ids, size_t count, bool *is_new,
                          struct err *err) MUST_CHECK;

/* Fill each route's team (the case's, else its queue's; null: none), lock these teams by id, and load their members. */
int route_store_lock_teams(struct db *db, struct arena *arena, struct route *routes, size_t count,
                           struct assign_team **out, size_t *out_count, struct err *err) MUST_CHECK;

/* Queue: the counters of teams and members, as assign_pick() moved them. */
int route_store_teams(struct db *db, struct arena *arena, const struct assign_team *teams, size_t count,
                      struct err *err) MUST_CHECK;

/* Queue: the timers of cases. */
struct route_retry {
	struct case_id case_id;
	struct tenant_id tenant;
	bool is_wanted; /* no: a timer that is there is dropped */
};
int route_store_retries(struct db *db, struct arena *arena, const struct route_retry *retries, size_t count,
                        int64_t due_us, struct err *err) MUST_CHECK;

/* Cases whose timer is due, unlocked. */
int route_store_due(struct db *db, struct arena *arena, size_t limit, struct case_id **out, size_t *out_count,
                    struct err *err) MUST_CHECK;

/* Lock the timers of these (locked) cases; is_due[i]: ids[i] still has one that is due. */
int route_store_lock_due(struct db *db, struct arena *arena, const struct case_id *ids, size_t count, bool *is_due,
                         struct err *err) MUST_CHECK;

#endif
