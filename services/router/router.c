/* SPDX-License-Identifier: Apache-2.0
 * router - give each new case to somebody of its team
 *
 * READS     topic case.events (keyed by case); queue, team, team_member, app_user; timers that are due
 * WRITES    case_file, case_event, team, team_member, timer; topic case.events. Leased: the trimming of the bus's log
 * SETTINGS  see the table below, and those of every service
 * METRICS   mailcase_router_assigned_total{method}, _bus_trimmed_total, _swept_total{table}
 * LOGS      case.assigned, housekeeping.trimmed
 * FAILURES  database or broker away: the turn is retried with back-off, nothing is confirmed
 *           a record that can never be handled: a dead_letter row in the same transaction
 *           nobody is available: a fact, and a timer that tries again
 *           a record comes again: a case that was given to somebody, or was tried, is left as it is
 * SEE       docs/design.md; lib/domain/assign.h, route.h, due.h
 */
#include "base/clock.h"
#include "base/map.h"
#include "due.h"
#include "housekeeping.h"
#include "kit/service.h"
#include "kit/turn.h"
#include "route.h"
#include "route_store.h"
#include "wire/case_record_wire.h"

#include "base/banned.h"

struct router_conf {
	int64_t retry_s, housekeeping_s;
};

static const struct conf_setting settings[] = {
	{ "MAILCASE_ASSIGN_RETRY_S", CONF_INT, offsetof(struct router_conf, retry_s), .def = "60", .min = 1, .max = 86400,
	  .help = "seconds until a case for which nobody was available is tried again" },
	{ "MAILCASE_HOUSEKEEPING_S", CONF_INT, offsetof(struct router_conf, housekeeping_s), .def = "60", .min = 1,
	  .max = 86400, .help = "seconds between two rounds of trimming and sweeping, by one router at a time" },
	{ 0 },
};

struct router {
	int64_t retry_us;
	struct housekeeping housekeeping;
};

/* The cases of a batch that ask for somebody. */
struct asked {
	struct case_id *ids;
	struct case_record *records; /* beside them */
	size_t len;
	struct route *routes;
	size_t routes_len;
};

static int run(struct service *service, struct err *err);
static int apply(struct turn *turn, struct err *err);
static int gather(struct turn *turn, struct asked *out, struct err *err);
static bool asks(const struct case_record *record);
static int choose(struct turn *turn, struct asked *asked, struct err *err);
static const struct case_record *record_of(const struct asked *asked, struct case_id id);
static void committed(struct turn *turn);
static int idle(struct turn *turn, struct err *err);

int main(int argc, char **argv)
{
	static const struct service_def def = {
		.name = "router",
		.summary = "give each new case to somebody of its team",
		.examples = "  MAILCASE_DATABASE_URL=postgresql://... router\n"
			    "  router --settings\n",
		.settings = settings,
		.own_conf_size = sizeof(struct router_conf),
		.run = run,
	};
	return service_main(argc, argv, &def);
}

static int run(struct service *service, struct err *err)
{
	static const char *const topics[] = { TOPIC_CASE_EVENTS, NULL };
	const struct router_conf *conf = service->own_conf;
	struct router self = { .retry_us = conf->retry_s * USEC_PER_SEC,
		               .housekeeping = { .owner = service->instance, .every_ms = conf->housekeeping_s * 1000 } };
	const struct turn_handler handler = {
		.group = "router",
		.topics = topics,
		.idle_ms = 1000,
		.self = &self,
		.apply = apply,
		.committed = committed,
		.idle = idle,
	};
	return turn_loop(service, &handler, err);
}

static int apply(struct turn *turn, struct err *err)
{
	struct router *self = turn->self;
	struct asked *asked = ARENA_NEW(&turn->arena, struct asked);

	turn->batch = asked;
	if (gather(turn, asked, err) < 0 || choose(turn, asked, err) < 0 ||
	    route_all(turn->db, &turn->arena, asked->routes, asked->routes_len, clock_wall_us(), self->retry_us, err) < 0)
		return -1;
	turn->filled_outbox = asked->routes_len > 0;
	return 0;
}

/* The first record of a case that asks: a case may be in a batch with several. */
static int gather(struct turn *turn, struct asked *out, struct err *err)
{
	struct map seen;

	map_init(&seen, &turn->arena);
	out->ids = ARENA_ARRAY(&turn->arena, struct case_id, turn->count + 1);
	out->records = ARENA_ARRAY(&turn->arena, struct case_record, turn->count + 1);
	for (size_t i = 0; i < turn->count; i++) {
		struct case_record *record = &out->records[out->len];
		struct err bad = { 0 };
		if (case_record_decode(&turn->arena, turn->records[i].value, record, &bad) < 0) {
			if (turn_set_aside(turn, &turn->records[i], bad.text, err) < 0)
				return -1;
			continue;
		}
		struct str key = str_span((const char *)record->case_id.id.b, sizeof record->case_id.id.b);
		if (!asks(record) || map_get(&seen, key))
			continue;
		map_put(&seen, key, record);
		out->ids[out->len++] = record->case_id;
	}
	return 0;
}

/* A case was opened, told of, and not given to anybody in the same breath. */
static bool asks(const struct case_record *record)
{
	bool is_opened = false;

	for (size_t i = 0; i < record->facts_len; i++) {
		if (record->facts[i].kind == FACT_ASSIGNED)
			return false;
		is_opened |= record->facts[i].kind == FACT_CASE_OPENED;
	}
	return is_opened && !record->is_quiet;
}

/* Of the cases that were asked for: those that still want somebody, now that they are locked. */
static int choose(struct turn *turn, struct asked *asked, struct err *err)
{
	struct case_row *rows;
	size_t rows_len;

	if (asked->len == 0)
		return 0;
	if (case_record_lock(turn->db, &turn->arena, asked->ids, asked->len, &rows, &rows_len, err) < 0)
		return -1;
	struct case_id *ids = ARENA_ARRAY(&turn->arena, struct case_id, rows_len + 1);
	bool *is_new = ARENA_ARRAY(&turn->arena, bool, rows_len + 1);
	for (size_t i = 0; i < rows_len; i++)
		ids[i] = rows[i].id;
	if (route_store_untouched(turn->db, &turn->arena, ids, rows_len, is_new, err) < 0)
		return -1;
	asked->routes = ARENA_ARRAY(&turn->arena, struct route, rows_len + 1);
	for (size_t i = 0; i < rows_len; i++) {
		const struct case_record *record = record_of(asked, rows[i].id);
		if (!is_new[i] || (rows[i].state != CASE_OPEN && rows[i].state != CASE_WAITING) ||
		    !uuid_is_null(rows[i].assignee.id) || !record)
			continue;
		asked->routes[asked->routes_len++] =
			(struct route){ .row = &rows[i], .cause = record->cause, .hop = record->hop + 1 };
	}
	return 0;
}

static const struct case_record *record_of(const struct asked *asked, struct case_id id)
{
	for (size_t i = 0; i < asked->len; i++)
		if (uuid_eq(asked->records[i].case_id.id, id.id))
			return &asked->records[i];
	return NULL;
}

static void committed(struct turn *turn)
{
	const struct asked *asked = turn->batch;

	route_committed(asked->routes, asked->routes_len);
}

static int idle(struct turn *turn, struct err *err)
{
	struct router *self = turn->self;

	if (due_turn(turn->db, &turn->arena, self->retry_us, &turn->filled_outbox, err) < 0)
		return -1;
	return housekeeping_turn(&self->housekeeping, turn->db, &turn->arena, err);
}
