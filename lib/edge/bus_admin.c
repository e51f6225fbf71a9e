/* SPDX-License-Identifier: Apache-2.0
 * What is installed: topics, groups and the engine; and the lag and the trimming of the postgres engine.
 */
#include "bus_postgres.h"

#include "base/banned.h"

#define TRIM_AT_ONCE 10000 /* records a partition and call: short transactions */

const struct bus_topic bus_topics[BUS_TOPICS] = {
	{ TOPIC_MAIL_RECEIVED, 7 * 24 },
	{ TOPIC_CASE_EVENTS, 30 * 24 },
	{ TOPIC_MAILBOX_EVENTS, 7 * 24 },
};
const struct bus_group bus_groups[BUS_GROUPS] = {
	{ "threader", TOPIC_MAIL_RECEIVED },
	{ "router", TOPIC_CASE_EVENTS },
	{ "notifier", TOPIC_CASE_EVENTS },
};

static const char install_topic_sql[] =
	"INSERT INTO bus_topic (name, partitions, retention_hours) VALUES ($1, $2, $3)"
	" ON CONFLICT (name) DO UPDATE SET partitions = greatest(bus_topic.partitions, excluded.partitions)";
static const char install_partitions_sql[] =
	"INSERT INTO bus_partition (topic, partition)"
	" SELECT t.name, n FROM bus_topic t, generate_series(0, t.partitions - 1) AS n WHERE t.name = $1 ON CONFLICT DO NOTHING";
static const char install_group_sql[] =
	"INSERT INTO bus_position (group_name, topic, partition)"
	" SELECT $1, topic, partition FROM bus_partition WHERE topic = $2 ON CONFLICT DO NOTHING";

static const char partitions_sql[] = "SELECT coalesce(max(partitions), 12) FROM bus_topic";
static const char engine_sql[] = "SELECT name, coalesce(moving_until > clock_timestamp(), false) FROM bus_engine";
static const char hold_sql[] =
	"UPDATE bus_engine SET moving_until = CASE WHEN $1 > 0 THEN clock_timestamp() + $1 * interval '1 millisecond' END";
static const char first_engine_sql[] = "INSERT INTO bus_engine (name) VALUES ($1) ON CONFLICT DO NOTHING";
static const char set_engine_sql[] =
	"INSERT INTO bus_engine (name) VALUES ($1) ON CONFLICT (is_one) DO UPDATE SET name = excluded.name,"
	" since = clock_timestamp(), moving_until = NULL";

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

static int install_tables(struct db *db, struct arena *arena, int partitions, struct err *err);

int bus_install(const struct bus_options *options, struct db *db, int partitions, struct err *err)
{
	struct arena arena CLEANUP(arena_done);
	struct db_args args;
	enum bus_engine engine = options->engine;
	bool moves;
	int64_t rows;

	arena_init(&arena);
	/* First what may be refused. */
	if (bus_engine_of(db, &engine, &moves, err) < 0)
		return -1;
	if (engine != options->engine)
		return err_set(err, ERR_FATAL,
		               "the bus of this installation is %s and MAILCASE_BUS says %s: set it to %s, or run `casectl bus move %s`",
		               bus_engine_name(engine), bus_engine_name(options->engine), bus_engine_name(engine),
		               bus_engine_name(options->engine));
	if (bus_make_topics(options, db, partitions, err) < 0)
		return -1;
	db_args_init(&args, &arena);
	db_arg_text(&args, str_of(bus_engine_name(options->engine)));
	if (db_exec(db, first_engine_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not install the topics");
	return 0;
}

int bus_make_topics(const struct bus_options *options, struct db *db, int partitions, struct err *err)
{
	struct arena arena CLEANUP(arena_done);
	const struct bus_ops *ops = bus_ops_of(options->engine);
	struct db_result *rows CLEANUP(db_result_done) = NULL;

	arena_init(&arena);
	if (!partitions) {
		if (db_query(db, partitions_sql, NULL, &rows, err) < 0)
			return err_prefix(err, "could not make the topics");
		partitions = (int)db_int(rows, 0, 0);
	}
	if (install_tables(db, &arena, partitions, err) < 0)
		return -1;
	return ops->make_topics ? ops->make_topics(options, partitions, err) : 0;
}

bool bus_is_own_group(struct str group)
{
	for (size_t i = 0; i < BUS_GROUPS; i++)
		if (str_eq(group, str_of(bus_groups[i].name)))
			return true;
	return false;
}

static int install_tables(struct db *db, struct arena *arena, int partitions, struct err *err)
{
	struct db_args args, name;

	if (db_begin(db, err) < 0)
		return -1;
	for (size_t i = 0; i < BUS_TOPICS; i++) {
		db_args_init(&args, arena);
		db_arg_text(&args, str_of(bus_topics[i].name));
		db_arg_int(&args, partitions);
		db_arg_int(&args, bus_topics[i].retention_hours);
		db_args_init(&name, arena);
		db_arg_text(&name, str_of(bus_topics[i].name));
		if (db_queue(db, install_topic_sql, &args, NULL, err) < 0 ||
		    db_queue(db, install_partitions_sql, &name, NULL, err) < 0)
			goto fail;
	}
	for (size_t i = 0; i < BUS_GROUPS; i++) {
		db_args_init(&args, arena);
		db_arg_text(&args, str_of(bus_groups[i].name));
		db_arg_text(&args, str_of(bus_groups[i].topic));
		if (db_queue(db, install_group_sql, &args, NULL, err) < 0)
			goto fail;
	}
	if (db_commit(db, err) == 0)
		return 0;
fail:
	db_rollback(db);
	return err_prefix(err, "could not install the topics");
}

int bus_engine_of(struct db *db, enum bus_engine *out, bool *out_moves, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;

	*out_moves = false;
	if (db_query(db, engine_sql, NULL, &rows, err) < 0)
		return err_prefix(err, "could not read which engine the bus has");
	if (db_rows(rows) == 0)
		return 0;
	if (!bus_engine_parse(db_str(rows, 0, 0), out))
		return err_set(err, ERR_FATAL, "the bus of this installation has an engine that this program does not know");
	*out_moves = db_bool(rows, 0, 1);
	return 1;
}

int bus_engine_hold(struct db *db, int64_t ms, struct err *err)
{
	struct arena arena CLEANUP(arena_done);
	struct db_args args;
	int64_t rows;

	arena_init(&arena);
	db_args_init(&args, &arena);
	db_arg_int(&args, ms);
	if (db_exec(db, hold_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not hold the relays");
	return 0;
}

int bus_engine_set(struct db *db, enum bus_engine engine, struct err *err)
{
	struct arena arena CLEANUP(arena_done);
	struct db_args args;
	int64_t rows;

	arena_init(&arena);
	db_args_init(&args, &arena);
	db_arg_text(&args, str_of(bus_engine_name(engine)));
	if (db_exec(db, set_engine_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not note the engine of the bus");
	return 0;
}

int pg_lag(const struct bus_options *options, struct db *db, struct arena *arena, struct bus_lag **out, size_t *out_count,
           struct err *err)
{
	(void)options;
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
