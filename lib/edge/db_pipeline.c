/* SPDX-License-Identifier: Apache-2.0
 * The connection is always in pipeline mode and never blocks inside libpq: while a large batch is written, answers are
 * read, so that client and server cannot wait for each other.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "db_private.h"

#include "base/banned.h"

#define STATEMENTS_MAX 500

static int statement_for(struct db *db, const char *sql, const struct db_args *args, struct db_statement **out,
                         struct err *err);
static bool statement_fits(const struct db_statement *statement, const struct db_args *args);
static int statements_drop(struct db *db, struct err *err);
static struct db_pending *pending_add(struct db *db);
static void take_result(struct db *db, PGresult *result);
static int drain(struct db *db, struct err *err);
static int flush_end(struct db *db, struct err *err);
static int broken(struct db *db, struct err *err);

int db_queue(struct db *db, const char *sql, const struct db_args *args, struct db_result **out, struct err *err)
{
	static const struct db_args none;
	if (!args)
		args = &none;
	struct db_statement *statement = NULL;
	if (statement_for(db, sql, args, &statement, err) < 0)
		return -1;
	int formats[DB_ARGS_MAX];
	for (int i = 0; i < args->len; i++)
		formats[i] = 1;
	if (!PQsendQueryPrepared(db->conn, statement->name, args->len, args->value, args->length, formats, 1))
		return broken(db, err);
	struct db_pending *pending = pending_add(db);
	pending->statement = statement;
	pending->out = out;
	return 0;
}

int db_flush(struct db *db, struct err *err)
{
	if (db_flush_start(db, err) < 0)
		return -1;
	return drain(db, err);
}

static int drain(struct db *db, struct err *err)
{
	for (;;) {
		enum db_step step = DB_STEP_READ;
		if (db_flush_step(db, &step, err) < 0)
			return -1;
		if (step == DB_STEP_DONE)
			return 0;
		struct pollfd fd = { .fd = PQsocket(db->conn), .events = step == DB_STEP_WRITE ? POLLIN | POLLOUT : POLLIN };
		if (poll(&fd, 1, -1) < 0 && errno != EINTR)
			return broken(db, err);
	}
}

int db_flush_start(struct db *db, struct err *err)
{
	db->flush_err = (struct err){ 0 };
	db->sqlstate[0] = '\0';
	db->pending_read = 0;
	if (!PQpipelineSync(db->conn))
		return broken(db, err);
	db->in_flush = true;
	return 0;
}

int db_flush_step(struct db *db, enum db_step *out_step, struct err *err)
{
	int unsent = PQflush(db->conn);
	if (unsent < 0 || !PQconsumeInput(db->conn))
		return broken(db, err);
	while (!PQisBusy(db->conn)) {
		PGresult *result = PQgetResult(db->conn);
		if (PQstatus(db->conn) != CONNECTION_OK) {
			PQclear(result);
			return broken(db, err);
		}
		if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
			PQclear(result);
			*out_step = DB_STEP_DONE;
			return flush_end(db, err);
		}
		if (result)
			take_result(db, result);
		else
			db->pending_read++; /* NULL parts the answers of two statements */
	}
	*out_step = unsent ? DB_STEP_WRITE : DB_STEP_READ;
	return 0;
}

int db_query(struct db *db, const char *sql, const struct db_args *args, struct db_result **out, struct err *err)
{
	if (db_queue(db, sql, args, out, err) < 0)
		return -1;
	return db_flush(db, err);
}

int db_exec(struct db *db, const char *sql, const struct db_args *args, int64_t *out_rows, struct err *err)
{
	struct db_result *result CLEANUP(db_result_done) = NULL;
	if (db_query(db, sql, args, &result, err) < 0)
		return -1;
	if (out_rows)
		*out_rows = db_affected(result);
	return 0;
}

int db_begin(struct db *db, struct err *err)
{
	if (db->in_transaction)
		db_rollback(db);
	if (db_queue(db, "BEGIN", NULL, NULL, err) < 0)
		return -1;
	db->in_transaction = true;
	return 0;
}

int db_commit(struct db *db, struct err *err)
{
	if (db_queue(db, "COMMIT", NULL, NULL, err) < 0)
		return -1;
	db->pending[db->pending_len - 1].is_commit = true;
	return db_flush(db, err);
}

/* What is queued cannot be unsent: it runs and is undone. Nobody waits for its results any more. */
void db_rollback(struct db *db)
{
	if (!db->in_transaction && !db->pending_len)
		return;
	for (size_t i = 0; i < db->pending_len; i++)
		db->pending[i].out = NULL;
	struct err ignored = { 0 };
	char sqlstate[sizeof db->sqlstate];
	memcpy(sqlstate, db->sqlstate, sizeof sqlstate);
	if (PQstatus(db->conn) == CONNECTION_OK && db->in_flush)
		(void)!drain(db, &ignored);
	else if (PQstatus(db->conn) == CONNECTION_OK && db->pending_len)
		(void)!db_flush(db, &ignored);
	/* In a flush of its own, because a failure before it would keep it from running. */
	if (PQstatus(db->conn) == CONNECTION_OK && db->in_transaction)
		(void)!db_exec(db, "ROLLBACK", NULL, NULL, &ignored);
	if (PQstatus(db->conn) != CONNECTION_OK)
		db_forget(db);
	memcpy(db->sqlstate, sqlstate, sizeof sqlstate);
	db->in_transaction = false;
}

static int statement_for(struct db *db, const char *sql, const struct db_args *args, struct db_statement **out,
                         struct err *err)
{
	struct str text = str_of(sql);
	struct db_statement *first = map_get(&db->statements, text), *statement = first;
	while (statement && !statement_fits(statement, args))
		statement = statement->next_variant;
	if (!statement) {
		if (db->statements_len >= STATEMENTS_MAX && !db->pending_len) {
			if (statements_drop(db, err) < 0)
				return -1;
			first = NULL;
		}
		statement = ARENA_NEW(&db->statement_arena, struct db_statement);
		snprintf(statement->name, sizeof statement->name, "s%llu", (unsigned long long)++db->statements_made);
		statement->len = args->len;
		memcpy(statement->type, args->type, sizeof *args->type * (size_t)args->len);
		statement->next_variant = first;
		map_put(&db->statements, first ? text : str_dup(&db->statement_arena, text), statement);
		db->statements_len++;
	}
	if (statement->state == STATEMENT_UNKNOWN) {
		if (!PQsendPrepare(db->conn, statement->name, sql, statement->len, statement->type))
			return broken(db, err);
		struct db_pending *pending = pending_add(db);
		pending->statement = statement;
		pending->is_prepare = true;
		statement->state = STATEMENT_ASKED;
	}
	*out = statement;
	return 0;
}

static bool statement_fits(const struct db_statement *statement, const struct db_args *args)
{
	if (statement->len != args->len)
		return false;
	for (int i = 0; i < args->len; i++)
		if (statement->type[i] != args->type[i] && args->type[i] != 0)
			return false;
	return true;
}

static int statements_drop(struct db *db, struct err *err)
{
	arena_reset(&db->statement_arena);
	map_init(&db->statements, &db->statement_arena);
	db->statements_len = 0;
	if (!PQsendQueryParams(db->conn, "DEALLOCATE ALL", 0, NULL, NULL, NULL, NULL, 1))
		return broken(db, err);
	pending_add(db);
	return 0;
}

static struct db_pending *pending_add(struct db *db)
{
	if (db->pending_len == db->pending_room) {
		db->pending_room = db->pending_room ? db->pending_room * 2 : 32;
		db->pending = xrealloc(db->pending, db->pending_room * sizeof *db->pending);
	}
	db->pending[db->pending_len] = (struct db_pending){ 0 };
	return &db->pending[db->pending_len++];
}

static void take_result(struct db *db, PGresult *result)
{
	if (db->pending_read >= db->pending_len) {
		PQclear(result);
		return;
	}
	struct db_pending *pending = &db->pending[db->pending_read];
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		if (pending->is_prepare)
			pending->statement->state = STATEMENT_READY;
		if (pending->is_commit && strcmp(PQcmdStatus(result), "ROLLBACK") == 0 && !db->flush_err.kind)
			err_set(&db->flush_err, ERR_TEMP, "could not commit: the transaction had failed");
		PQclear(pending->result);
		pending->result = result;
		return;
	case PGRES_PIPELINE_ABORTED:
		break;
	default:
		if (!db->flush_err.kind)
			db_failed(db, result, &db->flush_err);
		/* The server has lost the statement, or its result has changed its shape: prepare it anew. */
		if (pending->statement && (strcmp(db->sqlstate, "26000") == 0 || strcmp(db->sqlstate, "0A000") == 0)) {
			snprintf(pending->statement->name, sizeof pending->statement->name, "s%llu",
			         (unsigned long long)++db->statements_made);
			pending->statement->state = STATEMENT_UNKNOWN;
		}
	}
	if (pending->is_prepare)
		pending->statement->state = STATEMENT_UNKNOWN;
	PQclear(result);
}

/* Results are given out only when all statements of the flush went well. */
static int flush_end(struct db *db, struct err *err)
{
	bool failed = db->flush_err.kind != ERR_NONE;
	for (size_t i = 0; i < db->pending_len; i++) {
		struct db_pending *pending = &db->pending[i];
		if (pending->out && pending->result && !failed) {
			db_result_done(pending->out);
			*pending->out = db_result_new(pending->result);
		} else {
			PQclear(pending->result);
		}
	}
	db->pending_len = db->pending_read = 0;
	db->in_flush = false;
	db->in_transaction = PQtransactionStatus(db->conn) != PQTRANS_IDLE;
	if (failed && err)
		*err = db->flush_err;
	return failed ? -1 : 0;
}

static int broken(struct db *db, struct err *err)
{
	/* What the server said before it hung up (shutdown, idle too long) says more than "connection lost". */
	if (db->flush_err.kind && err)
		*err = db->flush_err;
	else
		db_failed(db, NULL, err);
	db->flush_err = (struct err){ 0 };
	db_forget(db);
	return -1;
}
