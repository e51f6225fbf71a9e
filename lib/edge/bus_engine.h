/* SPDX-License-Identifier: Apache-2.0
 * bus_engine - what an engine of the bus provides; only the files of the bus include it
 */
#ifndef MAILCASE_BUS_ENGINE_H
#define MAILCASE_BUS_ENGINE_H

#include "edge/bus.h"

struct bus_ops {
	struct bus *(*open)(const struct bus_options *options, struct err *err);
	void (*close)(struct bus *bus);
	int (*relay)(struct bus *bus, struct db *relay_db, const char *owner, int64_t epoch, int limit, int *out_moved,
	             bool *out_lost_lease, struct err *err);

	struct bus_consumer *(*consumer_open)(const struct bus_options *options, const char *group,
	                                      const char *const *topics, struct err *err);
	void (*consumer_close)(struct bus_consumer *consumer);
	void (*consumer_abandon)(struct bus_consumer *consumer);
	int (*poll)(struct bus_consumer *consumer, struct arena *arena, size_t records, size_t bytes, int wait_ms,
	            int wake_fd, struct bus_record **out, size_t *out_count, bool *out_poisoned, struct err *err);
	bool (*owns)(struct bus_consumer *consumer, const struct bus_record *record);
	int (*confirm)(struct bus_consumer *consumer, size_t *out_lost, struct err *err);
	void (*rewind)(struct bus_consumer *consumer);
	int (*keep_alive)(struct bus_consumer *consumer, struct err *err);
	int (*behind)(struct bus_consumer *consumer, int64_t *out, struct err *err);

	struct bus_reader *(*reader_open)(const struct bus_options *options, const char *topic, struct err *err);
	void (*reader_close)(struct bus_reader *reader);
	int (*reader_next)(struct bus_reader *reader, struct arena *arena, size_t limit, struct bus_record **out,
	                   size_t *out_count, struct err *err);

	/* NULL: the tables are all there is to it. */
	int (*make_topics)(const struct bus_options *options, int partitions, struct err *err);
	int (*lag)(const struct bus_options *options, struct db *db, struct arena *arena, struct bus_lag **out,
	           size_t *out_count, struct err *err);
};

/* The first member of each engine's own structs. */
struct bus {
	const struct bus_ops *ops;
};
struct bus_consumer {
	const struct bus_ops *ops;
};
struct bus_reader {
	const struct bus_ops *ops;
};

extern const struct bus_ops bus_postgres_ops, bus_kafka_ops;
const struct bus_ops *bus_ops_of(enum bus_engine engine);

/* So many records are tried one by one after a crash: the batch that may have held the culprit. */
#define BUS_SINGLY 200
/* So many crashes at one offset set its record aside. */
#define BUS_CRASHES_MAX 3
/* Under load: a small batch is followed by a pause, so that the next is larger. */
#define BUS_GATHER_MS 10

/* The topics that we make, and our own groups: those start at zero, so that one whose program starts late misses
 * nothing. contracts/topics.yaml says the same. */
struct bus_topic {
	const char *name;
	int retention_hours;
};
struct bus_group {
	const char *name, *topic;
};
#define BUS_TOPICS 3
#define BUS_GROUPS 3
extern const struct bus_topic bus_topics[BUS_TOPICS];
extern const struct bus_group bus_groups[BUS_GROUPS];

/* Which member of its group a consumer is: unlike any other, and told by the process's name. */
#define BUS_MEMBER_MAX 96
void bus_member_name(const struct bus_options *options, char out[BUS_MEMBER_MAX]);
int bus_topics_len(const char *const *topics); /* up to the NULL */

/* Begin a transaction that fails as a whole unless (owner, epoch) holds the relay's lease; the guard travels with what is
 * queued behind it. And its end after a failure: true where the lease was another's. */
int bus_begin_as_relay(struct db *db, struct arena *arena, const char *owner, int64_t epoch, struct err *err) MUST_CHECK;
bool bus_roll_back_as_relay(struct db *db);

/* Which of `partitions` belong to the member at `index` of `members`: consecutive ones, the first members one more each
 * where they do not divide. Kafka's range assignor deals a topic in the same way. */
void bus_range(int32_t partitions, size_t members, size_t index, int32_t *out_first, int32_t *out_count);

#endif
