/* SPDX-License-Identifier: Apache-2.0
 * db_private - what the files of db share; nobody else includes it
 */
#ifndef MAILCASE_DB_PRIVATE_H
#define MAILCASE_DB_PRIVATE_H

#include <libpq-fe.h>

#include "base/map.h"
#include "edge/db.h"

#define DB_CHANNELS_MAX 8

enum db_statement_state { STATEMENT_UNKNOWN, STATEMENT_ASKED, STATEMENT_READY };

/* A statement as the server knows it. The same text with other parameter types is a variant of its own: a NULL without
 * a type must not decide how a later value is read. */
struct db_statement {
	char name[24];
	enum db_statement_state state;
	int len;
	unsigned type[DB_ARGS_MAX];
	struct db_statement *next_variant;
};

/* One answer that the server owes us. */
struct db_pending {
	struct db_statement *statement;
	bool is_prepare;
	bool is_commit;
	struct db_result **out;
	PGresult *result;
};

struct db {
	PGconn *conn;
	char *conninfo, *name;
	char sqlstate[6];
	char *channels[DB_CHANNELS_MAX];
	size_t channels_len;
	int connect_most_s;

	struct arena statement_arena;
	struct map statements; /* text -> struct db_statement */
	size_t statements_len;
	uint64_t statements_made; /* names are never used twice */

	struct db_pending *pending;
	size_t pending_len, pending_room, pending_read;
	bool in_transaction; /* BEGIN has been queued, no end since */
	bool in_flush;
	struct err flush_err; /* the first failure of this flush */
};

/* The connection is there and in pipeline mode, or a reason in err. */
int db_connect(struct db *db, struct err *err) MUST_CHECK;

/* All answers that are owed are dropped, and the prepared statements with them: after a lost connection. */
void db_forget(struct db *db);

/* Classify a failed result, or the connection's failure where `result` is NULL. Notes the SQLSTATE. Returns -1. */
int db_failed(struct db *db, const PGresult *result, struct err *err);

/* Takes the result over. */
struct db_result *db_result_new(PGresult *result);

#endif
