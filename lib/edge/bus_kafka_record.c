/* SPDX-License-Identifier: Apache-2.0
 * A record and its headers: CloudEvents 1.0, Kafka binding, binary mode.
 */
#include <string.h>

#include "base/clock.h"
#include "base/digest.h"
#include "bus_kafka.h"

#include "base/banned.h"

static struct str header_of(const rd_kafka_message_t *message, const char *name);
static struct str own_text(struct arena *arena, struct str text);
static struct uuid id_of_place(const rd_kafka_message_t *message);

rd_kafka_headers_t *kafka_headers(const struct bus_record *record)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(10);
	char id[UUID_TEXT_LEN + 1], tenant[UUID_TEXT_LEN + 1], time[CLOCK_TEXT_LEN + 1], sequence[24];
	const struct {
		const char *name;
		struct str value;
	} values[] = {
		{ "ce_specversion", STR("1.0") },
		{ "ce_id", str_of(uuid_text(record->ce_id, id)) },
		{ "ce_source", STR("/mailcase") },
		{ "ce_type", record->type },
		{ "ce_time", str_of(clock_rfc3339(record->time_us, time)) },
		{ "ce_subject", record->subject },
		{ "ce_tenant", str_of(uuid_text(record->tenant.id, tenant)) },
		{ "content-type", STR("application/protobuf") },
	};

	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		rd_kafka_header_add(headers, values[i].name, -1, values[i].value.at, (ssize_t)values[i].value.len);
	if (record->sequence) {
		int len = snprintf(sequence, sizeof sequence, "%lld", (long long)record->sequence);
		rd_kafka_header_add(headers, "ce_sequence", -1, sequence, len);
	}
	if (record->traceparent.len)
		rd_kafka_header_add(headers, "traceparent", -1, record->traceparent.at, (ssize_t)record->traceparent.len);
	return headers;
}

struct bus_record kafka_record(struct arena *arena, const rd_kafka_message_t *message, const char *topic)
{
	struct bus_record record = {
		.topic = str_of(topic),
		.partition = message->partition,
		.offset = message->offset,
		.key = own_text(arena, (struct str){ message->key, message->key_len }),
		.type = own_text(arena, header_of(message, "ce_type")),
		.subject = own_text(arena, header_of(message, "ce_subject")),
		.traceparent = own_text(arena, header_of(message, "traceparent")),
		.value = str_dup(arena, (struct str){ message->payload, message->len }),
	};
	if (!uuid_parse(header_of(message, "ce_id"), &record.ce_id))
		record.ce_id = id_of_place(message);
	if (!uuid_parse(header_of(message, "ce_tenant"), &record.tenant.id))
		record.tenant.id = (struct uuid){ 0 };
	if (!str_to_i64(header_of(message, "ce_sequence"), 0, INT64_MAX, &record.sequence))
		record.sequence = 0;
	if (!clock_parse(header_of(message, "ce_time"), &record.time_us)) {
		int64_t ms = rd_kafka_message_timestamp(message, NULL);
		record.time_us = ms > 0 && ms < INT64_MAX / 1000 ? ms * 1000 : 0;
	}
	return record;
}

/* "" where there is none. */
static struct str header_of(const rd_kafka_message_t *message, const char *name)
{
	rd_kafka_headers_t *headers;
	const void *value;
	size_t len;

	if (rd_kafka_message_headers(message, &headers) || rd_kafka_header_get_last(headers, name, &value, &len) || !value)
		return STR("");
	return (struct str){ value, len };
}

/* The message goes, the record stays; and clean text is not copied by str_scrub. */
static struct str own_text(struct arena *arena, struct str text)
{
	return str_scrub(arena, str_dup(arena, text));
}

static struct uuid id_of_place(const rd_kafka_message_t *message)
{
	char place[400];
	int len = snprintf(place, sizeof place, "%s/%d/%lld", rd_kafka_topic_name(message->rkt), message->partition,
	                   (long long)message->offset);
	return sha256_uuid(sha256_of((struct str){ place, (size_t)len }));
}
