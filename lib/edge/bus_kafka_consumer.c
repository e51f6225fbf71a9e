/* SPDX-License-Identifier: Apache-2.0
 * The consuming side of the kafka engine: a member of a group whose offsets follow our commits.
 *
 * What the brokers send goes into a stash per partition, a batch is taken from there, and what is confirmed leaves it.
 * Partitions change hands in the rebalance callback, which runs only while we poll.
 */
#include "bus_kafka_consumer.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#include "base/banned.h"

#define SCAN_MS 250          /* between looks at what is due besides records */
/* What may wait here while a batch takes long; then the brokers wait. */
#define STASH_MAX 1000
#define STASH_BYTES_MAX ((size_t)8 << 20)

static struct bus_consumer *open_consumer(const struct bus_options *options, const char *group, const char *const *topics,
                                          struct err *err);
static void close_consumer(struct bus_consumer *base);
static void abandon(struct bus_consumer *base);
static void free_consumer(struct kafka_consumer *consumer);
static int poll_records(struct bus_consumer *base, struct arena *arena, size_t records, size_t bytes, int wait_ms,
                        int wake_fd, struct bus_record **out, size_t *out_count, bool *out_poisoned, struct err *err);
static bool owns(struct bus_consumer *base, const struct bus_record *record);
static int confirm(struct bus_consumer *base, size_t *out_lost, struct err *err);
static void rewind_batch(struct bus_consumer *base);
static int keep_alive(struct bus_consumer *base, struct err *err);
static int behind(struct bus_consumer *base, int64_t *out, struct err *err);

static int take_in(struct kafka_consumer *consumer, size_t records, size_t bytes, struct err *err);
static int take_message(struct kafka_consumer *consumer, rd_kafka_message_t *message, struct err *err);
static int batch_of(struct kafka_consumer *consumer, struct arena *arena, size_t records, size_t bytes,
                    struct bus_record **out, size_t *out_count, bool *out_poisoned, struct err *err);
static bool wait_for_records(struct kafka_consumer *consumer, int64_t wait_ms, int wake_fd);

const struct bus_ops bus_kafka_ops = {
	.open = kafka_bus_open,
	.close = kafka_bus_close,
	.relay = kafka_bus_relay,
	.consumer_open = open_consumer,
	.consumer_close = close_consumer,
	.consumer_abandon = abandon,
	.poll = poll_records,
	.owns = owns,
	.confirm = confirm,
	.rewind = rewind_batch,
	.keep_alive = keep_alive,
	.behind = behind,
	.reader_open = kafka_reader_open,
	.reader_close = kafka_reader_close,
	.reader_next = kafka_reader_next,
	.make_topics = kafka_make_topics,
	.lag = kafka_lag,
};

/* --- joining and leaving ----------------------------------------------------------------------------------------- */

static struct bus_consumer *open_consumer(const struct bus_options *options, const char *group, const char *const *topics,
                                          struct err *err)
{
	struct kafka_consumer *consumer = xcalloc(1, sizeof *consumer);

	consumer->base.ops = &bus_kafka_ops;
	consumer->options = *options;
	consumer->group = group;
	consumer->topics = topics;
	consumer->topics_len = bus_topics_len(topics);
	bus_member_name(options, consumer->member);
	arena_init(&consumer->arena);
	consumer->seen_mono_ms = clock_mono_ms();
	consumer->queue_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	consumer->db = db_open(options->database_url, options->name, err);
	if (!consumer->db || kafka_member(consumer, err) < 0) {
		free_consumer(consumer);
		return NULL;
	}
	static const uint64_t one = 1;
	rd_kafka_poll_set_consumer(consumer->client.rk);
	consumer->answers = rd_kafka_queue_new(consumer->client.rk);
	consumer->queue = rd_kafka_queue_get_consumer(consumer->client.rk);
	rd_kafka_queue_io_event_enable(consumer->queue, consumer->queue_fd, &one, sizeof one);
	return &consumer->base;
}

static void close_consumer(struct bus_consumer *base)
{
	free_consumer((struct kafka_consumer *)base);
}

static void abandon(struct bus_consumer *base)
{
	struct kafka_consumer *consumer = (struct kafka_consumer *)base;
	consumer->is_leaving = true;
	free_consumer(consumer);
}

static void free_consumer(struct kafka_consumer *consumer)
{
	if (consumer->client.rk) {
		rewind_batch(&consumer->base);
		kafka_leave(consumer);
	}
	if (consumer->dealt)
		rd_kafka_topic_partition_list_destroy(consumer->dealt);
	if (consumer->astray)
		rd_kafka_topic_partition_list_destroy(consumer->astray);
	db_close(consumer->db);
	arena_done(&consumer->arena);
	close(consumer->queue_fd);
	free(consumer->parts);
	free(consumer);
}

/* --- a batch ----------------------------------------------------------------------------------------------------- */

static int poll_records(struct bus_consumer *base, struct arena *arena, size_t records, size_t bytes, int wait_ms,
                        int wake_fd, struct bus_record **out, size_t *out_count, bool *out_poisoned, struct err *err)
{
	struct kafka_consumer *consumer = (struct kafka_consumer *)base;
	int64_t until_ms = clock_mono_ms() + wait_ms, gather_ms = consumer->gather_until_ms - clock_mono_ms();
	struct pollfd wake = { .fd = wake_fd, .events = POLLIN };
	bool is_woken = false;

	rewind_batch(base); /* a batch that was not confirmed comes again */
	*out_poisoned = false;
	*out_count = 0;
	if (gather_ms > 0)
		poll(&wake, 1, (int)gather_ms);
	for (;;) {
		arena_reset(&consumer->arena);
		if (take_in(consumer, records, bytes, err) < 0 || kafka_upkeep(consumer, err) < 0 ||
		    batch_of(consumer, arena, records, bytes, out, out_count, out_poisoned, err) < 0)
			return -1;
		int64_t left_ms = until_ms - clock_mono_ms();
		if (*out_count || is_woken || left_ms <= 0)
			break;
		is_woken = wait_for_records(consumer, left_ms, wake_fd);
	}
	consumer->has_batch = *out_count > 0;
	consumer->gather_until_ms = *out_count && *out_count < records ? clock_mono_ms() + BUS_GATHER_MS : 0;
	return 0;
}

/* A partition that a crash left behind comes alone, its records one by one, each noted before it is tried. */
static int batch_of(struct kafka_consumer *consumer, struct arena *arena, size_t records, size_t bytes,
                    struct bus_record **out, size_t *out_count, bool *out_poisoned, struct err *err)
{
	size_t n = 0, total = 0, count = consumer->parts_len;

	for (size_t i = 0; i < count; i++) {
		struct part *part = &consumer->parts[i];
		if (!part->singly || !part->stash_len || part->is_lost)
			continue;
		*out = ARENA_NEW(arena, struct bus_record);
		**out = kafka_record(arena, part->stash[0], consumer->topics[part->topic]);
		*out_poisoned = part->crashes >= BUS_CRASHES_MAX && (*out)->offset == part->suspect;
		if (kafka_note_trying(consumer, part, (*out)->offset, err) < 0) {
			consumer->is_db_unsettled = true;
			return -1;
		}
		if (part->is_lost)
			continue;
		part->delivered = 1;
		*out_count = 1;
		return 0;
	}
	*out = ARENA_ARRAY(arena, struct bus_record, records);
	for (size_t i = 0; i < count && n < records; i++) {
		struct part *part = &consumer->parts[(consumer->turn + i) % count];
		if (part->singly || part->is_lost)
			continue;
		for (; n < records && part->delivered < part->stash_len; part->delivered++) {
			const rd_kafka_message_t *message = part->stash[part->delivered];
			if (n && total + message->len > bytes)
				break;
			total += message->len;
			(*out)[n++] = kafka_record(arena, message, consumer->topics[part->topic]);
		}
	}
	if (n)
		consumer->turn++;
	*out_count = n;
	return 0;
}

static bool owns(struct bus_consumer *base, const struct bus_record *record)
{
	struct kafka_consumer *consumer = (struct kafka_consumer *)base;
	struct part *part = NULL;

	for (size_t i = 0; i < consumer->parts_len; i++)
		if (consumer->parts[i].partition == record->partition &&
		    str_eq(str_of(consumer->topics[consumer->parts[i].topic]), record->topic))
			part = &consumer->parts[i];
	if (!part)
		return false;
	/* Who has not heard of the group for a session may be out of it without knowing: it was stopped. */
	if (!part->is_lost && !rd_kafka_assignment_lost(consumer->client.rk) &&
	    clock_mono_ms() - consumer->seen_mono_ms < consumer->options.kafka.session_ms)
		return true;
	/* Its records leave the batch: even if it turns out to be ours still, they are not to be confirmed with the rest. */
	part->delivered = 0;
	return false;
}

static int confirm(struct bus_consumer *base, size_t *out_lost, struct err *err)
{
	struct kafka_consumer *consumer = (struct kafka_consumer *)base;
	bool is_exact = false;

	*out_lost = 0;
	arena_reset(&consumer->arena);
	if (kafka_settle_db(consumer, err) < 0)
		return -1;
	for (size_t i = 0; i < consumer->parts_len; i++) {
		struct part *part = &consumer->parts[i];
		if (part->delivered && part->singly && !part->is_lost) {
			is_exact = true;
			if (kafka_note_handled(consumer, part, err) < 0) {
				consumer->is_db_unsettled = true;
				return -1;
			}
		}
	}
	for (size_t i = 0; i < consumer->parts_len; i++) {
		struct part *part = &consumer->parts[i];
		size_t done = part->delivered;
		if (!done)
			continue;
		if (part->is_lost) {
			++*out_lost;
			continue;
		}
		part->next_offset = part->stash[done - 1]->offset + 1;
		part->is_uncommitted = true;
		part->crashes = 0;
		part->suspect = -1;
		part->singly = part->singly > (int64_t)done ? part->singly - (int64_t)done : 0;
		kafka_part_empty(consumer, part, done);
	}
	kafka_drop_lost(consumer);
	consumer->has_batch = false;
	/* One by one, the brokers know exactly how far we are before the next one is tried. */
	if (is_exact)
		kafka_commit_wait(consumer);
	else
		kafka_commit(consumer);
	return 0;
}

static void rewind_batch(struct bus_consumer *base)
{
	struct kafka_consumer *consumer = (struct kafka_consumer *)base;

	for (size_t i = 0; i < consumer->parts_len; i++)
		consumer->parts[i].delivered = 0;
	consumer->has_batch = false;
	kafka_drop_lost(consumer);
}

/* What is taken in meanwhile waits in the stash; when that is full the brokers wait. */
static int keep_alive(struct bus_consumer *base, struct err *err)
{
	struct kafka_consumer *consumer = (struct kafka_consumer *)base;
	int64_t now_ms = clock_mono_ms();

	if (now_ms < consumer->next_upkeep_ms)
		return 0;
	consumer->next_upkeep_ms = now_ms + SCAN_MS;
	arena_reset(&consumer->arena);
	if (take_in(consumer, STASH_MAX, STASH_BYTES_MAX, err) < 0)
		return -1;
	if (!consumer->is_paused && (consumer->stash_count >= STASH_MAX || consumer->stash_bytes >= STASH_BYTES_MAX))
		kafka_pause(consumer, true);
	return consumer->is_paused ? take_in(consumer, SIZE_MAX, SIZE_MAX, err) : 0;
}

/* The ends as the last fetches told them. */
static int behind(struct bus_consumer *base, int64_t *out, struct err *err)
{
	struct kafka_consumer *consumer = (struct kafka_consumer *)base;

	(void)err;
	*out = 0;
	for (size_t i = 0; i < consumer->parts_len; i++) {
		const struct part *part = &consumer->parts[i];
		struct kafka_name topic = kafka_topic(&consumer->options, consumer->topics[part->topic]);
		int64_t low, high;
		if (rd_kafka_get_watermark_offsets(consumer->client.rk, topic.text, part->partition, &low, &high) == 0 &&
		    high > part->next_offset)
			*out += high - part->next_offset;
	}
	return 0;
}

/* --- what comes from the brokers --------------------------------------------------------------------------------- */

/* Until there is a batch of that size; the group's news come between the messages, so that all of what waits is looked
 * at where there is less. */
static int take_in(struct kafka_consumer *consumer, size_t records, size_t bytes, struct err *err)
{
	uint64_t count;

	consumer->seen_mono_ms = clock_mono_ms();
	rd_kafka_queue_poll_callback(consumer->answers, 0);
	if (consumer->is_paused && records <= STASH_MAX && consumer->stash_count < records && consumer->stash_bytes < bytes)
		kafka_pause(consumer, false);
	(void)!read(consumer->queue_fd, &count, sizeof count);
	while (consumer->stash_count < records && consumer->stash_bytes < bytes) {
		rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer->client.rk, 0);
		if (!message)
			return 0;
		if (take_message(consumer, message, err) < 0)
			return -1;
	}
	/* More may be waiting than was taken: the next look finds it, whatever the eventfd says. */
	return 0;
}

static int take_message(struct kafka_consumer *consumer, rd_kafka_message_t *message, struct err *err)
{
	if (message->err) {
		int failed = kafka_hindered(consumer, message, err);
		rd_kafka_message_destroy(message);
		return failed;
	}
	struct part *part = kafka_part(consumer, kafka_topic_index(consumer, rd_kafka_topic_name(message->rkt)),
	                               message->partition);
	int64_t next = part && part->stash_len ? part->stash[part->stash_len - 1]->offset + 1 : part ? part->next_offset : 0;
	/* Of a partition that was given back, or (after a pause) one that is here already. */
	if (!part || part->is_lost || message->offset < next) {
		rd_kafka_message_destroy(message);
		return 0;
	}
	if (part->stash_len == part->stash_room) {
		part->stash_room = part->stash_room ? part->stash_room * 2 : 32;
		part->stash = xrealloc(part->stash, part->stash_room * sizeof *part->stash);
	}
	part->stash[part->stash_len++] = message;
	consumer->stash_count++;
	consumer->stash_bytes += message->len;
	return 0;
}

static bool wait_for_records(struct kafka_consumer *consumer, int64_t wait_ms, int wake_fd)
{
	struct pollfd fds[] = { { .fd = consumer->queue_fd, .events = POLLIN }, { .fd = wake_fd, .events = POLLIN } };

	poll(fds, ARRAY_LEN(fds), (int)(wait_ms < SCAN_MS ? wait_ms : SCAN_MS));
	return fds[1].revents != 0;
}

void kafka_pause(struct kafka_consumer *consumer, bool is_paused)
{
	rd_kafka_topic_partition_list_t *list = NULL;

	if (rd_kafka_assignment(consumer->client.rk, &list) || !list)
		return;
	if (is_paused)
		rd_kafka_pause_partitions(consumer->client.rk, list);
	else
		rd_kafka_resume_partitions(consumer->client.rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	consumer->is_paused = is_paused;
}

/* --- the partitions that are ours -------------------------------------------------------------------------------- */

struct part *kafka_part(struct kafka_consumer *consumer, int topic, int32_t partition)
{
	for (size_t i = 0; i < consumer->parts_len; i++)
		if (consumer->parts[i].topic == topic && consumer->parts[i].partition == partition && !consumer->parts[i].is_lost)
			return &consumer->parts[i];
	return NULL;
}

int kafka_topic_index(const struct kafka_consumer *consumer, const char *name)
{
	size_t prefix = strlen(consumer->options.kafka.prefix);

	for (int i = 0; i < consumer->topics_len; i++)
		if (strlen(name) > prefix && strcmp(name + prefix, consumer->topics[i]) == 0)
			return i;
	return -1;
}

void kafka_part_empty(struct kafka_consumer *consumer, struct part *part, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		consumer->stash_bytes -= part->stash[i]->len;
		rd_kafka_message_destroy(part->stash[i]);
	}
	consumer->stash_count -= count;
	part->stash_len -= count;
	if (part->stash_len)
		memmove(part->stash, part->stash + count, part->stash_len * sizeof *part->stash);
	part->delivered = 0;
}

void kafka_drop_lost(struct kafka_consumer *consumer)
{
	size_t kept = 0;

	for (size_t i = 0; i < consumer->parts_len; i++) {
		struct part *part = &consumer->parts[i];
		if (!part->is_lost) {
			consumer->parts[kept++] = *part;
			continue;
		}
		kafka_part_empty(consumer, part, part->stash_len);
		free(part->stash);
	}
	consumer->parts_len = kept;
}
