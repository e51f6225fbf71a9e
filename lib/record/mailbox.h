/* SPDX-License-Identifier: Apache-2.0
 * mailbox - inbound mailboxes with their folders and sealed credentials, as rows say
 */
#ifndef MAILCASE_MAILBOX_H
#define MAILCASE_MAILBOX_H

#include "domain/fetch_plan.h"
#include "edge/db.h"

struct mailbox_folder {
	struct folder_id id;
	struct mailbox_id mailbox;
	struct str name; /* UTF-8 */
	bool is_active;
	int64_t uidvalidity; /* 0: never selected */
	int64_t floor_uid, last_uid;
};

struct mailbox {
	struct mailbox_id id;
	struct tenant_id tenant;
	struct str address, host, tls, ca_file, username;
	int port;
	bool insecure;
	struct str sealed; /* credential; empty: none */
	bool after_seen;   /* after_intake = seen */
	int64_t poll_s, size_limit, credit;
	enum fetch_start start_from;
	int64_t start_date_us, added_at_us, changed_at_us;
	bool is_loud, is_active;
	struct mailbox_folder *folders; /* active ones */
	size_t folder_count;
	/* mailbox_state, where there is a row */
	struct str state, reason;
	int64_t state_version, failures, last_error_at_us, next_try_at_us;
};

/* Queue the statements that read these mailboxes; after the flush, mailbox_decode() makes structs of the results, whose
 * texts live in the arena. */
int mailbox_queue_load(struct db *db, struct arena *arena, const struct uuid *ids, size_t count,
                       struct db_result **out_mailboxes, struct db_result **out_folders, struct err *err) MUST_CHECK;
void mailbox_decode(struct arena *arena, const struct db_result *mailboxes, const struct db_result *folders,
                    struct mailbox **out, size_t *out_count);

/* One mailbox, in one call. 1 found, 0 absent, -1 error. */
int mailbox_load(struct db *db, struct arena *arena, struct mailbox_id id, struct mailbox *out, struct err *err) MUST_CHECK;

#endif
