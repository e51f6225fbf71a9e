/* SPDX-License-Identifier: Apache-2.0
 * db - PostgreSQL (libpq), prepared statements, pipelines
 *
 * Every statement is a constant text; it is prepared on first use and found again by its text. Values travel as typed
 * binary parameters, results come back binary. SQLSTATE decides the class of a failure: connection, serialization,
 * deadlock, lock and resource trouble, and a duplicate key (a race that another has won) is TEMP; another broken
 * constraint or bad data is PERM; a wrong schema or no permission is FATAL. A commit whose answer was lost is TEMP. One
 * connection belongs to one thread.
 *
 *	struct db_args args;
 *	db_args_init(&args, arena);
 *	db_arg_uuid(&args, id);
 *	struct db_result *rows CLEANUP(db_result_done) = NULL;
 *	if (db_query(db, sql, &args, &rows, err) < 0)
 *		return -1;
 */
#ifndef MAILCASE_DB_H
#define MAILCASE_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"

struct db;
struct db_result;

#define DB_ARGS_MAX 40

struct db_args {
	struct arena *arena; /* converted values live here */
	int len;
	const char *value[DB_ARGS_MAX];
	int length[DB_ARGS_MAX];
	unsigned type[DB_ARGS_MAX]; /* oid */
};

void db_args_init(struct db_args *args, struct arena *arena);
void db_arg_null(struct db_args *args); /* type unknown: cast it in the statement */
void db_arg_bool(struct db_args *args, bool value);
void db_arg_int(struct db_args *args, int64_t value); /* int8 */
void db_arg_real(struct db_args *args, double value);
void db_arg_text(struct db_args *args, struct str value);       /* scrubbed; .at == NULL is '' */
void db_arg_bytes(struct db_args *args, struct str value);
void db_arg_json(struct db_args *args, struct str value);       /* jsonb */
void db_arg_uuid(struct db_args *args, struct uuid value);
void db_arg_uuid_or_null(struct db_args *args, struct uuid value); /* the null id becomes NULL */
void db_arg_time(struct db_args *args, int64_t wall_us);        /* timestamptz */
void db_arg_time_or_null(struct db_args *args, int64_t wall_us); /* 0 becomes NULL */
/* Arrays, one dimension. For texts and jsons an element with .at == NULL is NULL; null ids in `_or_null` are NULL. */
void db_arg_bools(struct db_args *args, const bool *values, size_t count);
void db_arg_ints(struct db_args *args, const int64_t *values, size_t count);
void db_arg_texts(struct db_args *args, const struct str *values, size_t count);
void db_arg_bytess(struct db_args *args, const struct str *values, size_t count);
void db_arg_jsons(struct db_args *args, const struct str *values, size_t count);
void db_arg_uuids(struct db_args *args, const struct uuid *values, size_t count);
void db_arg_uuids_or_null(struct db_args *args, const struct uuid *values, size_t count);
void db_arg_times_or_null(struct db_args *args, const int64_t *wall_us, size_t count);

/* Connect. `conninfo` is a libpq string or URL; `name` becomes application_name. Session settings of a service (plans
 * by index only, statement and idle-in-transaction time-outs, lz4) are set. Error texts never hold the password. */
struct db *db_open(const char *conninfo, const char *name, struct err *err);
void db_close(struct db *db); /* accepts NULL */

/* How long db_recover() may take to reach the server, 10 s unless told; libpq's least is 2. */
void db_connect_most(struct db *db, int seconds);

/* After a TEMP failure: connect again if the connection is gone; else make sure that no transaction is open. */
int db_recover(struct db *db, struct err *err) MUST_CHECK;

/* One round trip. `args` may be NULL. */
int db_query(struct db *db, const char *sql, const struct db_args *args, struct db_result **out, struct err *err) MUST_CHECK;
int db_exec(struct db *db, const char *sql, const struct db_args *args, int64_t *out_rows, struct err *err) MUST_CHECK;

/* Several statements, no parameters, as migrations are: a simple query. */
int db_script(struct db *db, const char *sql, struct err *err) MUST_CHECK;

/* Pipeline: queue statements, then one flush (one round trip, or several where the text is large). Results are put
 * where `out` says at db_flush() (NULL: not wanted). The first failure is the flush's; statements behind it did not run.
 * A queued statement keeps nothing of `args` past the call. */
int db_queue(struct db *db, const char *sql, const struct db_args *args, struct db_result **out, struct err *err) MUST_CHECK;
int db_flush(struct db *db, struct err *err) MUST_CHECK;

/* BEGIN travels with the next flush or query; COMMIT flushes all that is queued. ROLLBACK never fails loudly: a broken
 * connection has rolled back already. */
int db_begin(struct db *db, struct err *err) MUST_CHECK;
int db_commit(struct db *db, struct err *err) MUST_CHECK;
void db_rollback(struct db *db);

/* The same flush without blocking, for event loops: start it, then call step whenever db_socket() is readable (or
 * writable, while step says so) until it answers 1. Nothing else may be called in between. */
enum db_step { DB_STEP_READ, DB_STEP_WRITE, DB_STEP_DONE };
int db_flush_start(struct db *db, struct err *err) MUST_CHECK;
int db_flush_step(struct db *db, enum db_step *out_step, struct err *err) MUST_CHECK;

/* Notifications. LISTEN is repeated by db_recover(). */
int db_listen(struct db *db, const char *channel, struct err *err) MUST_CHECK;
int db_unlisten(struct db *db, const char *channel, struct err *err) MUST_CHECK;
int db_socket(const struct db *db); /* for poll(); -1 when broken */
/* Take in what the server has sent; true in *out if a notification was among it. Does not block. Ask before poll():
 * what arrived along with an answer is already here. */
int db_notified(struct db *db, bool *out, struct err *err) MUST_CHECK;
/* The same one by one, with its channel: 1 got one, 0 no more. */
int db_notification(struct db *db, char *out_channel, size_t size, struct err *err) MUST_CHECK;

/* SQLSTATE of the last failure, for the few who must tell one from another; "" after a success. */
const char *db_sqlstate(const struct db *db);

/* Rows and values. Columns count from 0; NULL reads as 0, false, "" and the null id. Views live as long as the result. */
int db_rows(const struct db_result *result);
int64_t db_affected(const struct db_result *result);
bool db_is_null(const struct db_result *result, int row, int column);
bool db_bool(const struct db_result *result, int row, int column);
int64_t db_int(const struct db_result *result, int row, int column); /* int2, int4, int8 */
double db_real(const struct db_result *result, int row, int column);
struct str db_str(const struct db_result *result, int row, int column); /* text, bytea, json(b) */
struct uuid db_uuid(const struct db_result *result, int row, int column);
int64_t db_time(const struct db_result *result, int row, int column); /* microseconds since 1970 */
/* text[] into the arena (copies). */
size_t db_texts(const struct db_result *result, int row, int column, struct arena *arena, struct str **out);
void db_result_done(struct db_result **result);

#endif
