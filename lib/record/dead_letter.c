/* SPDX-License-Identifier: Apache-2.0 */
#include "dead_letter.h"

#include "base/banned.h"

/* A record that had been replayed with success and fails again is dead again. One that comes again at another offset,
 * after a crash of the relay or a move between the engines, is the same letter. */
static const char put_sql[] =
	"INSERT INTO dead_letter AS old (id, tenant_id, group_name, topic, partition, log_offset, ce_id, key, type, subject,"
	" sequence, traceparent, value, ce_time, reason)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
	" ON CONFLICT (group_name, topic, ce_id) DO UPDATE SET partition = EXCLUDED.partition,"
	" log_offset = EXCLUDED.log_offset, reason = EXCLUDED.reason, created_at = clock_timestamp(), replay_at = NULL,"
	" ended_at = NULL WHERE old.ended_at IS NOT NULL";

static const char take_sql[] =
	"UPDATE dead_letter SET replays = replays + 1,"
	" replay_at = clock_timestamp() + interval '1 minute' * power(2, least(replays, 10))"
	" WHERE id = (SELECT id FROM dead_letter WHERE group_name = $1 AND replay_at <= clock_timestamp()"
	" ORDER BY replay_at LIMIT 1 FOR UPDATE SKIP LOCKED)"
	" RETURNING id, tenant_id, topic, partition, log_offset, ce_id, key, type, subject, sequence, traceparent, value,"
	" ce_time";

static const char settle_sql[] =
	"UPDATE dead_letter SET replay_at = NULL, reason = coalesce($2::text, reason),"
	" ended_at = CASE WHEN $2::text IS NULL THEN clock_timestamp() END WHERE id = $1";

int dead_letter_put(struct db *db, struct arena *arena, const char *group, const struct bus_record *record,
                    const char *reason, struct err *err)
{
	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuid(&args, uuid_v7());
	db_arg_uuid(&args, record->tenant.id);
	db_arg_text(&args, str_of(group));
	db_arg_text(&args, record->topic);
	db_arg_int(&args, record->partition);
	db_arg_int(&args, record->offset);
	db_arg_uuid(&args, record->ce_id);
	db_arg_text(&args, record->key);
	db_arg_text(&args, record->type);
	db_arg_text(&args, record->subject);
	db_arg_int(&args, record->sequence);
	db_arg_text(&args, record->traceparent);
	db_arg_bytes(&args, record->value);
	db_arg_time(&args, record->time_us);
	db_arg_text(&args, str_of(reason));
	return db_queue(db, put_sql, &args, NULL, err);
}

int dead_letter_take(struct db *db, struct arena *arena, const char *group, struct uuid *out_id,
                     struct bus_record *out_record, struct err *err)
{
	struct db_args args;
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	db_args_init(&args, arena);
	db_arg_text(&args, str_of(group));
	if (db_query(db, take_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not look for dead letters that were asked back");
	if (db_rows(rows) == 0)
		return 0;
	*out_id = db_uuid(rows, 0, 0);
	*out_record = (struct bus_record){
		.tenant = { db_uuid(rows, 0, 1) },
		.topic = str_dup(arena, db_str(rows, 0, 2)),
		.partition = (int32_t)db_int(rows, 0, 3),
		.offset = db_int(rows, 0, 4),
		.ce_id = db_uuid(rows, 0, 5),
		.key = str_dup(arena, db_str(rows, 0, 6)),
		.type = str_dup(arena, db_str(rows, 0, 7)),
		.subject = str_dup(arena, db_str(rows, 0, 8)),
		.sequence = db_int(rows, 0, 9),
		.traceparent = str_dup(arena, db_str(rows, 0, 10)),
		.value = str_dup(arena, db_str(rows, 0, 11)),
		.time_us = db_time(rows, 0, 12),
	};
	return 1;
}

int dead_letter_settle(struct db *db, struct arena *arena, struct uuid id, const char *reason, struct err *err)
{
	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuid(&args, id);
	if (reason)
		db_arg_text(&args, str_of(reason));
	else
		db_arg_null(&args);
	return db_queue(db, settle_sql, &args, NULL, err);
}
