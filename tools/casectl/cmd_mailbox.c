/* SPDX-License-Identifier: Apache-2.0
 * cmd_mailbox - the IMAP mailboxes that mail is taken from: add, set, list
 *
 * Every change bumps changed_at and notifies the fetchers, so that it takes effect without a restart.
 */
#include "cmd_mailbox.h"

#include "base/clock.h"

#include "base/banned.h"

/* Both statements take the same parameters. */
static const char sql_insert[] =
	"INSERT INTO mailbox (id, tenant_id, address, description, host, port, tls, ca_file, insecure, username, "
	"credential_id, "
	"group_id, queue_id, outbound_mailbox_id, sender_trust, rung5, rung5_days, auto_reply, after_intake, poll_s, "
	"size_limit, credit, is_active, start_from, start_date, is_loud) "
	"SELECT $1, $2, $3, COALESCE($4::text, ''), $5, $6::bigint, $7, COALESCE($8::text, ''), COALESCE($9::boolean, "
	"false), $10, "
	"$11, COALESCE($12, (SELECT id FROM mailbox_group WHERE tenant_id = $2 AND name = 'default')), $13, $14, "
	"COALESCE($15::text, 'standard'), COALESCE($16::boolean, false), COALESCE($17::bigint, 14), "
	"COALESCE($18::boolean, true), COALESCE($19::text, 'keep'), COALESCE($20::bigint, 120), "
	"COALESCE($21::bigint, 52428800), COALESCE($22::bigint, 500), COALESCE($23::boolean, true), $24, $25, $26 "
	"ON CONFLICT (tenant_id, address) DO NOTHING";
static const char sql_update[] =
	"UPDATE mailbox SET description = COALESCE($4::text, description), host = COALESCE($5::text, host), "
	"port = COALESCE($6::bigint, port), tls = COALESCE($7::text, tls), ca_file = COALESCE($8::text, ca_file), "
	"insecure = COALESCE($9::boolean, insecure), username = COALESCE($10::text, username), "
	"credential_id = COALESCE($11, credential_id), group_id = COALESCE($12, group_id), queue_id = COALESCE($13, "
	"queue_id), "
	"outbound_mailbox_id = COALESCE($14, outbound_mailbox_id), sender_trust = COALESCE($15::text, sender_trust), "
	"rung5 = COALESCE($16::boolean, rung5), rung5_days = COALESCE($17::bigint, rung5_days), "
	"auto_reply = COALESCE($18::boolean, auto_reply), after_intake = COALESCE($19::text, after_intake), "
	"poll_s = COALESCE($20::bigint, poll_s), size_limit = COALESCE($21::bigint, size_limit), "
	"credit = COALESCE($22::bigint, credit), is_active = COALESCE($23::boolean, is_active), "
	"changed_at = clock_timestamp() WHERE id = $1 AND tenant_id = $2 AND address = $3";
static const char sql_state[] =
	"INSERT INTO mailbox_state (mailbox_id, tenant_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
/* A folder that is named again goes on where it was. */
static const char sql_put_folders[] =
	"INSERT INTO mailbox_folder (id, tenant_id, mailbox_id, name) "
	"SELECT f.id, $1, $2, f.name FROM unnest($3::uuid[], $4::text[]) AS f(id, name) "
	"ON CONFLICT (mailbox_id, name) DO UPDATE SET is_active = true";
static const char sql_drop_folders[] =
	"UPDATE mailbox_folder SET is_active = false WHERE mailbox_id = $1 AND is_active AND NOT name = ANY($2::text[])";
static const char sql_notify[] = "SELECT pg_notify('mailcase_mailbox', $1::text)";
static const char sql_group_add[] =
	"INSERT INTO mailbox_group (id, tenant_id, name) VALUES ($1, $2, $3) ON CONFLICT (tenant_id, name) DO NOTHING";
static const char sql_group_find[] = "SELECT id FROM mailbox_group WHERE tenant_id = $1 AND name = $2";
static const char sql_find[] =
	"SELECT id, credential_id, host, tls, insecure FROM mailbox WHERE tenant_id = $1 AND address = $2";
static const char sql_list[] =
	"SELECT m.address, CASE WHEN m.is_active THEN COALESCE(s.state, 'starting') ELSE 'off' END, q.name, m.host, m.port, m.tls, "
	"ARRAY(SELECT f.name FROM mailbox_folder f WHERE f.mailbox_id = m.id AND f.is_active ORDER BY f.name), "
	"s.last_success_at, s.reason, s.remedy, m.is_active, m.insecure, m.id "
	"FROM mailbox m LEFT JOIN mailbox_state s ON s.mailbox_id = m.id LEFT JOIN queue q ON q.id = m.queue_id "
	"WHERE m.tenant_id = $1 ORDER BY m.address";

/* What the names on the command line stand for. */
struct wanted {
	struct str address;
	struct uuid id, credential, group;
	struct queue_id queue;
	struct outbound_mailbox_id outbound;
	const char *start; /* now|all|date */
	int64_t start_date_us;
};

static int resolve(struct ctl *ctl, struct wanted *wanted);
static int resolve_group(struct ctl *ctl, const char *name, struct uuid *out);
static int resolve_start(struct ctl *ctl, struct wanted *wanted);
static int put_credential(struct ctl *ctl, const struct mailbox_found *found, struct wanted *wanted);
static int write_row(struct ctl *ctl, const char *sql, const struct wanted *wanted, int64_t *out_rows);
static int write_folders(struct ctl *ctl, const struct wanted *wanted, bool is_new);
static int notify(struct ctl *ctl, const struct wanted *wanted);

int mailbox_add(struct ctl *ctl)
{
	struct wanted wanted = { .id = uuid_v7() };
	int64_t rows = 0;
	int status = ctl_own_address(ctl, ctl->operands[0], &wanted.address);

	if (status == CTL_DONE)
		status = ctl_check_tls(ctl_text(ctl, "tls"), ctl_text(ctl, "host"), ctl_int(ctl, "insecure", 0) != 0);
	if (status != CTL_DONE)
		return status;
	if (db_begin(ctl->db, &ctl->err) < 0)
		return ctl_failed(ctl);
	status = resolve(ctl, &wanted);
	if (status == CTL_DONE)
		status = put_credential(ctl, NULL, &wanted);
	if (status == CTL_DONE)
		status = write_row(ctl, sql_insert, &wanted, &rows);
	if (status == CTL_DONE && rows == 0)
		status = ctl_refused("there is a mailbox %s already; `casectl mailbox set` changes it", ctl->operands[0]);
	if (status == CTL_DONE)
		status = write_folders(ctl, &wanted, true);
	if (status == CTL_DONE)
		status = notify(ctl, &wanted);
	status = ctl_end(ctl, status);
	return status != CTL_DONE ? status : ctl_done(ctl, "mailbox", str_cstr(&ctl->arena, wanted.address), wanted.id,
	                                              "mailbox %.*s is there; `casectl mailbox show` says how it fares",
	                                              STR_ARG(wanted.address));
}

int mailbox_set(struct ctl *ctl)
{
	struct mailbox_found found;
	struct wanted wanted = { 0 };
	int64_t rows = 0;
	int status = mailbox_find(ctl, ctl->operands[0], &found);

	if (status != CTL_DONE)
		return status;
	wanted.id = found.id;
	wanted.address = found.address;
	const char *tls = ctl_text(ctl, "tls"), *host = ctl_text(ctl, "host");
	status = ctl_check_tls(tls ? tls : found.tls, host ? host : found.host,
	                       ctl_int(ctl, "insecure", found.is_insecure) != 0);
	if (status != CTL_DONE)
		return status;
	if (db_begin(ctl->db, &ctl->err) < 0)
		return ctl_failed(ctl);
	status = resolve(ctl, &wanted);
	if (status == CTL_DONE)
		status = put_credential(ctl, &found, &wanted);
	if (status == CTL_DONE)
		status = write_row(ctl, sql_update, &wanted, &rows);
	if (status == CTL_DONE)
		status = write_folders(ctl, &wanted, false);
	if (status == CTL_DONE)
		status = notify(ctl, &wanted);
	status = ctl_end(ctl, status);
	return status != CTL_DONE ? status : ctl_done(ctl, "mailbox", str_cstr(&ctl->arena, wanted.address), wanted.id,
	                                              "mailbox %.*s is changed", STR_ARG(wanted.address));
}

int mailbox_find(struct ctl *ctl, const char *address, struct mailbox_found *out)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;
	struct str folded;
	int status = ctl_address(ctl, address, &folded);

	if (status != CTL_DONE)
		return status;
	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, ctl->tenant.id);
	db_arg_text(&args, folded);
	if (db_query(ctl->db, sql_find, &args, &rows, &ctl->err) < 0)
		return ctl_failed(ctl);
	if (db_rows(rows) == 0)
		return ctl_not_found("there is no mailbox %.*s; `casectl mailbox list` shows what there is", STR_ARG(folded));
	*out = (struct mailbox_found){ .id = db_uuid(rows, 0, 0), .credential = db_uuid(rows, 0, 1), .address = folded,
		                       .host = str_cstr(&ctl->arena, db_str(rows, 0, 2)),
		                       .tls = str_cstr(&ctl->arena, db_str(rows, 0, 3)), .is_insecure = db_bool(rows, 0, 4) };
	return CTL_DONE;
}

static int resolve(struct ctl *ctl, struct wanted *wanted)
{
	const char *queue = ctl_text(ctl, "queue"), *outbound = ctl_text(ctl, "outbound"), *group = ctl_text(ctl, "group");
	int status = queue ? ctl_queue(ctl, queue, &wanted->queue) : CTL_DONE;

	if (status == CTL_DONE && outbound)
		status = ctl_outbound_mailbox(ctl, outbound, &wanted->outbound);
	if (status == CTL_DONE && group)
		status = resolve_group(ctl, group, &wanted->group);
	return status == CTL_DONE ? resolve_start(ctl, wanted) : status;
}

/* Groups have no command of their own: naming one makes it. */
static int resolve_group(struct ctl *ctl, const char *name, struct uuid *out)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args insert, find;

	db_args_init(&insert, &ctl->arena);
	db_arg_uuid(&insert, uuid_v7());
	db_arg_uuid(&insert, ctl->tenant.id);
	db_arg_text(&insert, str_of(name));
	db_args_init(&find, &ctl->arena);
	db_arg_uuid(&find, ctl->tenant.id);
	db_arg_text(&find, str_of(name));
	if (db_exec(ctl->db, sql_group_add, &insert, NULL, &ctl->err) < 0 ||
	    db_query(ctl->db, sql_group_find, &find, &rows, &ctl->err) < 0)
		return ctl_failed(ctl);
	*out = db_uuid(rows, 0, 0);
	return CTL_DONE;
}

static int resolve_start(struct ctl *ctl, struct wanted *wanted)
{
	const char *from = ctl_text(ctl, "from");

	wanted->start = "now";
	if (!from || strcmp(from, "now") == 0)
		return CTL_DONE;
	wanted->start = strcmp(from, "all") == 0 ? "all" : "date";
	if (wanted->start[0] == 'd' && !clock_parse(str_of(from), &wanted->start_date_us))
		return ctl_usage("--from %s: now, all or a date such as 2026-01-31 is expected", from);
	return CTL_DONE;
}

/* With `set` a password is asked for only by --password-file: most changes are about something else. */
static int put_credential(struct ctl *ctl, const struct mailbox_found *found, struct wanted *wanted)
{
	struct str password;

	if (found && !ctl_given(ctl, "password-file"))
		return CTL_DONE;
	int status = ctl_password(ctl, "password for the IMAP server", &password);
	if (status != CTL_DONE)
		return status;
	return ctl_credential(ctl, password, found ? found->credential : (struct uuid){ 0 }, &wanted->credential);
}

static int write_row(struct ctl *ctl, const char *sql, const struct wanted *wanted, int64_t *out_rows)
{
	struct db_args args;

	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, wanted->id);
	db_arg_uuid(&args, ctl->tenant.id);
	db_arg_text(&args, wanted->address);
	ctl_arg_text(ctl, &args, "description");
	ctl_arg_text(ctl, &args, "host");
	ctl_arg_int(ctl, &args, "port");
	ctl_arg_text(ctl, &args, "tls");
	ctl_arg_text(ctl, &args, "ca-file");
	ctl_arg_switch(ctl, &args, "insecure");
	ctl_arg_text(ctl, &args, "user");
	db_arg_uuid_or_null(&args, wanted->credential);
	db_arg_uuid_or_null(&args, wanted->group);
	db_arg_uuid_or_null(&args, wanted->queue.id);
	db_arg_uuid_or_null(&args, wanted->outbound.id);
	ctl_arg_text(ctl, &args, "sender-trust");
	ctl_arg_switch(ctl, &args, "rung5");
	ctl_arg_int(ctl, &args, "rung5-days");
	ctl_arg_switch(ctl, &args, "auto-reply");
	ctl_arg_text(ctl, &args, "after");
	ctl_arg_int(ctl, &args, "poll");
	ctl_arg_int(ctl, &args, "size-limit");
	ctl_arg_int(ctl, &args, "credit");
	ctl_arg_switch(ctl, &args, "active");
	if (sql == sql_insert) {
		db_arg_text(&args, str_of(wanted->start));
		db_arg_time_or_null(&args, wanted->start_date_us);
		db_arg_bool(&args, ctl_given(ctl, "loud"));
	}
	return db_exec(ctl->db, sql, &args, out_rows, &ctl->err) < 0 ? ctl_failed(ctl) : CTL_DONE;
}

/* --folder, as often as given, is the whole list; a new mailbox without one has INBOX. */
static int write_folders(struct ctl *ctl, const struct wanted *wanted, bool is_new)
{
	const char *const *given;
	size_t count = ctl_list(ctl, "folder", &given);
	struct str *names = ARENA_ARRAY(&ctl->arena, struct str, count + 1);
	struct uuid *ids = ARENA_ARRAY(&ctl->arena, struct uuid, count + 1);
	struct db_args put, drop;

	if (count == 0 && !is_new)
		return CTL_DONE;
	for (size_t i = 0; i < count; i++)
		names[i] = str_of(given[i]);
	if (count == 0)
		names[count++] = STR("INBOX");
	for (size_t i = 0; i < count; i++) {
		ids[i] = uuid_v7();
		for (size_t j = 0; j < i; j++)
			if (str_eq(names[i], names[j]))
				return ctl_usage("--folder %.*s is given twice", STR_ARG(names[i]));
	}
	db_args_init(&drop, &ctl->arena);
	db_arg_uuid(&drop, wanted->id);
	db_arg_texts(&drop, names, count);
	db_args_init(&put, &ctl->arena);
	db_arg_uuid(&put, ctl->tenant.id);
	db_arg_uuid(&put, wanted->id);
	db_arg_uuids(&put, ids, count);
	db_arg_texts(&put, names, count);
	if (db_exec(ctl->db, sql_drop_folders, &drop, NULL, &ctl->err) < 0 ||
	    db_exec(ctl->db, sql_put_folders, &put, NULL, &ctl->err) < 0)
		return ctl_failed(ctl);
	return CTL_DONE;
}

static int notify(struct ctl *ctl, const struct wanted *wanted)
{
	struct db_args state, channel;

	db_args_init(&state, &ctl->arena);
	db_arg_uuid(&state, wanted->id);
	db_arg_uuid(&state, ctl->tenant.id);
	db_args_init(&channel, &ctl->arena);
	db_arg_text(&channel, uuid_str(&ctl->arena, wanted->id));
	if (db_exec(ctl->db, sql_state, &state, NULL, &ctl->err) < 0 ||
	    db_exec(ctl->db, sql_notify, &channel, NULL, &ctl->err) < 0)
		return ctl_failed(ctl);
	return CTL_DONE;
}

int mailbox_list(struct ctl *ctl)
{
	static const struct column columns[] = {
		{ "address", "ADDRESS", CELL_TEXT }, { "state", "STATE", CELL_TEXT },
		{ "queue", "QUEUE", CELL_TEXT },     { "host", "HOST", CELL_TEXT },
		{ "port", "PORT", CELL_INT },        { "tls", "TLS", CELL_TEXT },
		{ "folders", "FOLDERS", CELL_TEXTS }, { "last_success_at", "LAST SUCCESS", CELL_TIME },
		{ "reason", "REASON", CELL_TEXT },   { "remedy", NULL, CELL_TEXT },
		{ "active", NULL, CELL_BOOL },       { "insecure", NULL, CELL_BOOL },
		{ "id", NULL, CELL_UUID },
	};
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, ctl->tenant.id);
	if (db_query(ctl->db, sql_list, &args, &rows, &ctl->err) < 0)
		return ctl_failed(ctl);
	table_print(&ctl->arena, columns, ARRAY_LEN(columns), rows, ctl->as_json, "no mailboxes");
	return CTL_DONE;
}
