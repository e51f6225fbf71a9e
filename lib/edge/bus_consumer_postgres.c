/* SPDX-License-Identifier: Apache-2.0
 * The consuming side of the postgres engine: poll, confirm, and what a crash leaves behind.
 */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "bus_postgres.h"

#include "base/banned.h"

#define SCAN_MS 250         /* the safety net under the notifications */
#define LACKING_WAIT_MS 100 /* between looks for partitions that others still have */

static const char fetch_sql[] =
	"SELECT " PG_RECORD_COLUMNS
	" FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[]) WITH ORDINALITY"
	"   AS p (topic, partition, next_offset, most, place)"
	" CROSS JOIN LATERAL (SELECT * FROM bus_log b WHERE b.topic = p.topic AND b.partition = p.partition"
	"   AND b.log_offset >= p.next_offset ORDER BY b.log_offset LIMIT p.most) AS l"
	" LIMIT $5";
static const char confirm_sql[] =
	"UPDATE bus_position g SET next_offset = mine.delivered, trying = NULL, crashes = 0,"
	" expires = clock_timestamp() + $7 * interval '1 millisecond'"
	" FROM unnest($3::text[], $4::int8[], $5::int8[], $6::int8[], $8::int8[])"
	"   AS mine (topic, partition, epoch, next_offset, delivered)"
	" WHERE g.group_name = $1 AND g.topic = mine.topic AND g.partition = mine.partition AND g.owner = $2"
	" AND g.epoch = mine.epoch AND g.next_offset = mine.next_offset RETURNING g.topic, g.partition";
static const char behind_sql[] =
	"SELECT coalesce(sum(p.next_offset - g.next_offset), 0)::bigint FROM bus_position g"
	" JOIN bus_partition p ON p.topic = g.topic AND p.partition = g.partition WHERE g.group_name = $1 AND g.owner = $2";
static const char try_sql[] =
	"UPDATE bus_position SET trying = $6 WHERE group_name = $1 AND owner = $2 AND topic = $3 AND partition = $4 AND epoch = $5";

static struct bus_consumer *open_consumer(const struct bus_options *options, const char *group,
                                          const char *const *topics, struct err *err);
static void close_consumer(struct bus_consumer *base);
static void abandon(struct bus_consumer *base);
static int poll_records(struct bus_consumer *base, struct arena *arena, size_t records, size_t bytes, int wait_ms,
                        int wake_fd, struct bus_record **out, size_t *out_count, bool *out_poisoned, struct err *err);
static bool owns(struct bus_consumer *base, const struct bus_record *record);
static int confirm(struct bus_consumer *base, size_t *out_lost, struct err *err);
static void rewind_batch(struct bus_consumer *base);
static int keep_alive(struct bus_consumer *base, struct err *err);
static int behind(struct bus_consumer *base, int64_t *out, struct err *err);
static int settle(struct pg_consumer *consumer, struct err *err);
static int fetch(struct pg_consumer *consumer, struct arena *arena, size_t records, size_t bytes, struct bus_record **out,
                 size_t *out_count, struct err *err);
static int fetch_rows(struct pg_consumer *consumer, const struct holding *only, size_t records, struct db_result **out,
                      struct err *err);
static int record_trying(struct pg_consumer *consumer, struct holding *holding, struct err *err);
static struct bus_record *read_records(struct pg_consumer *consumer, struct arena *arena, const struct db_result *rows,
                                       size_t bytes, size_t *out_count);
static void gather(struct pg_consumer *consumer, int wake_fd);
static int wait_for_records(struct pg_consumer *consumer, int64_t until_ms, int wake_fd, bool *out_woken, struct err *err);

const struct bus_ops bus_postgres_ops = {
	.open = pg_bus_open,
	.close = pg_bus_close,
	.relay = pg_bus_relay,
	.consumer_open = open_consumer,
	.consumer_close = close_consumer,
	.consumer_abandon = abandon,
	.poll = poll_records,
	.owns = owns,
	.confirm = confirm,
	.rewind = rewind_batch,
	.keep_alive = keep_alive,
	.behind = behind,
	.reader_open = pg_reader_open,
	.reader_close = pg_reader_close,
	.reader_next = pg_reader_next,
	.lag = pg_lag,
};

static struct bus_consumer *open_consumer(const struct bus_options *options, const char *group, const char *const *topics,
                                       struct err *err)
{
	struct pg_consumer *consumer = xcalloc(1, sizeof *consumer);

	consumer->base.ops = &bus_postgres_ops;
	consumer->options = *options;
	consumer->group = group;
	consumer->topics = topics;
	consumer->topics_len = bus_topics_len(topics);
	bus_member_name(options, consumer->member);
	arena_init(&consumer->arena);
	consumer->db = db_open(options->database_url, options->name, err);
	if (!consumer->db) {
		arena_done(&consumer->arena);
		free(consumer);
		return NULL;
	}
	/* Before the first scan: what comes after it wakes us. */
	for (int i = 0; i < consumer->topics_len; i++)
		if (db_listen(consumer->db, topics[i], err) < 0) {
			abandon(&consumer->base);
			return NULL;
		}
	return &consumer->base;
}

static void close_consumer(struct bus_consumer *base)
{
	struct pg_consumer *consumer = (struct pg_consumer *)base;
	struct err err = { 0 };

	arena_reset(&consumer->arena);
	if (settle(consumer, &err) < 0 || bus_give_up_all(consumer, &err) < 0)
		log_warn("bus.not_left", LOG_TEXT("group", consumer->group), LOG_ERR(&err), LOG_END);
	abandon(base);
}

static void abandon(struct bus_consumer *base)
{
	struct pg_consumer *consumer = (struct pg_consumer *)base;
	db_close(consumer->db);
	arena_done(&consumer->arena);
	free(consumer->held);
	free(consumer);
}

static int poll_records(struct bus_consumer *base, struct arena *arena, size_t records, size_t bytes, int wait_ms, int wake_fd,
             struct bus_record **out, size_t *out_count, bool *out_poisoned, struct err *err)
{
	struct pg_consumer *consumer = (struct pg_consumer *)base;
	int64_t until_ms = clock_mono_ms() + wait_ms;
	bool is_woken = false;

	arena_reset(&consumer->arena);
	rewind_batch(base); /* a batch that was not confirmed comes again */
	*out_poisoned = false;
	*out_count = 0;
	if (settle(consumer, err) < 0)
		return -1;
	consumer->is_unsettled = true;
	gather(consumer, wake_fd);
	for (;;) {
		int64_t now_ms = clock_mono_ms();
		if (now_ms >= consumer->next_upkeep_ms && bus_upkeep(consumer, true, err) < 0)
			return -1;
		if (fetch(consumer, arena, records, bytes, out, out_count, err) < 0)
			return -1;
		if (*out_count || is_woken || clock_mono_ms() >= until_ms)
			break;
		if (wait_for_records(consumer, until_ms, wake_fd, &is_woken, err) < 0)
			return -1;
		arena_reset(&consumer->arena);
	}
	consumer->is_unsettled = false;
	consumer->has_batch = *out_count > 0;
	consumer->gather_until_ms = *out_count && *out_count < records ? clock_mono_ms() + BUS_GATHER_MS : 0;
	if (*out_count == 1) {
		const struct holding *holding = bus_holding(consumer, (*out)->topic, (*out)->partition);
		*out_poisoned = holding && holding->crashes >= BUS_CRASHES_MAX && (*out)->offset == holding->next_offset;
	}
	return 0;
}

static bool owns(struct bus_consumer *base, const struct bus_record *record)
{
	struct pg_consumer *consumer = (struct pg_consumer *)base;
	struct holding *holding = bus_holding(consumer, record->topic, record->partition);

	if (!holding)
		return false;
	if (!holding->is_lost && holding->expires_mono_ms > clock_mono_ms())
		return true;
	/* Its records leave the batch: even if it turns out to be ours still, they are not to be confirmed with the rest. */
	holding->delivered = holding->next_offset;
	return false;
}

static int confirm(struct bus_consumer *base, size_t *out_lost, struct err *err)
{
	struct pg_consumer *consumer = (struct pg_consumer *)base;
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;
	size_t n = 0, room = consumer->held_len + 1;

	arena_reset(&consumer->arena);
	if (settle(consumer, err) < 0)
		return -1;
	struct str *topics = ARENA_ARRAY(&consumer->arena, struct str, room);
	int64_t *partitions = ARENA_ARRAY(&consumer->arena, int64_t, room), *epochs = ARENA_ARRAY(&consumer->arena, int64_t, room),
	        *from = ARENA_ARRAY(&consumer->arena, int64_t, room), *to = ARENA_ARRAY(&consumer->arena, int64_t, room);
	for (size_t i = 0; i < consumer->held_len; i++) {
		const struct holding *holding = &consumer->held[i];
		if (holding->delivered == holding->next_offset)
			continue;
		topics[n] = str_of(consumer->topics[holding->topic]);
		partitions[n] = holding->partition;
		epochs[n] = holding->epoch;
		from[n] = holding->next_offset;
		to[n++] = holding->delivered;
	}
	*out_lost = 0;
	if (!n)
		return 0;

	int64_t asked_ms = clock_mono_ms();
	db_args_init(&args, &consumer->arena);
	db_arg_text(&args, str_of(consumer->group));
	db_arg_text(&args, str_of(consumer->member));
	db_arg_texts(&args, topics, n);
	db_arg_ints(&args, partitions, n);
	db_arg_ints(&args, epochs, n);
	db_arg_ints(&args, from, n);
	db_arg_int(&args, consumer->options.position_expiry_ms);
	db_arg_ints(&args, to, n);
	consumer->is_unsettled = true;
	if (db_query(consumer->db, confirm_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not confirm the batch of group %s", consumer->group);
	consumer->is_unsettled = false;
	consumer->has_batch = false;

	for (size_t i = 0; i < consumer->held_len; i++)
		if (consumer->held[i].delivered != consumer->held[i].next_offset)
			consumer->held[i].is_lost = true;
	for (int row = 0; row < db_rows(rows); row++) {
		struct holding *holding = bus_holding(consumer, db_str(rows, row, 0), db_int(rows, row, 1));
		int64_t done = holding->delivered - holding->next_offset;
		holding->is_lost = false;
		holding->next_offset = holding->delivered;
		holding->expires_mono_ms = asked_ms + consumer->options.position_expiry_ms;
		holding->crashes = 0;
		holding->singly = holding->singly > done ? holding->singly - done : 0;
	}
	*out_lost = n - (size_t)db_rows(rows);
	bus_drop_lost(consumer);
	return 0;
}

static void rewind_batch(struct bus_consumer *base)
{
	struct pg_consumer *consumer = (struct pg_consumer *)base;
	for (size_t i = 0; i < consumer->held_len; i++)
		consumer->held[i].delivered = consumer->held[i].next_offset;
	consumer->has_batch = false;
}

static int keep_alive(struct bus_consumer *base, struct err *err)
{
	struct pg_consumer *consumer = (struct pg_consumer *)base;
	if (clock_mono_ms() < consumer->next_upkeep_ms)
		return 0;
	arena_reset(&consumer->arena);
	if (settle(consumer, err) < 0)
		return -1;
	consumer->is_unsettled = true;
	if (bus_upkeep(consumer, !consumer->has_batch, err) < 0)
		return -1;
	consumer->is_unsettled = false;
	return 0;
}

static int behind(struct bus_consumer *base, int64_t *out, struct err *err)
{
	struct pg_consumer *consumer = (struct pg_consumer *)base;
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	arena_reset(&consumer->arena);
	if (settle(consumer, err) < 0)
		return -1;
	db_args_init(&args, &consumer->arena);
	db_arg_text(&args, str_of(consumer->group));
	db_arg_text(&args, str_of(consumer->member));
	consumer->is_unsettled = true;
	if (db_query(consumer->db, behind_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not measure how far group %s is behind", consumer->group);
	consumer->is_unsettled = false;
	*out = db_int(rows, 0, 0);
	return 0;
}

/* After a failure: the connection again, and at once a look at what is still ours. */
static int settle(struct pg_consumer *consumer, struct err *err)
{
	if (!consumer->is_unsettled)
		return 0;
	if (db_recover(consumer->db, err) < 0)
		return -1;
	consumer->next_upkeep_ms = 0;
	consumer->is_unsettled = false;
	return 0;
}

static int fetch(struct pg_consumer *consumer, struct arena *arena, size_t records, size_t bytes, struct bus_record **out,
                 size_t *out_count, struct err *err)
{
	*out_count = 0;
	bus_drop_lost(consumer);

	/* A partition that a crash left behind comes alone, its records one by one, each noted before it is tried. */
	for (size_t i = 0; i < consumer->held_len; i++) {
		struct holding *holding = &consumer->held[i];
		struct db_result *rows CLEANUP(db_result_done) = NULL;
		if (!holding->singly)
			continue;
		if (fetch_rows(consumer, holding, 1, &rows, err) < 0)
			return -1;
		if (!db_rows(rows)) {
			holding->singly = 0;
			continue;
		}
		*out = read_records(consumer, arena, rows, bytes, out_count);
		return record_trying(consumer, holding, err);
	}

	struct db_result *rows CLEANUP(db_result_done) = NULL;
	if (!consumer->held_len)
		return 0;
	if (fetch_rows(consumer, NULL, records, &rows, err) < 0)
		return -1;
	if (db_rows(rows))
		consumer->turn++;
	*out = read_records(consumer, arena, rows, bytes, out_count);
	return 0;
}

/* Of one partition, or of all in an order that moves on by one each time. */
static int fetch_rows(struct pg_consumer *consumer, const struct holding *only, size_t records, struct db_result **out,
                      struct err *err)
{
	size_t count = only ? 1 : consumer->held_len;
	struct str *topics = ARENA_ARRAY(&consumer->arena, struct str, count);
	int64_t *partitions = ARENA_ARRAY(&consumer->arena, int64_t, count), *from = ARENA_ARRAY(&consumer->arena, int64_t, count),
	        *most = ARENA_ARRAY(&consumer->arena, int64_t, count);
	struct db_args args;

	for (size_t i = 0; i < count; i++) {
		const struct holding *holding = only ? only : &consumer->held[(consumer->turn + i) % count];
		topics[i] = str_of(consumer->topics[holding->topic]);
		partitions[i] = holding->partition;
		from[i] = holding->next_offset;
		most[i] = (int64_t)records;
	}
	db_args_init(&args, &consumer->arena);
	db_arg_texts(&args, topics, count);
	db_arg_ints(&args, partitions, count);
	db_arg_ints(&args, from, count);
	db_arg_ints(&args, most, count);
	db_arg_int(&args, (int64_t)records);
	if (db_query(consumer->db, fetch_sql, &args, out, err) < 0)
		return err_prefix(err, "could not poll for group %s", consumer->group);
	return 0;
}

static int record_trying(struct pg_consumer *consumer, struct holding *holding, struct err *err)
{
	struct db_args args;
	int64_t noted;

	db_args_init(&args, &consumer->arena);
	db_arg_text(&args, str_of(consumer->group));
	db_arg_text(&args, str_of(consumer->member));
	db_arg_text(&args, str_of(consumer->topics[holding->topic]));
	db_arg_int(&args, holding->partition);
	db_arg_int(&args, holding->epoch);
	db_arg_int(&args, holding->next_offset);
	if (db_exec(consumer->db, try_sql, &args, &noted, err) < 0)
		return err_prefix(err, "could not note the record that is tried for group %s", consumer->group);
	holding->is_lost = noted == 0;
	return 0;
}

/* Up to `bytes` of values, at least one record; what is left comes with the next poll. */
static struct bus_record *read_records(struct pg_consumer *consumer, struct arena *arena, const struct db_result *rows,
                                       size_t bytes, size_t *out_count)
{
	size_t count = (size_t)db_rows(rows), total = 0, n = 0;
	struct bus_record *records = ARENA_ARRAY(arena, struct bus_record, count + 1);

	for (size_t i = 0; i < count; i++) {
		int row = (int)i;
		struct holding *holding = bus_holding(consumer, db_str(rows, row, 0), db_int(rows, row, 1));
		total += db_str(rows, row, 10).len;
		if (n && total > bytes)
			break;
		records[n] = pg_record(arena, rows, row, consumer->topics[holding->topic]);
		holding->delivered = records[n++].offset + 1;
	}
	*out_count = n;
	return records;
}

/* A turn costs the database the same for one record as for many. What comes after a quiet moment does not wait. */
static void gather(struct pg_consumer *consumer, int wake_fd)
{
	struct pollfd fd = { .fd = wake_fd, .events = POLLIN };
	int64_t wait_ms = consumer->gather_until_ms - clock_mono_ms();

	if (wait_ms > 0)
		poll(&fd, 1, (int)wait_ms);
}

static int wait_for_records(struct pg_consumer *consumer, int64_t until_ms, int wake_fd, bool *out_woken, struct err *err)
{
	bool is_notified = false;
	int64_t now_ms = clock_mono_ms(), wait_ms = until_ms - now_ms;

	if (db_notified(consumer->db, &is_notified, err) < 0)
		return -1;
	if (wait_ms > SCAN_MS)
		wait_ms = SCAN_MS;
	if (consumer->is_lacking && consumer->next_upkeep_ms > now_ms + LACKING_WAIT_MS)
		consumer->next_upkeep_ms = now_ms + LACKING_WAIT_MS;
	if (wait_ms > consumer->next_upkeep_ms - now_ms)
		wait_ms = consumer->next_upkeep_ms - now_ms;
	if (is_notified || wait_ms <= 0)
		return 0;

	struct pollfd fds[] = { { .fd = db_socket(consumer->db), .events = POLLIN }, { .fd = wake_fd, .events = POLLIN } };
	if (poll(fds, ARRAY_LEN(fds), (int)wait_ms) <= 0)
		return 0;
	*out_woken = fds[1].revents != 0;
	return db_notified(consumer->db, &is_notified, err);
}
