/* SPDX-License-Identifier: Apache-2.0
 * bus_kafka_consumer - what the files of the kafka consumer share; nobody else includes it
 */
#ifndef MAILCASE_BUS_KAFKA_CONSUMER_H
#define MAILCASE_BUS_KAFKA_CONSUMER_H

#include "bus_kafka.h"

/* A partition that is ours. Its messages wait in `stash` until they are confirmed, so that a batch that was not handled
 * comes again without a word to the brokers. */
struct part {
	int topic; /* index into topics */
	int32_t partition;
	int64_t epoch;       /* of our row of it */
	int64_t next_offset; /* confirmed by us */
	int64_t suspect;     /* the offset that was being tried alone when the last owner died; -1: none */
	int64_t singly;      /* records still to be tried one by one after a crash; 0: none */
	int crashes;         /* at `suspect` */
	bool is_lost;
	bool is_uncommitted; /* the brokers have not taken next_offset yet */

	rd_kafka_message_t **stash;
	size_t stash_len, stash_room;
	size_t delivered; /* so many of them are in the batch in hand */
};

struct kafka_consumer {
	struct bus_consumer base;
	struct bus_options options;
	const char *group;
	const char *const *topics;
	int topics_len;
	char member[BUS_MEMBER_MAX];

	struct kafka_client client;
	rd_kafka_queue_t *queue;
	rd_kafka_queue_t *answers; /* to our commits */
	int queue_fd;
	struct db *db;
	struct arena arena; /* of one call */

	struct part *parts;
	size_t parts_len, parts_room;
	size_t stash_count, stash_bytes;
	rd_kafka_topic_partition_list_t *dealt;  /* what the group has dealt to us and we have not taken yet; or NULL */
	rd_kafka_topic_partition_list_t *astray; /* places whose offset the brokers do not have */
	rd_kafka_resp_err_t hindrance; /* what keeps us from reading until we know better; 0: nothing */
	bool is_joined;
	bool is_paused;
	bool is_leaving;    /* as a crash would: positions stay unclean */
	bool has_batch;
	bool is_committing; /* the brokers have not answered yet: one commit at a time, so that none overtakes another */
	bool must_retake;   /* what we have of the group is not what our rows say */
	bool is_db_unsettled; /* the last statement failed: recover first */
	size_t turn;          /* where the next batch begins, so that no partition starves */
	int64_t seen_mono_ms; /* the last time that the group's news were taken in */
	int64_t next_upkeep_ms, next_probe_ms, gather_until_ms;
};

/* NULL where it is not ours. */
struct part *kafka_part(struct kafka_consumer *consumer, int topic, int32_t partition);
int kafka_topic_index(const struct kafka_consumer *consumer, const char *name); /* the brokers' name; -1: not ours */
void kafka_part_empty(struct kafka_consumer *consumer, struct part *part, size_t count); /* its first messages */
void kafka_drop_lost(struct kafka_consumer *consumer);
void kafka_pause(struct kafka_consumer *consumer, bool is_paused); /* all that is assigned */

/* --- membership, offsets, change of hands (bus_kafka_group.c) ----------------------------------------------------- */

#define KAFKA_COMMIT_MS 2000 /* the longest wait for an answer that somebody waits for */

/* The client of a member; and its end, which is no longer than a few seconds, whatever the brokers do. */
int kafka_member(struct kafka_consumer *consumer, struct err *err) MUST_CHECK;
void kafka_leave(struct kafka_consumer *consumer);

/* Recover the database, join, take what was dealt, commit, see whether what hindered us is gone. */
int kafka_upkeep(struct kafka_consumer *consumer, struct err *err) MUST_CHECK;
int kafka_settle_db(struct kafka_consumer *consumer, struct err *err) MUST_CHECK;

/* A message of the client that is no record. 0: it goes on by itself. */
int kafka_hindered(struct kafka_consumer *consumer, const rd_kafka_message_t *message, struct err *err) MUST_CHECK;

/* Tell the brokers what is confirmed; and wait for their answer. What they refuse is told again later. */
void kafka_commit(struct kafka_consumer *consumer);
void kafka_commit_wait(struct kafka_consumer *consumer);

/* --- the rows that tell of crashes (bus_kafka_positions.c) -------------------------------------------------------- */

/* The rows of a group that nobody has registered are made: it begins at what is the end of each partition now. */
int kafka_register(struct kafka_consumer *consumer, struct err *err) MUST_CHECK;

/* Take what was dealt to us, at the offsets that the brokers know, and begin to read. */
int kafka_take(struct kafka_consumer *consumer, struct err *err) MUST_CHECK;

/* Our rows become clean, but for what is still tried one by one. */
int kafka_release(struct kafka_consumer *consumer, struct err *err) MUST_CHECK;

/* The record at `offset` is about to be tried alone; and it was handled. A part whose row is another's is lost, and all
 * is taken again: who took it last may have done so with an old word of the group. */
int kafka_note_trying(struct kafka_consumer *consumer, struct part *part, int64_t offset, struct err *err) MUST_CHECK;
int kafka_note_handled(struct kafka_consumer *consumer, struct part *part, struct err *err) MUST_CHECK;

#endif
