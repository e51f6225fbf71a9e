/* SPDX-License-Identifier: Apache-2.0
 * cmd_health - how far the groups are behind, and whether all is well
 */
#include "ctl.h"
#include "edge/bus.h"
#include "record/schema.h"

#include "base/banned.h"

/* --- lag --------------------------------------------------------------------------------------------------------- */

static int lag(struct ctl *ctl)
{
	struct bus_lag *rows;
	size_t count;
	int64_t behind = 0;

	struct bus_options options = ctl_bus(ctl);

	if (bus_lag(&options, ctl->db, &ctl->arena, &rows, &count, &ctl->err) < 0)
		return ctl_failed(ctl);
	if (!ctl->as_json)
		printf("%-10s %-28s %9s %8s %8s %8s  %s\n", "GROUP", "TOPIC", "PARTITION", "NEXT", "END", "LAG", "OWNER");
	for (size_t i = 0; i < count; i++) {
		behind += rows[i].lag;
		if (ctl->as_json) {
			json_t *object CLEANUP(json_done) = json_object();
			json_put_str(object, "group", rows[i].group);
			json_put_str(object, "topic", rows[i].topic);
			json_put_int(object, "partition", rows[i].partition);
			json_put_int(object, "lag", rows[i].lag);
			json_put_int(object, "next_offset", rows[i].next_offset);
			json_put_int(object, "end_offset", rows[i].end_offset);
			json_put_str(object, "owner", rows[i].owner);
			json_print_line(stdout, object);
		} else if (rows[i].lag > 0 || ctl_given(ctl, "all"))
			printf("%-10.*s %-28.*s %9d %8lld %8lld %8lld  %.*s\n", STR_ARG(rows[i].group), STR_ARG(rows[i].topic),
			       rows[i].partition, (long long)rows[i].next_offset, (long long)rows[i].end_offset,
			       (long long)rows[i].lag, STR_ARG(rows[i].owner));
	}
	if (!ctl->as_json)
		printf("%lld records behind in all\n", (long long)behind);
	return CTL_DONE;
}

static const struct option_def lag_options[] = {
	{ "all", OPTION_FLAG, NULL, "with the partitions that nobody is behind on; --json always has them" },
	{ 0 },
};
static const struct verb lag_verbs[] = {
	{ .name = "", .operands = "", .needs = NEED_SCHEMA, .summary = "how far each group is behind on each partition",
	  .examples = "  casectl lag\n  casectl lag --json", .options = lag_options, .run = lag },
	{ 0 },
};
const struct noun noun_lag = { "lag", "how far each group is behind", lag_verbs };

/* --- health ------------------------------------------------------------------------------------------------------ */

/* Each answers one row: is it well, and what is to be said. */
/* At work: a member that is alive (postgres), or one that holds positions (kafka). */
static const char sql_bus[] =
	"WITH at_work AS (SELECT group_name FROM bus_member WHERE expires > clock_timestamp()"
	" AND (SELECT name FROM bus_engine) = 'postgres'"
	" UNION SELECT group_name FROM bus_position WHERE owner IS NOT NULL AND (SELECT name FROM bus_engine) = 'kafka')"
	" SELECT count(DISTINCT p.topic) = 3 AND NOT EXISTS (SELECT FROM (VALUES ('threader'), ('router'), ('notifier'))"
	" AS g (name) WHERE g.name NOT IN (SELECT group_name FROM at_work)),"
	" 'engine ' || coalesce((SELECT name FROM bus_engine), 'not installed') || '; ' || count(DISTINCT p.topic)"
	" || ' topics; at work: ' || coalesce((SELECT string_agg(group_name, ', ' ORDER BY group_name) FROM at_work), 'nobody')"
	" FROM bus_partition p";
static const char sql_outbox[] =
	"SELECT COALESCE(min(created_at) > clock_timestamp() - $1 * interval '1 second', true), "
	"CASE WHEN count(*) = 0 THEN 'empty' ELSE count(*) || ' waiting, the oldest for ' || "
	"round(extract(epoch FROM clock_timestamp() - min(created_at))) || ' s' END FROM outbox";
static const char sql_mailboxes[] =
	"SELECT count(*) FILTER (WHERE s.state IS NOT NULL AND s.state NOT IN ('ok', 'starting')) = 0, "
	"count(*) || ' active' || COALESCE('; in trouble: ' || string_agg(m.address || ' (' || s.state || ', ' || "
	"s.reason || ')', '; ' ORDER BY m.address) FILTER (WHERE s.state NOT IN ('ok', 'starting')), '') "
	"FROM mailbox m LEFT JOIN mailbox_state s ON s.mailbox_id = m.id WHERE m.is_active";
static const char sql_outbound[] =
	"SELECT count(*) FILTER (WHERE s.state IS NOT NULL AND s.state NOT IN ('ok', 'starting')) = 0, "
	"count(*) || ' active' || COALESCE('; in trouble: ' || string_agg(m.name || ' (' || s.state || ', ' || s.reason "
	"|| ')', '; ' ORDER BY m.name) FILTER (WHERE s.state NOT IN ('ok', 'starting')), '') "
	"FROM outbound_mailbox m LEFT JOIN outbound_mailbox_state s ON s.outbound_mailbox_id = m.id WHERE m.is_active";
static const char sql_dead[] =
	"SELECT count(*) = 0, count(*) || ' dead letters' FROM dead_letter WHERE ended_at IS NULL";

static bool report(struct ctl *ctl, const char *check, bool is_ok, struct str detail)
{
	if (ctl->as_json) {
		json_t *object CLEANUP(json_done) = json_object();
		json_put_str(object, "check", str_of(check));
		json_put_bool(object, "ok", is_ok);
		json_put_str(object, "detail", detail);
		json_print_line(stdout, object);
	} else
		printf("%-4s %-18s %.*s\n", is_ok ? "ok" : "BAD", check, STR_ARG(table_clean(&ctl->arena, detail)));
	return is_ok;
}

static bool ask(struct ctl *ctl, const char *check, const char *sql, const struct db_args *args)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;

	if (db_query(ctl->db, sql, args, &rows, &ctl->err) < 0)
		return report(ctl, check, false, str_of(ctl->err.text));
	return report(ctl, check, db_bool(rows, 0, 0), db_str(rows, 0, 1));
}

static int health(struct ctl *ctl)
{
	struct db_args args;
	bool is_ok = report(ctl, "database", true, STR("answers"));

	if (schema_check(ctl->db, &ctl->err) < 0) {
		report(ctl, "schema", false, str_of(ctl->err.text));
		return CTL_FAILED;
	}
	report(ctl, "schema", true, str_printf(&ctl->arena, "version %d", schema_version_wanted()));
	db_args_init(&args, &ctl->arena);
	db_arg_int(&args, ctl_int(ctl, "outbox-age", 10));
	is_ok &= ask(ctl, "bus", sql_bus, NULL);
	is_ok &= ask(ctl, "outbox", sql_outbox, &args);
	is_ok &= ask(ctl, "mailboxes", sql_mailboxes, NULL);
	is_ok &= ask(ctl, "outbound mailboxes", sql_outbound, NULL);
	is_ok &= ask(ctl, "dead letters", sql_dead, NULL);
	return is_ok ? CTL_DONE : CTL_FAILED;
}

static const struct option_def health_options[] = {
	{ "outbox-age", OPTION_INT, "S", "an older row in the outbox is bad (default 10)", .min = 1, .max = 86400 },
	{ 0 },
};
static const struct verb health_verbs[] = {
	{ .name = "",
	  .operands = "",
	  .needs = NEED_DATABASE,
	  .summary = "whether all is well; exit status 1 when something is bad",
	  .examples = "  casectl health\n  casectl health --json",
	  .options = health_options,
	  .run = health },
	{ 0 },
};
const struct noun noun_health = { "health", "whether all is well", health_verbs };
