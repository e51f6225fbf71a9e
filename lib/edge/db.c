/* SPDX-License-Identifier: Apache-2.0 */
#include "db.h"

#include <stdlib.h>
#include <string.h>

#include "db_private.h"

#include "base/banned.h"

/* Plans by index only: a fresh table's sequential scan would be cached as the generic plan. A client that is stopped
 * inside a transaction must not keep its locks for long. */
#define SESSION_OPTIONS \
	"-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off" \
	" -c statement_timeout=30s -c idle_in_transaction_session_timeout=10s" \
	" -c default_toast_compression=lz4 -c timezone=UTC"

static int session_options(const char *conninfo, char **out, struct err *err);
static int enter_pipeline(struct db *db, struct err *err);
static int run_for_channel(struct db *db, const char *verb, const char *channel, struct err *err);
static int script_failed(struct db *db, PGresult *result, struct err *err);

struct db *db_open(const char *conninfo, const char *name, struct err *err)
{
	struct db *db = xcalloc(1, sizeof *db);
	db->conninfo = xstrdup(conninfo ? conninfo : "");
	db->name = xstrdup(name);
	db->connect_most_s = 10;
	arena_init(&db->statement_arena);
	map_init(&db->statements, &db->statement_arena);
	if (db_connect(db, err) < 0) {
		db_close(db);
		return NULL;
	}
	return db;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	db_forget(db);
	PQfinish(db->conn);
	for (size_t i = 0; i < db->channels_len; i++)
		free(db->channels[i]);
	free(db->pending);
	explicit_bzero(db->conninfo, strlen(db->conninfo));
	free(db->conninfo);
	free(db->name);
	arena_done(&db->statement_arena);
	free(db);
}

int db_connect(struct db *db, struct err *err)
{
	char *options = NULL;
	if (session_options(db->conninfo, &options, err) < 0)
		return -1;
	/* What stands before the connection string can be changed by it, what stands behind cannot. */
	const char *const keys[] = { "connect_timeout",  "keepalives_idle", "keepalives_interval", "keepalives_count",
		                     "tcp_user_timeout", "dbname",          "client_encoding",     "application_name",
		                     "options",          NULL };
	char most[16];
	snprintf(most, sizeof most, "%d", db->connect_most_s);
	const char *const values[] = { most, "30", "10", "3", "40000", db->conninfo, "UTF8", db->name, options, NULL };
	PQfinish(db->conn);
	db->conn = PQconnectdbParams(keys, values, 1);
	free(options);
	if (!db->conn)
		die_no_memory(0);
	if (PQstatus(db->conn) != CONNECTION_OK) {
		db_failed(db, NULL, err);
		return err_prefix(err, "could not connect to the database");
	}
	if (enter_pipeline(db, err) < 0)
		return -1;
	for (size_t i = 0; i < db->channels_len; i++)
		if (run_for_channel(db, "LISTEN", db->channels[i], err) < 0)
			return -1;
	return 0;
}

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

/* The operator's own `options` come after ours and win. */
static int session_options(const char *conninfo, char **out, struct err *err)
{
	char *message = NULL;
	PQconninfoOption *parsed = PQconninfoParse(conninfo, &message);
	PQfreemem(message); /* it can quote a piece of the password */
	if (!parsed)
		return err_set(err, ERR_FATAL, "cannot read the database URL: it is no valid connection string");
	const char *theirs = "";
	for (const PQconninfoOption *option = parsed; option->keyword; option++)
		if (strcmp(option->keyword, "options") == 0 && option->val)
			theirs = option->val;
	size_t size = sizeof SESSION_OPTIONS + strlen(theirs) + 1;
	*out = xmalloc(size);
	snprintf(*out, size, "%s %s", SESSION_OPTIONS, theirs);
	PQconninfoFree(parsed);
	return 0;
}

static int enter_pipeline(struct db *db, struct err *err)
{
	PQsetNoticeReceiver(db->conn, ignore_notice, NULL);
	if (PQsetnonblocking(db->conn, 1) != 0 || PQenterPipelineMode(db->conn) != 1)
		return db_failed(db, NULL, err);
	return 0;
}

void db_connect_most(struct db *db, int seconds)
{
	db->connect_most_s = seconds;
}

int db_recover(struct db *db, struct err *err)
{
	/* A connection that the server has closed meanwhile shows it only when it is read. */
	if (PQstatus(db->conn) == CONNECTION_OK && (db->in_flush || PQconsumeInput(db->conn)))
		db_rollback(db);
	if (PQstatus(db->conn) == CONNECTION_OK)
		return 0;
	db_forget(db);
	return db_connect(db, err);
}

void db_forget(struct db *db)
{
	for (size_t i = 0; i < db->pending_len; i++)
		PQclear(db->pending[i].result);
	db->pending_len = db->pending_read = 0;
	db->in_transaction = db->in_flush = false;
	arena_reset(&db->statement_arena);
	map_init(&db->statements, &db->statement_arena);
	db->statements_len = 0;
}

/* A simple query, outside the pipeline, without a time limit: a migration may take its time. */
int db_script(struct db *db, const char *sql, struct err *err)
{
	if (db->pending_len && db_flush(db, err) < 0)
		return -1;
	if (PQexitPipelineMode(db->conn) != 1 || PQsetnonblocking(db->conn, 0) != 0)
		return db_failed(db, NULL, err);
	const char *const texts[] = { "SET statement_timeout = 0", sql, "RESET statement_timeout" };
	int failed = 0;
	for (size_t i = 0; i < ARRAY_LEN(texts) && !failed; i++)
		failed = script_failed(db, PQexec(db->conn, texts[i]), err);
	db->in_transaction = PQtransactionStatus(db->conn) != PQTRANS_IDLE;
	if (PQstatus(db->conn) != CONNECTION_OK)
		return -1;
	if (failed)
		PQclear(PQexec(db->conn, "RESET statement_timeout"));
	struct err mode_err = { 0 };
	if (enter_pipeline(db, failed ? &mode_err : err) < 0)
		return -1;
	return failed;
}

static int script_failed(struct db *db, PGresult *result, struct err *err)
{
	ExecStatusType status = PQresultStatus(result);
	int failed = 0;
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY)
		failed = db_failed(db, result, err);
	PQclear(result);
	return failed;
}

int db_listen(struct db *db, const char *channel, struct err *err)
{
	if (db->channels_len == DB_CHANNELS_MAX)
		return err_set(err, ERR_FATAL, "cannot listen to %s: too many channels", channel);
	if (run_for_channel(db, "LISTEN", channel, err) < 0)
		return -1;
	db->channels[db->channels_len++] = xstrdup(channel);
	return 0;
}

int db_unlisten(struct db *db, const char *channel, struct err *err)
{
	for (size_t i = 0; i < db->channels_len; i++)
		if (strcmp(db->channels[i], channel) == 0) {
			free(db->channels[i]);
			db->channels[i--] = db->channels[--db->channels_len];
		}
	return run_for_channel(db, "UNLISTEN", channel, err);
}

static int run_for_channel(struct db *db, const char *verb, const char *channel, struct err *err)
{
	char *quoted = PQescapeIdentifier(db->conn, channel, strlen(channel));
	if (!quoted)
		return db_failed(db, NULL, err);
	char sql[256];
	snprintf(sql, sizeof sql, "%s %s", verb, quoted);
	PQfreemem(quoted);
	return db_exec(db, sql, NULL, NULL, err);
}

int db_socket(const struct db *db)
{
	return PQstatus(db->conn) == CONNECTION_OK ? PQsocket(db->conn) : -1;
}

int db_notification(struct db *db, char *out_channel, size_t size, struct err *err)
{
	PGnotify *notify = PQnotifies(db->conn);
	if (!notify) {
		if (!PQconsumeInput(db->conn))
			return db_failed(db, NULL, err);
		notify = PQnotifies(db->conn);
	}
	if (!notify)
		return 0;
	snprintf(out_channel, size, "%s", notify->relname);
	PQfreemem(notify);
	return 1;
}

int db_notified(struct db *db, bool *out, struct err *err)
{
	char channel[64];
	bool any = false;
	int got;
	while ((got = db_notification(db, channel, sizeof channel, err)) > 0)
		any = true;
	if (got < 0)
		return -1;
	*out = any;
	return 0;
}

const char *db_sqlstate(const struct db *db)
{
	return db->sqlstate;
}
