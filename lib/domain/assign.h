/* SPDX-License-Identifier: Apache-2.0
 * assign - which member of a team is given a case
 *
 * Pure: what is known of the team under its lock goes in, a choice with its inputs comes out. The counters move in
 * memory, so that the next case of a batch sees the choices before it; the caller stores them.
 *
 *	direct       the one user that the team names
 *	round_robin  who has waited longest for a turn: shares differ by at most one
 *	least_busy   who has the fewest unclosed cases; among equals who has waited longest
 */
#ifndef MAILCASE_ASSIGN_H
#define MAILCASE_ASSIGN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "base/uuid.h"

enum assign_distribution { ASSIGN_DIRECT, ASSIGN_ROUND_ROBIN, ASSIGN_LEAST_BUSY };
const char *assign_distribution_name(enum assign_distribution distribution);
bool assign_distribution_parse(struct str name, enum assign_distribution *out);

struct assign_member {
	struct user_id user;
	bool is_active, is_absent;
	bool is_member; /* no: known only because `direct` names them */
	bool has_capacity;
	int64_t capacity;  /* most unclosed cases at once, if has_capacity */
	int64_t unclosed;  /* cases they have now */
	int64_t last_turn; /* the team's turn at which they were last given one; 0: never */
	int64_t assigned;  /* cases given by distribution, ever */
};

struct assign_team {
	struct team_id id;
	enum assign_distribution distribution;
	struct user_id direct;
	int64_t next_turn;
	struct assign_member *members;
	size_t members_len;
};

#define ASSIGN_NOBODY "nobody_available"

struct assign_choice {
	struct user_id user; /* null: nobody was available */
	const char *method;  /* the distribution's name, or ASSIGN_NOBODY */
	struct str inputs;   /* JSON object: the distribution, and each member with what counted */
};

/* Choose, and move the counters of the chosen one and of the team. */
void assign_pick(struct arena *arena, struct assign_team *team, struct assign_choice *out);

#endif
