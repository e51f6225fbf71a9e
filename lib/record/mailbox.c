/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox.h"

#include "base/banned.h"

static const char mailboxes_sql[] =
	"SELECT m.id, m.tenant_id, m.address, m.host, m.port, m.tls, m.ca_file, m.insecure, m.username, c.sealed,"
	" m.after_intake = 'seen', m.poll_s, m.size_limit, m.credit, m.start_from, m.start_date, m.added_at, m.changed_at,"
	" m.is_loud, m.is_active, s.state, s.reason, s.version, s.failures, s.last_error_at,"
	" s.next_try_at"
	" FROM mailbox m LEFT JOIN credential c ON c.id = m.credential_id LEFT JOIN mailbox_state s ON s.mailbox_id = m.id"
	" WHERE m.id = ANY($1) ORDER BY m.id";

static const char folders_sql[] =
	"SELECT id, mailbox_id, name, uidvalidity, floor_uid, last_uid FROM mailbox_folder"
	" WHERE mailbox_id = ANY($1) AND is_active ORDER BY mailbox_id, name";

static enum fetch_start start_of(struct str name)
{
	if (str_eq(name, STR("all")))
		return FETCH_FROM_ALL;
	return str_eq(name, STR("date")) ? FETCH_FROM_DATE : FETCH_FROM_NOW;
}

static struct str text(struct arena *arena, const struct db_result *rows, int row, int column)
{
	return str_dup(arena, db_str(rows, row, column));
}

int mailbox_queue_load(struct db *db, struct arena *arena, const struct uuid *ids, size_t count,
                       struct db_result **out_mailboxes, struct db_result **out_folders, struct err *err)
{
	struct db_args args;

	db_args_init(&args, arena);
	db_arg_uuids(&args, ids, count);
	if (db_queue(db, mailboxes_sql, &args, out_mailboxes, err) < 0)
		return -1;
	return db_queue(db, folders_sql, &args, out_folders, err);
}

void mailbox_decode(struct arena *arena, const struct db_result *mailboxes, const struct db_result *folders,
                    struct mailbox **out, size_t *out_count)
{
	size_t count = (size_t)db_rows(mailboxes), folder_count = (size_t)db_rows(folders), f = 0;
	struct mailbox *all = ARENA_ARRAY(arena, struct mailbox, count);
	struct mailbox_folder *every = ARENA_ARRAY(arena, struct mailbox_folder, folder_count);

	for (size_t i = 0; i < folder_count; i++) {
		int row = (int)i;
		every[i] = (struct mailbox_folder){
			.id.id = db_uuid(folders, row, 0), .mailbox.id = db_uuid(folders, row, 1),
			.name = text(arena, folders, row, 2), .is_active = true, .uidvalidity = db_int(folders, row, 3),
			.floor_uid = db_int(folders, row, 4), .last_uid = db_int(folders, row, 5),
		};
	}
	for (size_t i = 0; i < count; i++) {
		int row = (int)i;
		all[i] = (struct mailbox){
			.id.id = db_uuid(mailboxes, row, 0), .tenant.id = db_uuid(mailboxes, row, 1),
			.address = text(arena, mailboxes, row, 2), .host = text(arena, mailboxes, row, 3),
			.port = (int)db_int(mailboxes, row, 4), .tls = text(arena, mailboxes, row, 5),
			.ca_file = text(arena, mailboxes, row, 6), .insecure = db_bool(mailboxes, row, 7),
			.username = text(arena, mailboxes, row, 8), .sealed = text(arena, mailboxes, row, 9),
			.after_seen = db_bool(mailboxes, row, 10), .poll_s = db_int(mailboxes, row, 11),
			.size_limit = db_int(mailboxes, row, 12), .credit = db_int(mailboxes, row, 13),
			.start_from = start_of(db_str(mailboxes, row, 14)), .start_date_us = db_time(mailboxes, row, 15),
			.added_at_us = db_time(mailboxes, row, 16), .changed_at_us = db_time(mailboxes, row, 17),
			.is_loud = db_bool(mailboxes, row, 18), .is_active = db_bool(mailboxes, row, 19),
			.state = text(arena, mailboxes, row, 20), .reason = text(arena, mailboxes, row, 21),
			.state_version = db_int(mailboxes, row, 22), .failures = db_int(mailboxes, row, 23),
			.last_error_at_us = db_time(mailboxes, row, 24), .next_try_at_us = db_time(mailboxes, row, 25),
		};
		/* Both lists are sorted by the mailbox. */
		while (f < folder_count && uuid_cmp(every[f].mailbox.id, all[i].id.id) < 0)
			f++;
		all[i].folders = &every[f];
		while (f < folder_count && uuid_eq(every[f].mailbox.id, all[i].id.id)) {
			all[i].folder_count++;
			f++;
		}
	}
	*out = all;
	*out_count = count;
}

int mailbox_load(struct db *db, struct arena *arena, struct mailbox_id id, struct mailbox *out, struct err *err)
{
	struct db_result *mailboxes CLEANUP(db_result_done) = NULL, *folders CLEANUP(db_result_done) = NULL;
	struct mailbox *found;
	size_t count;

	if (mailbox_queue_load(db, arena, &id.id, 1, &mailboxes, &folders, err) < 0 || db_flush(db, err) < 0)
		return -1;
	mailbox_decode(arena, mailboxes, folders, &found, &count);
	if (count == 0)
		return 0;
	*out = found[0];
	return 1;
}
