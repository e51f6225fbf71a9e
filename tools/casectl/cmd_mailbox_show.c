/* SPDX-License-Identifier: Apache-2.0
 * cmd_mailbox_show - how one mailbox fares: state, reason, remedy, cursors, what waits, who holds it
 */
#include "cmd_mailbox.h"

#include "base/banned.h"

#define WAITING_SHOWN 50

static const char sql_mailbox[] =
	"SELECT m.address, m.description, CASE WHEN m.is_active THEN COALESCE(s.state, 'starting') ELSE 'off' END, "
	"COALESCE(s.reason, ''), COALESCE(s.remedy, ''), s.since, s.last_success_at, s.last_error_at, s.next_try_at, "
	"COALESCE(s.failures, 0), s.has_idle, COALESCE(s.seen_uids, 0), l.owner, l.expires, m.host, m.port, m.tls, "
	"m.ca_file, m.insecure, m.username, q.name, g.name, o.name, m.sender_trust, m.rung5, m.rung5_days, m.auto_reply, "
	"m.after_intake, "
	"m.poll_s, m.size_limit, m.credit, m.start_from, m.start_date, m.is_loud, m.is_active, m.added_at, m.changed_at, "
	"m.id FROM mailbox m JOIN mailbox_group g ON g.id = m.group_id LEFT JOIN mailbox_state s ON s.mailbox_id = m.id "
	"LEFT JOIN queue q ON q.id = m.queue_id LEFT JOIN outbound_mailbox o ON o.id = m.outbound_mailbox_id "
	"LEFT JOIN lease l ON l.kind = 'mailbox' AND l.name = m.id::text AND l.expires > clock_timestamp() WHERE m.id = $1";
static const struct column mailbox_columns[] = {
	{ "address", NULL, CELL_TEXT },
	{ "description", NULL, CELL_TEXT },
	{ "state", NULL, CELL_TEXT },
	{ "reason", NULL, CELL_TEXT },
	{ "remedy", NULL, CELL_TEXT },
	{ "since", NULL, CELL_TIME },
	{ "last_success_at", NULL, CELL_TIME },
	{ "last_error_at", NULL, CELL_TIME },
	{ "next_try_at", NULL, CELL_TIME },
	{ "failures", NULL, CELL_INT },
	{ "has_idle", NULL, CELL_BOOL },
	{ "seen_uids", NULL, CELL_INT },
	{ "lease_owner", NULL, CELL_TEXT },
	{ "lease_expires", NULL, CELL_TIME },
	{ "host", NULL, CELL_TEXT },
	{ "port", NULL, CELL_INT },
	{ "tls", NULL, CELL_TEXT },
	{ "ca_file", NULL, CELL_TEXT },
	{ "insecure", NULL, CELL_BOOL },
	{ "user", NULL, CELL_TEXT },
	{ "queue", NULL, CELL_TEXT },
	{ "group", NULL, CELL_TEXT },
	{ "outbound", NULL, CELL_TEXT },
	{ "sender_trust", NULL, CELL_TEXT },
	{ "rung5", NULL, CELL_BOOL },
	{ "rung5_days", NULL, CELL_INT },
	{ "auto_reply", NULL, CELL_BOOL },
	{ "after", NULL, CELL_TEXT },
	{ "poll_s", NULL, CELL_INT },
	{ "size_limit", NULL, CELL_INT },
	{ "credit", NULL, CELL_INT },
	{ "from", NULL, CELL_TEXT },
	{ "from_date", NULL, CELL_TIME },
	{ "loud", NULL, CELL_BOOL },
	{ "active", NULL, CELL_BOOL },
	{ "added_at", NULL, CELL_TIME },
	{ "changed_at", NULL, CELL_TIME },
	{ "id", NULL, CELL_UUID },
};

static const char sql_folders[] =
	"SELECT name, is_active, uidvalidity, floor_uid, last_uid, synced_at FROM mailbox_folder WHERE mailbox_id = $1 "
	"ORDER BY name";
static const struct column folder_columns[] = {
	{ "name", "FOLDER", CELL_TEXT },
	{ "active", "ACTIVE", CELL_BOOL },
	{ "uidvalidity", "UIDVALIDITY", CELL_INT },
	{ "floor_uid", "FLOOR", CELL_INT },
	{ "last_uid", "LAST UID", CELL_INT },
	{ "synced_at", "SYNCED", CELL_TIME },
};

/* The partial index on waiting rows: the whole ledger may be large. */
static const char sql_waiting[] =
	"SELECT f.name, i.uid, i.state, i.reason, i.size, i.received_at, i.uidvalidity, count(*) OVER () "
	"FROM intake i JOIN mailbox_folder f ON f.id = i.folder_id "
	"WHERE i.mailbox_id = $1 AND i.state IN ('received', 'retrying', 'action_needed') ORDER BY i.received_at, i.uid "
	"LIMIT $2";
static const struct column waiting_columns[] = {
	{ "folder", "FOLDER", CELL_TEXT }, { "uid", "UID", CELL_INT },   { "state", "STATE", CELL_TEXT },
	{ "reason", "REASON", CELL_TEXT }, { "size", "SIZE", CELL_INT }, { "received_at", "RECEIVED", CELL_TIME },
	{ "uidvalidity", NULL, CELL_INT },
};

int mailbox_show(struct ctl *ctl)
{
	struct db_result *mailbox CLEANUP(db_result_done) = NULL, *folders CLEANUP(db_result_done) = NULL,
	                 *waiting CLEANUP(db_result_done) = NULL;
	struct mailbox_found found;
	struct db_args id, limited;
	struct arena *arena = &ctl->arena;
	int status = mailbox_find(ctl, ctl->operands[0], &found);

	if (status != CTL_DONE)
		return status;
	db_args_init(&id, arena);
	db_arg_uuid(&id, found.id);
	db_args_init(&limited, arena);
	db_arg_uuid(&limited, found.id);
	db_arg_int(&limited, WAITING_SHOWN);
	if (db_query(ctl->db, sql_mailbox, &id, &mailbox, &ctl->err) < 0 ||
	    db_query(ctl->db, sql_folders, &id, &folders, &ctl->err) < 0 ||
	    db_query(ctl->db, sql_waiting, &limited, &waiting, &ctl->err) < 0)
		return ctl_failed(ctl);
	int64_t waiting_all = db_rows(waiting) ? db_int(waiting, 0, ARRAY_LEN(waiting_columns)) : 0;
	if (ctl->as_json) {
		json_t *object CLEANUP(json_done) =
			table_object(arena, mailbox_columns, ARRAY_LEN(mailbox_columns), mailbox, 0);
		json_put(object, "folder_list", table_list(arena, folder_columns, ARRAY_LEN(folder_columns), folders));
		json_put_int(object, "waiting", waiting_all);
		json_put(object, "waiting_list", table_list(arena, waiting_columns, ARRAY_LEN(waiting_columns), waiting));
		json_print_line(stdout, object);
		return CTL_DONE;
	}
	table_print_record(arena, mailbox_columns, ARRAY_LEN(mailbox_columns), mailbox, 0);
	putchar('\n');
	table_print(arena, folder_columns, ARRAY_LEN(folder_columns), folders, false, "no folders");
	printf("\n%lld waiting\n", (long long)waiting_all);
	if (waiting_all)
		table_print(arena, waiting_columns, ARRAY_LEN(waiting_columns), waiting, false, "");
	return CTL_DONE;
}
