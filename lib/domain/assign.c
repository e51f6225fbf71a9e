/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/assign.h"

#include "base/json.h"

#include "base/banned.h"

static const char *why_not(const struct assign_team *team, const struct assign_member *member);
static bool is_before(const struct assign_team *team, const struct assign_member *a, const struct assign_member *b);
static struct str describe(struct arena *arena, const struct assign_team *team);

static const char *const distributions[] = { "direct", "round_robin", "least_busy" };

const char *assign_distribution_name(enum assign_distribution distribution)
{
	return distributions[distribution];
}

bool assign_distribution_parse(struct str name, enum assign_distribution *out)
{
	for (size_t i = 0; i < ARRAY_LEN(distributions); i++)
		if (str_eq(name, str_of(distributions[i]))) {
			*out = (enum assign_distribution)i;
			return true;
		}
	return false;
}

void assign_pick(struct arena *arena, struct assign_team *team, struct assign_choice *out)
{
	struct assign_member *best = NULL;

	/* Before the counters move: what is recorded is what the choice rested on. */
	*out = (struct assign_choice){ .method = ASSIGN_NOBODY, .inputs = describe(arena, team) };
	for (size_t i = 0; i < team->members_len; i++) {
		struct assign_member *member = &team->members[i];
		if (!why_not(team, member) && (!best || is_before(team, member, best)))
			best = member;
	}
	if (!best)
		return;
	out->user = best->user;
	out->method = assign_distribution_name(team->distribution);
	best->last_turn = team->next_turn++;
	best->assigned++;
	best->unclosed++;
}

/* Why a member cannot be given a case now; NULL: they can. */
static const char *why_not(const struct assign_team *team, const struct assign_member *member)
{
	if (team->distribution == ASSIGN_DIRECT ? !uuid_eq(member->user.id, team->direct.id) : !member->is_member)
		return "not_in_question";
	if (!member->is_active)
		return "switched_off";
	if (member->is_absent)
		return "absent";
	if (member->has_capacity && member->unclosed >= member->capacity)
		return "full";
	return NULL;
}

/* The last comparison only makes the order total, so that every router decides alike. */
static bool is_before(const struct assign_team *team, const struct assign_member *a, const struct assign_member *b)
{
	if (team->distribution == ASSIGN_LEAST_BUSY && a->unclosed != b->unclosed)
		return a->unclosed < b->unclosed;
	if (a->last_turn != b->last_turn)
		return a->last_turn < b->last_turn;
	return uuid_cmp(a->user.id, b->user.id) < 0;
}

static struct str describe(struct arena *arena, const struct assign_team *team)
{
	json_t *inputs CLEANUP(json_done) = json_object();
	json_t *members = json_array();

	json_put_str(inputs, "distribution", str_of(assign_distribution_name(team->distribution)));
	json_put_int(inputs, "turn", team->next_turn);
	for (size_t i = 0; i < team->members_len; i++) {
		const struct assign_member *member = &team->members[i];
		const char *reason = why_not(team, member);
		json_t *entry = json_object();
		json_put_uuid(entry, "user", member->user.id);
		json_put_int(entry, "last_turn", member->last_turn);
		json_put_int(entry, "unclosed", member->unclosed);
		if (member->has_capacity)
			json_put_int(entry, "capacity", member->capacity);
		json_put_str(entry, "available", str_of(reason ? reason : "yes"));
		json_array_append_new(members, entry);
	}
	json_put(inputs, "members", members);
	return json_dump(arena, inputs);
}
