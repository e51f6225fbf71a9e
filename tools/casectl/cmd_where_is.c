/* SPDX-License-Identifier: Apache-2.0
 * cmd_where_is - what became of a mail, by its Message-ID or its sender
 *
 * A mail that was understood is found by its message. One that was not yet, or never (waiting, quarantined), is found
 * by its raw header: only rows without a message are looked through.
 */
#include "ctl.h"
#include "mail/msgid.h"

#include "base/banned.h"

#define LIMIT 50 /* for people; programs get all */

#define FOUND \
	"SELECT m.message_id, b.address, f.name, i.uid, COALESCE(i.state, m.direction), COALESCE(i.reason, ''), " \
	"(SELECT c.number FROM case_file c WHERE c.id = COALESCE(i.case_id, cm.case_id)), i.received_at, m.from_address, " \
	"COALESCE(cm.is_pending, false), m.id FROM message m LEFT JOIN intake i ON i.message_id = m.id " \
	"LEFT JOIN case_message cm ON cm.message_id = m.id LEFT JOIN mailbox b ON b.id = i.mailbox_id " \
	"LEFT JOIN mailbox_folder f ON f.id = i.folder_id WHERE m.tenant_id = $1 AND "
#define NOT_UNDERSTOOD \
	"SELECT '', b.address, f.name, i.uid, i.state, i.reason, " \
	"(SELECT c.number FROM case_file c WHERE c.id = i.case_id), i.received_at, '', false, NULL::uuid FROM intake i " \
	"JOIN mailbox b ON b.id = i.mailbox_id JOIN mailbox_folder f ON f.id = i.folder_id JOIN blob r ON r.id = " \
	"i.blob_id " \
	"WHERE i.message_id IS NULL AND i.tenant_id = $1 AND " \
	"position(lower($2) IN lower(encode(substring(r.bytes FROM 1 FOR 16384), 'escape'))) > 0 "
static const char sql_by_id[] =
	FOUND "md5(m.message_id) IN (md5($2), md5($3)) AND m.message_id IN ($2, $3) UNION ALL " NOT_UNDERSTOOD "LIMIT $4";
static const char sql_by_sender[] =
	"(" FOUND "md5(m.from_address) = md5($2) AND m.from_address = $2 AND $3 = '' ORDER BY m.created_at DESC LIMIT $4) "
	"UNION ALL (" NOT_UNDERSTOOD "LIMIT $4) LIMIT $4";

static const struct column columns[] = {
	{ "message_id", "MESSAGE-ID", CELL_TEXT }, { "mailbox", "MAILBOX", CELL_TEXT }, { "folder", "FOLDER", CELL_TEXT },
	{ "uid", "UID", CELL_INT },                { "state", "STATE", CELL_TEXT },     { "reason", "REASON", CELL_TEXT },
	{ "case", "CASE", CELL_INT },              { "received_at", "RECEIVED", CELL_TIME }, { "from", NULL, CELL_TEXT },
	{ "pending", NULL, CELL_BOOL },            { "id", NULL, CELL_UUID },
};

static int where_is(struct ctl *ctl)
{
	const char *id = ctl_text(ctl, "message-id"), *from = ctl_text(ctl, "from");
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct str key, other = STR("");
	struct db_args args;

	if (!id == !from)
		return ctl_usage("say either --message-id ID or --from ADDRESS");
	if (from) {
		int status = ctl_address(ctl, from, &key);
		if (status != CTL_DONE)
			return status;
	} else {
		key = str_trim(str_of(id));
		if (str_starts(key, STR("<")) && str_ends(key, STR(">")))
			key = str_slice(key, 1, key.len - 1);
		if (!key.len)
			return ctl_usage("--message-id: there is no id in it");
		other = msgid_normal(&ctl->arena, key);
	}
	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, ctl->tenant.id);
	db_arg_text(&args, key);
	db_arg_text(&args, other);
	ctl_arg_limit(ctl, &args, LIMIT);
	if (db_query(ctl->db, from ? sql_by_sender : sql_by_id, &args, &rows, &ctl->err) < 0)
		return ctl_failed(ctl);
	if (db_rows(rows) == 0)
		return ctl_not_found("no such mail has come in; `casectl mailbox show` says whether the mailbox is read");
	table_print(&ctl->arena, columns, ARRAY_LEN(columns), rows, ctl->as_json, "");
	ctl_tell_more(ctl, db_rows(rows), LIMIT, "--limit N shows so many");
	return CTL_DONE;
}

static const struct option_def options[] = {
	{ "message-id", OPTION_TEXT, "ID", "of the mail, with or without its brackets" },
	{ "from", OPTION_TEXT, "ADDRESS", "of its sender, newest first" },
	{ "limit", OPTION_INT, "N", "at most so many (default 50; with --json all)", .min = 1, .max = INT64_MAX },
	{ 0 },
};
static const struct verb verbs[] = {
	{ .name = "",
	  .operands = "",
	  .needs = NEED_TENANT,
	  .summary = "what became of a mail",
	  .examples =
	      "  casectl where-is --message-id '<abc@client.example>'\n"
	              "  casectl where-is --from customer@client.example --json",
	  .options = options,
	  .run = where_is },
	{ 0 },
};
const struct noun noun_where_is = { "where-is", "what became of a mail", verbs };
