/* SPDX-License-Identifier: Apache-2.0
 * Installing, measuring and trimming the topics of the postgres engine.
 */
#include "bus.h"

#include "base/banned.h"

#define TRIM_AT_ONCE 10000 /* records a partition and call: short transactions */

static const char *const topics[] = { TOPIC_MAIL_RECEIVED, TOPIC_CASE_EVENTS, TOPIC_MAILBOX_EVENTS };

/* Our own groups start at zero, so that one whose program starts late misses nothing. */
static const struct {
	const char *group, *topic;
} groups[] = {
	{ "threader", TOPIC_MAIL_RECEIVED },
	{ "router", TOPIC_CASE_EVENTS },
	{ "notifier", TOPIC_CASE_EVENTS },
};

static const char install_topic_sql[] =
	"INSERT INTO bus_topic (name, partitions) VALUES ($1, $2)"
	" ON CONFLICT (name) DO UPDATE SET partitions = greatest(bus_topic.partitions, excluded.partitions)";
static const char install_partitions_sql[] =
	"INSERT INTO bus_partition (topic, partition)"
	" SELECT t.name, n FROM bus_topic t, generate_series(0, t.partitions - 1) AS n WHERE t.name = $1 ON CONFLICT DO NOTHING";
static const char install_group_sql[] =
	"INSERT INTO bus_position (group_name, topic, partition)"
	" SELECT $1, topic, partition FROM bus_partition WHERE topic = $2 ON CONFLICT DO NOTHING";

static const char lag_sql[] =
	"SELECT g.group_name, g.topic, g.partition, g.next_offset, p.next_offset,"
	" CASE WHEN g.expires > clock_timestamp() THEN g.owner END"
	" FROM bus_position g JOIN bus_partition p ON p.topic = g.topic AND p.partition = g.partition"
	" ORDER BY g.group_name, g.topic, g.partition";

/* Up to the first record inside the retention, and never past a registered group; no more records are looked at than
 * are trimmed at once. The counters are locked in the relay's order. */
static const char trim_sql[] =
	"WITH horizon AS ("
	"  SELECT p.topic, p.partition, p.first_offset, least(p.next_offset, p.first_offset + $1,"
	"    (SELECT min(g.next_offset) FROM bus_position g WHERE g.topic = p.topic AND g.partition = p.partition),"
	"    (SELECT l.log_offset FROM bus_log l WHERE l.topic = p.topic AND l.partition = p.partition"
	"     AND l.log_offset >= p.first_offset AND l.log_offset < p.first_offset + $1"
	"     AND l.created_at >= clock_timestamp() - t.retention_hours * interval '1 hour'"
	"     ORDER BY l.log_offset LIMIT 1)) AS cut"
	"  FROM bus_partition p JOIN bus_topic t ON t.name = p.topic"
	"), gone AS ("
	"  DELETE FROM bus_log l USING horizon h"
	"  WHERE l.topic = h.topic AND l.partition = h.partition AND l.log_offset >= h.first_offset AND l.log_offset < h.cut"
	"  RETURNING 1"
	"), locked AS ("
	"  SELECT p.topic, p.partition, h.cut FROM bus_partition p JOIN horizon h USING (topic, partition)"
	"  WHERE h.cut > p.first_offset ORDER BY p.topic, p.partition FOR NO KEY UPDATE OF p"
	"), moved AS ("
	"  UPDATE bus_partition p SET first_offset = l.cut FROM locked l"
	"  WHERE p.topic = l.topic AND p.partition = l.partition"
	") SELECT count(*) FROM gone";

int bus_install(struct db *db, int partitions, struct err *err)
{
	struct arena arena CLEANUP(arena_done);
	struct db_args args, name;

	arena_init(&arena);
	if (db_begin(db, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
		db_args_init(&args, &arena);
		db_arg_text(&args, str_of(topics[i]));
		db_arg_int(&args, partitions);
		db_args_init(&name, &arena);
		db_arg_text(&name, str_of(topics[i]));
		if (db_queue(db, install_topic_sql, &args, NULL, err) < 0 ||
		    db_queue(db, install_partitions_sql, &name, NULL, err) < 0)
			goto fail;
	}
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		db_args_init(&args, &arena);
		db_arg_text(&args, str_of(groups[i].group));
		db_arg_text(&args, str_of(groups[i].topic));
		if (db_queue(db, install_group_sql, &args, NULL, err) < 0)
			goto fail;
	}
	if (db_commit(db, err) < 0)
		goto fail;
	return 0;
fail:
	db_rollback(db);
	return err_prefix(err, "could not install the topics");
}

int bus_lag(struct db *db, struct arena *arena, struct bus_lag **out, size_t *out_count, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;

	if (db_query(db, lag_sql, NULL, &rows, err) < 0)
		return err_prefix(err, "could not measure the lag");
	size_t count = (size_t)db_rows(rows);
	struct bus_lag *lags = ARENA_ARRAY(arena, struct bus_lag, count + 1);
	for (size_t i = 0; i < count; i++) {
		lags[i] = (struct bus_lag){
			.group = str_dup(arena, db_str(rows, (int)i, 0)),
			.topic = str_dup(arena, db_str(rows, (int)i, 1)),
			.partition = (int32_t)db_int(rows, (int)i, 2),
			.next_offset = db_int(rows, (int)i, 3),
			.end_offset = db_int(rows, (int)i, 4),
			.owner = str_dup(arena, db_str(rows, (int)i, 5)),
		};
		lags[i].lag = lags[i].end_offset - lags[i].next_offset;
	}
	*out = lags;
	*out_count = count;
	return 0;
}

int bus_trim(struct db *db, int64_t *out_trimmed, struct err *err)
{
	struct arena arena CLEANUP(arena_done);
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	arena_init(&arena);
	db_args_init(&args, &arena);
	db_arg_int(&args, TRIM_AT_ONCE);
	if (db_query(db, trim_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not trim the log");
	*out_trimmed = db_int(rows, 0, 0);
	return 0;
}
