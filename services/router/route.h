/* SPDX-License-Identifier: Apache-2.0
 * route - give locked cases to members of their teams: decide by assign_pick(), write what was decided
 *
 * The one way in which the router assigns, from a record of the topic or from a timer. All of it happens within the
 * caller's transaction, which holds the cases; the teams are locked here, by id.
 */
#ifndef MAILCASE_ROUTE_H
#define MAILCASE_ROUTE_H

#include "domain/assign.h"
#include "record/case_record.h"

struct route {
	const struct case_row *row; /* locked, open or waiting, given to nobody */
	struct uuid cause;          /* of the record that asks for it; null: this is a root */
	uint32_t hop;
	bool is_retry; /* a timer asks: nobody being available is known already and is no new fact */
	/* out */
	struct assign_choice choice;
	struct team_id team;
	bool is_done; /* a fact was written */
};

/* `retry_us`: when to try again where nobody is available. Routes of distinct cases, in case id order. */
int route_all(struct db *db, struct arena *arena, struct route *routes, size_t count, int64_t now_us, int64_t retry_us,
              struct err *err) MUST_CHECK;

/* Log and count what has been committed. */
void route_committed(const struct route *routes, size_t count);

#endif
