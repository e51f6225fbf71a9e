/* SPDX-License-Identifier: Apache-2.0
 * A member of a group: joining and leaving, what is due besides records, offsets, and partitions that change hands.
 *
 * Partitions change hands in the rebalance callback, which runs only while we poll. Nothing here waits for the brokers
 * without an end: who is told to stop while they are away stops all the same.
 */
#include "base/clock.h"
#include "base/log.h"
#include "bus_kafka_consumer.h"

#include "base/banned.h"

#define PROBE_MS 2000 /* between questions to brokers that are silent */
#define PROBE_ANSWER_MS 500
#define RECOMMIT_MS 500
/* With brokers that answer it is a matter of milliseconds; whoever waits for others is killed for being late. */
#define LEAVE_MS 3000
#define LEAVE_SILENT_MS 500
#define LEAVE_LOOK_MS 50

static int join(struct kafka_consumer *consumer, struct err *err);
static void retake(struct kafka_consumer *consumer);
static int probe(struct kafka_consumer *consumer, struct err *err);
static bool is_over(struct kafka_consumer *consumer);
static bool has_topics(struct kafka_consumer *consumer);
static void stray(struct kafka_consumer *consumer, const rd_kafka_message_t *message);
static rd_kafka_topic_partition_list_t *uncommitted(struct kafka_consumer *consumer);
static void committed(rd_kafka_t *rk, rd_kafka_resp_err_t why, rd_kafka_topic_partition_list_t *list, void *opaque);
static void rebalanced(rd_kafka_t *rk, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t *list, void *opaque);
static void troubled(rd_kafka_t *rk, int why, const char *reason, void *opaque);
static void hand_over(struct kafka_consumer *consumer);

/* --- joining and leaving ----------------------------------------------------------------------------------------- */

/* Small queues: what waits here is read again by others when we die. */
int kafka_member(struct kafka_consumer *consumer, struct err *err)
{
	int64_t session_ms = consumer->options.kafka.session_ms;
	struct kafka_name group = kafka_group(&consumer->options, consumer->group);

	consumer->client.owner = consumer;
	rd_kafka_conf_t *conf = kafka_conf(&consumer->options, &consumer->client, err);
	if (!conf)
		return -1;
	rd_kafka_conf_set_rebalance_cb(conf, rebalanced);
	rd_kafka_conf_set_error_cb(conf, troubled);
	/* An offset that the brokers do not have is an error, so that it is seen and read from the oldest record on: the
	 * client would do that without a word, and what it brings would look like repeats. */
	if (kafka_set(conf, "group.id", group.text, err) == 0 &&
	    kafka_set(conf, "partition.assignment.strategy", "range", err) == 0 &&
	    kafka_set(conf, "enable.auto.commit", "false", err) == 0 &&
	    kafka_set(conf, "enable.auto.offset.store", "false", err) == 0 &&
	    kafka_set(conf, "auto.offset.reset", "error", err) == 0 &&
	    kafka_set_int(conf, "session.timeout.ms", session_ms, err) == 0 &&
	    kafka_set_int(conf, "heartbeat.interval.ms", session_ms < 9000 ? session_ms / 3 : 3000, err) == 0 &&
	    kafka_set_int(conf, "fetch.error.backoff.ms", 100, err) == 0 &&
	    kafka_set_int(conf, "queued.min.messages", 1000, err) == 0 &&
	    kafka_set_int(conf, "queued.max.messages.kbytes", 8192, err) == 0 &&
	    kafka_set_int(conf, "topic.metadata.refresh.interval.ms", 30000, err) == 0)
		return kafka_new(&consumer->client, RD_KAFKA_CONSUMER, conf, err);
	rd_kafka_conf_destroy(conf);
	return -1;
}

/* The revocation that closing causes hands over in order. A client that waits for brokers is left behind: it belongs to a
 * process that ends. */
void kafka_leave(struct kafka_consumer *consumer)
{
	rd_kafka_t *rk = consumer->client.rk;
	int64_t until_ms = clock_mono_ms() + (kafka_is_silence(consumer->hindrance) ? LEAVE_SILENT_MS : LEAVE_MS);
	rd_kafka_message_t *message;

	/* Nothing more is fetched, and what was is gone: the queue that closing is told by takes no records. */
	hand_over(consumer);
	rd_kafka_assign(rk, NULL);
	while ((message = rd_kafka_consumer_poll(rk, 0)))
		rd_kafka_message_destroy(message);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_error_t *error = rd_kafka_consumer_close_queue(rk, queue);

	rd_kafka_queue_io_event_enable(consumer->queue, -1, NULL, 0);
	/* As events, of which only the revocation is of interest: a record that was on its way is none for a callback. */
	while (!error && !rd_kafka_consumer_closed(rk) && clock_mono_ms() < until_ms) {
		rd_kafka_event_t *event = rd_kafka_queue_poll(queue, LEAVE_LOOK_MS);
		if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE)
			rebalanced(rk, rd_kafka_event_error(event), rd_kafka_event_topic_partition_list(event), &consumer->client);
		if (event)
			rd_kafka_event_destroy(event);
	}
	if (!error && !rd_kafka_consumer_closed(rk)) {
		log_warn("bus.not_left", LOG_TEXT("group", consumer->group), LOG_TEXT("error", "the brokers do not answer"), LOG_END);
		return;
	}
	if (error)
		rd_kafka_error_destroy(error);
	rd_kafka_queue_destroy(queue);
	rd_kafka_queue_destroy(consumer->queue);
	rd_kafka_queue_destroy(consumer->answers);
	kafka_done(&consumer->client);
}

static int join(struct kafka_consumer *consumer, struct err *err)
{
	if (kafka_register(consumer, err) < 0) {
		consumer->is_db_unsettled = true;
		return -1;
	}
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(consumer->topics_len);
	for (int i = 0; i < consumer->topics_len; i++)
		rd_kafka_topic_partition_list_add(list, kafka_topic(&consumer->options, consumer->topics[i]).text,
		                                  RD_KAFKA_PARTITION_UA);
	rd_kafka_resp_err_t why = rd_kafka_subscribe(consumer->client.rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (why)
		return kafka_failed(err, &consumer->client, why, "could not join group %s", consumer->group);
	consumer->is_joined = true;
	return 0;
}

/* --- what is due besides records --------------------------------------------------------------------------------- */

int kafka_upkeep(struct kafka_consumer *consumer, struct err *err)
{
	int64_t now_ms = clock_mono_ms();

	kafka_drop_lost(consumer);
	if (kafka_settle_db(consumer, err) < 0 || (!consumer->is_joined && join(consumer, err) < 0))
		return -1;
	if (consumer->hindrance && probe(consumer, err) < 0)
		return -1;
	if (consumer->must_retake)
		retake(consumer);
	if (consumer->dealt && kafka_take(consumer, err) < 0) {
		consumer->is_db_unsettled = true;
		return -1;
	}
	if (now_ms < consumer->next_upkeep_ms)
		return 0;
	consumer->next_upkeep_ms = now_ms + RECOMMIT_MS;
	kafka_commit(consumer);
	return 0;
}

int kafka_settle_db(struct kafka_consumer *consumer, struct err *err)
{
	if (!consumer->is_db_unsettled)
		return 0;
	if (db_recover(consumer->db, err) < 0)
		return -1;
	consumer->is_db_unsettled = false;
	return 0;
}

/* All that the client has, as if the group had dealt it now. */
static void retake(struct kafka_consumer *consumer)
{
	rd_kafka_topic_partition_list_t *list = NULL;

	consumer->must_retake = false;
	/* A new deal says more than the old one. */
	if (consumer->dealt || rd_kafka_assignment(consumer->client.rk, &list) || !list)
		return;
	hand_over(consumer);
	if (list->cnt)
		consumer->dealt = list;
	else
		rd_kafka_topic_partition_list_destroy(list);
}

/* The client says once what is wrong, and not that it is well again. */
static int probe(struct kafka_consumer *consumer, struct err *err)
{
	int64_t now_ms = clock_mono_ms();

	if (now_ms >= consumer->next_probe_ms && is_over(consumer)) {
		/* What it may read now it has stopped asking for. */
		consumer->must_retake |= consumer->hindrance == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
		consumer->hindrance = consumer->client.met = RD_KAFKA_RESP_ERR_NO_ERROR;
		return 0;
	}
	if (now_ms >= consumer->next_probe_ms)
		consumer->next_probe_ms = clock_mono_ms() + PROBE_MS;
	return kafka_failed(err, &consumer->client, consumer->hindrance, "could not read for group %s", consumer->group);
}

static bool is_over(struct kafka_consumer *consumer)
{
	const struct rd_kafka_metadata *metadata = NULL;

	switch (consumer->hindrance) {
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
	case RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT:
	case RD_KAFKA_RESP_ERR_GROUP_MAX_SIZE_REACHED:
		return false; /* until the group deals to us */
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		return has_topics(consumer);
	default:
		if (rd_kafka_metadata(consumer->client.rk, 0, NULL, &metadata, PROBE_ANSWER_MS))
			return false;
		rd_kafka_metadata_destroy(metadata);
		return true;
	}
}

/* Those that the brokers let us know of. */
static bool has_topics(struct kafka_consumer *consumer)
{
	struct err ignored = { 0 };
	int partitions = 1;

	for (int i = 0; i < consumer->topics_len && partitions; i++)
		if (kafka_partitions(&consumer->client, kafka_topic(&consumer->options, consumer->topics[i]).text, &partitions,
		                     &ignored) < 0)
			return false;
	return partitions > 0;
}

int kafka_hindered(struct kafka_consumer *consumer, const rd_kafka_message_t *message, struct err *err)
{
	rd_kafka_resp_err_t why = message->err;

	if (why == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
		stray(consumer, message);
		return 0;
	}
	if (why == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED) {
		log_warn("bus.poll_overdue", LOG_TEXT("group", consumer->group), LOG_END);
		return 0;
	}
	consumer->hindrance = why;
	/* Silent brokers are probed for at once. */
	if (kafka_is_silence(why))
		return 0;
	consumer->next_probe_ms = clock_mono_ms() + PROBE_MS;
	return kafka_failed(err, &consumer->client, why, "could not read for group %s", consumer->group);
}

/* The log was cut past our offset, or it ends before it: the topic was made anew, or a broker has lost its end. */
static void stray(struct kafka_consumer *consumer, const rd_kafka_message_t *message)
{
	if (!message->rkt)
		return;
	if (!consumer->astray)
		consumer->astray = rd_kafka_topic_partition_list_new(1);
	const char *topic = rd_kafka_topic_name(message->rkt);
	if (!rd_kafka_topic_partition_list_find(consumer->astray, topic, message->partition))
		rd_kafka_topic_partition_list_add(consumer->astray, topic, message->partition);
	consumer->must_retake = true;
}

static void troubled(rd_kafka_t *rk, int why, const char *reason, void *opaque)
{
	struct kafka_client *client = opaque;
	struct kafka_consumer *consumer = client->owner;

	(void)rk;
	kafka_met(client, why, reason);
	/* One of several, or the only one: the probe tells. */
	if (!consumer->hindrance && kafka_is_silence(why))
		consumer->hindrance = why;
	log_warn("bus.broker_trouble", LOG_TEXT("group", consumer->group), LOG_TEXT("text", reason), LOG_END);
}

/* --- offsets ----------------------------------------------------------------------------------------------------- */

void kafka_commit(struct kafka_consumer *consumer)
{
	rd_kafka_queue_poll_callback(consumer->answers, 0);
	if (consumer->is_committing)
		return;
	rd_kafka_topic_partition_list_t *list = uncommitted(consumer);
	if (list->cnt) {
		consumer->is_committing = true;
		rd_kafka_resp_err_t why = rd_kafka_commit_queue(consumer->client.rk, list, consumer->answers, committed, consumer);
		if (why)
			committed(consumer->client.rk, why, list, consumer);
	}
	rd_kafka_topic_partition_list_destroy(list);
}

void kafka_commit_wait(struct kafka_consumer *consumer)
{
	int64_t until_ms = clock_mono_ms() + KAFKA_COMMIT_MS, left_ms;

	/* What was on its way, then what was confirmed since. */
	for (int i = 0; i < 2; i++) {
		kafka_commit(consumer);
		while (consumer->is_committing && (left_ms = until_ms - clock_mono_ms()) > 0)
			rd_kafka_queue_poll_callback(consumer->answers, (int)left_ms);
	}
}

/* What the brokers have not been told yet; from now on they have, unless committed() says that they refused. */
static rd_kafka_topic_partition_list_t *uncommitted(struct kafka_consumer *consumer)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)consumer->parts_len + 1);

	for (size_t i = 0; i < consumer->parts_len; i++) {
		struct part *part = &consumer->parts[i];
		struct kafka_name topic = kafka_topic(&consumer->options, consumer->topics[part->topic]);
		if (!part->is_uncommitted || part->is_lost)
			continue;
		rd_kafka_topic_partition_list_add(list, topic.text, part->partition)->offset = part->next_offset;
		part->is_uncommitted = false;
	}
	return list;
}

static void committed(rd_kafka_t *rk, rd_kafka_resp_err_t why, rd_kafka_topic_partition_list_t *list, void *opaque)
{
	struct kafka_consumer *consumer = opaque;

	(void)rk;
	consumer->is_committing = false;
	for (int i = 0; list && i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *place = &list->elems[i];
		struct part *part = kafka_part(consumer, kafka_topic_index(consumer, place->topic), place->partition);
		if (part && (why || place->err))
			part->is_uncommitted = true;
	}
	if (why && why != RD_KAFKA_RESP_ERR__NO_OFFSET)
		log_debug("bus.commit_refused", LOG_TEXT("group", consumer->group), LOG_TEXT("text", rd_kafka_err2name(why)), LOG_END);
}

/* --- partitions change hands ------------------------------------------------------------------------------------- */

/* What is dealt is only noted: taking it asks the database and the brokers, and may fail and be tried again. */
static void rebalanced(rd_kafka_t *rk, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t *list, void *opaque)
{
	struct kafka_consumer *consumer = ((struct kafka_client *)opaque)->owner;

	if (consumer->dealt)
		rd_kafka_topic_partition_list_destroy(consumer->dealt);
	consumer->dealt = NULL;
	if (what != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
		/* Lost, not asked back: no heartbeat came through. */
		if (rd_kafka_assignment_lost(rk) && !consumer->hindrance)
			consumer->hindrance = RD_KAFKA_RESP_ERR__TIMED_OUT;
		hand_over(consumer);
		rd_kafka_assign(rk, NULL);
		return;
	}
	rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(1);
	rd_kafka_assign(rk, none);
	rd_kafka_topic_partition_list_destroy(none);
	if (list->cnt)
		consumer->dealt = rd_kafka_topic_partition_list_copy(list);
	/* Whatever the group had against us. */
	if (!kafka_is_silence(consumer->hindrance))
		consumer->hindrance = RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* The offsets first, so that the next owner begins where we end; then our rows. A batch in hand stays a batch whose
 * partitions are lost. */
static void hand_over(struct kafka_consumer *consumer)
{
	struct err err = { 0 };

	/* The client would remember it of a partition that comes back to us. */
	if (consumer->is_paused)
		kafka_pause(consumer, false);
	if (!consumer->parts_len)
		return;
	arena_reset(&consumer->arena);
	if (!kafka_is_silence(consumer->hindrance) && !rd_kafka_assignment_lost(consumer->client.rk))
		kafka_commit_wait(consumer);
	if (!consumer->is_leaving && (kafka_settle_db(consumer, &err) < 0 || kafka_release(consumer, &err) < 0)) {
		consumer->is_db_unsettled = true;
		log_warn("bus.not_left", LOG_TEXT("group", consumer->group), LOG_ERR(&err), LOG_END);
	}
	log_info("bus.gave_up", LOG_TEXT("group", consumer->group), LOG_INT("partitions", consumer->parts_len), LOG_END);
	for (size_t i = 0; i < consumer->parts_len; i++)
		consumer->parts[i].is_lost = true;
	if (!consumer->has_batch)
		kafka_drop_lost(consumer);
}
