/* SPDX-License-Identifier: Apache-2.0
 * cmd_bus - which engine the bus has, and the move to the other one
 */
#include "ctl.h"
#include "kit/bus_move.h"

#include "base/banned.h"

#define WAIT_SECONDS 60

/* --- show -------------------------------------------------------------------------------------------------------- */

static const char sql_show[] =
	"SELECT coalesce((SELECT name FROM bus_engine), ''), (SELECT since FROM bus_engine),"
	" (SELECT count(*) FROM (SELECT FROM outbox LIMIT 100000) AS o),"
	" (SELECT owner FROM lease WHERE kind = 'relay' AND name = 'outbox' AND expires > clock_timestamp())";

static const struct column show_columns[] = {
	{ "engine", "engine", CELL_TEXT },
	{ "since", "since", CELL_TIME },
	{ "outbox", "outbox", CELL_INT },
	{ "relay", "relay", CELL_TEXT },
};

static int show(struct ctl *ctl)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;

	if (db_query(ctl->db, sql_show, NULL, &rows, &ctl->err) < 0)
		return ctl_failed(ctl);
	if (!db_str(rows, 0, 0).len)
		return ctl_not_found("the bus is not installed yet; `casectl topics` does it");
	if (ctl->as_json) {
		json_t *object CLEANUP(json_done) = table_object(&ctl->arena, show_columns, ARRAY_LEN(show_columns), rows, 0);
		json_print_line(stdout, object);
	} else
		table_print_record(&ctl->arena, show_columns, ARRAY_LEN(show_columns), rows, 0);
	return CTL_DONE;
}

/* --- move -------------------------------------------------------------------------------------------------------- */

static void tell(struct str group, int64_t unread)
{
	if (group.at)
		fprintf(stderr, "casectl: group %.*s has %lld records to read\n", STR_ARG(group), (long long)unread);
	else
		fputs("casectl: waiting for the relay's lease\n", stderr);
}

static int move(struct ctl *ctl)
{
	struct bus_options options = ctl_bus(ctl);
	enum bus_engine to;

	if (!bus_engine_parse(str_of(ctl->operands[0]), &to))
		return ctl_usage("there is no engine %s: postgres or kafka", ctl->operands[0]);
	int moved = bus_move(&options, ctl->db, to, ctl_int(ctl, "wait", WAIT_SECONDS) * 1000, tell, &ctl->err);
	if (moved < 0)
		return ctl_failed(ctl);
	if (ctl->as_json) {
		json_t *object CLEANUP(json_done) = json_object();
		json_put_str(object, "engine", str_of(bus_engine_name(to)));
		json_put_bool(object, "moved", moved == 1);
		json_print_line(stdout, object);
	} else if (moved)
		printf("the bus is %s now: restart every service with MAILCASE_BUS=%s, in any order\n", bus_engine_name(to),
		       bus_engine_name(to));
	else
		printf("the bus is %s already\n", bus_engine_name(to));
	return CTL_DONE;
}

static const struct option_def no_options[] = { { 0 } };
static const struct option_def move_options[] = {
	{ "wait", OPTION_INT, "S", "seconds until what is on the old engine must have been read (default 60)", .min = 1,
	  .max = 86400 },
	{ 0 },
};
static const struct verb bus_verbs[] = {
	{ .name = "show",
	  .operands = "",
	  .needs = NEED_SCHEMA,
	  .summary = "the engine, and what waits in the outbox",
	  .examples = "  casectl bus show\n  casectl bus show --json",
	  .options = no_options,
	  .run = show },
	{ .name = "move",
	  .operands = "ENGINE",
	  .operands_min = 1,
	  .operands_max = 1,
	  .needs = NEED_SCHEMA,
	  .summary = "go over to the other engine while everything runs; nothing is lost and nothing sent twice",
	  .examples = "  MAILCASE_KAFKA_BROKERS=kafka:9092 casectl bus move kafka\n  casectl bus move postgres --wait 300",
	  .options = move_options,
	  .run = move },
	{ 0 },
};
const struct noun noun_bus = { "bus", "which engine the bus has, and the move to the other", bus_verbs };
