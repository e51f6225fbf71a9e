/* SPDX-License-Identifier: Apache-2.0 */
#include "route.h"

#include "base/log.h"
#include "kit/metrics.h"
#include "route_store.h"

#include "base/banned.h"

static struct metric assigned_total =
	METRIC_COUNTER("mailcase_router_assigned_total", "cases given to somebody, or to nobody", "method");

static struct assign_team *team_of(struct assign_team *teams, size_t count, struct team_id id);
static void say(struct route *route, struct fact *fact, struct case_change *change);

int route_all(struct db *db, struct arena *arena, struct route *routes, size_t count, int64_t now_us, int64_t retry_us,
              struct err *err)
{
	struct assign_team *teams;
	size_t teams_len, changes_len = 0;
	struct fact *facts = ARENA_ARRAY(arena, struct fact, count + 1);
	struct case_change *changes = ARENA_ARRAY(arena, struct case_change, count + 1);
	struct route_retry *retries = ARENA_ARRAY(arena, struct route_retry, count + 1);

	if (count == 0)
		return 0;
	if (route_store_lock_teams(db, arena, routes, count, &teams, &teams_len, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct route *route = &routes[i];
		struct assign_team *team = team_of(teams, teams_len, route->team);
		route->choice = (struct assign_choice){ .method = ASSIGN_NOBODY, .inputs = STR("{\"team\":null}") };
		if (team)
			assign_pick(arena, team, &route->choice);
		bool is_nobody = uuid_is_null(route->choice.user.id);
		retries[i] = (struct route_retry){ route->row->id, route->row->tenant, is_nobody };
		route->is_done = !(is_nobody && route->is_retry);
		if (route->is_done) {
			say(route, &facts[changes_len], &changes[changes_len]);
			changes_len++;
		}
	}
	if (case_record_apply(db, arena, changes, changes_len, now_us, err) < 0 ||
	    route_store_teams(db, arena, teams, teams_len, err) < 0)
		return -1;
	return route_store_retries(db, arena, retries, count, now_us + retry_us, err);
}

void route_committed(const struct route *routes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!routes[i].is_done)
			continue;
		metric_add(metric_label(&assigned_total, routes[i].choice.method), 1);
		log_info("case.assigned", LOG_UUID("case", routes[i].row->id.id), LOG_UUID("user", routes[i].choice.user.id),
		         LOG_UUID("team", routes[i].team.id), LOG_TEXT("method", routes[i].choice.method), LOG_END);
	}
}

/* A batch touches few teams. */
static struct assign_team *team_of(struct assign_team *teams, size_t count, struct team_id id)
{
	for (size_t i = 0; i < count; i++)
		if (uuid_eq(teams[i].id.id, id.id))
			return &teams[i];
	return NULL;
}

static void say(struct route *route, struct fact *fact, struct case_change *change)
{
	const struct case_row *row = route->row;

	*fact = (struct fact){ .kind = FACT_ASSIGNED, .detail = route->choice.inputs,
		               .assigned = { route->choice.user, route->team, row->assignee, str_of(route->choice.method) } };
	*change = (struct case_change){ .tenant = row->tenant, .case_id = row->id, .number = row->number,
		                        .old_version = row->version, .author = { .kind = AUTHOR_SYSTEM }, .cause = route->cause,
		                        .hop = route->hop, .is_quiet = row->is_quiet, .facts = fact, .facts_len = 1 };
}
