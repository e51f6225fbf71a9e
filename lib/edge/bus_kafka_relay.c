/* SPDX-License-Identifier: Apache-2.0
 * The producing side of the kafka engine: unsent rows in order, idempotently, deleted once the brokers have them.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "bus_kafka.h"

#include "base/banned.h"

/* So long a batch may wait for its acknowledgements, less than a relay's lease lasts; then the queue is purged and starts
 * again at the oldest unsent row, with a producer of a new identity: what the old one had on its way may still arrive,
 * as a repeat. */
#define SEND_MS 2500
#define POLL_MS 50

struct kafka_bus {
	struct bus base;
	struct bus_options options;
	struct arena arena; /* of one relay() */
	rd_kafka_t *rk;     /* NULL until first needed, and after a failure */
};

/* What becomes of a row; the opaque of its message. */
struct sending {
	struct kafka_batch *batch;
	int64_t seq;
	rd_kafka_resp_err_t why; /* 0: acknowledged */
	bool is_done;
};

struct kafka_batch {
	struct sending *rows;
	size_t count, waiting;
};

/* The lease's row as in the postgres engine; here nothing rests on it past this look, because rows that two relays send
 * are repeats. */
static const char guard_sql[] =
	"SELECT 1 / count(*) FROM (SELECT FROM lease"
	" WHERE kind = 'relay' AND name = 'outbox' AND owner = $1 AND epoch = $2 FOR SHARE) AS held";
/* Records of a topic that is not installed wait, and hold up nothing. */
static const char unsent_sql[] =
	"SELECT seq, ce_id, tenant_id, topic, key, type, subject, sequence, traceparent, value, created_at FROM outbox"
	" WHERE topic IN (SELECT name FROM bus_topic) ORDER BY seq LIMIT $1";
static const char delete_sql[] = "DELETE FROM outbox WHERE seq = ANY ($1)";

static int producer(struct kafka_bus *bus, struct err *err);
static void drop_producer(struct kafka_bus *bus);
static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque);
static int read_unsent(struct kafka_bus *bus, struct db *db, const char *owner, int64_t epoch, int limit,
                       struct db_result **out, bool *out_lost_lease, struct err *err);
static int send_all(struct kafka_bus *bus, const struct db_result *rows, struct kafka_batch *batch, struct err *err);
static rd_kafka_resp_err_t send_one(struct kafka_bus *bus, const struct db_result *rows, int row, struct sending *sending);
static int delete_sent(struct kafka_bus *bus, struct db *db, const struct kafka_batch *batch, int *out_moved,
                       struct err *err);

struct bus *kafka_bus_open(const struct bus_options *options, struct err *err)
{
	struct kafka_bus *bus = xcalloc(1, sizeof *bus);

	bus->base.ops = &bus_kafka_ops;
	bus->options = *options;
	arena_init(&bus->arena);
	/* Wrong settings are told at the start. */
	if (producer(bus, err) == 0)
		return &bus->base;
	kafka_bus_close(&bus->base);
	return NULL;
}

void kafka_bus_close(struct bus *base)
{
	struct kafka_bus *bus = (struct kafka_bus *)base;

	drop_producer(bus);
	arena_done(&bus->arena);
	free(bus);
}

int kafka_bus_relay(struct bus *base, struct db *relay_db, const char *owner, int64_t epoch, int limit, int *out_moved,
                    bool *out_lost_lease, struct err *err)
{
	struct kafka_bus *bus = (struct kafka_bus *)base;
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct kafka_batch batch = { 0 };

	arena_reset(&bus->arena);
	*out_lost_lease = false;
	*out_moved = 0;
	if (read_unsent(bus, relay_db, owner, epoch, limit, &rows, out_lost_lease, err) < 0)
		return -1;
	if (db_rows(rows) == 0) {
		if (bus->rk)
			rd_kafka_poll(bus->rk, 0);
		return 0;
	}
	if (producer(bus, err) < 0)
		return -1;
	int failed = send_all(bus, rows, &batch, err);
	struct err delete_err = { 0 };
	if (delete_sent(bus, relay_db, &batch, out_moved, &delete_err) < 0) {
		*err = delete_err;
		return -1;
	}
	return failed;
}

/* The order of a partition and no gaps are the idempotent producer's; time-outs are ours. */
static int producer(struct kafka_bus *bus, struct err *err)
{
	if (bus->rk)
		return 0;
	rd_kafka_conf_t *conf = kafka_conf(&bus->options, err);
	if (!conf)
		return -1;
	rd_kafka_conf_set_dr_msg_cb(conf, delivered);
	if (kafka_set(conf, "enable.idempotence", "true", err) < 0 || kafka_set(conf, "acks", "all", err) < 0 ||
	    kafka_set(conf, "partitioner", "murmur2", err) < 0 || kafka_set_int(conf, "linger.ms", 0, err) < 0 ||
	    kafka_set_int(conf, "message.timeout.ms", 0, err) < 0 ||
	    kafka_set_int(conf, "queue.buffering.max.messages", 10000, err) < 0) {
		rd_kafka_conf_destroy(conf);
		return -1;
	}
	bus->rk = kafka_new(RD_KAFKA_PRODUCER, conf, err);
	return bus->rk ? 0 : -1;
}

static void drop_producer(struct kafka_bus *bus)
{
	if (bus->rk)
		rd_kafka_destroy(bus->rk);
	bus->rk = NULL;
}

static int read_unsent(struct kafka_bus *bus, struct db *db, const char *owner, int64_t epoch, int limit,
                       struct db_result **out, bool *out_lost_lease, struct err *err)
{
	struct db_args guard, most;

	db_args_init(&guard, &bus->arena);
	db_arg_text(&guard, str_of(owner));
	db_arg_int(&guard, epoch);
	db_args_init(&most, &bus->arena);
	db_arg_int(&most, limit);
	if (db_begin(db, err) == 0 && db_queue(db, guard_sql, &guard, NULL, err) == 0 &&
	    db_queue(db, unsent_sql, &most, out, err) == 0 && db_commit(db, err) == 0)
		return 0;
	*out_lost_lease = str_eq(str_of(db_sqlstate(db)), STR("22012"));
	db_rollback(db);
	return err_prefix(err, "could not read the outbox");
}

static int send_all(struct kafka_bus *bus, const struct db_result *rows, struct kafka_batch *batch, struct err *err)
{
	int64_t until_ms = clock_mono_ms() + SEND_MS;
	rd_kafka_resp_err_t why = RD_KAFKA_RESP_ERR_NO_ERROR;

	batch->count = (size_t)db_rows(rows);
	batch->rows = ARENA_ARRAY(&bus->arena, struct sending, batch->count);
	for (size_t i = 0; i < batch->count && !why; i++) {
		batch->rows[i] = (struct sending){ .batch = batch, .seq = db_int(rows, (int)i, 0) };
		why = send_one(bus, rows, (int)i, &batch->rows[i]);
	}
	while (batch->waiting && clock_mono_ms() < until_ms && !rd_kafka_fatal_error(bus->rk, NULL, 0))
		rd_kafka_poll(bus->rk, POLL_MS);
	if (!batch->waiting && !why) {
		for (size_t i = 0; i < batch->count && !why; i++)
			why = batch->rows[i].why;
		if (!why)
			return 0;
	}
	/* Nothing may refer to the batch when we return: the purge ends whatever waits. */
	rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(bus->rk, NULL, 0);
	rd_kafka_purge(bus->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	while (batch->waiting)
		rd_kafka_poll(bus->rk, POLL_MS);
	drop_producer(bus);
	for (size_t i = 0; i < batch->count && !why; i++)
		if (batch->rows[i].why != RD_KAFKA_RESP_ERR__PURGE_QUEUE && batch->rows[i].why != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
			why = batch->rows[i].why;
	return kafka_failed(err, fatal ? fatal : why ? why : RD_KAFKA_RESP_ERR__TIMED_OUT, "could not move the outbox");
}

static rd_kafka_resp_err_t send_one(struct kafka_bus *bus, const struct db_result *rows, int row, struct sending *sending)
{
	struct bus_record record = {
		.ce_id = db_uuid(rows, row, 1),
		.tenant = { db_uuid(rows, row, 2) },
		.key = db_str(rows, row, 4),
		.type = db_str(rows, row, 5),
		.subject = db_str(rows, row, 6),
		.sequence = db_int(rows, row, 7),
		.traceparent = db_str(rows, row, 8),
		.value = db_str(rows, row, 9),
		.time_us = db_time(rows, row, 10),
	};
	char *topic_text = str_cstr(&bus->arena, db_str(rows, row, 3));
	struct kafka_name topic = kafka_topic(&bus->options, topic_text);
	rd_kafka_headers_t *headers = kafka_headers(&record);

	/* The client copies nothing: the rows live until the batch is done. Its prototype takes no const. */
	rd_kafka_resp_err_t why = rd_kafka_producev(
		bus->rk, RD_KAFKA_V_TOPIC(topic.text), RD_KAFKA_V_KEY(record.key.at, record.key.len),
		RD_KAFKA_V_VALUE((void *)(uintptr_t)record.value.at, record.value.len), RD_KAFKA_V_HEADERS(headers),
		RD_KAFKA_V_TIMESTAMP(record.time_us / 1000), RD_KAFKA_V_OPAQUE(sending), RD_KAFKA_V_END);
	if (why)
		rd_kafka_headers_destroy(headers);
	else
		sending->batch->waiting++;
	return why;
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	struct sending *sending = message->_private;

	(void)rk;
	(void)opaque;
	sending->why = message->err;
	sending->is_done = true;
	sending->batch->waiting--;
}

static int delete_sent(struct kafka_bus *bus, struct db *db, const struct kafka_batch *batch, int *out_moved,
                       struct err *err)
{
	int64_t *seqs = ARENA_ARRAY(&bus->arena, int64_t, batch->count + 1), rows;
	size_t count = 0;
	struct db_args args;

	for (size_t i = 0; i < batch->count; i++)
		if (batch->rows[i].is_done && !batch->rows[i].why)
			seqs[count++] = batch->rows[i].seq;
	if (!count)
		return 0;
	db_args_init(&args, &bus->arena);
	db_arg_ints(&args, seqs, count);
	if (db_exec(db, delete_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not delete what the brokers have");
	*out_moved = (int)count;
	return 0;
}
