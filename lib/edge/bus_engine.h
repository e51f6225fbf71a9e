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
};

/* The first member of each engine's own structs. */
struct bus {
	const struct bus_ops *ops;
};
struct bus_consumer {
	const struct bus_ops *ops;
};

extern const struct bus_ops bus_postgres_ops;

/* Which of `partitions` belong to the member at `index` of `members`: consecutive ones, the first members one more each
 * where they do not divide. Kafka's range assignor deals a topic in the same way. */
void bus_range(int32_t partitions, size_t members, size_t index, int32_t *out_first, int32_t *out_count);

#endif
