/* SPDX-License-Identifier: Apache-2.0
 * Making topics, and how far groups are behind, as the brokers know it.
 */
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "bus_kafka.h"

#include "base/banned.h"

#define ADMIN_MS 15000
#define ASK_MS 5000
#define LOOK_MS 50
/* The least that makes acks=all mean two brokers, where there are three. */
#define REPLICATION_SAFE 3
#define IN_SYNC_SAFE "2"

/* The groups that have positions, and who is at work on what. */
static const char groups_sql[] =
	"SELECT group_name, topic, partition, CASE WHEN NOT is_clean THEN owner END, coalesce(start_offset, 0) FROM bus_position"
	" ORDER BY group_name, topic, partition";

static int admin(struct kafka_client *client, const struct bus_options *options, struct err *err);
static int make_topic(struct kafka_client *client, const struct bus_options *options, const struct bus_topic *topic, int partitions,
                      struct err *err);
static int wait_for_topic(struct kafka_client *client, const char *name, int partitions, struct err *err);
static int grow_topic(struct kafka_client *client, const char *name, int partitions, struct err *err);
static int topic_result(struct kafka_client *client, const rd_kafka_topic_result_t **results, size_t count, rd_kafka_resp_err_t fine, const char *name,
                        struct err *err);
static rd_kafka_event_t *answer(struct kafka_client *client, rd_kafka_queue_t *queue, const char *what, struct err *err);
static int group_offsets(struct kafka_client *client, const char *group, rd_kafka_topic_partition_list_t *list, struct err *err);
static int measure(struct kafka_client *client, const struct bus_options *options, const struct db_result *rows, int first, int count,
                   struct arena *arena, struct bus_lag *out, struct err *err);

int kafka_make_topics(const struct bus_options *options, int partitions, struct err *err)
{
	struct kafka_client client = { 0 };
	int failed = admin(&client, options, err);

	for (size_t i = 0; i < BUS_TOPICS && !failed; i++)
		failed = make_topic(&client, options, &bus_topics[i], partitions, err);
	for (size_t i = 0; i < BUS_TOPICS && !failed; i++)
		failed = wait_for_topic(&client, kafka_topic(options, bus_topics[i].name).text, partitions, err);
	kafka_done(&client);
	return failed;
}

/* The controller has made it; the broker that is asked next may hear of it a moment later. */
static int wait_for_topic(struct kafka_client *client, const char *name, int partitions, struct err *err)
{
	int64_t until_ms = clock_mono_ms() + ADMIN_MS;
	int have = 0;

	while (kafka_partitions(client, name, &have, err) == 0) {
		if (have >= partitions)
			return 0;
		if (clock_mono_ms() > until_ms)
			return err_set(err, ERR_TEMP, "could not make topic %s: the brokers do not show it", name);
		poll(NULL, 0, LOOK_MS);
	}
	return -1;
}

static int admin(struct kafka_client *client, const struct bus_options *options, struct err *err)
{
	rd_kafka_conf_t *conf = kafka_conf(options, client, err);
	return conf ? kafka_new(client, RD_KAFKA_PRODUCER, conf, err) : -1;
}

static int make_topic(struct kafka_client *client, const struct bus_options *options, const struct bus_topic *topic, int partitions,
                      struct err *err)
{
	struct kafka_name name = kafka_topic(options, topic->name);
	int have, replication = (int)options->kafka.replication, failed = -1;
	char retention[24], why[200] = "";

	if (kafka_partitions(client, name.text, &have, err) < 0)
		return -1;
	if (have)
		return have < partitions ? grow_topic(client, name.text, partitions, err) : 0;

	rd_kafka_NewTopic_t *wanted = rd_kafka_NewTopic_new(name.text, partitions, replication, why, sizeof why);
	if (!wanted)
		return err_set(err, ERR_FATAL, "cannot make topic %s: %s", name.text, why);
	snprintf(retention, sizeof retention, "%lld", topic->retention_hours * 3600000LL);
	rd_kafka_NewTopic_set_config(wanted, "retention.ms", retention);
	if (replication >= REPLICATION_SAFE)
		rd_kafka_NewTopic_set_config(wanted, "min.insync.replicas", IN_SYNC_SAFE);
	rd_kafka_AdminOptions_t *admin_options = rd_kafka_AdminOptions_new(client->rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	rd_kafka_AdminOptions_set_operation_timeout(admin_options, ADMIN_MS, why, sizeof why);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client->rk);
	rd_kafka_CreateTopics(client->rk, &wanted, 1, admin_options, queue);
	rd_kafka_event_t *event = answer(client, queue, name.text, err);
	if (event) {
		size_t count;
		const rd_kafka_topic_result_t **results =
			rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
		/* Two that install at once: one of them is first. */
		failed = topic_result(client, results, count, RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, name.text, err);
		rd_kafka_event_destroy(event);
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(admin_options);
	rd_kafka_NewTopic_destroy(wanted);
	return failed;
}

static int grow_topic(struct kafka_client *client, const char *name, int partitions, struct err *err)
{
	char why[200] = "";
	int failed = -1;
	rd_kafka_NewPartitions_t *wanted = rd_kafka_NewPartitions_new(name, (size_t)partitions, why, sizeof why);

	if (!wanted)
		return err_set(err, ERR_FATAL, "cannot add partitions to topic %s: %s", name, why);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client->rk);
	rd_kafka_CreatePartitions(client->rk, &wanted, 1, NULL, queue);
	rd_kafka_event_t *event = answer(client, queue, name, err);
	if (event) {
		size_t count;
		const rd_kafka_topic_result_t **results =
			rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event), &count);
		failed = topic_result(client, results, count, RD_KAFKA_RESP_ERR_INVALID_PARTITIONS, name, err);
		rd_kafka_event_destroy(event);
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_NewPartitions_destroy(wanted);
	return failed;
}

static int topic_result(struct kafka_client *client, const rd_kafka_topic_result_t **results, size_t count, rd_kafka_resp_err_t fine, const char *name,
                        struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		rd_kafka_resp_err_t why = rd_kafka_topic_result_error(results[i]);
		const char *words = rd_kafka_topic_result_error_string(results[i]);
		if (why == RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR)
			return err_set(err, ERR_FATAL, "cannot make topic %s: %s; see MAILCASE_KAFKA_REPLICATION", name, words);
		if (why && why != fine)
			return kafka_failed(err, client, why, "could not make topic %s", name);
	}
	return 0;
}

/* The only event that comes to the queue; NULL on failure. */
static rd_kafka_event_t *answer(struct kafka_client *client, rd_kafka_queue_t *queue, const char *what, struct err *err)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ADMIN_MS + ASK_MS);
	rd_kafka_resp_err_t why = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;

	if (!why)
		return event;
	kafka_failed(err, client, why, "could not ask the brokers about %s", what);
	if (event)
		rd_kafka_event_destroy(event);
	return NULL;
}

int kafka_partitions(struct kafka_client *client, const char *topic, int *out, struct err *err)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_resp_err_t why = rd_kafka_metadata(client->rk, 1, NULL, &metadata, ASK_MS);

	*out = 0;
	if (why)
		return kafka_failed(err, client, why, "could not ask the brokers about %s", topic);
	/* All topics are asked for: to ask for one makes it, on brokers that are set so. */
	for (int i = 0; i < metadata->topic_cnt; i++)
		if (strcmp(metadata->topics[i].topic, topic) == 0)
			*out = metadata->topics[i].partition_cnt;
	rd_kafka_metadata_destroy(metadata);
	return 0;
}

/* --- lag --------------------------------------------------------------------------------------------------------- */

int kafka_lag(const struct bus_options *options, struct db *db, struct arena *arena, struct bus_lag **out,
              size_t *out_count, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;

	if (db_query(db, groups_sql, NULL, &rows, err) < 0)
		return err_prefix(err, "could not measure the lag");
	int all = db_rows(rows), failed = 0;
	struct bus_lag *lags = ARENA_ARRAY(arena, struct bus_lag, (size_t)all + 1);
	struct kafka_client client = { 0 };
	if (admin(&client, options, err) < 0)
		return -1;
	for (int first = 0; first < all && !failed;) {
		int count = 0;
		while (first + count < all && str_eq(db_str(rows, first + count, 0), db_str(rows, first, 0)))
			count++;
		failed = measure(&client, options, rows, first, count, arena, lags + first, err);
		first += count;
	}
	kafka_done(&client);
	*out = lags;
	*out_count = (size_t)all;
	return failed;
}

/* One group: `count` rows from `first` on. */
static int measure(struct kafka_client *client, const struct bus_options *options, const struct db_result *rows, int first, int count,
                   struct arena *arena, struct bus_lag *out, struct err *err)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
	struct kafka_name group = kafka_group(options, str_cstr(arena, db_str(rows, first, 0)));
	int failed;

	for (int i = 0; i < count; i++) {
		struct kafka_name topic = kafka_topic(options, str_cstr(arena, db_str(rows, first + i, 1)));
		rd_kafka_topic_partition_list_add(list, topic.text, (int32_t)db_int(rows, first + i, 2));
	}
	failed = group_offsets(client, group.text, list, err);
	for (int i = 0; i < count && !failed; i++) {
		const rd_kafka_topic_partition_t *place = &list->elems[i];
		int64_t low = 0, high = 0;
		rd_kafka_resp_err_t why = rd_kafka_query_watermark_offsets(client->rk, place->topic, place->partition, &low, &high, ASK_MS);
		if (why)
			failed = kafka_failed(err, client, why, "could not measure the lag of %s", place->topic);
		int64_t next = place->offset >= 0 ? place->offset : db_int(rows, first + i, 4);
		out[i] = (struct bus_lag){
			.group = str_dup(arena, db_str(rows, first + i, 0)),
			.topic = str_dup(arena, db_str(rows, first + i, 1)),
			.partition = place->partition,
			.next_offset = next > low ? next : low,
			.end_offset = high,
			.owner = str_dup(arena, db_str(rows, first + i, 3)),
		};
		out[i].lag = out[i].end_offset - out[i].next_offset;
	}
	rd_kafka_topic_partition_list_destroy(list);
	return failed;
}

/* The group's committed offsets into the list; below zero where there is none. */
static int group_offsets(struct kafka_client *client, const char *group, rd_kafka_topic_partition_list_t *list, struct err *err)
{
	rd_kafka_ListConsumerGroupOffsets_t *asked = rd_kafka_ListConsumerGroupOffsets_new(group, list);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client->rk);
	int failed = -1;

	rd_kafka_ListConsumerGroupOffsets(client->rk, &asked, 1, NULL, queue);
	rd_kafka_event_t *event = answer(client, queue, group, err);
	if (event) {
		size_t count;
		const rd_kafka_group_result_t **results = rd_kafka_ListConsumerGroupOffsets_result_groups(
			rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
		const rd_kafka_error_t *error = count ? rd_kafka_group_result_error(results[0]) : NULL;
		const rd_kafka_topic_partition_list_t *known = count && !error ? rd_kafka_group_result_partitions(results[0]) : NULL;
		failed = error ? kafka_failed(err, client, rd_kafka_error_code(error), "could not measure the lag of %s", group) : 0;
		for (int i = 0; i < list->cnt; i++) {
			rd_kafka_topic_partition_t *place = &list->elems[i];
			const rd_kafka_topic_partition_t *found =
				known ? rd_kafka_topic_partition_list_find(known, place->topic, place->partition) : NULL;
			place->offset = found ? found->offset : RD_KAFKA_OFFSET_INVALID;
		}
		rd_kafka_event_destroy(event);
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_ListConsumerGroupOffsets_destroy(asked);
	return failed;
}
