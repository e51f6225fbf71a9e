/* SPDX-License-Identifier: Apache-2.0 */
#include "schema.h"

#include "migrations.h"

#include "base/banned.h"

static int read_version(struct db *db, int *out_version, int *out_serves, struct err *err);
static bool is_served(int version, int serves);
static int refuse_newer(int version, struct err *err);
static int run_one(struct db *db, const struct migration *migration, int *serves, struct err *err);

int schema_version_wanted(void)
{
	return migrations_count ? migrations[migrations_count - 1].version : 0;
}

/* The lock is the session's: it outlives the migrations' own transactions, and ends with the connection. */
static const char sql_lock[] = "SELECT pg_advisory_lock(hashtext('mailcase migrations'))";
static const char sql_unlock[] = "SELECT pg_advisory_unlock(hashtext('mailcase migrations'))";
static const char sql_table[] =
	"CREATE TABLE IF NOT EXISTS schema_version (version integer PRIMARY KEY, name text NOT NULL, "
	"applied_at timestamptz NOT NULL DEFAULT now()); "
	"ALTER TABLE schema_version ADD COLUMN IF NOT EXISTS serves integer NOT NULL DEFAULT 0";
/* Of the newest one; before the first run of this program the column may not be there. */
static const char sql_version[] =
	"SELECT version, coalesce((to_jsonb(v)->>'serves')::integer, 0) FROM schema_version v ORDER BY version DESC LIMIT 1";

int schema_migrate(struct db *db, int *out_from, int *out_to, struct err *err)
{
	int from, serves;

	if (db_script(db, sql_lock, err) < 0)
		return err_prefix(err, "could not wait for other migrations");
	if (read_version(db, &from, &serves, err) < 0)
		return -1;
	if (!is_served(from, serves))
		return refuse_newer(from, err);
	if (from < schema_version_wanted() && db_script(db, sql_table, err) < 0)
		return -1;
	for (size_t i = 0; i < migrations_count; i++)
		if (migrations[i].version > from && run_one(db, &migrations[i], &serves, err) < 0)
			return -1;
	if (db_script(db, sql_unlock, err) < 0)
		return -1;
	*out_from = from;
	*out_to = from > schema_version_wanted() ? from : schema_version_wanted();
	return 0;
}

int schema_check(struct db *db, struct err *err)
{
	int version, serves;

	if (read_version(db, &version, &serves, err) < 0)
		return -1;
	if (!is_served(version, serves))
		return refuse_newer(version, err);
	if (version < schema_version_wanted())
		return err_set(err, ERR_TEMP, "the database has schema %d, this program needs %d: run `casectl migrate`",
		               version, schema_version_wanted());
	return 0;
}

/* 0 for an empty database. Two statements: the second cannot even be parsed where there is no table. */
static int read_version(struct db *db, int *out_version, int *out_serves, struct err *err)
{
	struct db_result *table CLEANUP(db_result_done) = NULL, *rows CLEANUP(db_result_done) = NULL;

	*out_version = *out_serves = 0;
	if (db_query(db, "SELECT to_regclass('schema_version') IS NOT NULL", NULL, &table, err) < 0)
		return err_prefix(err, "could not look for the schema");
	if (!db_bool(table, 0, 0))
		return 0;
	if (db_query(db, sql_version, NULL, &rows, err) < 0)
		return err_prefix(err, "could not read the schema's version");
	if (db_rows(rows)) {
		*out_version = (int)db_int(rows, 0, 0);
		*out_serves = (int)db_int(rows, 0, 1);
	}
	return 0;
}

static bool is_served(int version, int serves)
{
	return version <= schema_version_wanted() || (serves > 0 && serves <= schema_version_wanted());
}

static int refuse_newer(int version, struct err *err)
{
	return err_set(err, ERR_FATAL,
	               "the database has schema %d, made by a newer mailcase; this program knows none above %d: "
	               "use the newer program",
	               version, schema_version_wanted());
}

/* A migration that older programs cannot live with begins with `-- serves: N`: from that version on. */
static int run_one(struct db *db, const struct migration *migration, int *serves, struct err *err)
{
	static const struct str directive = { "-- serves: ", 11 };
	struct arena arena CLEANUP(arena_done);
	struct str rest = str_of(migration->sql), line;
	int64_t least;

	if (str_next_line(&rest, &line) && str_starts(line, directive) &&
	    str_to_i64(str_trim(str_slice(line, directive.len, line.len)), *serves, migration->version, &least))
		*serves = (int)least;
	arena_init(&arena);
	/* Several statements in one simple query are one transaction: all of it or nothing. */
	const char *script =
		arena_printf(&arena, "%s\n;INSERT INTO schema_version (version, name, serves) VALUES (%d, '%s', %d)",
	                 migration->sql, migration->version, migration->name, *serves);
	if (db_script(db, script, err) < 0)
		return err_prefix(err, "migration %d (%s)", migration->version, migration->name);
	return 0;
}
