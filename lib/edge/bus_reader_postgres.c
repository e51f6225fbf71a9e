/* SPDX-License-Identifier: Apache-2.0
 * Reading a topic of the postgres engine without a group.
 */
#include "bus_postgres.h"

#include <stdlib.h>

#include "base/banned.h"

struct pg_reader {
	struct bus_reader base;
	struct db *db;
	const char *topic;
	struct arena arena; /* the ends */
	struct arena call;
	int64_t *partitions, *ends;
	size_t count;
	int64_t partition, offset; /* of the last record given */
};

static const char ends_sql[] = "SELECT partition, next_offset FROM bus_partition WHERE topic = $1 ORDER BY partition";
static const char next_sql[] =
	"SELECT " PG_RECORD_COLUMNS " FROM unnest($1::int8[], $2::int8[]) AS e (partition, ends)"
	" JOIN bus_log l ON l.topic = $3 AND l.partition = e.partition AND l.log_offset < e.ends"
	" WHERE (l.partition, l.log_offset) > ($4, $5) ORDER BY l.partition, l.log_offset LIMIT $6";

struct bus_reader *pg_reader_open(const struct bus_options *options, const char *topic, struct err *err)
{
	struct pg_reader *reader = xcalloc(1, sizeof *reader);
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	reader->base.ops = &bus_postgres_ops;
	reader->topic = topic;
	reader->partition = -1;
	arena_init(&reader->arena);
	arena_init(&reader->call);
	reader->db = db_open(options->database_url, options->name, err);
	db_args_init(&args, &reader->arena);
	db_arg_text(&args, str_of(topic));
	if (!reader->db || db_query(reader->db, ends_sql, &args, &rows, err) < 0) {
		err_prefix(err, "could not read topic %s", topic);
		pg_reader_close(&reader->base);
		return NULL;
	}
	reader->count = (size_t)db_rows(rows);
	reader->partitions = ARENA_ARRAY(&reader->arena, int64_t, reader->count + 1);
	reader->ends = ARENA_ARRAY(&reader->arena, int64_t, reader->count + 1);
	for (size_t i = 0; i < reader->count; i++) {
		reader->partitions[i] = db_int(rows, (int)i, 0);
		reader->ends[i] = db_int(rows, (int)i, 1);
	}
	return &reader->base;
}

void pg_reader_close(struct bus_reader *base)
{
	struct pg_reader *reader = (struct pg_reader *)base;

	db_close(reader->db);
	arena_done(&reader->arena);
	arena_done(&reader->call);
	free(reader);
}

int pg_reader_next(struct bus_reader *base, struct arena *arena, size_t limit, struct bus_record **out, size_t *out_count,
                   struct err *err)
{
	struct pg_reader *reader = (struct pg_reader *)base;
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	arena_reset(&reader->call);
	db_args_init(&args, &reader->call);
	db_arg_ints(&args, reader->partitions, reader->count);
	db_arg_ints(&args, reader->ends, reader->count);
	db_arg_text(&args, str_of(reader->topic));
	db_arg_int(&args, reader->partition);
	db_arg_int(&args, reader->offset);
	db_arg_int(&args, (int64_t)limit);
	if (db_query(reader->db, next_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not read topic %s", reader->topic);
	size_t count = (size_t)db_rows(rows);
	struct bus_record *records = ARENA_ARRAY(arena, struct bus_record, count + 1);
	for (size_t i = 0; i < count; i++)
		records[i] = pg_record(arena, rows, (int)i, reader->topic);
	if (count) {
		reader->partition = records[count - 1].partition;
		reader->offset = records[count - 1].offset;
	}
	*out = records;
	*out_count = count;
	return 0;
}

struct bus_record pg_record(struct arena *arena, const struct db_result *rows, int row, const char *topic)
{
	return (struct bus_record){
		.topic = str_of(topic),
		.partition = (int32_t)db_int(rows, row, 1),
		.offset = db_int(rows, row, 2),
		.ce_id = db_uuid(rows, row, 3),
		.tenant = { db_uuid(rows, row, 4) },
		.key = str_dup(arena, db_str(rows, row, 5)),
		.type = str_dup(arena, db_str(rows, row, 6)),
		.subject = str_dup(arena, db_str(rows, row, 7)),
		.sequence = db_int(rows, row, 8),
		.traceparent = str_dup(arena, db_str(rows, row, 9)),
		.value = str_dup(arena, db_str(rows, row, 10)),
		.time_us = db_time(rows, row, 11),
	};
}
