/* SPDX-License-Identifier: Apache-2.0
 * intake_store - the statements of the fetcher: what is durable about a folder and its mails
 *
 * Everything here queues into one flush. Each transaction begins with the mailbox's lease FOR SHARE under our owner and
 * epoch: whoever lost it writes nothing. The cursor only grows under one UIDVALIDITY.
 */
#ifndef MAILCASE_INTAKE_STORE_H
#define MAILCASE_INTAKE_STORE_H

#include "base/digest.h"
#include "domain/fetch_plan.h"
#include "record/lease.h"
#include "record/mailbox.h"

/* A mail that was stored before under another UIDVALIDITY; the null id: none. */
struct known_mail {
	struct message_id message;
	struct case_id case_file;
};

struct intake_entry {
	struct fetch_item item;
	struct known_mail known;
	char *bytes; /* mail or header, owned */
	size_t len;
	struct sha256 sum;
	struct intake_id intake;
	struct blob_id blob;
	char *reason; /* of what is gone; owned */
	bool arrived, retried, is_stored; /* is_stored: the ledger had it already */
};

/* One transaction's worth of mails of one folder. */
struct intake_batch {
	struct intake_entry *entries;
	size_t count;
	int64_t bytes;         /* as planned */
	int64_t noticed_at_us; /* when the server told us that there is something */
	int64_t received_at_us;
};

struct intake_folder {
	const struct mailbox *mailbox;
	const struct lease *lease;
	struct folder_id folder;
	int64_t uidvalidity;
	int64_t action_delay_s;
};

/* The whole transaction. *out_waiting gets one row: how many mails of the mailbox are not terminal now. */
int intake_queue(struct db *db, struct arena *arena, const struct intake_folder *folder, struct intake_batch *batch,
                 struct db_result **out_waiting, struct err *err) MUST_CHECK;

/* After SQLSTATE_EXISTS_ALREADY: which UIDs of the batch does the ledger have? The answer's rows mark the entries; false
 * if they mark none that was not marked before. */
int intake_queue_existing(struct db *db, struct arena *arena, const struct intake_folder *folder,
                          const struct intake_batch *batch, struct db_result **out, struct err *err) MUST_CHECK;
bool intake_mark_existing(struct intake_batch *batch, const struct db_result *existing);

/* Columns: uidvalidity, floor_uid, last_uid, mails waiting, whether the ledger knows another UIDVALIDITY. Voids the
 * actions that were meant for another UIDVALIDITY, or all of them where no action is wanted any more. */
int intake_queue_open(struct db *db, struct arena *arena, const struct intake_folder *folder, struct db_result **out,
                      struct err *err) MUST_CHECK;

/* The folder begins (again) at `floor`. */
int intake_queue_cursor(struct db *db, struct arena *arena, const struct intake_folder *folder, int64_t floor,
                        struct err *err) MUST_CHECK;

int intake_queue_waiting(struct db *db, struct arena *arena, const struct mailbox *mailbox, struct db_result **out,
                         struct err *err) MUST_CHECK;

/* Which of these (Message-ID, size, INTERNALDATE) does the folder's ledger hold? Columns: ordinal from 1, message, case. */
int intake_queue_known(struct db *db, struct arena *arena, const struct intake_folder *folder, const struct str *ids,
                       const struct fetch_item *items, size_t count, struct db_result **out, struct err *err) MUST_CHECK;

struct intake_batch *intake_batch_new(const struct fetch_item *items, const struct known_mail *known, size_t count);
void intake_batch_free(struct intake_batch *batch);

#endif
