/* SPDX-License-Identifier: Apache-2.0 */
#include "housekeeping.h"

#include "base/clock.h"
#include "base/log.h"
#include "edge/bus.h"
#include "kit/metrics.h"
#include "record/lease.h"

#include "base/banned.h"

#define LEASE_MS 60000
#define TRIMS_MOST 50 /* a round; the rest is the next round's */

static struct metric trimmed_total =
	METRIC_COUNTER("mailcase_router_bus_trimmed_total", "records cut from the bus's log", NULL);
static struct metric swept_total =
	METRIC_COUNTER("mailcase_router_swept_total", "rows that had served their time", "table");

/* What has ended and is of no more use to anybody. A full bucket says what a missing one says. */
static const struct {
	const char *table, *sql;
} sweeps[] = {
	{ "server_action",
	  "DELETE FROM server_action WHERE id = ANY(ARRAY(SELECT id FROM server_action WHERE state <> 'due' "
	  "AND due_at < clock_timestamp() - interval '7 days' LIMIT 5000))" },
	{ "lease", "DELETE FROM lease WHERE kind = 'fetcher' AND expires < clock_timestamp() - interval '1 day'" },
	{ "fetcher_report", "DELETE FROM fetcher_report r WHERE NOT EXISTS "
	                    "(SELECT FROM lease WHERE kind = 'fetcher' AND name = r.fetcher)" },
	{ "budget", "DELETE FROM budget WHERE key = ANY(ARRAY(SELECT key FROM budget "
	            "WHERE updated_at < clock_timestamp() - interval '3 days' LIMIT 5000))" },
};

int housekeeping_turn(struct housekeeping *housekeeping, struct db *db, struct arena *arena, struct err *err)
{
	struct lease lease = { .kind = "job", .name = STR("housekeeping"), .owner = housekeeping->owner };
	int64_t trimmed = 0, more = 1, rows;

	if (clock_mono_ms() < housekeeping->next_mono_ms)
		return 0;
	housekeeping->next_mono_ms = clock_mono_ms() + housekeeping->every_ms;
	int taken = lease_take(db, arena, &lease, LEASE_MS, err);
	if (taken <= 0)
		return taken;
	for (int i = 0; i < TRIMS_MOST && more > 0 && clock_mono_ms() < lease.expires_mono_ms - LEASE_MS / 2; i++) {
		if (bus_trim(db, &more, err) < 0)
			return -1;
		trimmed += more;
	}
	metric_add(metric_label(&trimmed_total, NULL), trimmed);
	for (size_t i = 0; i < ARRAY_LEN(sweeps); i++) {
		if (db_exec(db, sweeps[i].sql, NULL, &rows, err) < 0)
			return err_prefix(err, "could not sweep %s", sweeps[i].table);
		metric_add(metric_label(&swept_total, sweeps[i].table), rows);
	}
	if (trimmed)
		log_info("housekeeping.trimmed", LOG_INT("records", trimmed), LOG_END);
	/* Kept until it expires: the next round is the others' only if this one has died. */
	return 0;
}
