/* SPDX-License-Identifier: Apache-2.0 */
#include "due.h"

#include "base/clock.h"
#include "route.h"
#include "route_store.h"

#include "base/banned.h"

#define DUE_AT_ONCE 100

/* Timers are found without a lock; then cases, then timers are locked, and each is looked at again: another router may
 * have been faster, a person may have decided. */
int due_turn(struct db *db, struct arena *arena, int64_t retry_us, bool *out_wrote, struct err *err)
{
	struct case_id *found;
	struct case_row *rows;
	size_t found_len, rows_len, routes_len = 0, done_len = 0;

	*out_wrote = false;
	if (route_store_due(db, arena, DUE_AT_ONCE, &found, &found_len, err) < 0)
		return -1;
	if (found_len == 0)
		return 0;
	if (db_begin(db, err) < 0 || case_record_lock(db, arena, found, found_len, &rows, &rows_len, err) < 0)
		return -1;
	struct case_id *ids = ARENA_ARRAY(arena, struct case_id, rows_len + 1);
	bool *is_due = ARENA_ARRAY(arena, bool, rows_len + 1);
	struct route *routes = ARENA_ARRAY(arena, struct route, rows_len + 1);
	struct route_retry *done = ARENA_ARRAY(arena, struct route_retry, rows_len + 1);
	for (size_t i = 0; i < rows_len; i++)
		ids[i] = rows[i].id;
	if (route_store_lock_due(db, arena, ids, rows_len, is_due, err) < 0)
		return -1;
	for (size_t i = 0; i < rows_len; i++) {
		if (!is_due[i])
			continue;
		bool is_waiting =
			(rows[i].state == CASE_OPEN || rows[i].state == CASE_WAITING) && uuid_is_null(rows[i].assignee.id);
		if (is_waiting)
			routes[routes_len++] = (struct route){ .row = &rows[i], .is_retry = true };
		else
			done[done_len++] = (struct route_retry){ rows[i].id, rows[i].tenant, false };
	}
	int64_t now_us = clock_wall_us();
	if (route_store_retries(db, arena, done, done_len, now_us, err) < 0 ||
	    route_all(db, arena, routes, routes_len, now_us, retry_us, err) < 0 || db_commit(db, err) < 0)
		return -1;
	for (size_t i = 0; i < routes_len; i++)
		*out_wrote |= routes[i].is_done;
	route_committed(routes, routes_len);
	return 0;
}
