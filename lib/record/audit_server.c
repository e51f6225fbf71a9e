/* SPDX-License-Identifier: Apache-2.0
 * What the IMAP servers hold against the ledger: every mail from the floor on has its row, or is above the cursor.
 */
#include "audit_private.h"

#include "edge/imap_uids.h"
#include "record/mailbox.h"

#include "base/banned.h"

#define LOGIN_MS 30000
#define ANSWER_MS 60000
#define ALL_MS 120000

static int ask_mailbox(struct audit *audit, struct uuid id, struct err *err);
static int ask_folder(struct audit *audit, struct arena *arena, const struct mailbox *mailbox,
                      const struct mailbox_folder *folder, const struct imap_target *target, struct err *err);
static void note(struct audit *audit, struct arena *arena, const struct mailbox *mailbox, const char *rule,
                 enum audit_kind kind, struct str text);

static const char mailboxes_sql[] = "SELECT id FROM mailbox WHERE is_active AND protocol = 'imap' ORDER BY id";

/* The server was asked before: cursor and ledger move together, so what is not above the cursor has a row. */
static const char compare_sql[] =
	"WITH missing AS (SELECT f.id AS folder, f.name AS folder_name, f.last_uid, b.id AS mailbox, b.address, h.uid FROM mailbox_folder f"
	"  JOIN mailbox b ON b.id = f.mailbox_id CROSS JOIN (SELECT generate_series(r.first, r.last) AS uid"
	"   FROM unnest($2::int8[], $3::int8[]) AS r (first, last)) AS h"
	"  WHERE f.id = $1 AND f.uidvalidity = $4 AND h.uid >= f.floor_uid AND NOT EXISTS (SELECT FROM intake i"
	"   WHERE i.folder_id = f.id AND i.uidvalidity = f.uidvalidity AND i.uid = h.uid))"
	" SELECT 'lost', 'server.uid', jsonb_build_object('mailbox', mailbox, 'folder', folder, 'uid', uid),"
	" format('UID %s is in %s of %s, and the ledger has no row of it', uid, folder_name, address) FROM missing WHERE uid <= last_uid"
	" UNION ALL SELECT 'waits', 'server.uid', jsonb_build_object('mailbox', mailbox, 'folder', folder, 'mails', count(*)),"
	" format('%s mails in %s of %s are above the cursor (UID %s) and not fetched yet; the mailbox is %s%s', count(*), folder_name,"
	" address, last_uid, coalesce(s.state, 'new'), CASE WHEN l.name IS NULL THEN ', no fetcher has it' ELSE '' END)"
	" FROM missing LEFT JOIN mailbox_state s ON s.mailbox_id = mailbox LEFT JOIN lease l ON l.kind = 'mailbox'"
	"  AND l.name = mailbox::text AND l.expires > clock_timestamp() WHERE uid > last_uid"
	" GROUP BY mailbox, folder, folder_name, address, last_uid, s.state, l.name";

int audit_server(struct audit *audit, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;

	if (!audit->options->seal_key) {
		audit_found(audit, AUDIT_NOTED, "server.asked", STR("{}"), STR("the IMAP servers were not asked"));
		return 0;
	}
	if (db_query(audit->db, mailboxes_sql, NULL, &rows, err) < 0)
		return -1;
	for (int i = 0; i < db_rows(rows); i++)
		if (ask_mailbox(audit, db_uuid(rows, i, 0), err) < 0)
			return err_prefix(err, "could not compare with the IMAP servers");
	audit->listener->counted(audit->listener->self, "server_folders", audit->server_folders);
	audit->listener->counted(audit->listener->self, "server_mails", audit->server_mails);
	return 0;
}

static int ask_mailbox(struct audit *audit, struct uuid id, struct err *err)
{
	struct arena arena CLEANUP(arena_done);
	struct mailbox mailbox;
	struct str password = STR("");
	struct err why = { 0 };

	arena_init(&arena);
	int found = mailbox_load(audit->db, &arena, (struct mailbox_id){ id }, &mailbox, err);
	if (found <= 0)
		return found;
	if (mailbox.sealed.len && seal_open(&arena, audit->options->seal_key, mailbox.sealed, &password, &why) < 0) {
		note(audit, &arena, &mailbox, "server.asked", AUDIT_NOTED, str_printf(&arena, "it cannot be asked: %s", why.text));
		return 0;
	}
	struct imap_target target = {
		.host = str_cstr(&arena, mailbox.host),
		.port = mailbox.port,
		.ca_file = str_cstr(&arena, mailbox.ca_file),
		.insecure = mailbox.insecure,
		.username = str_cstr(&arena, mailbox.username),
		.password = password,
		.egress = EGRESS_ANY, /* whoever runs this can open a connection without us */
		.login_timeout_ms = LOGIN_MS,
		.silence_ms = ANSWER_MS,
	};
	int failed = 0;
	if (!imap_tls_parse(mailbox.tls, &target.tls))
		failed = err_set(err, ERR_PERM, "cannot ask a mailbox: its tls is unknown to this program");
	for (size_t i = 0; !failed && i < mailbox.folder_count; i++)
		failed = ask_folder(audit, &arena, &mailbox, &mailbox.folders[i], &target, err);
	if (password.len)
		seal_forget(&password);
	return failed;
}

static int ask_folder(struct audit *audit, struct arena *arena, const struct mailbox *mailbox,
                      const struct mailbox_folder *folder, const struct imap_target *target, struct err *err)
{
	struct imap_uids held;
	struct db_args args;

	if (!folder->uidvalidity) {
		note(audit, arena, mailbox, "server.folder", AUDIT_WAITS,
		     str_printf(arena, "folder %.*s was never opened by a fetcher", STR_ARG(folder->name)));
		return 0;
	}
	imap_uids(arena, target, folder->name, folder->floor_uid, ALL_MS, &held);
	if (!held.ok) {
		note(audit, arena, mailbox, "server.asked", AUDIT_NOTED,
		     str_printf(arena, "folder %.*s could not be asked: %s (%s) %.*s", STR_ARG(folder->name), held.trouble.problem,
		                held.trouble.name, STR_ARG(str_cut_utf8(held.server_words, 300))));
		return 0;
	}
	if (held.uidvalidity != folder->uidvalidity) {
		note(audit, arena, mailbox, "server.folder", AUDIT_WAITS,
		     str_printf(arena, "folder %.*s has UIDVALIDITY %lld, the fetchers know it under %lld: it is read anew",
		                STR_ARG(folder->name), (long long)held.uidvalidity, (long long)folder->uidvalidity));
		return 0;
	}
	audit->server_folders++;
	for (size_t i = 0; i < held.count; i++)
		audit->server_mails += held.last[i] - held.first[i] + 1;
	audit->listener->walked(audit->listener->self, "folders on the servers", 1);
	db_args_init(&args, arena);
	db_arg_uuid(&args, folder->id.id);
	db_arg_ints(&args, held.first, held.count);
	db_arg_ints(&args, held.last, held.count);
	db_arg_int(&args, held.uidvalidity);
	return audit_check(audit, compare_sql, &args, err);
}

static void note(struct audit *audit, struct arena *arena, const struct mailbox *mailbox, const char *rule,
                 enum audit_kind kind, struct str text)
{
	char id[UUID_TEXT_LEN + 1];

	audit_found(audit, kind, rule, str_printf(arena, "{\"mailbox\":\"%s\"}", uuid_text(mailbox->id.id, id)),
	            str_printf(arena, "mailbox %.*s: %.*s", STR_ARG(mailbox->address), STR_ARG(text)));
}
