/* SPDX-License-Identifier: Apache-2.0
 * Reading a topic of the kafka engine without a group: assigned by hand, nothing committed.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "bus_kafka.h"

#include "base/banned.h"

#define ASK_MS 5000
#define SILENCE_MS 10000

struct kafka_reader {
	struct bus_reader base;
	struct kafka_client client;
	const char *topic;
	struct kafka_name name;
	int64_t *ends; /* by partition: what was the end at the beginning; -1: reached */
	int partitions, open;
};

static int assign_all(struct kafka_reader *reader, struct err *err);

struct bus_reader *kafka_reader_open(const struct bus_options *options, const char *topic, struct err *err)
{
	struct kafka_reader *reader = xcalloc(1, sizeof *reader);
	struct kafka_name group = kafka_group(options, "reader");
	rd_kafka_conf_t *conf = kafka_conf(options, &reader->client, err);

	reader->base.ops = &bus_kafka_ops;
	reader->topic = topic;
	reader->name = kafka_topic(options, topic);
	/* The client wants a group's name even where none is joined. */
	if (conf && (kafka_set(conf, "group.id", group.text, err) < 0 ||
	             kafka_set(conf, "enable.auto.commit", "false", err) < 0 ||
	             kafka_set(conf, "enable.partition.eof", "true", err) < 0 ||
	             kafka_set(conf, "auto.offset.reset", "earliest", err) < 0)) {
		rd_kafka_conf_destroy(conf);
		conf = NULL;
	}
	if (conf && kafka_new(&reader->client, RD_KAFKA_CONSUMER, conf, err) == 0 && assign_all(reader, err) == 0)
		return &reader->base;
	kafka_reader_close(&reader->base);
	return NULL;
}

void kafka_reader_close(struct bus_reader *base)
{
	struct kafka_reader *reader = (struct kafka_reader *)base;

	if (reader->client.rk)
		rd_kafka_consumer_close(reader->client.rk);
	kafka_done(&reader->client);
	free(reader->ends);
	free(reader);
}

static int assign_all(struct kafka_reader *reader, struct err *err)
{
	rd_kafka_resp_err_t why = RD_KAFKA_RESP_ERR_NO_ERROR;

	if (kafka_partitions(&reader->client, reader->name.text, &reader->partitions, err) < 0)
		return -1;
	if (!reader->partitions)
		return kafka_failed(err, &reader->client, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, "could not read topic %s", reader->name.text);
	reader->ends = xcalloc((size_t)reader->partitions, sizeof *reader->ends);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(reader->partitions);
	for (int32_t i = 0; i < reader->partitions && !why; i++) {
		int64_t low, high;
		why = rd_kafka_query_watermark_offsets(reader->client.rk, reader->name.text, i, &low, &high, ASK_MS);
		reader->ends[i] = high > low ? high : -1;
		if (why || high <= low)
			continue;
		reader->open++;
		rd_kafka_topic_partition_list_add(list, reader->name.text, i)->offset = low;
	}
	if (!why)
		why = rd_kafka_assign(reader->client.rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	return why ? kafka_failed(err, &reader->client, why, "could not read topic %s", reader->name.text) : 0;
}

int kafka_reader_next(struct bus_reader *base, struct arena *arena, size_t limit, struct bus_record **out,
                      size_t *out_count, struct err *err)
{
	struct kafka_reader *reader = (struct kafka_reader *)base;
	struct bus_record *records = ARENA_ARRAY(arena, struct bus_record, limit + 1);
	int64_t until_ms = clock_mono_ms() + SILENCE_MS;
	size_t count = 0;

	while (reader->open && count < limit) {
		rd_kafka_message_t *message = rd_kafka_consumer_poll(reader->client.rk, count ? 0 : 100);
		if (!message && count)
			break;
		if (!message) {
			if (clock_mono_ms() > until_ms)
				return kafka_failed(err, &reader->client, RD_KAFKA_RESP_ERR__TIMED_OUT, "could not read topic %s", reader->name.text);
			continue;
		}
		rd_kafka_resp_err_t why = message->err;
		int64_t *end = message->partition >= 0 && message->partition < reader->partitions ? &reader->ends[message->partition] : NULL;
		if (!why && end && *end >= 0 && message->offset < *end)
			records[count++] = kafka_record(arena, message, reader->topic);
		/* Past the end as it was, or at the end as it is: the last offsets may hold no record. */
		if (end && *end >= 0 && ((!why && message->offset + 1 >= *end) || why == RD_KAFKA_RESP_ERR__PARTITION_EOF)) {
			*end = -1;
			reader->open--;
		}
		rd_kafka_message_destroy(message);
		if (why && why != RD_KAFKA_RESP_ERR__PARTITION_EOF && why != RD_KAFKA_RESP_ERR__TRANSPORT &&
		    why != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
			return kafka_failed(err, &reader->client, why, "could not read topic %s", reader->name.text);
	}
	*out = records;
	*out_count = count;
	return 0;
}
