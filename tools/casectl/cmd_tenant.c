/* SPDX-License-Identifier: Apache-2.0
 * cmd_tenant - organisations that cannot see each other
 */
#include "ctl.h"
#include "record/token_keys.h"

#include "base/banned.h"

static const char sql_insert[] =
	"INSERT INTO tenant (id, name, title, number_sequence, time_zone) "
	"SELECT $1, $2, COALESCE($3::text, ''), $4, COALESCE($5::text, 'UTC') ON CONFLICT (name) DO NOTHING";
static const char sql_update[] =
	"UPDATE tenant SET title = COALESCE($2::text, title), time_zone = COALESCE($3::text, time_zone) WHERE name = $1";
static const char sql_group[] = "INSERT INTO mailbox_group (id, tenant_id, name) VALUES ($1, $2, 'default')";
static const char sql_list[] =
	"SELECT t.name, t.title, t.time_zone, (SELECT count(*) FROM app_user u WHERE u.tenant_id = t.id), "
	"(SELECT count(*) FROM mailbox m WHERE m.tenant_id = t.id), t.created_at, t.id FROM tenant t "
	"WHERE $1 = '' OR t.name = $1 ORDER BY t.name";

static int make(struct ctl *ctl, const char *name, struct tenant_id id, int64_t *out_rows);
static bool is_name(const char *name);

/* The tenant, what numbers its cases, the group that its mailboxes start in, its first signing key: all or nothing. */
static int add(struct ctl *ctl)
{
	struct tenant_id id = { uuid_v7() };
	const char *name = ctl->operands[0];
	int64_t rows;

	if (!is_name(name))
		return ctl_usage("%s: a tenant's name has lower-case letters, digits and dashes, 63 at most", name);
	int status = ctl_check_time_zone(ctl);
	if (status != CTL_DONE)
		return status;
	if (make(ctl, name, id, &rows) < 0) {
		db_rollback(ctl->db);
		return ctl_failed(ctl);
	}
	if (rows == 0) {
		db_rollback(ctl->db);
		return ctl_refused("there is a tenant %s already", name);
	}
	return ctl_done(ctl, "tenant", name, id.id, "tenant %s is there", name);
}

static int make(struct ctl *ctl, const char *name, struct tenant_id id, int64_t *out_rows)
{
	struct db_args tenant, group;
	char hex[UUID_TEXT_LEN + 1];

	uuid_text(id.id, hex);
	for (char *at = hex; *at; at++)
		if (*at == '-')
			*at = '_';
	const char *sequence = arena_printf(&ctl->arena, "case_number_%s", hex);
	db_args_init(&tenant, &ctl->arena);
	db_arg_uuid(&tenant, id.id);
	db_arg_text(&tenant, str_of(name));
	ctl_arg_text(ctl, &tenant, "title");
	db_arg_text(&tenant, str_of(sequence));
	ctl_arg_text(ctl, &tenant, "time-zone");
	db_args_init(&group, &ctl->arena);
	db_arg_uuid(&group, uuid_v7());
	db_arg_uuid(&group, id.id);
	if (db_begin(ctl->db, &ctl->err) < 0 || db_exec(ctl->db, sql_insert, &tenant, out_rows, &ctl->err) < 0)
		return -1;
	if (*out_rows == 0)
		return 0;
	if (db_exec(ctl->db, arena_printf(&ctl->arena, "CREATE SEQUENCE %s AS bigint MINVALUE 1", sequence), NULL, NULL,
	            &ctl->err) < 0 ||
	    db_exec(ctl->db, sql_group, &group, NULL, &ctl->err) < 0 ||
	    token_keys_rotate(ctl->db, &ctl->arena, &ctl->seal_key, id, &ctl->err) < 0)
		return -1;
	return db_commit(ctl->db, &ctl->err);
}

static const struct column columns[] = {
	{ "name", "NAME", CELL_TEXT },      { "title", "TITLE", CELL_TEXT },  { "time_zone", "ZONE", CELL_TEXT },
	{ "users", "USERS", CELL_INT },     { "mailboxes", "MAILBOXES", CELL_INT }, { "created_at", "CREATED", CELL_TIME },
	{ "id", NULL, CELL_UUID },
};

/* All of them, or the one of that name. */
static int read_rows(struct ctl *ctl, const char *name, struct db_result **out)
{
	struct db_args args;

	db_args_init(&args, &ctl->arena);
	db_arg_text(&args, str_of(name));
	return db_query(ctl->db, sql_list, &args, out, &ctl->err) < 0 ? ctl_failed(ctl) : CTL_DONE;
}

static int list(struct ctl *ctl)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	int status = read_rows(ctl, "", &rows);

	if (status == CTL_DONE)
		table_print(&ctl->arena, columns, ARRAY_LEN(columns), rows, ctl->as_json, "no tenants");
	return status;
}

static int show(struct ctl *ctl)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	int status = read_rows(ctl, ctl->operands[0], &rows);

	return status == CTL_DONE ? ctl_show(ctl, columns, ARRAY_LEN(columns), rows, "tenant") : status;
}

static int set(struct ctl *ctl)
{
	struct db_args args;
	int64_t rows;
	int status = ctl_check_time_zone(ctl);

	if (status != CTL_DONE)
		return status;
	db_args_init(&args, &ctl->arena);
	db_arg_text(&args, str_of(ctl->operands[0]));
	ctl_arg_text(ctl, &args, "title");
	ctl_arg_text(ctl, &args, "time-zone");
	if (db_exec(ctl->db, sql_update, &args, &rows, &ctl->err) < 0)
		return ctl_failed(ctl);
	if (rows == 0)
		return ctl_not_found("there is no tenant %s; `casectl tenant list` shows what there is", ctl->operands[0]);
	return ctl_done(ctl, "tenant", ctl->operands[0], (struct uuid){ 0 }, "tenant %s is changed", ctl->operands[0]);
}

static bool is_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= 63 && name[0] != '-' && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

static const struct option_def add_options[] = {
	{ "title", OPTION_TEXT, "TEXT", "for people" },
	{ "time-zone", OPTION_TEXT, "ZONE", "IANA name (default UTC)" },
	{ 0 },
};
static const struct verb verbs[] = {
	{ "add", "NAME", 1, 1, NEED_SCHEMA | NEED_SEAL, "make a tenant, its case numbers and its signing key",
	  "  casectl tenant add demo --title 'Demo Ltd'", add_options, add },
	{ "list", "", 0, 0, NEED_SCHEMA, "all tenants", "  casectl tenant list --json", NULL, list },
	{ "set", "NAME", 1, 1, NEED_SCHEMA, "change a tenant", "  casectl tenant set demo --title 'Demo Ltd'", add_options,
	  set },
	{ "show", "NAME", 1, 1, NEED_SCHEMA, "one tenant", "  casectl tenant show demo", NULL, show },
	{ 0 },
};
const struct noun noun_tenant = { "tenant", "organisations that cannot see each other", verbs };
