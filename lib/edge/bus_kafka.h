/* SPDX-License-Identifier: Apache-2.0
 * bus_kafka - what the files of the kafka engine share; nobody else includes it
 *
 * librdkafka 2.0.2 and newer. Its own threads speak to the brokers and keep the membership alive; every callback that we
 * set runs in the thread that polls, but for the log.
 */
#ifndef MAILCASE_BUS_KAFKA_H
#define MAILCASE_BUS_KAFKA_H

#include <librdkafka/rdkafka.h>

#include "bus_engine.h"

#define KAFKA_NAME_MAX 250 /* of a topic or group with its prefix */

/* "name" as the brokers know it: with the prefix. */
struct kafka_name {
	char text[KAFKA_NAME_MAX];
};
struct kafka_name kafka_topic(const struct bus_options *options, const char *topic);
struct kafka_name kafka_group(const struct bus_options *options, const char *group); /* PREFIXmailcase.GROUP */

/* A client of the brokers, and what it last met on its way to them. */
struct kafka_client {
	rd_kafka_t *rk;
	void *owner;             /* for callbacks; or NULL */
	rd_kafka_resp_err_t met; /* what keeps us from them and says more than that they do not answer; 0: nothing */
	char words[200];
};

/* The settings that all clients have: brokers, security, names, log. FATAL names the setting that is wrong. `client`
 * lives longer than what is made of them. */
rd_kafka_conf_t *kafka_conf(const struct bus_options *options, struct kafka_client *client, struct err *err);
int kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err) MUST_CHECK;
int kafka_set_int(rd_kafka_conf_t *conf, const char *name, int64_t value, struct err *err) MUST_CHECK;

/* Sets client->rk. Takes `conf`, also when it fails. */
int kafka_new(struct kafka_client *client, rd_kafka_type_t type, rd_kafka_conf_t *conf, struct err *err) MUST_CHECK;
void kafka_done(struct kafka_client *client); /* but for consumers, who leave first */

/* It met this, which may say more than the next failure. */
void kafka_met(struct kafka_client *client, rd_kafka_resp_err_t why, const char *words);

/* No answer, for whatever reason: the brokers are away, or the way to them is barred. */
bool kafka_is_silence(rd_kafka_resp_err_t why);

/* TEMP, in words that name the remedy where there is one. Returns -1. */
int kafka_failed(struct err *err, struct kafka_client *client, rd_kafka_resp_err_t why, const char *format, ...)
	PRINTF_LIKE(4, 5);

/* --- records (bus_kafka_record.c) --------------------------------------------------------------------------------- */

/* Of one record; the caller's (rd_kafka_headers_destroy) until a produce call has taken it. */
rd_kafka_headers_t *kafka_headers(const struct bus_record *record);

/* Copied into the arena; `topic` is our name of it and outlives the record. What is no record of ours (headers missing,
 * not valid) comes with what could be read: a null tenant, an empty type, and an id made of its place. */
struct bus_record kafka_record(struct arena *arena, const rd_kafka_message_t *message, const char *topic);

/* --- the other sides ---------------------------------------------------------------------------------------------- */

/* The relay's side (bus_kafka_relay.c). */
struct bus *kafka_bus_open(const struct bus_options *options, struct err *err);
void kafka_bus_close(struct bus *base);
int kafka_bus_relay(struct bus *base, struct db *relay_db, const char *owner, int64_t epoch, int limit, int *out_moved,
                    bool *out_lost_lease, struct err *err) MUST_CHECK;

/* Reading without a group (bus_kafka_reader.c). */
struct bus_reader *kafka_reader_open(const struct bus_options *options, const char *topic, struct err *err);
void kafka_reader_close(struct bus_reader *base);
int kafka_reader_next(struct bus_reader *base, struct arena *arena, size_t limit, struct bus_record **out,
                      size_t *out_count, struct err *err) MUST_CHECK;

/* Topics and lag (bus_kafka_admin.c). */
int kafka_make_topics(const struct bus_options *options, int partitions, struct err *err) MUST_CHECK;
int kafka_lag(const struct bus_options *options, struct db *db, struct arena *arena, struct bus_lag **out,
              size_t *out_count, struct err *err) MUST_CHECK;

/* How many partitions `topic` (the brokers' name) has; 0 where there is no such topic. */
int kafka_partitions(struct kafka_client *client, const char *topic, int *out, struct err *err) MUST_CHECK;

#endif
