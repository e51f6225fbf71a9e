/* SPDX-License-Identifier: Apache-2.0 */
#include "route_store.h"

#include "base/map.h"

#include "base/banned.h"

static int fill_teams(struct db *db, struct arena *arena, struct route *routes, size_t count, struct err *err);
static int load_members(struct db *db, struct arena *arena, struct assign_team *teams, size_t count,
                        const struct uuid *ids, struct err *err);
static struct uuid *plain(struct arena *arena, const struct case_id *ids, size_t count);
static int mark(struct db *db, struct arena *arena, const char *sql, const struct case_id *ids, size_t count,
                bool *marks, struct err *err);

/* --- cases ------------------------------------------------------------------------------------------------------- */

static const char sql_untouched[] =
	"SELECT c.id FROM unnest($1::uuid[]) AS c(id) WHERE NOT EXISTS (SELECT 1 FROM case_event e WHERE e.case_id = c.id "
	"AND e.kind = 'assigned')";

int route_store_untouched(struct db *db, struct arena *arena, const struct case_id *ids, size_t count, bool *is_new,
                          struct err *err)
{
	return mark(db, arena, sql_untouched, ids, count, is_new, err);
}

/* --- teams ------------------------------------------------------------------------------------------------------- */

static const char sql_queue_teams[] = "SELECT id, team_id FROM queue WHERE id = ANY($1) AND team_id IS NOT NULL";
static const char sql_lock_teams[] =
	"SELECT id, distribution, direct_user_id, next_turn FROM team WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
/* Beside the members whom `direct` names. The load is counted only where it matters: the index on unclosed cases has
 * one entry a case. */
static const char sql_members[] =
	"SELECT t.id, u.id, u.is_active, COALESCE(m.absent_until > clock_timestamp(), false), m.user_id IS NOT NULL, "
	"m.capacity, COALESCE(m.last_turn, 0), COALESCE(m.assigned, 0), "
	"CASE WHEN m.capacity IS NOT NULL OR t.distribution = 'least_busy' THEN (SELECT count(*) FROM case_file c "
	"WHERE c.assignee_id = u.id AND c.state IN ('open', 'waiting')) ELSE 0 END "
	"FROM team t JOIN LATERAL (SELECT user_id FROM team_member WHERE team_id = t.id UNION SELECT t.direct_user_id "
	"WHERE t.direct_user_id IS NOT NULL) AS who(user_id) ON true JOIN app_user u ON u.id = who.user_id "
	"LEFT JOIN team_member m ON m.team_id = t.id AND m.user_id = u.id WHERE t.id = ANY($1) ORDER BY t.id, u.id";
static const char sql_put_teams[] =
	"UPDATE team t SET next_turn = u.turn FROM unnest($1::uuid[], $2::int8[]) AS u(id, turn) WHERE t.id = u.id";
static const char sql_put_members[] =
	"UPDATE team_member m SET last_turn = u.turn, assigned = u.assigned "
	"FROM unnest($1::uuid[], $2::uuid[], $3::int8[], $4::int8[]) AS u(team, user_id, turn, assigned) "
	"WHERE m.team_id = u.team AND m.user_id = u.user_id AND m.last_turn <> u.turn";

int route_store_lock_teams(struct db *db, struct arena *arena, struct route *routes, size_t count,
                           struct assign_team **out, size_t *out_count, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct uuid *ids = ARENA_ARRAY(arena, struct uuid, count + 1);
	struct db_args args;
	size_t n = 0;

	if (fill_teams(db, arena, routes, count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (!uuid_is_null(routes[i].team.id))
			ids[n++] = routes[i].team.id;
	db_args_init(&args, arena);
	db_arg_uuids(&args, ids, n);
	if (db_query(db, sql_lock_teams, &args, &rows, err) < 0)
		return err_prefix(err, "could not lock teams");
	size_t found = (size_t)db_rows(rows);
	struct assign_team *teams = ARENA_ARRAY(arena, struct assign_team, found + 1);
	for (size_t i = 0; i < found; i++) {
		teams[i].id.id = ids[i] = db_uuid(rows, (int)i, 0);
		teams[i].direct.id = db_uuid(rows, (int)i, 2);
		teams[i].next_turn = db_int(rows, (int)i, 3);
		if (!assign_distribution_parse(db_str(rows, (int)i, 1), &teams[i].distribution))
			return err_set(err, ERR_FATAL, "cannot assign: a team has a distribution that this program does not know");
	}
	*out = teams;
	*out_count = found;
	return found ? load_members(db, arena, teams, found, ids, err) : 0;
}

int route_store_teams(struct db *db, struct arena *arena, const struct assign_team *teams, size_t count,
                      struct err *err)
{
	size_t total = 0, n = 0;
	struct uuid *team = ARENA_ARRAY(arena, struct uuid, count + 1);
	int64_t *turn = ARENA_ARRAY(arena, int64_t, count + 1);
	struct db_args args;

	if (count == 0)
		return 0;
	for (size_t i = 0; i < count; i++) {
		team[i] = teams[i].id.id;
		turn[i] = teams[i].next_turn;
		total += teams[i].members_len;
	}
	struct uuid *of = ARENA_ARRAY(arena, struct uuid, total + 1), *user = ARENA_ARRAY(arena, struct uuid, total + 1);
	int64_t *last = ARENA_ARRAY(arena, int64_t, total + 1), *assigned = ARENA_ARRAY(arena, int64_t, total + 1);
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < teams[i].members_len; k++, n++) {
			of[n] = teams[i].id.id;
			user[n] = teams[i].members[k].user.id;
			last[n] = teams[i].members[k].last_turn;
			assigned[n] = teams[i].members[k].assigned;
		}
	db_args_init(&args, arena);
	db_arg_uuids(&args, team, count);
	db_arg_ints(&args, turn, count);
	if (db_queue(db, sql_put_teams, &args, NULL, err) < 0)
		return -1;
	db_args_init(&args, arena);
	db_arg_uuids(&args, of, n);
	db_arg_uuids(&args, user, n);
	db_arg_ints(&args, last, n);
	db_arg_ints(&args, assigned, n);
	return db_queue(db, sql_put_members, &args, NULL, err);
}

static int fill_teams(struct db *db, struct arena *arena, struct route *routes, size_t count, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct uuid *queues = ARENA_ARRAY(arena, struct uuid, count + 1);
	struct db_args args;
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		routes[i].team = routes[i].row->team;
		if (uuid_is_null(routes[i].team.id) && !uuid_is_null(routes[i].row->queue.id))
			queues[n++] = routes[i].row->queue.id;
	}
	if (n == 0)
		return 0;
	db_args_init(&args, arena);
	db_arg_uuids(&args, queues, n);
	if (db_query(db, sql_queue_teams, &args, &rows, err) < 0)
		return err_prefix(err, "could not look up the teams of queues");
	for (size_t i = 0; i < count; i++)
		for (int k = 0; k < db_rows(rows) && uuid_is_null(routes[i].team.id); k++)
			if (uuid_eq(db_uuid(rows, k, 0), routes[i].row->queue.id))
				routes[i].team.id = db_uuid(rows, k, 1);
	return 0;
}

static int load_members(struct db *db, struct arena *arena, struct assign_team *teams, size_t count,
                        const struct uuid *ids, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, arena);
	db_arg_uuids(&args, ids, count);
	if (db_query(db, sql_members, &args, &rows, err) < 0)
		return err_prefix(err, "could not load the members of teams");
	int total = db_rows(rows);
	struct assign_member *members = ARENA_ARRAY(arena, struct assign_member, (size_t)total + 1);
	size_t team = 0;
	/* Both are in the order of team ids. */
	for (int row = 0; row < total; row++) {
		while (!uuid_eq(teams[team].id.id, db_uuid(rows, row, 0)))
			team++;
		if (!teams[team].members)
			teams[team].members = &members[row];
		teams[team].members_len++;
		members[row] = (struct assign_member){
			.user = { db_uuid(rows, row, 1) },
			.is_active = db_bool(rows, row, 2),
			.is_absent = db_bool(rows, row, 3),
			.is_member = db_bool(rows, row, 4),
			.has_capacity = !db_is_null(rows, row, 5),
			.capacity = db_int(rows, row, 5),
			.last_turn = db_int(rows, row, 6),
			.assigned = db_int(rows, row, 7),
			.unclosed = db_int(rows, row, 8),
		};
	}
	return 0;
}

/* --- timers ------------------------------------------------------------------------------------------------------ */

static const char sql_put_timers[] =
	"INSERT INTO timer (id, tenant_id, case_id, kind, due_at) SELECT u.id, u.tenant, u.case_id, 'assign_again', $4 "
	"FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS u(id, tenant, case_id) "
	"ON CONFLICT (case_id, kind) DO UPDATE SET due_at = excluded.due_at";
static const char sql_drop_timers[] = "DELETE FROM timer WHERE case_id = ANY($1) AND kind = 'assign_again'";
static const char sql_due[] =
	"SELECT case_id FROM timer WHERE due_at <= clock_timestamp() AND kind = 'assign_again' ORDER BY due_at LIMIT $1";
static const char sql_lock_due[] =
	"SELECT case_id FROM timer WHERE case_id = ANY($1) AND kind = 'assign_again' AND due_at <= clock_timestamp() "
	"ORDER BY id FOR UPDATE";

int route_store_retries(struct db *db, struct arena *arena, const struct route_retry *retries, size_t count,
                        int64_t due_us, struct err *err)
{
	struct uuid *ids = ARENA_ARRAY(arena, struct uuid, count), *tenants = ARENA_ARRAY(arena, struct uuid, count),
	            *wanted = ARENA_ARRAY(arena, struct uuid, count), *unwanted = ARENA_ARRAY(arena, struct uuid, count);
	size_t wanted_len = 0, unwanted_len = 0;
	struct db_args args;

	for (size_t i = 0; i < count; i++) {
		if (!retries[i].is_wanted) {
			unwanted[unwanted_len++] = retries[i].case_id.id;
			continue;
		}
		ids[wanted_len] = uuid_v7();
		tenants[wanted_len] = retries[i].tenant.id;
		wanted[wanted_len++] = retries[i].case_id.id;
	}
	if (wanted_len) {
		db_args_init(&args, arena);
		db_arg_uuids(&args, ids, wanted_len);
		db_arg_uuids(&args, tenants, wanted_len);
		db_arg_uuids(&args, wanted, wanted_len);
		db_arg_time(&args, due_us);
		if (db_queue(db, sql_put_timers, &args, NULL, err) < 0)
			return -1;
	}
	db_args_init(&args, arena);
	db_arg_uuids(&args, unwanted, unwanted_len);
	return unwanted_len ? db_queue(db, sql_drop_timers, &args, NULL, err) : 0;
}

int route_store_due(struct db *db, struct arena *arena, size_t limit, struct case_id **out, size_t *out_count,
                    struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, arena);
	db_arg_int(&args, (int64_t)limit);
	if (db_query(db, sql_due, &args, &rows, err) < 0)
		return err_prefix(err, "could not look for due timers");
	*out_count = (size_t)db_rows(rows);
	*out = ARENA_ARRAY(arena, struct case_id, *out_count + 1);
	for (size_t i = 0; i < *out_count; i++)
		(*out)[i].id = db_uuid(rows, (int)i, 0);
	return 0;
}

int route_store_lock_due(struct db *db, struct arena *arena, const struct case_id *ids, size_t count, bool *is_due,
                         struct err *err)
{
	return mark(db, arena, sql_lock_due, ids, count, is_due, err);
}

/* --- */

static struct uuid *plain(struct arena *arena, const struct case_id *ids, size_t count)
{
	struct uuid *out = ARENA_ARRAY(arena, struct uuid, count + 1);

	for (size_t i = 0; i < count; i++)
		out[i] = ids[i].id;
	return out;
}

/* marks[i]: ids[i] is among what the statement answers. */
static int mark(struct db *db, struct arena *arena, const char *sql, const struct case_id *ids, size_t count,
                bool *marks, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct map found;
	struct db_args args;

	db_args_init(&args, arena);
	db_arg_uuids(&args, plain(arena, ids, count), count);
	if (db_query(db, sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not look at cases");
	map_init(&found, arena);
	for (int i = 0; i < db_rows(rows); i++) {
		struct uuid *id = ARENA_NEW(arena, struct uuid);
		*id = db_uuid(rows, i, 0);
		map_put(&found, str_span((const char *)id->b, sizeof id->b), id);
	}
	for (size_t i = 0; i < count; i++)
		marks[i] = map_get(&found, str_span((const char *)ids[i].id.b, sizeof ids[i].id.b)) != NULL;
	return 0;
}
