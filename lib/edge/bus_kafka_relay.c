/* SPDX-License-Identifier: Apache-2.0
 * The producing side of the kafka engine: unsent rows in order, idempotently, deleted once the brokers have them.
 *
 * What is on its way stays in hand until it is acknowledged, over as many calls as that takes: brokers that are slow or
 * change their leaders get nothing twice, and what goes to others is not held up. Only a failure that would leave a gap, a
 * lease that is another's, or a long silence ends it: everything in hand is forgotten and begins again at the oldest
 * unsent row, with a producer of a new identity. What the old one had on its way may still arrive, as a repeat.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "bus_kafka.h"

#include "base/banned.h"

#define WAIT_MS 1500   /* for acknowledgements, a call: less than a relay's lease lasts */
#define QUIET_MS 50    /* without one more of them, after some: the rest takes longer */
#define POLL_MS 20
#define IN_HAND_MAX 1000
#define SILENCE_MS 20000
#define TOPIC_MS 1000  /* a topic that the brokers do not know by then is not there */
#define BATCH_BYTES 65536 /* brokers may take no more at once than one record of ours */

/* A row on its way; the opaque of its message. */
struct sending {
	struct kafka_bus *bus;
	int64_t seq;
	bool is_done;
	rd_kafka_resp_err_t why; /* once it is done; 0: acknowledged */
};

struct kafka_bus {
	struct bus base;
	struct bus_options options;
	struct arena arena; /* of one call */
	struct kafka_client client; /* no rk until first needed, and after a failure */
	int64_t epoch;              /* of the lease that what is in hand was read under */
	struct sending *in_hand[IN_HAND_MAX];
	size_t count, waiting;
	int64_t heard_mono_ms; /* the last acknowledgement, or the first row after none were waited for */
};

/* A row may come with a seq below those in hand: its transaction took longer. Records of a topic that is not installed
 * wait, and hold up nothing. */
static const char unsent_sql[] =
	"SELECT seq, ce_id, tenant_id, topic, key, type, subject, sequence, traceparent, value, created_at FROM outbox"
	" WHERE seq <> ALL ($2) AND topic IN (SELECT name FROM bus_topic) ORDER BY seq LIMIT $1";
static const char delete_sql[] = "DELETE FROM outbox WHERE seq = ANY ($1)";

static int producer(struct kafka_bus *bus, struct err *err);
static void forget(struct kafka_bus *bus);
static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque);
static int read_unsent(struct kafka_bus *bus, struct db *db, const char *owner, int limit, struct db_result **out,
                       bool *out_lost_lease, struct err *err);
static rd_kafka_resp_err_t send_rows(struct kafka_bus *bus, const struct db_result *rows);
static rd_kafka_resp_err_t send_row(struct kafka_bus *bus, const struct db_result *rows, int row);
static void wait_for_some(struct kafka_bus *bus);
static rd_kafka_resp_err_t failure_of(const struct kafka_bus *bus);
static int delete_sent(struct kafka_bus *bus, struct db *db, const char *owner, int *out_moved, bool *out_lost_lease,
                       struct err *err);
static bool is_sent(const struct sending *sending);

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

	forget(bus);
	arena_done(&bus->arena);
	free(bus);
}

int kafka_bus_relay(struct bus *base, struct db *relay_db, const char *owner, int64_t epoch, int limit, int *out_moved,
                    bool *out_lost_lease, struct err *err)
{
	struct kafka_bus *bus = (struct kafka_bus *)base;
	struct db_result *rows CLEANUP(db_result_done) = NULL;

	arena_reset(&bus->arena);
	*out_lost_lease = false;
	*out_moved = 0;
	if (epoch != bus->epoch)
		forget(bus);
	bus->epoch = epoch;
	if (producer(bus, err) < 0 || read_unsent(bus, relay_db, owner, limit, &rows, out_lost_lease, err) < 0) {
		if (*out_lost_lease)
			forget(bus);
		return -1;
	}
	rd_kafka_resp_err_t why = send_rows(bus, rows);
	wait_for_some(bus);
	if (!why)
		why = failure_of(bus);
	if (delete_sent(bus, relay_db, owner, out_moved, out_lost_lease, err) < 0) {
		if (*out_lost_lease)
			forget(bus);
		return -1;
	}
	if (!why && bus->waiting && clock_mono_ms() - bus->heard_mono_ms >= SILENCE_MS)
		why = RD_KAFKA_RESP_ERR__TIMED_OUT;
	if (why) {
		kafka_failed(err, &bus->client, why, "could not move the outbox");
		forget(bus);
		return -1;
	}
	if (!*out_moved && bus->waiting)
		return kafka_failed(err, &bus->client, RD_KAFKA_RESP_ERR__TIMED_OUT, "could not move the outbox");
	return 0;
}

/* The order of a partition and no gaps are the idempotent producer's; time-outs are ours. */
static int producer(struct kafka_bus *bus, struct err *err)
{
	if (bus->client.rk)
		return 0;
	rd_kafka_conf_t *conf = kafka_conf(&bus->options, &bus->client, err);
	if (!conf)
		return -1;
	rd_kafka_conf_set_dr_msg_cb(conf, delivered);
	/* Without the guarantee a record that is refused is left out, and the next one of its key goes before it. */
	if (kafka_set(conf, "enable.idempotence", "true", err) == 0 &&
	    kafka_set(conf, "enable.gapless.guarantee", "true", err) == 0 && kafka_set(conf, "acks", "all", err) == 0 &&
	    kafka_set(conf, "partitioner", "murmur2", err) == 0 && kafka_set_int(conf, "linger.ms", 0, err) == 0 &&
	    kafka_set_int(conf, "message.timeout.ms", 0, err) == 0 &&
	    kafka_set_int(conf, "batch.size", BATCH_BYTES, err) == 0 &&
	    kafka_set_int(conf, "topic.metadata.propagation.max.ms", TOPIC_MS, err) == 0 &&
	    kafka_set_int(conf, "topic.metadata.refresh.interval.ms", 30000, err) == 0 &&
	    kafka_set_int(conf, "queue.buffering.max.messages", 10000, err) == 0)
		return kafka_new(&bus->client, RD_KAFKA_PRODUCER, conf, err);
	rd_kafka_conf_destroy(conf);
	return -1;
}

/* No message tells of itself once its producer is gone. */
static void forget(struct kafka_bus *bus)
{
	if (bus->client.rk)
		rd_kafka_purge(bus->client.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
	kafka_done(&bus->client);
	for (size_t i = 0; i < bus->count; i++)
		free(bus->in_hand[i]);
	bus->count = bus->waiting = 0;
}

static int read_unsent(struct kafka_bus *bus, struct db *db, const char *owner, int limit, struct db_result **out,
                       bool *out_lost_lease, struct err *err)
{
	struct db_args most;
	int64_t *seqs = ARENA_ARRAY(&bus->arena, int64_t, bus->count + 1);
	size_t room = IN_HAND_MAX - bus->count;

	for (size_t i = 0; i < bus->count; i++)
		seqs[i] = bus->in_hand[i]->seq;
	db_args_init(&most, &bus->arena);
	db_arg_int(&most, (size_t)limit < room ? limit : (int64_t)room);
	db_arg_ints(&most, seqs, bus->count);
	if (bus_begin_as_relay(db, &bus->arena, owner, bus->epoch, err) == 0 &&
	    db_queue(db, unsent_sql, &most, out, err) == 0 && db_commit(db, err) == 0)
		return 0;
	*out_lost_lease = bus_roll_back_as_relay(db);
	return err_prefix(err, "could not read the outbox");
}

static rd_kafka_resp_err_t send_rows(struct kafka_bus *bus, const struct db_result *rows)
{
	rd_kafka_resp_err_t why = RD_KAFKA_RESP_ERR_NO_ERROR;

	if (!bus->waiting)
		bus->heard_mono_ms = clock_mono_ms();
	for (int row = 0; row < db_rows(rows) && !why; row++)
		why = send_row(bus, rows, row);
	return why;
}

static rd_kafka_resp_err_t send_row(struct kafka_bus *bus, const struct db_result *rows, int row)
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
	struct kafka_name topic = kafka_topic(&bus->options, str_cstr(&bus->arena, db_str(rows, row, 3)));
	rd_kafka_headers_t *headers = kafka_headers(&record);
	struct sending *sending = xcalloc(1, sizeof *sending);

	*sending = (struct sending){ .bus = bus, .seq = db_int(rows, row, 0) };
	/* The client copies key and value; its prototype takes no const. */
	rd_kafka_resp_err_t why = rd_kafka_producev(
		bus->client.rk, RD_KAFKA_V_TOPIC(topic.text), RD_KAFKA_V_KEY(record.key.at, record.key.len),
		RD_KAFKA_V_VALUE((void *)(uintptr_t)record.value.at, record.value.len), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
		RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_TIMESTAMP(record.time_us / 1000), RD_KAFKA_V_OPAQUE(sending),
		RD_KAFKA_V_END);
	if (why) {
		rd_kafka_headers_destroy(headers);
		free(sending);
		return why;
	}
	bus->in_hand[bus->count++] = sending;
	bus->waiting++;
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	struct sending *sending = message->_private;

	(void)rk;
	(void)opaque;
	sending->why = message->err;
	sending->is_done = true;
	sending->bus->waiting--;
	sending->bus->heard_mono_ms = clock_mono_ms();
}

static void wait_for_some(struct kafka_bus *bus)
{
	size_t had = bus->waiting;
	int64_t until_ms = clock_mono_ms() + WAIT_MS, now_ms;

	rd_kafka_poll(bus->client.rk, 0);
	while (bus->waiting && (now_ms = clock_mono_ms()) < until_ms && !rd_kafka_fatal_error(bus->client.rk, NULL, 0) &&
	       (bus->waiting == had || now_ms - bus->heard_mono_ms < QUIET_MS))
		rd_kafka_poll(bus->client.rk, POLL_MS);
}

/* Why a row that is done is not there, or why no more can be sent. */
static rd_kafka_resp_err_t failure_of(const struct kafka_bus *bus)
{
	for (size_t i = 0; i < bus->count; i++)
		if (bus->in_hand[i]->why)
			return bus->in_hand[i]->why;
	return rd_kafka_fatal_error(bus->client.rk, NULL, 0);
}

/* What was acknowledged stays in hand until its row is gone, or it would be sent again. Rows that two relays send are
 * repeats; but only who has the lease deletes them: another may have moved the bus to the other engine meanwhile, where
 * they are still to go. */
static int delete_sent(struct kafka_bus *bus, struct db *db, const char *owner, int *out_moved, bool *out_lost_lease,
                       struct err *err)
{
	int64_t *seqs = ARENA_ARRAY(&bus->arena, int64_t, bus->count + 1);
	size_t kept = 0, sent = 0;
	struct db_args args;

	for (size_t i = 0; i < bus->count; i++)
		if (is_sent(bus->in_hand[i]))
			seqs[sent++] = bus->in_hand[i]->seq;
	if (!sent)
		return 0;
	db_args_init(&args, &bus->arena);
	db_arg_ints(&args, seqs, sent);
	if (bus_begin_as_relay(db, &bus->arena, owner, bus->epoch, err) < 0 ||
	    db_queue(db, delete_sql, &args, NULL, err) < 0 || db_commit(db, err) < 0) {
		*out_lost_lease = bus_roll_back_as_relay(db);
		return err_prefix(err, "could not delete what the brokers have");
	}
	for (size_t i = 0; i < bus->count; i++) {
		if (is_sent(bus->in_hand[i]))
			free(bus->in_hand[i]);
		else
			bus->in_hand[kept++] = bus->in_hand[i];
	}
	bus->count = kept;
	bus->client.met = RD_KAFKA_RESP_ERR_NO_ERROR;
	*out_moved = (int)sent;
	return 0;
}

static bool is_sent(const struct sending *sending)
{
	return sending->is_done && !sending->why;
}
