/* SPDX-License-Identifier: Apache-2.0 */
#include "bus.h"

#include <stdio.h>

#include "edge/bus_engine.h"

#include "base/banned.h"

static const char *const engine_names[] = { [BUS_POSTGRES] = "postgres", [BUS_KAFKA] = "kafka" };
static const struct bus_ops *const engines[] = { [BUS_POSTGRES] = &bus_postgres_ops, [BUS_KAFKA] = &bus_kafka_ops };

const char *bus_engine_name(enum bus_engine engine)
{
	return engine_names[engine];
}

bool bus_engine_parse(struct str name, enum bus_engine *out)
{
	for (size_t i = 0; i < ARRAY_LEN(engine_names); i++)
		if (str_eq(name, str_of(engine_names[i]))) {
			*out = (enum bus_engine)i;
			return true;
		}
	return false;
}

const struct bus_ops *bus_ops_of(enum bus_engine engine)
{
	return engines[engine];
}

struct bus *bus_open(const struct bus_options *options, struct err *err)
{
	return bus_ops_of(options->engine)->open(options, err);
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
	return bus_ops_of(options->engine)->consumer_open(options, group, topics, err);
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

int bus_behind(struct bus_consumer *consumer, int64_t *out, struct err *err)
{
	return consumer->ops->behind(consumer, out, err);
}

struct bus_reader *bus_reader_open(const struct bus_options *options, const char *topic, struct err *err)
{
	return bus_ops_of(options->engine)->reader_open(options, topic, err);
}

void bus_reader_close(struct bus_reader *reader)
{
	if (reader)
		reader->ops->reader_close(reader);
}

int bus_reader_next(struct bus_reader *reader, struct arena *arena, size_t limit, struct bus_record **out,
                    size_t *out_count, struct err *err)
{
	return reader->ops->reader_next(reader, arena, limit, out, out_count, err);
}

int bus_lag(const struct bus_options *options, struct db *db, struct arena *arena, struct bus_lag **out,
            size_t *out_count, struct err *err)
{
	return bus_ops_of(options->engine)->lag(options, db, arena, out, out_count, err);
}

void bus_member_name(const struct bus_options *options, char out[BUS_MEMBER_MAX])
{
	char id[UUID_TEXT_LEN + 1];

	snprintf(out, BUS_MEMBER_MAX, "%.48s:%s", options->name, uuid_text(uuid_v7(), id));
}

int bus_topics_len(const char *const *topics)
{
	int len = 0;

	while (topics[len])
		len++;
	return len;
}

void bus_range(int32_t partitions, size_t members, size_t index, int32_t *out_first, int32_t *out_count)
{
	int32_t each = (int32_t)((size_t)partitions / members), more = (int32_t)((size_t)partitions % members);
	int32_t place = (int32_t)index;
	*out_first = place * each + (place < more ? place : more);
	*out_count = each + (place < more ? 1 : 0);
}
