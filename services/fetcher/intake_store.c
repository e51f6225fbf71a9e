/* SPDX-License-Identifier: Apache-2.0 */
#include "intake_store.h"

#include <stdlib.h>

#include "base/clock.h"
#include "edge/bus.h"
#include "mail/thread_hint.h"
#include "record/outbox.h"
#include "wire/mail_received.h"

#include "base/banned.h"

static const char ledger_sql[] =
	"INSERT INTO intake (id, tenant_id, mailbox_id, folder_id, uidvalidity, uid, state, reason, blob_id, size,"
	" internal_date, noticed_at, received_at, decided_at, is_quiet, message_id, case_id)"
	" SELECT id, $1, $2, $3, $4, uid, state, reason, blob_id, size, internal_date, $5, $6,"
	" CASE WHEN state = 'received' THEN NULL ELSE $6 END, is_quiet, message_id, case_id"
	" FROM unnest($7::uuid[], $8::bigint[], $9::text[], $10::text[], $11::uuid[], $12::bigint[], $13::timestamptz[],"
	" $14::boolean[], $15::uuid[], $16::uuid[])"
	" AS r (id, uid, state, reason, blob_id, size, internal_date, is_quiet, message_id, case_id)";

static const char blobs_sql[] =
	"INSERT INTO blob (id, tenant_id, sha256, size, bytes)"
	" SELECT id, $1, sha256, length(bytes), bytes FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) AS r (id, sha256, bytes)";

static const char quarantine_sql[] =
	"INSERT INTO quarantine (id, tenant_id, intake_id, reason, detail, created_at)"
	" SELECT id, $1, intake_id, 'too_big', detail, $2 FROM unnest($3::uuid[], $4::uuid[], $5::text[])"
	" AS r (id, intake_id, detail)";

static const char actions_sql[] =
	"INSERT INTO server_action (id, tenant_id, mailbox_id, folder_id, uidvalidity, uid, action, due_at)"
	" SELECT id, $1, $2, $3, $4, uid, 'seen', clock_timestamp() + $5 * interval '1 second'"
	" FROM unnest($6::uuid[], $7::bigint[]) AS r (id, uid) ON CONFLICT DO NOTHING";

/* 1 / 0 where the row is under another UIDVALIDITY: then somebody else has begun the folder anew. */
static const char cursor_sql[] =
	"WITH moved AS (UPDATE mailbox_folder SET last_uid = greatest(last_uid, $3), synced_at = clock_timestamp()"
	" WHERE id = $1 AND uidvalidity = $2 RETURNING 1) SELECT 1 / count(*) FROM moved";

static const char seen_uids_sql[] =
	"UPDATE mailbox_state SET seen_uids = seen_uids + $2, last_success_at = clock_timestamp() WHERE mailbox_id = $1";

static const char waiting_sql[] =
	"SELECT count(*) FROM (SELECT FROM intake WHERE mailbox_id = $1"
	" AND state IN ('received', 'retrying', 'action_needed') LIMIT $2) AS w";

static const char existing_sql[] = "SELECT uid FROM intake WHERE folder_id = $1 AND uidvalidity = $2 AND uid = ANY($3)";

static const char void_sql[] =
	"UPDATE server_action SET state = 'void', done_at = clock_timestamp()"
	" WHERE mailbox_id = $1 AND folder_id = $2 AND state = 'due' AND (uidvalidity <> $3 OR NOT $4)";

static const char open_sql[] =
	"SELECT f.uidvalidity, f.floor_uid, f.last_uid,"
	" (SELECT count(*) FROM (SELECT FROM intake WHERE mailbox_id = $2"
	"  AND state IN ('received', 'retrying', 'action_needed') LIMIT $3) AS w),"
	" EXISTS (SELECT FROM intake WHERE folder_id = $1 AND uidvalidity < $4)"
	" OR EXISTS (SELECT FROM intake WHERE folder_id = $1 AND uidvalidity > $4)"
	" FROM mailbox_folder f WHERE f.id = $1";

static const char begin_folder_sql[] =
	"UPDATE mailbox_folder SET uidvalidity = $2, floor_uid = $3, last_uid = $3 - 1"
	" WHERE id = $1 AND uidvalidity IS DISTINCT FROM $2";

static const char known_sql[] =
	"SELECT DISTINCT ON (r.place) r.place, i.message_id, i.case_id"
	" FROM unnest($2::text[], $3::bigint[], $4::timestamptz[]) WITH ORDINALITY AS r (header_id, size, internal_date, place)"
	" JOIN message m ON md5(m.message_id) = md5(r.header_id) AND m.message_id = r.header_id"
	" JOIN intake i ON i.message_id = m.id AND i.folder_id = $1 AND i.size = r.size AND i.internal_date = r.internal_date"
	" AND i.uidvalidity <> $5 ORDER BY r.place, i.id";

static int queue_ledger(struct db *db, struct arena *arena, const struct intake_folder *folder,
                        const struct intake_batch *batch, size_t fresh, struct err *err);
static int queue_blobs(struct db *db, struct arena *arena, const struct intake_folder *folder,
                       const struct intake_batch *batch, struct err *err);
static int queue_quarantine(struct db *db, struct arena *arena, const struct intake_folder *folder,
                            const struct intake_batch *batch, struct err *err);
static int queue_actions(struct db *db, struct arena *arena, const struct intake_folder *folder,
                         const struct intake_batch *batch, struct err *err);
static int queue_records(struct db *db, struct arena *arena, const struct intake_folder *folder,
                         const struct intake_batch *batch, struct err *err);
static int queue_cursor(struct db *db, struct arena *arena, const struct intake_folder *folder,
                        const struct intake_batch *batch, size_t fresh, struct err *err);

int intake_queue(struct db *db, struct arena *arena, const struct intake_folder *folder, struct intake_batch *batch,
                 struct db_result **out_waiting, struct err *err)
{
	size_t fresh = 0;

	for (size_t i = 0; i < batch->count; i++)
		fresh += !batch->entries[i].is_stored;
	if (db_begin(db, err) < 0 || lease_guard(db, arena, folder->lease, err) < 0)
		return -1;
	if (fresh > 0 &&
	    (queue_ledger(db, arena, folder, batch, fresh, err) < 0 || queue_blobs(db, arena, folder, batch, err) < 0 ||
	     queue_quarantine(db, arena, folder, batch, err) < 0 || queue_actions(db, arena, folder, batch, err) < 0))
		return -1;
	/* The outbox's sequence is drawn after the cursor's row is locked: order per mailbox is commit order. */
	if (queue_cursor(db, arena, folder, batch, fresh, err) < 0 || queue_records(db, arena, folder, batch, err) < 0)
		return -1;
	if (intake_queue_waiting(db, arena, folder->mailbox, out_waiting, err) < 0)
		return -1;
	return db_queue(db, "COMMIT", NULL, NULL, err);
}

static const char *state_of(const struct intake_entry *entry)
{
	static const char *const states[] = { [FETCH_MAIL] = "received", [FETCH_HEADER] = "quarantined",
		                              [FETCH_KNOWN] = "duplicate", [FETCH_GONE] = "gone" };

	return states[entry->item.kind];
}

static struct str reason_of(struct arena *arena, const struct intake_entry *entry)
{
	switch (entry->item.kind) {
	case FETCH_HEADER:
		return STR("too_big");
	case FETCH_KNOWN:
		return STR("uidvalidity_changed");
	case FETCH_GONE:
		return str_scrub(arena, str_of(entry->reason));
	default:
		return STR("");
	}
}

static int queue_ledger(struct db *db, struct arena *arena, const struct intake_folder *folder,
                        const struct intake_batch *batch, size_t fresh, struct err *err)
{
	struct uuid *ids = ARENA_ARRAY(arena, struct uuid, fresh), *blobs = ARENA_ARRAY(arena, struct uuid, fresh);
	struct uuid *messages = ARENA_ARRAY(arena, struct uuid, fresh), *cases = ARENA_ARRAY(arena, struct uuid, fresh);
	int64_t *uids = ARENA_ARRAY(arena, int64_t, fresh), *sizes = ARENA_ARRAY(arena, int64_t, fresh);
	int64_t *dates = ARENA_ARRAY(arena, int64_t, fresh);
	struct str *states = ARENA_ARRAY(arena, struct str, fresh), *reasons = ARENA_ARRAY(arena, struct str, fresh);
	bool *quiets = ARENA_ARRAY(arena, bool, fresh);
	struct db_args args;
	size_t n = 0;

	for (size_t i = 0; i < batch->count; i++) {
		const struct intake_entry *entry = &batch->entries[i];
		if (entry->is_stored)
			continue;
		ids[n] = entry->intake.id;
		blobs[n] = entry->bytes ? entry->blob.id : (struct uuid){ { 0 } };
		messages[n] = entry->known.message.id;
		cases[n] = entry->known.case_file.id;
		uids[n] = entry->item.uid;
		sizes[n] = entry->item.size;
		dates[n] = entry->item.date_us;
		states[n] = str_of(state_of(entry));
		reasons[n] = reason_of(arena, entry);
		quiets[n] = fetch_is_quiet(entry->item.date_us, folder->mailbox->added_at_us, folder->mailbox->is_loud);
		n++;
	}
	db_args_init(&args, arena);
	db_arg_uuid(&args, folder->mailbox->tenant.id);
	db_arg_uuid(&args, folder->mailbox->id.id);
	db_arg_uuid(&args, folder->folder.id);
	db_arg_int(&args, folder->uidvalidity);
	db_arg_time_or_null(&args, batch->noticed_at_us);
	db_arg_time(&args, batch->received_at_us);
	db_arg_uuids(&args, ids, n);
	db_arg_ints(&args, uids, n);
	db_arg_texts(&args, states, n);
	db_arg_texts(&args, reasons, n);
	db_arg_uuids_or_null(&args, blobs, n);
	db_arg_ints(&args, sizes, n);
	db_arg_times_or_null(&args, dates, n);
	db_arg_bools(&args, quiets, n);
	db_arg_uuids_or_null(&args, messages, n);
	db_arg_uuids_or_null(&args, cases, n);
	return db_queue(db, ledger_sql, &args, NULL, err);
}

static int queue_blobs(struct db *db, struct arena *arena, const struct intake_folder *folder,
                       const struct intake_batch *batch, struct err *err)
{
	struct uuid *ids = ARENA_ARRAY(arena, struct uuid, batch->count);
	struct str *sums = ARENA_ARRAY(arena, struct str, batch->count), *bytes = ARENA_ARRAY(arena, struct str, batch->count);
	struct db_args args;
	size_t n = 0;

	for (size_t i = 0; i < batch->count; i++) {
		const struct intake_entry *entry = &batch->entries[i];
		if (entry->is_stored || !entry->bytes)
			continue;
		ids[n] = entry->blob.id;
		sums[n] = str_span((const char *)entry->sum.b, sizeof entry->sum.b);
		bytes[n++] = str_span(entry->bytes, entry->len);
	}
	if (n == 0)
		return 0;
	db_args_init(&args, arena);
	db_arg_uuid(&args, folder->mailbox->tenant.id);
	db_arg_uuids(&args, ids, n);
	db_arg_bytess(&args, sums, n);
	db_arg_bytess(&args, bytes, n);
	return db_queue(db, blobs_sql, &args, NULL, err);
}

static int queue_quarantine(struct db *db, struct arena *arena, const struct intake_folder *folder,
                            const struct intake_batch *batch, struct err *err)
{
	struct uuid *ids = ARENA_ARRAY(arena, struct uuid, batch->count);
	struct uuid *intakes = ARENA_ARRAY(arena, struct uuid, batch->count);
	struct str *details = ARENA_ARRAY(arena, struct str, batch->count);
	struct db_args args;
	size_t n = 0;

	for (size_t i = 0; i < batch->count; i++) {
		const struct intake_entry *entry = &batch->entries[i];
		if (entry->is_stored || entry->item.kind != FETCH_HEADER)
			continue;
		ids[n] = uuid_v7();
		intakes[n] = entry->intake.id;
		details[n++] = str_printf(arena, "%lld bytes, the mailbox allows %lld; the header is kept",
		                          (long long)entry->item.size, (long long)folder->mailbox->size_limit);
	}
	if (n == 0)
		return 0;
	db_args_init(&args, arena);
	db_arg_uuid(&args, folder->mailbox->tenant.id);
	db_arg_time(&args, batch->received_at_us);
	db_arg_uuids(&args, ids, n);
	db_arg_uuids(&args, intakes, n);
	db_arg_texts(&args, details, n);
	return db_queue(db, quarantine_sql, &args, NULL, err);
}

static int queue_actions(struct db *db, struct arena *arena, const struct intake_folder *folder,
                         const struct intake_batch *batch, struct err *err)
{
	struct uuid *ids = ARENA_ARRAY(arena, struct uuid, batch->count);
	int64_t *uids = ARENA_ARRAY(arena, int64_t, batch->count);
	struct db_args args;
	size_t n = 0;

	for (size_t i = 0; folder->mailbox->after_seen && i < batch->count; i++) {
		const struct intake_entry *entry = &batch->entries[i];
		if (entry->is_stored || entry->item.kind != FETCH_MAIL)
			continue;
		ids[n] = uuid_v7();
		uids[n++] = entry->item.uid;
	}
	if (n == 0)
		return 0;
	db_args_init(&args, arena);
	db_arg_uuid(&args, folder->mailbox->tenant.id);
	db_arg_uuid(&args, folder->mailbox->id.id);
	db_arg_uuid(&args, folder->folder.id);
	db_arg_int(&args, folder->uidvalidity);
	db_arg_int(&args, folder->action_delay_s);
	db_arg_uuids(&args, ids, n);
	db_arg_ints(&args, uids, n);
	return db_queue(db, actions_sql, &args, NULL, err);
}

static int queue_records(struct db *db, struct arena *arena, const struct intake_folder *folder,
                         const struct intake_batch *batch, struct err *err)
{
	struct outbox_row *rows = ARENA_ARRAY(arena, struct outbox_row, batch->count);
	size_t n = 0;

	for (size_t i = 0; i < batch->count; i++) {
		const struct intake_entry *entry = &batch->entries[i];
		if (entry->is_stored || entry->item.kind != FETCH_MAIL)
			continue;
		struct mail_received record = {
			.intake = entry->intake, .tenant = folder->mailbox->tenant, .mailbox = folder->mailbox->id,
			.folder = folder->folder, .blob = entry->blob, .sha256 = entry->sum, .size = (int64_t)entry->len,
			.received_at_us = batch->received_at_us,
			.is_quiet = fetch_is_quiet(entry->item.date_us, folder->mailbox->added_at_us, folder->mailbox->is_loud),
		};
		thread_hint(str_span(entry->bytes, entry->len), entry->sum, record.hint);
		rows[n++] = (struct outbox_row){
			.ce_id = entry->intake.id, .tenant = folder->mailbox->tenant, .topic = TOPIC_MAIL_RECEIVED,
			.key = str_dup(arena, str_of(record.hint)), .type = MAIL_RECEIVED_TYPE,
			.subject = uuid_str(arena, entry->intake.id), .value = mail_received_encode(arena, &record),
		};
	}
	return n == 0 ? 0 : outbox_put(db, arena, rows, n, err);
}

static int queue_cursor(struct db *db, struct arena *arena, const struct intake_folder *folder,
                        const struct intake_batch *batch, size_t fresh, struct err *err)
{
	struct db_args args;

	db_args_init(&args, arena);
	db_arg_uuid(&args, folder->folder.id);
	db_arg_int(&args, folder->uidvalidity);
	db_arg_int(&args, batch->entries[batch->count - 1].item.uid);
	if (db_queue(db, cursor_sql, &args, NULL, err) < 0)
		return -1;
	db_args_init(&args, arena);
	db_arg_uuid(&args, folder->mailbox->id.id);
	db_arg_int(&args, (int64_t)fresh);
	return db_queue(db, seen_uids_sql, &args, NULL, err);
}

int intake_queue_existing(struct db *db, struct arena *arena, const struct intake_folder *folder,
                          const struct intake_batch *batch, struct db_result **out, struct err *err)
{
	int64_t *uids = ARENA_ARRAY(arena, int64_t, batch->count);
	struct db_args args;

	for (size_t i = 0; i < batch->count; i++)
		uids[i] = batch->entries[i].item.uid;
	db_args_init(&args, arena);
	db_arg_uuid(&args, folder->folder.id);
	db_arg_int(&args, folder->uidvalidity);
	db_arg_ints(&args, uids, batch->count);
	return db_queue(db, existing_sql, &args, out, err);
}

bool intake_mark_existing(struct intake_batch *batch, const struct db_result *existing)
{
	bool any = false;

	for (int row = 0; row < db_rows(existing); row++) {
		for (size_t i = 0; i < batch->count; i++) {
			struct intake_entry *entry = &batch->entries[i];
			if (entry->is_stored || entry->item.uid != db_int(existing, row, 0))
				continue;
			entry->is_stored = any = true;
		}
	}
	return any;
}

int intake_queue_open(struct db *db, struct arena *arena, const struct intake_folder *folder, struct db_result **out,
                      struct err *err)
{
	struct db_args args;

	if (db_begin(db, err) < 0 || lease_guard(db, arena, folder->lease, err) < 0)
		return -1;
	db_args_init(&args, arena);
	db_arg_uuid(&args, folder->mailbox->id.id);
	db_arg_uuid(&args, folder->folder.id);
	db_arg_int(&args, folder->uidvalidity);
	db_arg_bool(&args, folder->mailbox->after_seen);
	if (db_queue(db, void_sql, &args, NULL, err) < 0)
		return -1;
	db_args_init(&args, arena);
	db_arg_uuid(&args, folder->folder.id);
	db_arg_uuid(&args, folder->mailbox->id.id);
	db_arg_int(&args, folder->mailbox->credit);
	db_arg_int(&args, folder->uidvalidity);
	if (db_queue(db, open_sql, &args, out, err) < 0)
		return -1;
	return db_queue(db, "COMMIT", NULL, NULL, err);
}

int intake_queue_cursor(struct db *db, struct arena *arena, const struct intake_folder *folder, int64_t floor,
                        struct err *err)
{
	struct db_args args;

	if (db_begin(db, err) < 0 || lease_guard(db, arena, folder->lease, err) < 0)
		return -1;
	db_args_init(&args, arena);
	db_arg_uuid(&args, folder->folder.id);
	db_arg_int(&args, folder->uidvalidity);
	db_arg_int(&args, floor);
	if (db_queue(db, begin_folder_sql, &args, NULL, err) < 0)
		return -1;
	return db_queue(db, "COMMIT", NULL, NULL, err);
}

int intake_queue_waiting(struct db *db, struct arena *arena, const struct mailbox *mailbox, struct db_result **out,
                         struct err *err)
{
	struct db_args args;

	db_args_init(&args, arena);
	db_arg_uuid(&args, mailbox->id.id);
	db_arg_int(&args, mailbox->credit);
	return db_queue(db, waiting_sql, &args, out, err);
}

int intake_queue_known(struct db *db, struct arena *arena, const struct intake_folder *folder, const struct str *ids,
                       const struct fetch_item *items, size_t count, struct db_result **out, struct err *err)
{
	int64_t *sizes = ARENA_ARRAY(arena, int64_t, count), *dates = ARENA_ARRAY(arena, int64_t, count);
	struct db_args args;

	for (size_t i = 0; i < count; i++) {
		sizes[i] = items[i].size;
		dates[i] = items[i].date_us;
	}
	db_args_init(&args, arena);
	db_arg_uuid(&args, folder->folder.id);
	db_arg_texts(&args, ids, count);
	db_arg_ints(&args, sizes, count);
	db_arg_times_or_null(&args, dates, count);
	db_arg_int(&args, folder->uidvalidity);
	return db_queue(db, known_sql, &args, out, err);
}

struct intake_batch *intake_batch_new(const struct fetch_item *items, const struct known_mail *known, size_t count)
{
	struct intake_batch *batch = xcalloc(1, sizeof *batch);

	batch->count = count;
	batch->entries = xcalloc(count, sizeof *batch->entries);
	for (size_t i = 0; i < count; i++) {
		struct intake_entry *entry = &batch->entries[i];
		entry->item = items[i];
		entry->known = known[i];
		entry->arrived = items[i].kind == FETCH_KNOWN;
		entry->intake.id = uuid_v7();
		entry->blob.id = uuid_v7();
	}
	return batch;
}

void intake_batch_free(struct intake_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		free(batch->entries[i].bytes);
		free(batch->entries[i].reason);
	}
	free(batch->entries);
	free(batch);
}
