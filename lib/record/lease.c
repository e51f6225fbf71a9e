/* SPDX-License-Identifier: Apache-2.0 */
#include "lease.h"

#include "base/clock.h"

#include "base/banned.h"

/* A rival's try does not touch the row: an upsert would lock it, once a second for every process that waits. */
static const char take_sql[] =
	"WITH held AS ("
	"  UPDATE lease SET owner = $3, epoch = epoch + (owner <> $3)::integer,"
	"         expires = clock_timestamp() + $4 * interval '1 millisecond'"
	"  WHERE kind = $1 AND name = $2 AND (owner = $3 OR expires <= clock_timestamp()) RETURNING epoch"
	"), fresh AS ("
	"  INSERT INTO lease (kind, name, owner, epoch, expires)"
	"  SELECT $1, $2, $3, 1, clock_timestamp() + $4 * interval '1 millisecond'"
	"  WHERE NOT EXISTS (SELECT FROM lease WHERE kind = $1 AND name = $2)"
	"  ON CONFLICT DO NOTHING RETURNING epoch"
	") SELECT epoch FROM held UNION ALL SELECT epoch FROM fresh";

static const char renew_sql[] =
	"UPDATE lease SET expires = clock_timestamp() + $5 * interval '1 millisecond'"
	" WHERE kind = $1 AND name = $2 AND owner = $3 AND epoch = $4 RETURNING epoch";

/* The row stays, so that the epoch goes on growing. */
static const char release_sql[] =
	"UPDATE lease SET expires = clock_timestamp() WHERE kind = $1 AND name = $2 AND owner = $3 AND epoch = $4";

/* Whoever takes the lease changes owner and epoch; until our commit nobody can. */
static const char guard_sql[] =
	"SELECT 1 / count(*) FROM (SELECT FROM lease"
	" WHERE kind = $1 AND name = $2 AND owner = $3 AND epoch = $4 FOR SHARE) AS held";

static void name_args(struct db_args *args, struct arena *arena, const struct lease *lease);
static int ask(struct db *db, const char *sql, const struct db_args *args, struct lease *lease, int64_t ttl_ms,
               struct err *err);

int lease_take(struct db *db, struct arena *arena, struct lease *lease, int64_t ttl_ms, struct err *err)
{
	struct db_args args;
	name_args(&args, arena, lease);
	db_arg_int(&args, ttl_ms);
	return ask(db, take_sql, &args, lease, ttl_ms, err);
}

int lease_renew(struct db *db, struct arena *arena, struct lease *lease, int64_t ttl_ms, struct err *err)
{
	struct db_args args;
	name_args(&args, arena, lease);
	db_arg_int(&args, lease->epoch);
	db_arg_int(&args, ttl_ms);
	return ask(db, renew_sql, &args, lease, ttl_ms, err);
}

int lease_release(struct db *db, struct arena *arena, struct lease *lease, struct err *err)
{
	struct db_args args;
	name_args(&args, arena, lease);
	db_arg_int(&args, lease->epoch);
	lease->expires_mono_ms = 0;
	if (db_exec(db, release_sql, &args, NULL, err) < 0)
		return err_prefix(err, "could not release the lease of %s %.*s", lease->kind, STR_ARG(lease->name));
	return 0;
}

int lease_guard(struct db *db, struct arena *arena, const struct lease *lease, struct err *err)
{
	struct db_args args;
	name_args(&args, arena, lease);
	db_arg_int(&args, lease->epoch);
	return db_queue(db, guard_sql, &args, NULL, err);
}

static void name_args(struct db_args *args, struct arena *arena, const struct lease *lease)
{
	db_args_init(args, arena);
	db_arg_text(args, str_of(lease->kind));
	db_arg_text(args, lease->name);
	db_arg_text(args, str_of(lease->owner));
}

static int ask(struct db *db, const char *sql, const struct db_args *args, struct lease *lease, int64_t ttl_ms,
               struct err *err)
{
	int64_t asked_ms = clock_mono_ms();
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	if (db_query(db, sql, args, &rows, err) < 0)
		return err_prefix(err, "could not ask for the lease of %s %.*s", lease->kind, STR_ARG(lease->name));
	if (db_rows(rows) == 0) {
		lease->expires_mono_ms = 0;
		return 0;
	}
	lease->epoch = db_int(rows, 0, 0);
	lease->expires_mono_ms = asked_ms + ttl_ms;
	return 1;
}
