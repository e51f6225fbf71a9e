/* SPDX-License-Identifier: Apache-2.0
 * What is on the bus, from its oldest record to now, into a temporary table; and what must be there, noted before.
 */
#include "audit_private.h"

#include "base/buf.h"
#include "base/digest.h"
#include "wire/case_record_wire.h"
#include "wire/mail_received.h"
#include "wire/mailbox_event.h"

#include "base/banned.h"

#define READ_AT_ONCE 500
#define CONTENT_MOST ((size_t)16 << 20) /* a record is at most a few hundred KiB as JSON */

static int note_engine(struct audit *audit, struct err *err);
static int read_engine(struct audit *audit, enum bus_engine engine, struct err *err);
static int read_topic(struct audit *audit, const struct bus_options *options, const char *topic, struct err *err);
static int store(struct audit *audit, const struct bus_options *options, const char *topic,
                 const struct bus_record *records, size_t count, struct err *err);
static int note_lag(struct audit *audit, struct err *err);

/* Transactions are over within an hour: what is older was there when the audit began, what is younger was if it is in the
 * tables of what was known. The outbox is noted after them: what has left it since they were noted is on the bus. */
static const char note_sql[] =
	"CREATE TEMP TABLE audit_began AS SELECT clock_timestamp() - interval '1 hour' AS hour_ago,"
	" (lpad(to_hex((extract(epoch FROM clock_timestamp() - interval '1 hour') * 1000)::int8), 12, '0')"
	"  || repeat('0', 20))::uuid AS id_then;"
	"CREATE TEMP TABLE audit_known_case AS SELECT id, version FROM case_file, audit_began WHERE changed_at > hour_ago;"
	"CREATE TEMP TABLE audit_known_mail AS SELECT id FROM intake, audit_began WHERE id > id_then;"
	"CREATE TEMP TABLE audit_known_mailbox AS SELECT mailbox_id, version FROM mailbox_state;"
	"CREATE TEMP TABLE audit_unsent AS SELECT seq, topic, subject, sequence, ce_id FROM outbox;"
	"CREATE TEMP TABLE audit_record (topic text, subject uuid, sequence int8, number int8, ce_id uuid, place int8,"
	" engine text, partition int, log_offset int8, at timestamptz, sum uuid, content uuid, flaw text);"
	"CREATE TEMP TABLE audit_lag (group_name text, topic text, partition int, next_offset int8, end_offset int8, owner text);";
static const char index_sql[] =
	"CREATE INDEX ON audit_record (subject, sequence); CREATE INDEX ON audit_known_case (id);"
	"CREATE INDEX ON audit_known_mail (id); CREATE INDEX ON audit_unsent (subject);"
	"ANALYZE audit_record; ANALYZE audit_known_case; ANALYZE audit_known_mail; ANALYZE audit_unsent;";
static const char since_sql[] = "SELECT since FROM bus_engine";
static const char store_sql[] =
	"INSERT INTO audit_record (topic, engine, subject, sequence, number, ce_id, place, partition, log_offset, at, sum,"
	" content, flaw) SELECT $1, $2, subject, sequence, number, ce_id, place, partition, log_offset, at, sum,"
	" md5(content::text)::uuid, flaw FROM unnest($3::uuid[], $4::int8[], $5::int8[], $6::uuid[], $7::int8[], $8::int8[],"
	" $9::int8[], $10::timestamptz[], $11::uuid[], $12::jsonb[], $13::text[])"
	" AS r (subject, sequence, number, ce_id, place, partition, log_offset, at, sum, content, flaw)";
static const char lag_sql[] =
	"INSERT INTO audit_lag SELECT * FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[], $5::int8[], $6::text[])";
static const char repeats_sql[] =
	"SELECT count(*), count(*) - count(DISTINCT (topic, subject, sequence, ce_id)) FROM audit_record";

static const char *const topics[] = { TOPIC_MAIL_RECEIVED, TOPIC_CASE_EVENTS, TOPIC_MAILBOX_EVENTS };
static const char *const names[] = { "records", "records_repeated" };

int audit_bus(struct audit *audit, struct err *err)
{
	if (db_script(audit->db, note_sql, err) < 0 || note_engine(audit, err) < 0)
		return -1;
	if (!audit->has_bus) {
		audit_found(audit, AUDIT_NOTED, "bus.engine", STR("{}"), STR("the bus is not installed: nothing can be published"));
		return db_script(audit->db, index_sql, err);
	}
	/* After a move the log of the engine in PostgreSQL is still here, and older. */
	if (audit->engine == BUS_KAFKA && read_engine(audit, BUS_POSTGRES, err) < 0)
		return -1;
	if (read_engine(audit, audit->engine, err) < 0 || note_lag(audit, err) < 0 ||
	    db_script(audit->db, index_sql, err) < 0)
		return err_prefix(err, "could not read the bus");
	return audit_count(audit, repeats_sql, names, ARRAY_LEN(names), err);
}

static int note_engine(struct audit *audit, struct err *err)
{
	struct db_result *since CLEANUP(db_result_done) = NULL;
	bool moves;
	int found = bus_engine_of(audit->db, &audit->engine, &moves, err);

	if (found < 0)
		return -1;
	audit->has_bus = found;
	if (!found)
		return 0;
	if (db_query(audit->db, since_sql, NULL, &since, err) < 0)
		return -1;
	audit->engine_since_us = db_time(since, 0, 0);
	return 0;
}

static int read_engine(struct audit *audit, enum bus_engine engine, struct err *err)
{
	struct bus_options options = audit->options->bus;

	options.engine = engine;
	for (size_t i = 0; i < ARRAY_LEN(topics); i++)
		if (read_topic(audit, &options, topics[i], err) < 0)
			return -1;
	return 0;
}

static int read_topic(struct audit *audit, const struct bus_options *options, const char *topic, struct err *err)
{
	struct bus_reader *reader = bus_reader_open(options, topic, err);
	struct bus_record *records;
	size_t count;
	int failed;

	if (!reader)
		return -1;
	do {
		arena_reset(&audit->arena);
		failed = bus_reader_next(reader, &audit->arena, READ_AT_ONCE, &records, &count, err) < 0 ||
		         (count && store(audit, options, topic, records, count, err) < 0);
		audit->listener->walked(audit->listener->self, "records on the bus", (int64_t)count);
	} while (!failed && count);
	bus_reader_close(reader);
	return failed ? -1 : 0;
}

/* A record of a case as the timeline would tell it: compared as jsonb, which knows no order of keys. */
static struct str case_content(struct arena *arena, const struct case_record *record)
{
	char tenant[UUID_TEXT_LEN + 1], author[UUID_TEXT_LEN + 3] = "null", cause[UUID_TEXT_LEN + 1];
	struct buf text;

	if (!uuid_is_null(record->author.user.id)) {
		char id[UUID_TEXT_LEN + 1];
		snprintf(author, sizeof author, "\"%s\"", uuid_text(record->author.user.id, id));
	}
	buf_init(&text, CONTENT_MOST);
	buf_addf(&text, "[\"%s\",\"%s\",%s,\"%s\",%u,%lld,[", uuid_text(record->tenant.id, tenant),
	         author_kind_name(record->author.kind), author, uuid_text(record->cause, cause), record->hop,
	         (long long)record->time_us);
	for (size_t i = 0; i < record->facts_len; i++) {
		buf_addf(&text, "%s[\"%s\",", i ? "," : "", fact_kind_name(record->facts[i].kind));
		buf_add_str(&text, fact_json(arena, &record->facts[i]));
		buf_add_char(&text, ']');
	}
	buf_add_text(&text, "]]");
	struct str content = str_dup(arena, buf_str(&text));
	buf_done(&text);
	return content;
}

static struct str mail_content(struct arena *arena, const struct mail_received *mail)
{
	char ids[4][UUID_TEXT_LEN + 1];

	return str_printf(arena, "[\"%s\",\"%s\",\"%s\",\"%s\",\"%.*s\",%lld,%lld,%s]", uuid_text(mail->tenant.id, ids[0]),
	                  uuid_text(mail->mailbox.id, ids[1]), uuid_text(mail->folder.id, ids[2]),
	                  uuid_text(mail->blob.id, ids[3]), STR_ARG(str_hex(arena, mail->sha256.b, sizeof mail->sha256.b)),
	                  (long long)mail->size, (long long)mail->received_at_us, mail->is_quiet ? "true" : "false");
}

/* What a record says of itself, in its headers and in its body, must be one thing. Answers the flaw, or null. */
static struct str understand(struct arena *arena, const struct bus_record *record, struct uuid subject,
                             struct str *out_content, int64_t *out_number)
{
	struct err why = { 0 };
	struct uuid about = { { 0 } };
	struct str key = record->subject;
	int64_t version = 0;

	if (str_eq(record->topic, STR(TOPIC_CASE_EVENTS))) {
		struct case_record body;
		if (case_record_decode(arena, record->value, &body, &why) < 0)
			return str_of(arena_printf(arena, "%s", why.text));
		about = body.case_id.id;
		version = body.version;
		*out_number = body.number;
		*out_content = case_content(arena, &body);
	} else if (str_eq(record->topic, STR(TOPIC_MAIL_RECEIVED))) {
		struct mail_received body;
		if (mail_received_decode(arena, record->value, &body, &why) < 0)
			return str_of(arena_printf(arena, "%s", why.text));
		about = body.intake.id;
		key = str_dup(arena, str_of(body.hint));
		*out_content = mail_content(arena, &body);
	} else {
		struct mailbox_event body;
		if (mailbox_event_decode(arena, record->value, &body, &why) < 0)
			return str_of(arena_printf(arena, "%s", why.text));
		about = body.mailbox.id;
		version = body.version;
	}
	if (!uuid_eq(about, subject))
		return STR("ce_subject is not what its body is about");
	if (version != record->sequence)
		return STR("ce_sequence is not the version in its body");
	if (!str_eq(record->key, key))
		return STR("its key is not that of what it is about");
	return STR_NULL;
}

static int store(struct audit *audit, const struct bus_options *options, const char *topic,
                 const struct bus_record *records, size_t count, struct err *err)
{
	struct arena *arena = &audit->arena;
	struct uuid *subject = ARENA_ARRAY(arena, struct uuid, count), *ce_id = ARENA_ARRAY(arena, struct uuid, count),
	            *sum = ARENA_ARRAY(arena, struct uuid, count);
	int64_t *sequence = ARENA_ARRAY(arena, int64_t, count), *number = ARENA_ARRAY(arena, int64_t, count),
	        *place = ARENA_ARRAY(arena, int64_t, count), *partition = ARENA_ARRAY(arena, int64_t, count),
	        *offset = ARENA_ARRAY(arena, int64_t, count), *at = ARENA_ARRAY(arena, int64_t, count);
	struct str *content = ARENA_ARRAY(arena, struct str, count), *flaw = ARENA_ARRAY(arena, struct str, count);
	struct db_args args;
	int64_t rows;

	for (size_t i = 0; i < count; i++) {
		const struct bus_record *record = &records[i];
		if (!uuid_parse(record->subject, &subject[i]))
			subject[i] = (struct uuid){ { 0 } };
		ce_id[i] = record->ce_id;
		sequence[i] = record->sequence;
		place[i] = audit->places++;
		partition[i] = record->partition;
		offset[i] = record->offset;
		at[i] = record->time_us;
		sum[i] = sha256_uuid(sha256_of(record->value));
		flaw[i] = understand(arena, record, subject[i], &content[i], &number[i]);
		if (flaw[i].at)
			content[i] = STR_NULL;
	}
	db_args_init(&args, arena);
	db_arg_text(&args, str_of(topic));
	db_arg_text(&args, str_of(bus_engine_name(options->engine)));
	db_arg_uuids(&args, subject, count);
	db_arg_ints(&args, sequence, count);
	db_arg_ints(&args, number, count);
	db_arg_uuids(&args, ce_id, count);
	db_arg_ints(&args, place, count);
	db_arg_ints(&args, partition, count);
	db_arg_ints(&args, offset, count);
	db_arg_times_or_null(&args, at, count);
	db_arg_uuids(&args, sum, count);
	db_arg_jsons(&args, content, count);
	db_arg_texts(&args, flaw, count);
	return db_exec(audit->db, store_sql, &args, &rows, err);
}

/* How far the groups are, asked after the records were read and before the ledger is looked at for what they did. */
static int note_lag(struct audit *audit, struct err *err)
{
	struct bus_options options = audit->options->bus;
	struct bus_lag *lag;
	struct db_args args;
	size_t count;
	int64_t rows;

	options.engine = audit->engine;
	arena_reset(&audit->arena);
	if (bus_lag(&options, audit->db, &audit->arena, &lag, &count, err) < 0)
		return -1;
	struct str *group = ARENA_ARRAY(&audit->arena, struct str, count + 1), *topic = ARENA_ARRAY(&audit->arena, struct str, count + 1),
	           *owner = ARENA_ARRAY(&audit->arena, struct str, count + 1);
	int64_t *partition = ARENA_ARRAY(&audit->arena, int64_t, count + 1), *next = ARENA_ARRAY(&audit->arena, int64_t, count + 1),
	        *end = ARENA_ARRAY(&audit->arena, int64_t, count + 1);
	for (size_t i = 0; i < count; i++) {
		group[i] = lag[i].group;
		topic[i] = lag[i].topic;
		owner[i] = lag[i].owner.at ? lag[i].owner : STR("");
		partition[i] = lag[i].partition;
		next[i] = lag[i].next_offset;
		end[i] = lag[i].end_offset;
	}
	db_args_init(&args, &audit->arena);
	db_arg_texts(&args, group, count);
	db_arg_texts(&args, topic, count);
	db_arg_ints(&args, partition, count);
	db_arg_ints(&args, next, count);
	db_arg_ints(&args, end, count);
	db_arg_texts(&args, owner, count);
	return db_exec(audit->db, lag_sql, &args, &rows, err);
}
