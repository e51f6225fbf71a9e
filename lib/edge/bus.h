/* SPDX-License-Identifier: Apache-2.0
 * bus - topics, records, groups; the only door to the engine
 *
 * Producing goes through the outbox (record/outbox.h) and the relay (kit/relay.h), which calls bus_append(). Consuming:
 * poll, decide, commit, confirm. At least once, in order per key; a record may come again after a crash or a take-over.
 * A bus_consumer belongs to one thread and has its own database connection on the postgres engine.
 */
#ifndef MAILCASE_BUS_H
#define MAILCASE_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"
#include "edge/db.h"

#define TOPIC_MAIL_RECEIVED "mailcase.mail.received.v1"
#define TOPIC_CASE_EVENTS "mailcase.case.events.v1"
#define TOPIC_MAILBOX_EVENTS "mailcase.mailbox.events.v1"

/* A record as consumers see it; the CloudEvents attributes are headers on Kafka and columns on PostgreSQL. */
struct bus_record {
	struct str topic;
	int32_t partition;
	int64_t offset;
	struct str key;
	struct uuid ce_id;
	struct tenant_id tenant;
	struct str type;        /* ce_type */
	struct str subject;     /* ce_subject: the id that the record is about */
	int64_t sequence;       /* ce_sequence; 0: none */
	int64_t time_us;        /* ce_time */
	struct str traceparent; /* "" where none */
	struct str value;
};

enum bus_engine { BUS_POSTGRES, BUS_KAFKA };

/* How the brokers are reached. "" is: not set. Paths name PEM files. */
struct bus_kafka_options {
	const char *brokers;  /* host:port,host:port */
	const char *prefix;   /* before the names of topics and groups, where several installations share a cluster */
	const char *security; /* plaintext, ssl, sasl_plaintext, sasl_ssl */
	const char *ca_file, *cert_file, *key_file, *key_password;
	const char *sasl; /* plain, scram-sha-256, scram-sha-512 */
	const char *user, *password;
	int64_t session_ms;  /* when a silent member leaves its group */
	int64_t replication; /* of topics that are made; -1: as the brokers are set */
};

struct bus_options {
	enum bus_engine engine;
	const char *database_url; /* both engines keep positions there */
	const char *name;         /* of the process: application_name, member id prefix */
	int64_t member_expiry_ms;   /* postgres: 6,000; renewed at a third of it */
	int64_t position_expiry_ms; /* postgres: 10,000; renewed at a fifth of it */
	struct bus_kafka_options kafka;
};

const char *bus_engine_name(enum bus_engine engine); /* "postgres", "kafka" */
bool bus_engine_parse(struct str name, enum bus_engine *out);

/* --- producing: only the relay calls this ------------------------------------------------------------------------ */

struct bus;
struct bus *bus_open(const struct bus_options *options, struct err *err);
void bus_close(struct bus *bus);

/* One relay turn: move at most `limit` unsent outbox rows, in seq order, to their topics, while (kind 'relay', name
 * 'outbox', owner, epoch) is held. The postgres engine does it in one transaction of `relay_db` in a single flush; the
 * kafka engine reads them, waits for the brokers' acknowledgements and deletes what was acknowledged: a crash in between
 * sends them again, with the same ce_id. *out_moved says how many; -1 with kind TEMP and *out_lost_lease set when the
 * lease is another's. */
int bus_relay(struct bus *bus, struct db *relay_db, const char *owner, int64_t epoch, int limit, int *out_moved,
              bool *out_lost_lease, struct err *err) MUST_CHECK;

/* --- consuming --------------------------------------------------------------------------------------------------- */

struct bus_consumer;

/* Join `group` for `topics` (NULL-terminated; both outlive the consumer). */
struct bus_consumer *bus_consumer_open(const struct bus_options *options, const char *group, const char *const *topics,
                                       struct err *err);

/* Leave the group: give up all partitions as clean, so that others take them at once. */
void bus_consumer_close(struct bus_consumer *consumer);

/* Close as a crash would, without giving up: what made the process fail counts against the records in hand. */
void bus_consumer_abandon(struct bus_consumer *consumer);

/* Up to `records` records or `bytes` of values, waiting at most `wait_ms` for the first. Renews the membership and takes
 * or gives up partitions as needed. `wake_fd` (an eventfd, or -1) ends the wait early. The records live in `arena`.
 * A partition that was taken unclean comes alone, in batches of one, until it is confirmed; a record whose third crash
 * this is comes with *out_poisoned = true: set it aside and confirm. */
int bus_poll(struct bus_consumer *consumer, struct arena *arena, size_t records, size_t bytes, int wait_ms, int wake_fd,
             struct bus_record **out, size_t *out_count, bool *out_poisoned, struct err *err) MUST_CHECK;

/* Has any partition of this batch been taken away since the poll? Its records must leave the batch before deciding. */
bool bus_owns(struct bus_consumer *consumer, const struct bus_record *record);

/* The batch of the last poll is durable. *out_lost counts partitions that were no longer ours: a log line, no error. */
int bus_confirm(struct bus_consumer *consumer, size_t *out_lost, struct err *err) MUST_CHECK;

/* The batch of the last poll was not handled: the next poll gives it again. */
void bus_rewind(struct bus_consumer *consumer);

/* Keep the membership and the partitions alive during a long wait (polls nothing). Cheap: it acts when it is due. */
int bus_keep_alive(struct bus_consumer *consumer, struct err *err) MUST_CHECK;

/* How many records the partitions that are ours hold beyond what is confirmed; may be a few seconds old. */
int bus_behind(struct bus_consumer *consumer, int64_t *out, struct err *err) MUST_CHECK;

/* --- reading without a group ------------------------------------------------------------------------------------- */

struct bus_reader;

/* All of `topic` (which outlives the reader) from its oldest record to what is its end now. */
struct bus_reader *bus_reader_open(const struct bus_options *options, const char *topic, struct err *err);
void bus_reader_close(struct bus_reader *reader);

/* The next records, at most `limit`, in order per partition; *out_count is 0 at the end. They live in `arena`. */
int bus_reader_next(struct bus_reader *reader, struct arena *arena, size_t limit, struct bus_record **out,
                    size_t *out_count, struct err *err) MUST_CHECK;

/* --- administration ---------------------------------------------------------------------------------------------- */

struct bus_lag {
	struct str group, topic;
	int32_t partition;
	int64_t next_offset, end_offset, lag;
	struct str owner;
};

/* Create topics and register our own groups at offset zero; can be repeated, never shrinks. The first installation says
 * which engine the bus of this database has. */
int bus_install(const struct bus_options *options, struct db *db, int partitions, struct err *err) MUST_CHECK;

/* The same without a word about the engine: the topics are there. `partitions` 0: as many as they have now. */
int bus_make_topics(const struct bus_options *options, struct db *db, int partitions, struct err *err) MUST_CHECK;

/* Is it one of our own groups, which read all there is? */
bool bus_is_own_group(struct str group);

/* Which engine the bus of this database has: 1, or 0 where nothing is installed yet. *out_moves: it is just changing, and
 * nobody relays but who changes it. */
int bus_engine_of(struct db *db, enum bus_engine *out, bool *out_moves, struct err *err) MUST_CHECK;

/* Ask the relays to stand by for up to `ms`; 0: no longer. */
int bus_engine_hold(struct db *db, int64_t ms, struct err *err) MUST_CHECK;

/* From now on it is `engine`; for who holds the relays, in one transaction with the guard of the relay's lease, and knows
 * that every group has read all of the old one. */
int bus_engine_set(struct db *db, enum bus_engine engine, struct err *err) MUST_CHECK;

/* How far the registered groups are, on the engine of `options`: the brokers' word on kafka. */
int bus_lag(const struct bus_options *options, struct db *db, struct arena *arena, struct bus_lag **out,
            size_t *out_count, struct err *err) MUST_CHECK;

/* Cut the log of the postgres engine past retention and every registered group's position; *out_trimmed records. */
int bus_trim(struct db *db, int64_t *out_trimmed, struct err *err) MUST_CHECK;

#endif
