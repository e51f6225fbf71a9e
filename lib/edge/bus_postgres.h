/* SPDX-License-Identifier: Apache-2.0
 * bus_postgres - what the files of the postgres engine share; nobody else includes it
 */
#ifndef MAILCASE_BUS_POSTGRES_H
#define MAILCASE_BUS_POSTGRES_H

#include "bus_engine.h"

/* A partition that is ours. */
struct holding {
	int topic; /* index into topics */
	int32_t partition;
	int64_t epoch;
	int64_t next_offset;     /* confirmed */
	int64_t delivered;       /* behind the last record of the batch in hand; next_offset where there is none */
	int64_t expires_mono_ms; /* past it others may have it */
	int64_t singly;          /* records still to be tried one by one after a crash; 0: none */
	int crashes;             /* at next_offset, if it is the one that is being tried */
	bool is_lost;
};

struct pg_consumer {
	struct bus_consumer base;
	struct db *db;
	struct bus_options options;
	const char *group;
	const char *const *topics;
	int topics_len;
	char member[BUS_MEMBER_MAX];

	struct arena arena; /* of one call */
	struct holding *held;
	size_t held_len, held_room;
	bool is_lacking;  /* part of our share is still another's */
	bool is_unsettled; /* the last call failed: recover first */
	bool has_batch;
	size_t turn; /* where the next fetch begins, so that no partition starves */
	int64_t next_upkeep_ms;
	int64_t gather_until_ms; /* the next fetch is not before this */
};

/* The relay's side (bus_relay_postgres.c). */
struct bus *pg_bus_open(const struct bus_options *options, struct err *err);
void pg_bus_close(struct bus *base);
int pg_bus_relay(struct bus *base, struct db *relay_db, const char *owner, int64_t epoch, int limit, int *out_moved,
                 bool *out_lost_lease, struct err *err) MUST_CHECK;

/* Reading without a group (bus_reader_postgres.c) and measuring (bus_admin.c). */
struct bus_reader *pg_reader_open(const struct bus_options *options, const char *topic, struct err *err);
void pg_reader_close(struct bus_reader *base);
int pg_reader_next(struct bus_reader *base, struct arena *arena, size_t limit, struct bus_record **out, size_t *out_count,
                   struct err *err) MUST_CHECK;

/* The columns of bus_log from which a record is read, and the record of a row, copied into the arena. */
#define PG_RECORD_COLUMNS \
	"l.topic, l.partition, l.log_offset, l.ce_id, l.tenant_id, l.key, l.type, l.subject, l.sequence, l.traceparent," \
	" l.value, l.created_at"
struct bus_record pg_record(struct arena *arena, const struct db_result *rows, int row, const char *topic);

int pg_lag(const struct bus_options *options, struct db *db, struct arena *arena, struct bus_lag **out, size_t *out_count,
           struct err *err) MUST_CHECK;

/* Membership and leases. `may_change_hands`: no batch is in hand, so partitions may be given up and taken. */
int bus_upkeep(struct pg_consumer *consumer, bool may_change_hands, struct err *err) MUST_CHECK;
int bus_give_up_all(struct pg_consumer *consumer, struct err *err) MUST_CHECK;

/* NULL where it is not ours. */
struct holding *bus_holding(struct pg_consumer *consumer, struct str topic, int64_t partition);

/* Forget what is lost; keeps the order. */
void bus_drop_lost(struct pg_consumer *consumer);

#endif
