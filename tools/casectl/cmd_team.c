/* SPDX-License-Identifier: Apache-2.0
 * cmd_team - who is given cases, and how they are shared out
 */
#include <stdlib.h>

#include "base/clock.h"
#include "ctl.h"

#include "base/banned.h"

static const char sql_insert[] =
	"INSERT INTO team (id, tenant_id, name, distribution) SELECT $1, $2, $3, COALESCE($4::text, 'round_robin') "
	"ON CONFLICT (tenant_id, name) DO NOTHING";
static const char sql_update[] =
	"UPDATE team SET distribution = COALESCE($2::text, distribution), direct_user_id = COALESCE($3, direct_user_id) "
	"WHERE id = $1";
/* A new member starts level with the one who has waited longest: nobody is flooded for having been away. */
static const char sql_member_add[] =
	"INSERT INTO team_member (team_id, user_id, tenant_id, last_turn) "
	"SELECT $1, $2, $3, COALESCE((SELECT min(last_turn) FROM team_member WHERE team_id = $1), 0) ON CONFLICT DO "
	"NOTHING";
static const char sql_member_remove[] = "DELETE FROM team_member WHERE team_id = $1 AND user_id = $2";
static const char sql_capacity[] = "UPDATE team_member SET capacity = $3::bigint WHERE team_id = $1 AND user_id = $2";
static const char sql_absent[] =
	"UPDATE team_member SET absent_until = $3::timestamptz WHERE team_id = $1 AND user_id = $2";
/* Somebody may be available now: what waits for that is tried at once. */
static const char sql_wake[] =
	"UPDATE timer t SET due_at = clock_timestamp() FROM case_file c WHERE t.kind = 'assign_again' AND c.id = t.case_id "
	"AND c.tenant_id = $2 AND c.team_id = $1";
static const char sql_list[] =
	"SELECT t.name, t.distribution, d.login, ARRAY(SELECT u.login FROM team_member m JOIN app_user u ON u.id = "
	"m.user_id WHERE m.team_id = t.id ORDER BY u.login), "
	"(SELECT jsonb_agg(jsonb_build_object('login', u.login, 'capacity', m.capacity, 'absent_until', "
	"to_char(m.absent_until AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), 'assigned', m.assigned, "
	"'last_turn', m.last_turn) ORDER BY u.login) "
	"FROM team_member m JOIN app_user u ON u.id = m.user_id WHERE m.team_id = t.id), t.id "
	"FROM team t LEFT JOIN app_user d ON d.id = t.direct_user_id WHERE t.tenant_id = $1 "
	"AND ($2 = '' OR t.name = $2) ORDER BY t.name";

static int change(struct ctl *ctl, struct team_id team);
static int each_member(struct ctl *ctl, struct team_id team, const char *option, const char *sql, bool takes_tenant);
static int each_pair(struct ctl *ctl, struct team_id team, const char *option, const char *sql,
                     int (*put)(struct ctl *ctl, struct db_args *args, struct str value));
static int put_capacity(struct ctl *ctl, struct db_args *args, struct str value);
static int put_absence(struct ctl *ctl, struct db_args *args, struct str value);
static int end(struct ctl *ctl, int status, struct team_id id, const char *what);

static int add(struct ctl *ctl)
{
	struct team_id id = { uuid_v7() };
	const char *name = ctl->operands[0];
	struct db_args args;
	int64_t rows;

	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, id.id);
	db_arg_uuid(&args, ctl->tenant.id);
	db_arg_text(&args, str_of(name));
	ctl_arg_text(ctl, &args, "distribution");
	if (db_begin(ctl->db, &ctl->err) < 0 || db_exec(ctl->db, sql_insert, &args, &rows, &ctl->err) < 0)
		return end(ctl, ctl_failed(ctl), id, "");
	if (rows == 0)
		return end(ctl, ctl_refused("there is a team %s already; `casectl team set` changes it", name), id, "");
	return end(ctl, change(ctl, id), id, "there");
}

static int set(struct ctl *ctl)
{
	struct team_id id;
	int status = ctl_team(ctl, ctl->operands[0], &id);

	if (status != CTL_DONE)
		return status;
	if (db_begin(ctl->db, &ctl->err) < 0)
		return ctl_failed(ctl);
	return end(ctl, change(ctl, id), id, "changed");
}

/* Members first, so that one command can add somebody and set the capacity. */
static int change(struct ctl *ctl, struct team_id team)
{
	struct user_id direct = { 0 };
	struct db_args args;
	int status = each_member(ctl, team, "member", sql_member_add, true);

	if (status == CTL_DONE)
		status = each_member(ctl, team, "remove-member", sql_member_remove, false);
	if (status == CTL_DONE)
		status = each_pair(ctl, team, "capacity", sql_capacity, put_capacity);
	if (status == CTL_DONE)
		status = each_pair(ctl, team, "absent", sql_absent, put_absence);
	if (status == CTL_DONE && ctl_text(ctl, "direct"))
		status = ctl_user(ctl, ctl_text(ctl, "direct"), &direct);
	if (status != CTL_DONE)
		return status;
	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, team.id);
	ctl_arg_text(ctl, &args, "distribution");
	db_arg_uuid_or_null(&args, direct.id);
	if (db_exec(ctl->db, sql_update, &args, NULL, &ctl->err) < 0)
		return ctl_failed(ctl);
	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, team.id);
	db_arg_uuid(&args, ctl->tenant.id);
	return db_exec(ctl->db, sql_wake, &args, NULL, &ctl->err) < 0 ? ctl_failed(ctl) : CTL_DONE;
}

static int each_member(struct ctl *ctl, struct team_id team, const char *option, const char *sql, bool takes_tenant)
{
	const char *const *logins;
	size_t count = ctl_list(ctl, option, &logins);

	for (size_t i = 0; i < count; i++) {
		struct user_id user;
		struct db_args args;
		int status = ctl_user(ctl, logins[i], &user);
		if (status != CTL_DONE)
			return status;
		db_args_init(&args, &ctl->arena);
		db_arg_uuid(&args, team.id);
		db_arg_uuid(&args, user.id);
		if (takes_tenant)
			db_arg_uuid(&args, ctl->tenant.id);
		if (db_exec(ctl->db, sql, &args, NULL, &ctl->err) < 0)
			return ctl_failed(ctl);
	}
	return CTL_DONE;
}

/* Options of the form LOGIN=VALUE about a member. */
static int each_pair(struct ctl *ctl, struct team_id team, const char *option, const char *sql,
                     int (*put)(struct ctl *ctl, struct db_args *args, struct str value))
{
	const char *const *pairs;
	size_t count = ctl_list(ctl, option, &pairs);

	for (size_t i = 0; i < count; i++) {
		struct str value = str_of(pairs[i]), login;
		struct user_id user;
		struct db_args args;
		int64_t rows;
		if (!strchr(pairs[i], '=') || !str_next(&value, '=', &login))
			return ctl_usage("--%s %s: LOGIN=VALUE is the form", option, pairs[i]);
		int status = ctl_user(ctl, str_cstr(&ctl->arena, login), &user);
		if (status != CTL_DONE)
			return status;
		db_args_init(&args, &ctl->arena);
		db_arg_uuid(&args, team.id);
		db_arg_uuid(&args, user.id);
		status = put(ctl, &args, value);
		if (status != CTL_DONE)
			return status;
		if (db_exec(ctl->db, sql, &args, &rows, &ctl->err) < 0)
			return ctl_failed(ctl);
		if (rows == 0)
			return ctl_not_found("%.*s is no member of this team; --member adds one", STR_ARG(login));
	}
	return CTL_DONE;
}

static int put_capacity(struct ctl *ctl, struct db_args *args, struct str value)
{
	int64_t capacity;

	(void)ctl;
	if (str_eq(value, STR("unlimited")))
		db_arg_null(args);
	else if (str_to_i64(value, 0, 1000000, &capacity))
		db_arg_int(args, capacity);
	else
		return ctl_usage("--capacity %.*s: a number of cases, or unlimited, is expected", STR_ARG(value));
	return CTL_DONE;
}

static int put_absence(struct ctl *ctl, struct db_args *args, struct str value)
{
	int64_t until;

	(void)ctl;
	if (str_eq(value, STR("no")))
		db_arg_null(args);
	else if (clock_parse(value, &until))
		db_arg_time(args, until);
	else
		return ctl_usage("--absent %.*s: a date, a time such as 2026-01-31T12:00:00Z, or no, is expected",
		                 STR_ARG(value));
	return CTL_DONE;
}

static int end(struct ctl *ctl, int status, struct team_id id, const char *what)
{
	status = ctl_end(ctl, status);
	return status != CTL_DONE ? status :
	       ctl_done(ctl, "team", ctl->operands[0], id.id, "team %s is %s", ctl->operands[0], what);
}

static const struct column columns[] = {
	{ "name", "NAME", CELL_TEXT },      { "distribution", "DISTRIBUTION", CELL_TEXT },
	{ "direct", "DIRECT", CELL_TEXT },  { "members", "MEMBERS", CELL_TEXTS },
	{ "member_list", NULL, CELL_JSON }, { "id", NULL, CELL_UUID },
};

static const struct ctl_listing listing = { sql_list, columns, ARRAY_LEN(columns), "team", "no teams" };

static int list(struct ctl *ctl)
{
	return ctl_list_all(ctl, &listing);
}

static int show(struct ctl *ctl)
{
	return ctl_show_named(ctl, &listing);
}

static const struct option_def options[] = {
	{ "distribution", OPTION_CHOICE, "direct|round_robin|least_busy",
	  "how cases are shared out (default round_robin)" },
	{ "member", OPTION_LIST, "LOGIN", "somebody who is given cases" },
	{ "remove-member", OPTION_LIST, "LOGIN", "somebody who is no longer" },
	{ "direct", OPTION_TEXT, "LOGIN", "whom the distribution `direct` gives all to" },
	{ "capacity", OPTION_LIST, "LOGIN=N", "most unclosed cases at once; LOGIN=unlimited" },
	{ "absent", OPTION_LIST, "LOGIN=DATE", "away until then; LOGIN=no: back" },
	{ 0 },
};
static const struct verb verbs[] = {
	{ "add", "NAME", 1, 1, NEED_TENANT, "make a team",
	  "  casectl team add support --distribution round_robin --member ada --member bo --capacity bo=20", options, add },
	{ "list", "", 0, 0, NEED_TENANT, "all teams with their members", "  casectl team list --json", NULL, list },
	{ "set", "NAME", 1, 1, NEED_TENANT, "change a team",
	  "  casectl team set support --absent ada=2026-08-01 --capacity bo=unlimited\n"
	  "  casectl team set support --distribution direct --direct ada", options, set },
	{ "show", "NAME", 1, 1, NEED_TENANT, "one team", "  casectl team show support", NULL, show },
	{ 0 },
};
const struct noun noun_team = { "team", "who is given cases, and how they are shared out", verbs };
