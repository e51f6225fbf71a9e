/* SPDX-License-Identifier: Apache-2.0
 * cmd_user - people who work here, and their addresses
 */
#include "ctl.h"

#include "base/banned.h"

static const char sql_insert[] =
	"INSERT INTO app_user (id, tenant_id, login, name, role, time_zone) "
	"SELECT $1, $2, $3, COALESCE($4::text, ''), COALESCE($5::text, 'agent'), COALESCE($6::text, 'UTC') "
	"ON CONFLICT (tenant_id, login) DO NOTHING";
static const char sql_update[] =
	"UPDATE app_user SET name = COALESCE($2::text, name), role = COALESCE($3::text, role), "
	"time_zone = COALESCE($4::text, time_zone), is_active = COALESCE($5::boolean, is_active), "
	"mail_notices = COALESCE($6::boolean, mail_notices) WHERE id = $1";
static const char sql_drop_addresses[] = "DELETE FROM user_address WHERE user_id = $1";
/* The first of them is where notices go. */
static const char sql_add_addresses[] =
	"INSERT INTO user_address (address, tenant_id, user_id, position) "
	"SELECT a, $1, $2, n - 1 FROM unnest($3::text[]) WITH ORDINALITY AS given(a, n) "
	"ON CONFLICT (address, tenant_id) DO NOTHING";
static const char sql_list[] =
	"SELECT u.login, u.name, u.role, u.is_active, "
	"ARRAY(SELECT a.address FROM user_address a WHERE a.user_id = u.id ORDER BY a.position), "
	"ARRAY(SELECT t.name FROM team_member m JOIN team t ON t.id = m.team_id WHERE m.user_id = u.id ORDER BY t.name), "
	"u.mail_notices, u.time_zone, u.created_at, u.id FROM app_user u WHERE u.tenant_id = $1 AND ($2 = '' OR u.login "
	"= $2) ORDER BY u.login";

static int put_addresses(struct ctl *ctl, struct user_id user);

static int add(struct ctl *ctl)
{
	struct user_id id = { uuid_v7() };
	const char *login = ctl->operands[0];
	struct db_args args;
	int64_t rows;

	if (!login[0] || strchr(login, ' ') || strchr(login, '@') || !str_is_text(str_of(login)))
		return ctl_usage("\"%s\" cannot be a login: no blanks, no @", login);
	int status = ctl_check_time_zone(ctl);
	if (status != CTL_DONE)
		return status;
	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, id.id);
	db_arg_uuid(&args, ctl->tenant.id);
	db_arg_text(&args, str_of(login));
	ctl_arg_text(ctl, &args, "name");
	ctl_arg_text(ctl, &args, "role");
	ctl_arg_text(ctl, &args, "time-zone");
	if (db_begin(ctl->db, &ctl->err) < 0 || db_exec(ctl->db, sql_insert, &args, &rows, &ctl->err) < 0)
		return ctl_end(ctl, ctl_failed(ctl));
	if (rows == 0)
		return ctl_end(ctl, ctl_refused("there is a user %s already; `casectl user set` changes it", login));
	status = ctl_end(ctl, put_addresses(ctl, id));
	return status == CTL_DONE ? ctl_done(ctl, "user", login, id.id, "user %s is there", login) : status;
}

static int set(struct ctl *ctl)
{
	struct user_id id;
	struct db_args args;
	int status = ctl_user(ctl, ctl->operands[0], &id);

	if (status == CTL_DONE)
		status = ctl_check_time_zone(ctl);
	if (status != CTL_DONE)
		return status;
	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, id.id);
	ctl_arg_text(ctl, &args, "name");
	ctl_arg_text(ctl, &args, "role");
	ctl_arg_text(ctl, &args, "time-zone");
	ctl_arg_switch(ctl, &args, "active");
	ctl_arg_switch(ctl, &args, "mail-notices");
	if (db_begin(ctl->db, &ctl->err) < 0 || db_exec(ctl->db, sql_update, &args, NULL, &ctl->err) < 0)
		return ctl_end(ctl, ctl_failed(ctl));
	status = ctl_end(ctl, put_addresses(ctl, id));
	return status == CTL_DONE ? ctl_done(ctl, "user", ctl->operands[0], id.id, "user %s is changed", ctl->operands[0]) :
	                            status;
}

/* --address, as often as given, is the whole list. */
static int put_addresses(struct ctl *ctl, struct user_id user)
{
	const char *const *given;
	size_t count = ctl_list(ctl, "address", &given);
	struct str *addresses = ARENA_ARRAY(&ctl->arena, struct str, count + 1);
	struct db_args args;
	int64_t rows;

	if (count == 0)
		return CTL_DONE;
	for (size_t i = 0; i < count; i++) {
		int status = ctl_own_address(ctl, given[i], &addresses[i]);
		if (status != CTL_DONE)
			return status;
	}
	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, user.id);
	if (db_exec(ctl->db, sql_drop_addresses, &args, NULL, &ctl->err) < 0)
		return ctl_failed(ctl);
	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, ctl->tenant.id);
	db_arg_uuid(&args, user.id);
	db_arg_texts(&args, addresses, count);
	if (db_exec(ctl->db, sql_add_addresses, &args, &rows, &ctl->err) < 0)
		return ctl_failed(ctl);
	if ((size_t)rows < count)
		return ctl_refused(
			"an address is given twice, or another user has it; `casectl user list` shows whose they are");
	return CTL_DONE;
}

static const struct column columns[] = {
	{ "login", "LOGIN", CELL_TEXT },       { "name", "NAME", CELL_TEXT },   { "role", "ROLE", CELL_TEXT },
	{ "active", "ACTIVE", CELL_BOOL },     { "addresses", "ADDRESSES", CELL_TEXTS }, { "teams", "TEAMS", CELL_TEXTS },
	{ "mail_notices", NULL, CELL_BOOL },   { "time_zone", NULL, CELL_TEXT }, { "created_at", NULL, CELL_TIME },
	{ "id", NULL, CELL_UUID },
};

static const struct ctl_listing listing = { sql_list, columns, ARRAY_LEN(columns), "user", "no users" };

static int list(struct ctl *ctl)
{
	return ctl_list_all(ctl, &listing);
}

static int show(struct ctl *ctl)
{
	return ctl_show_named(ctl, &listing);
}

#define PERSON_OPTIONS \
	{ "name", OPTION_TEXT, "NAME", "as people read it" }, \
	{ "address", OPTION_LIST, "ADDRESS", "the first is where notices go; with `set` the whole list" }, \
	{ "role", OPTION_CHOICE, "agent|supervisor|administrator", "default agent" }, \
	{ "time-zone", OPTION_TEXT, "ZONE", "IANA name (default UTC)" }

static const struct option_def add_options[] = { PERSON_OPTIONS, { 0 } };
static const struct option_def set_options[] = {
	PERSON_OPTIONS,
	{ "active", OPTION_SWITCH, NULL, "off: cannot act and is given no cases" },
	{ "mail-notices", OPTION_SWITCH, NULL, "wants notices by mail" },
	{ 0 },
};
static const struct verb verbs[] = {
	{ "add", "LOGIN", 1, 1, NEED_TENANT, "make a user",
	  "  casectl user add agent --name 'Ada Agent' --address agent@demo.example", add_options, add },
	{ "list", "", 0, 0, NEED_TENANT, "all users with addresses and teams", "  casectl user list", NULL, list },
	{ "set", "LOGIN", 1, 1, NEED_TENANT, "change a user",
	  "  casectl user set agent --address agent@demo.example --address ada@demo.example\n"
	  "  casectl user set agent --active off", set_options, set },
	{ "show", "LOGIN", 1, 1, NEED_TENANT, "one user", "  casectl user show agent", NULL, show },
	{ 0 },
};
const struct noun noun_user = { "user", "people who work here, and their addresses", verbs };
