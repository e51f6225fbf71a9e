/* SPDX-License-Identifier: Apache-2.0
 * The brokers deal the partitions and know the offsets; these rows tell the next owner whether the last one died with
 * records in hand.
 */
#include "base/log.h"
#include "bus_kafka_consumer.h"

#include "base/banned.h"

#define ASK_MS 5000

static const char known_sql[] =
	"SELECT t FROM unnest($2::text[]) AS w (t) WHERE NOT EXISTS (SELECT FROM bus_position g WHERE g.group_name = $1"
	" AND g.topic = w.t)";
/* On the other engine it begins at the end as well. */
static const char register_sql[] =
	"INSERT INTO bus_position (group_name, topic, partition, next_offset, start_offset)"
	" SELECT $1, $2, n.partition, coalesce(p.next_offset, 0), n.start_offset"
	" FROM unnest($3::int8[], $4::int8[]) AS n (partition, start_offset)"
	" LEFT JOIN bus_partition p ON p.topic = $2 AND p.partition = n.partition ON CONFLICT DO NOTHING";
/* A partition that came later is read from its start, on both engines. */
static const char add_sql[] =
	"INSERT INTO bus_position (group_name, topic, partition) SELECT $1, n.topic, n.partition"
	" FROM unnest($2::text[], $3::int8[]) AS n (topic, partition) ON CONFLICT DO NOTHING";
static const char starts_sql[] =
	"SELECT n.place, g.start_offset FROM unnest($2::text[], $3::int8[]) WITH ORDINALITY AS n (topic, partition, place)"
	" JOIN bus_position g ON g.group_name = $1 AND g.topic = n.topic AND g.partition = n.partition"
	" WHERE g.start_offset IS NOT NULL";
/* Unclean: whoever had it died with records in hand. Its crashes count at one offset, that of the record that it was
 * trying alone and had not confirmed. Who died before it tried anything does not count. */
static const char take_sql[] =
	"UPDATE bus_position g SET owner = $2, epoch = epoch + 1, is_clean = false, expires = NULL,"
	" crashes = CASE WHEN is_clean THEN 0 WHEN trying >= n.next_offset THEN crashes + 1 ELSE greatest(crashes, 1) END,"
	" trying = CASE WHEN NOT is_clean AND trying >= n.next_offset THEN trying END"
	" FROM unnest($3::text[], $4::int8[], $5::int8[]) WITH ORDINALITY AS n (topic, partition, next_offset, place)"
	" WHERE g.group_name = $1 AND g.topic = n.topic AND g.partition = n.partition"
	" RETURNING n.place, g.epoch, g.crashes, coalesce(g.trying, -1)";
static const char release_sql[] =
	"UPDATE bus_position g SET owner = NULL, trying = NULL, is_clean = mine.is_clean"
	" FROM unnest($3::text[], $4::int8[], $5::int8[], $6::bool[]) AS mine (topic, partition, epoch, is_clean)"
	" WHERE g.group_name = $1 AND g.topic = mine.topic AND g.partition = mine.partition AND g.owner = $2"
	" AND g.epoch = mine.epoch";
static const char trying_sql[] =
	"UPDATE bus_position SET trying = $6 WHERE group_name = $1 AND owner = $2 AND topic = $3 AND partition = $4 AND epoch = $5";
static const char handled_sql[] =
	"UPDATE bus_position SET trying = NULL, crashes = 0"
	" WHERE group_name = $1 AND owner = $2 AND topic = $3 AND partition = $4 AND epoch = $5";

static int register_topic(struct kafka_consumer *consumer, const char *topic, struct err *err);
static int find_offsets(struct kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list, struct err *err);
static int find_oldest(struct kafka_consumer *consumer, rd_kafka_topic_partition_t *place, struct err *err);
static void place_args(struct kafka_consumer *consumer, const rd_kafka_topic_partition_list_t *list, struct db_args *args);
static int note(struct kafka_consumer *consumer, struct part *part, const char *sql, const struct db_args *args,
                const char *what, struct err *err);
static void part_args(struct kafka_consumer *consumer, const struct part *part, struct db_args *args);
static void keep_part(struct kafka_consumer *consumer, const struct part *part);

int kafka_register(struct kafka_consumer *consumer, struct err *err)
{
	struct db_result *unknown CLEANUP(db_result_done) = NULL;
	struct db_args args;
	struct str *names = ARENA_ARRAY(&consumer->arena, struct str, (size_t)consumer->topics_len);

	for (int i = 0; i < consumer->topics_len; i++)
		names[i] = str_of(consumer->topics[i]);
	db_args_init(&args, &consumer->arena);
	db_arg_text(&args, str_of(consumer->group));
	db_arg_texts(&args, names, (size_t)consumer->topics_len);
	if (db_query(consumer->db, known_sql, &args, &unknown, err) < 0)
		return err_prefix(err, "could not join group %s", consumer->group);
	for (int row = 0; row < db_rows(unknown); row++)
		if (register_topic(consumer, str_cstr(&consumer->arena, db_str(unknown, row, 0)), err) < 0)
			return -1;
	return 0;
}

static int register_topic(struct kafka_consumer *consumer, const char *topic, struct err *err)
{
	struct kafka_name name = kafka_topic(&consumer->options, topic);
	struct db_args args;
	int count;
	int64_t rows;

	if (kafka_partitions(&consumer->client, name.text, &count, err) < 0)
		return -1;
	if (!count)
		return kafka_failed(err, &consumer->client, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, "could not join group %s", consumer->group);
	int64_t *partitions = ARENA_ARRAY(&consumer->arena, int64_t, (size_t)count),
	        *starts = ARENA_ARRAY(&consumer->arena, int64_t, (size_t)count);
	for (int i = 0; i < count; i++) {
		int64_t low;
		partitions[i] = i;
		rd_kafka_resp_err_t why = rd_kafka_query_watermark_offsets(consumer->client.rk, name.text, i, &low, &starts[i], ASK_MS);
		if (why)
			return kafka_failed(err, &consumer->client, why, "could not join group %s", consumer->group);
	}
	db_args_init(&args, &consumer->arena);
	db_arg_text(&args, str_of(consumer->group));
	db_arg_text(&args, str_of(topic));
	db_arg_ints(&args, partitions, (size_t)count);
	db_arg_ints(&args, starts, (size_t)count);
	if (db_exec(consumer->db, register_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not join group %s", consumer->group);
	return 0;
}

int kafka_take(struct kafka_consumer *consumer, struct err *err)
{
	rd_kafka_topic_partition_list_t *dealt = consumer->dealt;
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;
	int unclean = 0;

	if (find_offsets(consumer, dealt, err) < 0)
		return -1;
	int64_t *offsets = ARENA_ARRAY(&consumer->arena, int64_t, (size_t)dealt->cnt + 1);
	for (int i = 0; i < dealt->cnt; i++)
		offsets[i] = dealt->elems[i].offset;
	db_args_init(&args, &consumer->arena);
	db_arg_text(&args, str_of(consumer->group));
	db_arg_text(&args, str_of(consumer->member));
	place_args(consumer, dealt, &args);
	db_arg_ints(&args, offsets, (size_t)dealt->cnt);
	if (db_query(consumer->db, take_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not take partitions of group %s", consumer->group);
	rd_kafka_resp_err_t why = rd_kafka_assign(consumer->client.rk, dealt);
	if (why)
		return kafka_failed(err, &consumer->client, why, "could not take partitions of group %s", consumer->group);
	for (int row = 0; row < db_rows(rows); row++) {
		const rd_kafka_topic_partition_t *given = &dealt->elems[db_int(rows, row, 0) - 1];
		int crashes = (int)db_int(rows, row, 2);
		keep_part(consumer, &(struct part){
		                        .topic = kafka_topic_index(consumer, given->topic),
		                        .partition = given->partition,
		                        .epoch = db_int(rows, row, 1),
		                        .next_offset = given->offset,
		                        .crashes = crashes,
		                        .suspect = db_int(rows, row, 3),
		                        .singly = crashes ? BUS_SINGLY : 0,
		                    });
		unclean += crashes > 0;
	}
	log_info("bus.took", LOG_TEXT("group", consumer->group), LOG_INT("partitions", db_rows(rows)),
	         LOG_INT("unclean", unclean), LOG_END);
	rd_kafka_topic_partition_list_destroy(dealt);
	consumer->dealt = NULL;
	consumer->is_paused = false;
	return 0;
}

/* Where the brokers know no offset of the group: where it was registered to begin, else at the oldest record. */
static int find_offsets(struct kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list, struct err *err)
{
	struct db_result *starts CLEANUP(db_result_done) = NULL;
	struct db_args args;
	rd_kafka_resp_err_t why = rd_kafka_committed(consumer->client.rk, list, ASK_MS);

	for (int i = 0; i < list->cnt && !why; i++)
		why = list->elems[i].err;
	if (why)
		return kafka_failed(err, &consumer->client, why, "could not ask for the offsets of group %s", consumer->group);
	db_args_init(&args, &consumer->arena);
	db_arg_text(&args, str_of(consumer->group));
	place_args(consumer, list, &args);
	if (db_queue(consumer->db, add_sql, &args, NULL, err) < 0 ||
	    db_queue(consumer->db, starts_sql, &args, &starts, err) < 0 || db_flush(consumer->db, err) < 0)
		return err_prefix(err, "could not take partitions of group %s", consumer->group);
	for (int row = 0; row < db_rows(starts); row++) {
		rd_kafka_topic_partition_t *place = &list->elems[db_int(starts, row, 0) - 1];
		if (place->offset < 0)
			place->offset = db_int(starts, row, 1);
	}
	for (int i = 0; i < list->cnt; i++)
		if (find_oldest(consumer, &list->elems[i], err) < 0)
			return -1;
	return 0;
}

/* Where there is no offset, or one that the brokers do not have: what once was astray is asked for at every take, because
 * the brokers go on telling the old offset until something is confirmed. */
static int find_oldest(struct kafka_consumer *consumer, rd_kafka_topic_partition_t *place, struct err *err)
{
	bool is_astray =
		consumer->astray && rd_kafka_topic_partition_list_find(consumer->astray, place->topic, place->partition);
	int64_t low, high;

	if (place->offset >= 0 && !is_astray)
		return 0;
	rd_kafka_resp_err_t why =
		rd_kafka_query_watermark_offsets(consumer->client.rk, place->topic, place->partition, &low, &high, ASK_MS);
	if (why)
		return kafka_failed(err, &consumer->client, why, "could not ask where group %s begins", consumer->group);
	if (place->offset >= low && place->offset <= high)
		return 0;
	if (place->offset >= 0)
		log_error("bus.offset_gone", LOG_TEXT("group", consumer->group), LOG_TEXT("topic", place->topic),
		          LOG_INT("partition", place->partition), LOG_INT("offset", place->offset), LOG_INT("oldest", low),
		          LOG_INT("end", high), LOG_TEXT("remedy", "reading goes on at the oldest record; was the topic made anew, or "
		                                                   "kept shorter than a service was away?"), LOG_END);
	place->offset = low;
	return 0;
}

int kafka_release(struct kafka_consumer *consumer, struct err *err)
{
	size_t count = consumer->parts_len;
	struct str *topics = ARENA_ARRAY(&consumer->arena, struct str, count + 1);
	int64_t *partitions = ARENA_ARRAY(&consumer->arena, int64_t, count + 1),
	        *epochs = ARENA_ARRAY(&consumer->arena, int64_t, count + 1);
	bool *is_clean = ARENA_ARRAY(&consumer->arena, bool, count + 1);
	struct db_args args;
	int64_t rows;

	for (size_t i = 0; i < count; i++) {
		const struct part *part = &consumer->parts[i];
		topics[i] = str_of(consumer->topics[part->topic]);
		partitions[i] = part->partition;
		epochs[i] = part->epoch;
		is_clean[i] = !part->singly;
	}
	db_args_init(&args, &consumer->arena);
	db_arg_text(&args, str_of(consumer->group));
	db_arg_text(&args, str_of(consumer->member));
	db_arg_texts(&args, topics, count);
	db_arg_ints(&args, partitions, count);
	db_arg_ints(&args, epochs, count);
	db_arg_bools(&args, is_clean, count);
	if (db_exec(consumer->db, release_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not release partitions of group %s", consumer->group);
	return 0;
}

int kafka_note_trying(struct kafka_consumer *consumer, struct part *part, int64_t offset, struct err *err)
{
	struct db_args args;

	part_args(consumer, part, &args);
	db_arg_int(&args, offset);
	return note(consumer, part, trying_sql, &args, "is tried", err);
}

int kafka_note_handled(struct kafka_consumer *consumer, struct part *part, struct err *err)
{
	struct db_args args;

	part_args(consumer, part, &args);
	return note(consumer, part, handled_sql, &args, "was handled", err);
}

static int note(struct kafka_consumer *consumer, struct part *part, const char *sql, const struct db_args *args,
                const char *what, struct err *err)
{
	int64_t noted;

	if (db_exec(consumer->db, sql, args, &noted, err) < 0)
		return err_prefix(err, "could not note the record that %s for group %s", what, consumer->group);
	if (!noted)
		part->is_lost = consumer->must_retake = true;
	return 0;
}

static void part_args(struct kafka_consumer *consumer, const struct part *part, struct db_args *args)
{
	db_args_init(args, &consumer->arena);
	db_arg_text(args, str_of(consumer->group));
	db_arg_text(args, str_of(consumer->member));
	db_arg_text(args, str_of(consumer->topics[part->topic]));
	db_arg_int(args, part->partition);
	db_arg_int(args, part->epoch);
}

/* Our names of the topics, and the partitions. */
static void place_args(struct kafka_consumer *consumer, const rd_kafka_topic_partition_list_t *list, struct db_args *args)
{
	struct str *topics = ARENA_ARRAY(&consumer->arena, struct str, (size_t)list->cnt + 1);
	int64_t *partitions = ARENA_ARRAY(&consumer->arena, int64_t, (size_t)list->cnt + 1);

	for (int i = 0; i < list->cnt; i++) {
		topics[i] = str_of(consumer->topics[kafka_topic_index(consumer, list->elems[i].topic)]);
		partitions[i] = list->elems[i].partition;
	}
	db_arg_texts(args, topics, (size_t)list->cnt);
	db_arg_ints(args, partitions, (size_t)list->cnt);
}

static void keep_part(struct kafka_consumer *consumer, const struct part *part)
{
	if (consumer->parts_len == consumer->parts_room) {
		consumer->parts_room = consumer->parts_room ? consumer->parts_room * 2 : 16;
		consumer->parts = xrealloc(consumer->parts, consumer->parts_room * sizeof *consumer->parts);
	}
	consumer->parts[consumer->parts_len++] = *part;
}
