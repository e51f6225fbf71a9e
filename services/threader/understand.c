/* SPDX-License-Identifier: Apache-2.0 */
#include "understand.h"

#include <stdlib.h>

#include "base/log.h"
#include "kit/metrics.h"

#include "base/banned.h"

enum { RAW_BYTES_MOST = 16 * 1024 * 1024 };

static struct metric parsed =
	METRIC_COUNTER("mailcase_threader_parsed_total", "mails given to a parser child", "verdict");

static int look_into_ledger(struct db *db, struct arena *arena, struct thread_batch *batch, struct err *err);
static struct thread_mail *mail_of(struct thread_batch *batch, struct uuid intake);
static int parse_some(struct db *db, struct arena *arena, struct parser_pool *pool, struct thread_batch *batch,
                      size_t from, size_t to, struct err *err);
static void set_aside(struct thread_mail *mail, const char *reason);
static int by_arrival(const void *a, const void *b);

int understand(struct db *db, struct arena *arena, struct parser_pool *pool, const struct bus_record *records,
               size_t count, struct thread_batch *out, struct err *err)
{
	*out = (struct thread_batch){ .mails = ARENA_ARRAY(arena, struct thread_mail, count), .len = count };
	for (size_t i = 0; i < count; i++) {
		struct thread_mail *mail = &out->mails[i];
		*mail = (struct thread_mail){ .record = &records[i] };
		struct err why;
		if (mail_received_decode(arena, records[i].value, &mail->received, &why) < 0) {
			set_aside(mail, "undecodable record");
			continue;
		}
		/* The same intake twice in one batch: the first is enough. */
		struct thread_mail *first = mail_of(out, mail->received.intake.id);
		if (first != mail)
			mail->fate = FATE_SKIPPED;
	}
	/* Partitions come one after the other; people expect the numbers of their cases in the order of arrival, and the ids of
	 * the ledger grow with it. */
	qsort(out->mails, count, sizeof *out->mails, by_arrival);
	for (size_t i = 0; i < count; i++) {
		out->mails[i].fresh_message.id = uuid_v7();
		out->mails[i].fresh_case.id = uuid_v7();
	}
	if (look_into_ledger(db, arena, out, err) < 0)
		return -1;

	size_t from = 0;
	while (from < count) {
		size_t to = from;
		int64_t bytes = 0;
		while (to < count && (to == from || bytes + out->mails[to].received.size <= RAW_BYTES_MOST))
			bytes += out->mails[to++].received.size;
		if (parse_some(db, arena, pool, out, from, to, err) < 0)
			return -1;
		from = to;
	}
	return 0;
}

static const char ledger_sql[] =
	"SELECT id, state IN ('received', 'retrying', 'action_needed'), blob_id, is_quiet, received_at FROM intake"
	" WHERE id = ANY($1)";

/* A first look without a lock, to parse nothing twice; the turn looks again under the lock. */
static int look_into_ledger(struct db *db, struct arena *arena, struct thread_batch *batch, struct err *err)
{
	struct uuid *ids = ARENA_ARRAY(arena, struct uuid, batch->len);
	bool *is_there = ARENA_ARRAY(arena, bool, batch->len);
	size_t count = 0;
	for (size_t i = 0; i < batch->len; i++)
		if (batch->mails[i].fate == FATE_MATCHED)
			ids[count++] = batch->mails[i].received.intake.id;
	if (!count)
		return 0;
	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuids(&args, ids, count);
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	if (db_query(db, ledger_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not look into the ledger");
	for (int row = 0; row < db_rows(rows); row++) {
		struct thread_mail *mail = mail_of(batch, db_uuid(rows, row, 0));
		if (!mail)
			continue;
		is_there[mail - batch->mails] = true;
		/* The ledger is the truth; the record says what it was when it was written. */
		mail->received.blob.id = db_uuid(rows, row, 2);
		mail->received.is_quiet = db_bool(rows, row, 3);
		mail->received.received_at_us = db_time(rows, row, 4);
		if (!db_bool(rows, row, 1))
			mail->fate = FATE_SKIPPED;
		else if (uuid_is_null(mail->received.blob.id))
			set_aside(mail, "no raw mail");
	}
	for (size_t i = 0; i < batch->len; i++)
		if (batch->mails[i].fate == FATE_MATCHED && !is_there[i])
			set_aside(&batch->mails[i], "no ledger row");
	return 0;
}

static struct thread_mail *mail_of(struct thread_batch *batch, struct uuid intake)
{
	for (size_t i = 0; i < batch->len; i++)
		if (uuid_eq(batch->mails[i].received.intake.id, intake))
			return &batch->mails[i];
	return NULL;
}

static const char blob_sql[] = "SELECT id, bytes FROM blob WHERE id = ANY($1)";

static int parse_some(struct db *db, struct arena *arena, struct parser_pool *pool, struct thread_batch *batch,
                      size_t from, size_t to, struct err *err)
{
	struct uuid *ids = ARENA_ARRAY(arena, struct uuid, to - from);
	size_t count = 0;
	for (size_t i = from; i < to; i++)
		if (batch->mails[i].fate == FATE_MATCHED)
			ids[count++] = batch->mails[i].received.blob.id;
	if (!count)
		return 0;
	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuids(&args, ids, count);
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	if (db_query(db, blob_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not load raw mails");

	struct parse_job *jobs = ARENA_ARRAY(arena, struct parse_job, count);
	struct thread_mail **owners = ARENA_ARRAY(arena, struct thread_mail *, count);
	size_t jobs_len = 0;
	for (size_t i = from; i < to; i++) {
		struct thread_mail *mail = &batch->mails[i];
		if (mail->fate != FATE_MATCHED)
			continue;
		int row = 0;
		while (row < db_rows(rows) && !uuid_eq(db_uuid(rows, row, 0), mail->received.blob.id))
			row++;
		if (row == db_rows(rows)) {
			set_aside(mail, "raw mail is missing");
			continue;
		}
		owners[jobs_len] = mail;
		/* The turn holds the texts of all its mails, and a stranger chooses their length. */
		jobs[jobs_len].text_most = MATCH_TEXT_MOST;
		jobs[jobs_len++].raw = db_str(rows, row, 1);
		mail->received.size = (int64_t)db_str(rows, row, 1).len;
	}
	if (parser_pool_run(pool, arena, jobs, jobs_len, err) < 0)
		return err_prefix(err, "could not parse mails");
	for (size_t i = 0; i < jobs_len; i++) {
		struct thread_mail *mail = owners[i];
		mail->parse_verdict = jobs[i].verdict;
		metric_add(metric_label(&parsed, parse_verdict_name(jobs[i].verdict)), 1);
		if (jobs[i].verdict == PARSE_OK) {
			mail->mail = jobs[i].mail;
			continue;
		}
		mail->fate = FATE_QUARANTINED;
		/* A parser that asks the kernel for what it may not have has been taken over. */
		if (jobs[i].verdict == PARSE_FORBIDDEN)
			log_error("parser.forbidden", LOG_UUID("intake", mail->received.intake.id), LOG_END);
	}
	return 0;
}

static void set_aside(struct thread_mail *mail, const char *reason)
{
	mail->fate = FATE_SET_ASIDE;
	mail->reason = reason;
}

static int by_arrival(const void *a, const void *b)
{
	return uuid_cmp(((const struct thread_mail *)a)->received.intake.id, ((const struct thread_mail *)b)->received.intake.id);
}
