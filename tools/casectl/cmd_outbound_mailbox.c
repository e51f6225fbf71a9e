/* SPDX-License-Identifier: Apache-2.0
 * cmd_outbound_mailbox - the SMTP servers that mail leaves through, and as whom
 */
#include "ctl.h"
#include "record/outbound.h"

#include "base/banned.h"

/* Both statements take the same parameters. */
static const char sql_insert[] =
	"INSERT INTO outbound_mailbox (id, tenant_id, name, host, port, tls, ca_file, insecure, username, credential_id, "
	"sender_name, sender_address, bcc_archive, is_default, is_active) "
	"SELECT $1, $2, $3, $4, $5::bigint, $6, COALESCE($7::text, ''), COALESCE($8::boolean, false), COALESCE($9::text, "
	"''), $10, "
	"COALESCE($11::text, ''), $12, COALESCE($13::text, ''), COALESCE($14::boolean, false), COALESCE($15::boolean, "
	"true) ON CONFLICT (tenant_id, name) DO NOTHING";
static const char sql_update[] =
	"UPDATE outbound_mailbox SET host = COALESCE($4::text, host), port = COALESCE($5::bigint, port), tls = "
	"COALESCE($6::text, tls), ca_file = COALESCE($7::text, ca_file), insecure = COALESCE($8::boolean, insecure), "
	"username = COALESCE($9::text, username), credential_id = COALESCE($10, credential_id), "
	"sender_name = COALESCE($11::text, sender_name), sender_address = COALESCE($12::text, sender_address), "
	"bcc_archive = COALESCE($13::text, bcc_archive), is_default = COALESCE($14::boolean, is_default), "
	"is_active = COALESCE($15::boolean, is_active), changed_at = clock_timestamp() "
	"WHERE id = $1 AND tenant_id = $2 AND name = $3";
static const char sql_state[] =
	"INSERT INTO outbound_mailbox_state (outbound_mailbox_id, tenant_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
/* There is one default at a time: who changes it waits for others who do, and then sees whose it has become. */
static const char sql_one_at_a_time[] = "SELECT 1 FROM tenant WHERE id = $1 FOR NO KEY UPDATE";
static const char sql_no_default[] =
	"UPDATE outbound_mailbox SET is_default = false WHERE tenant_id = $1 AND is_default";
static const char sql_notify[] = "SELECT pg_notify('" OUTBOUND_CHANNEL "', '')";
static const char sql_current[] =
	"SELECT id, credential_id, host, tls, insecure FROM outbound_mailbox WHERE tenant_id = $1 AND name = $2 FOR UPDATE";

#define SHOWN_COLUMNS \
	"o.name, CASE WHEN o.is_active THEN COALESCE(s.state, 'starting') ELSE 'off' END, o.host, o.port, o.tls, o.sender_address, o.sender_name, o.is_default, " \
	"COALESCE(s.reason, ''), COALESCE(s.remedy, ''), s.last_success_at, s.next_try_at, COALESCE(s.failures, 0), " \
	"s.since, " \
	"o.username, o.bcc_archive, o.insecure, o.ca_file, o.is_active, o.id"
static const char sql_list[] =
	"SELECT " SHOWN_COLUMNS " FROM outbound_mailbox o "
	"LEFT JOIN outbound_mailbox_state s ON s.outbound_mailbox_id = o.id "
	"WHERE o.tenant_id = $1 AND ($2 = '' OR o.name = $2) ORDER BY o.name";
static const char sql_waiting[] =
	"SELECT state, count(*), min(next_attempt_at) FROM outbound_copy WHERE outbound_mailbox_id = $1 "
	"AND state IN ('queued', 'deferred') GROUP BY state ORDER BY state";

struct current {
	struct uuid id, credential;
	const char *host, *tls;
	bool is_insecure;
};

static int begin(struct ctl *ctl);
static int read_current(struct ctl *ctl, struct current *out);
static int write_all(struct ctl *ctl, const char *sql, const struct current *current, int64_t *out_rows);
static int write_row(struct ctl *ctl, const char *sql, const struct current *current, struct uuid credential,
                     int64_t *out_rows);

static int add(struct ctl *ctl)
{
	struct current current = { .id = uuid_v7() };
	const char *name = ctl->operands[0];
	int64_t rows;

	int status = begin(ctl);
	if (status == CTL_DONE)
		status = write_all(ctl, sql_insert, &current, &rows);
	if (status == CTL_DONE && rows == 0)
		status =
			ctl_refused("there is an outbound mailbox %s already; `casectl outbound-mailbox set` changes it", name);
	status = ctl_end(ctl, status);
	return status != CTL_DONE
	           ? status
	           : ctl_done(ctl, "outbound_mailbox", name, current.id, "outbound mailbox %s is there", name);
}

static int set(struct ctl *ctl)
{
	struct current current = { 0 };
	const char *name = ctl->operands[0];
	int64_t rows;

	int status = begin(ctl);
	if (status == CTL_DONE)
		status = read_current(ctl, &current);
	if (status == CTL_DONE)
		status = write_all(ctl, sql_update, &current, &rows);
	status = ctl_end(ctl, status);
	return status != CTL_DONE
	           ? status
	           : ctl_done(ctl, "outbound_mailbox", name, current.id, "outbound mailbox %s is changed", name);
}

/* Before any row of the mailboxes is locked: the rows that lose the default are others' rows. */
static int begin(struct ctl *ctl)
{
	struct db_args args;

	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, ctl->tenant.id);
	if (db_begin(ctl->db, &ctl->err) < 0 ||
	    (ctl_given(ctl, "default") && db_exec(ctl->db, sql_one_at_a_time, &args, NULL, &ctl->err) < 0))
		return ctl_failed(ctl);
	return CTL_DONE;
}

static int read_current(struct ctl *ctl, struct current *out)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, ctl->tenant.id);
	db_arg_text(&args, str_of(ctl->operands[0]));
	if (db_query(ctl->db, sql_current, &args, &rows, &ctl->err) < 0)
		return ctl_failed(ctl);
	if (db_rows(rows) == 0)
		return ctl_not_found("there is no outbound mailbox %s; `casectl outbound-mailbox list` shows what there is",
		                     ctl->operands[0]);
	*out = (struct current){ db_uuid(rows, 0, 0), db_uuid(rows, 0, 1), str_cstr(&ctl->arena, db_str(rows, 0, 2)),
		                 str_cstr(&ctl->arena, db_str(rows, 0, 3)), db_bool(rows, 0, 4) };
	return CTL_DONE;
}

static int write_all(struct ctl *ctl, const char *sql, const struct current *current, int64_t *out_rows)
{
	struct uuid credential = { 0 };
	struct db_args args;
	const char *tls = ctl_text(ctl, "tls"), *host = ctl_text(ctl, "host");
	bool is_new = sql == sql_insert;
	int status = ctl_check_tls(tls ? tls : current->tls, host ? host : current->host,
	                           ctl_int(ctl, "insecure", current->is_insecure) != 0);

	if (status == CTL_DONE && (ctl_given(ctl, "password-file") || (is_new && ctl_given(ctl, "user")))) {
		struct str password;
		status = ctl_password(ctl, "password for the SMTP server", &password);
		if (status == CTL_DONE)
			status = ctl_credential(ctl, password, current->credential, &credential);
	}
	if (status != CTL_DONE)
		return status;
	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, ctl->tenant.id);
	if (ctl_given(ctl, "default") && db_exec(ctl->db, sql_no_default, &args, NULL, &ctl->err) < 0)
		return ctl_failed(ctl);
	status = write_row(ctl, sql, current, credential, out_rows);
	if (status != CTL_DONE || *out_rows == 0)
		return status;
	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, current->id);
	db_arg_uuid(&args, ctl->tenant.id);
	if (db_exec(ctl->db, sql_state, &args, NULL, &ctl->err) < 0 ||
	    db_exec(ctl->db, sql_notify, NULL, NULL, &ctl->err) < 0)
		return ctl_failed(ctl);
	return CTL_DONE;
}

static int write_row(struct ctl *ctl, const char *sql, const struct current *current, struct uuid credential,
                     int64_t *out_rows)
{
	const char *sender = ctl_text(ctl, "sender-address"), *archive = ctl_text(ctl, "bcc-archive");
	struct str address, archive_address = STR(""); /* '' takes the archive away */
	struct db_args args;
	int status = sender ? ctl_own_address(ctl, sender, &address) : CTL_DONE;

	if (status == CTL_DONE && archive && archive[0])
		status = ctl_own_address(ctl, archive, &archive_address);
	if (status != CTL_DONE)
		return status;
	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, current->id);
	db_arg_uuid(&args, ctl->tenant.id);
	db_arg_text(&args, str_of(ctl->operands[0]));
	ctl_arg_text(ctl, &args, "host");
	ctl_arg_int(ctl, &args, "port");
	ctl_arg_text(ctl, &args, "tls");
	ctl_arg_text(ctl, &args, "ca-file");
	ctl_arg_switch(ctl, &args, "insecure");
	ctl_arg_text(ctl, &args, "user");
	db_arg_uuid_or_null(&args, credential);
	ctl_arg_text(ctl, &args, "sender-name");
	if (sender)
		db_arg_text(&args, address);
	else
		db_arg_null(&args);
	if (archive)
		db_arg_text(&args, archive_address);
	else
		db_arg_null(&args);
	if (ctl_given(ctl, "default"))
		db_arg_bool(&args, true);
	else
		db_arg_null(&args);
	ctl_arg_switch(ctl, &args, "active");
	return db_exec(ctl->db, sql, &args, out_rows, &ctl->err) < 0 ? ctl_failed(ctl) : CTL_DONE;
}

static const struct column list_columns[] = {
	{ "name", "NAME", CELL_TEXT },
	{ "state", "STATE", CELL_TEXT },
	{ "host", "HOST", CELL_TEXT },
	{ "port", "PORT", CELL_INT },
	{ "tls", "TLS", CELL_TEXT },
	{ "sender_address", "SENDER", CELL_TEXT },
	{ "sender_name", NULL, CELL_TEXT },
	{ "is_default", "DEFAULT", CELL_BOOL },
	{ "reason", "REASON", CELL_TEXT },
	{ "remedy", NULL, CELL_TEXT },
	{ "last_success_at", NULL, CELL_TIME },
	{ "next_try_at", NULL, CELL_TIME },
	{ "failures", NULL, CELL_INT },
	{ "since", NULL, CELL_TIME },
	{ "user", NULL, CELL_TEXT },
	{ "bcc_archive", NULL, CELL_TEXT },
	{ "insecure", NULL, CELL_BOOL },
	{ "ca_file", NULL, CELL_TEXT },
	{ "active", NULL, CELL_BOOL },
	{ "id", NULL, CELL_UUID },
};

static const struct ctl_listing listing = { sql_list, list_columns, ARRAY_LEN(list_columns), "outbound-mailbox",
	                                        "no outbound mailboxes" };

static int list(struct ctl *ctl)
{
	return ctl_list_all(ctl, &listing);
}

static int show(struct ctl *ctl)
{
	static const struct column waiting_columns[] = {
		{ "state", "WAITING", CELL_TEXT },
		{ "copies", "COPIES", CELL_INT },
		{ "next_attempt_at", "NEXT TRY", CELL_TIME },
	};
	struct db_result *rows CLEANUP(db_result_done) = NULL, *waiting CLEANUP(db_result_done) = NULL;
	struct db_args args;
	int status = ctl_read(ctl, &listing, ctl->operands[0], &rows);

	if (status != CTL_DONE)
		return status;
	if (db_rows(rows) == 0)
		return ctl_not_found("there is no outbound mailbox %s; `casectl outbound-mailbox list` shows what there is",
		                     ctl->operands[0]);
	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, db_uuid(rows, 0, ARRAY_LEN(list_columns) - 1));
	if (db_query(ctl->db, sql_waiting, &args, &waiting, &ctl->err) < 0)
		return ctl_failed(ctl);
	if (ctl->as_json) {
		json_t *object CLEANUP(json_done) =
			table_object(&ctl->arena, list_columns, ARRAY_LEN(list_columns), rows, 0);
		json_put(object, "waiting_list",
		         table_list(&ctl->arena, waiting_columns, ARRAY_LEN(waiting_columns), waiting));
		json_print_line(stdout, object);
		return CTL_DONE;
	}
	table_print_record(&ctl->arena, list_columns, ARRAY_LEN(list_columns), rows, 0);
	putchar('\n');
	table_print(&ctl->arena, waiting_columns, ARRAY_LEN(waiting_columns), waiting, false, "nothing waits to be sent");
	return CTL_DONE;
}

#define COMMON_OPTIONS(is_add) \
	{ "host", OPTION_TEXT, "HOST", "the SMTP server", .required = (is_add) }, \
		{ "port",       OPTION_INT,          "N", "usually 465 (implicit) or 587 (starttls)", .min = 1, \
		  .max = 65535, .required = (is_add) }, \
		{ "tls", OPTION_CHOICE, "implicit|starttls|clear", "clear: on the own machine only", .required = (is_add) }, \
		{ "sender-address", OPTION_TEXT, "ADDRESS", "From of what leaves here", .required = (is_add) }, \
		{ "sender-name", OPTION_TEXT, "NAME", "display name beside it" }, \
		{ "user", OPTION_TEXT, "NAME", "log in as (default: no login)" }, \
		{ "password-file", OPTION_TEXT, "FILE", "its content is the password; else it is asked for" }, \
		{ "bcc-archive", OPTION_TEXT, "ADDRESS", "a copy of everything goes here" }, \
		{ "default", OPTION_FLAG, NULL, "what has no other outbound mailbox leaves here" }, \
		{ "ca-file", OPTION_TEXT, "FILE", "own certificate authority" }, \
		{ "insecure", OPTION_SWITCH, NULL, "do not verify the certificate; shows in state and metrics" }, \
	{ \
		"active", OPTION_SWITCH, NULL, "off: nothing leaves" \
	}

static const struct option_def add_options[] = { COMMON_OPTIONS(true), { 0 } };
static const struct option_def set_options[] = { COMMON_OPTIONS(false), { 0 } };
static const struct verb verbs[] = {
	{ "add", "NAME", 1, 1, NEED_TENANT | NEED_SEAL, "make an outbound mailbox",
	  "  casectl outbound-mailbox add support --host smtp.example.org --port 465 --tls implicit \\\n"
	  "      --user support --password-file /run/secrets/smtp --sender-address support@example.org \\\n"
	  "      --sender-name 'Example Support' --default",
	  add_options, add },
	{ "list", "", 0, 0, NEED_TENANT, "all outbound mailboxes with their state",
	  "  casectl outbound-mailbox list --json", NULL, list },
	{ "set", "NAME", 1, 1, NEED_TENANT | NEED_SEAL, "change an outbound mailbox",
	  "  casectl outbound-mailbox set support --bcc-archive archive@example.org", set_options, set },
	{ "show", "NAME", 1, 1, NEED_TENANT, "state, reason, remedy, what waits", "  casectl outbound-mailbox show support",
	  NULL, show },
	{ 0 },
};
const struct noun noun_outbound_mailbox = { "outbound-mailbox", "the SMTP servers that mail leaves through", verbs };
