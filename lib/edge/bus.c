/* SPDX-License-Identifier: Apache-2.0 */
#include "bus.h"

#include "edge/bus_engine.h"

#include "base/banned.h"

static const struct bus_ops *ops_of(enum bus_engine engine, struct err *err)
{
	if (engine == BUS_POSTGRES)
		return &bus_postgres_ops;
	err_set(err, ERR_FATAL, "cannot open the bus: this build has only the postgres engine; set MAILCASE_BUS=postgres");
	return NULL;
}

struct bus *bus_open(const struct bus_options *options, struct err *err)
{
	const struct bus_ops *ops = ops_of(options->engine, err);
	return ops ? ops->open(options, err) : NULL;
}

void bus_close(struct bus *bus)
{
	if (bus)
		bus->ops->close(bus);
}

int bus_relay(struct bus *bus, struct db *relay_db, const char *owner, int64_t epoch, int limit, int *out_moved,
              bool *out_lost_lease, struct err *err)
{
	return bus->ops->relay(bus, relay_db, owner, epoch, limit, out_moved, out_lost_lease, err);
}

struct bus_consumer *bus_consumer_open(const struct bus_options *options, const char *group, const char *const *topics,
                                       struct err *err)
{
	const struct bus_ops *ops = ops_of(options->engine, err);
	return ops ? ops->consumer_open(options, group, topics, err) : NULL;
}

void bus_consumer_close(struct bus_consumer *consumer)
{
	if (consumer)
		consumer->ops->consumer_close(consumer);
}

void bus_consumer_abandon(struct bus_consumer *consumer)
{
	if (consumer)
		consumer->ops->consumer_abandon(consumer);
}

int bus_poll(struct bus_consumer *consumer, struct arena *arena, size_t records, size_t bytes, int wait_ms, int wake_fd,
             struct bus_record **out, size_t *out_count, bool *out_poisoned, struct err *err)
{
	return consumer->ops->poll(consumer, arena, records, bytes, wait_ms, wake_fd, out, out_count, out_poisoned, err);
}

bool bus_owns(struct bus_consumer *consumer, const struct bus_record *record)
{
	return consumer->ops->owns(consumer, record);
}

int bus_confirm(struct bus_consumer *consumer, size_t *out_lost, struct err *err)
{
	return consumer->ops->confirm(consumer, out_lost, err);
}

void bus_rewind(struct bus_consumer *consumer)
{
	consumer->ops->rewind(consumer);
}

int bus_keep_alive(struct bus_consumer *consumer, struct err *err)
{
	return consumer->ops->keep_alive(consumer, err);
}

void bus_range(int32_t partitions, size_t members, size_t index, int32_t *out_first, int32_t *out_count)
{
	int32_t each = (int32_t)((size_t)partitions / members), more = (int32_t)((size_t)partitions % members);
	int32_t place = (int32_t)index;
	*out_first = place * each + (place < more ? place : more);
	*out_count = each + (place < more ? 1 : 0);
}
