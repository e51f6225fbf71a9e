/* SPDX-License-Identifier: Apache-2.0
 * outbound - mails of ours: one message an audience, one copy a recipient; the statements that plan and desk share
 */
#ifndef MAILCASE_OUTBOUND_H
#define MAILCASE_OUTBOUND_H

#include "domain/fact.h"
#include "edge/db.h"

#define OUTBOUND_CHANNEL "mailcase_outbound"

struct outbound_mailbox_row {
	struct outbound_mailbox_id id;
	struct tenant_id tenant;
	struct str name, sender_name, sender_address, bcc_archive;
	bool is_default;
};

/* Which outbound mailbox a mail of this case leaves through (design.md section 8): the receiving mailbox's, else the
 * tenant's default. *out_reason is "receiving_mailbox" or "tenant_default". 1 found, 0 there is none. */
int outbound_mailbox_choose(struct db *db, struct arena *arena, struct tenant_id tenant, struct mailbox_id receiving,
                            struct outbound_mailbox_row *out, struct str *out_reason, struct err *err) MUST_CHECK;

/* The next `count` serials. */
int outbound_serials(struct db *db, struct arena *arena, size_t count, int64_t *out, struct err *err) MUST_CHECK;

struct outbound_recipient {
	struct str address;
	struct str role; /* to, cc, bcc, archive */
};

struct outbound_new {
	struct outbound_id id; /* filled by the caller, uuid_v7 */
	struct tenant_id tenant;
	int64_t serial;
	struct case_id case_id;
	int64_t case_version;
	struct str audience, kind, reason;
	struct user_id user;       /* staff */
	struct message_id message; /* null: none */
	struct outbound_mailbox_id mailbox;
	struct str mailbox_reason, header_id, envelope_from, bytes;
	const struct outbound_recipient *recipients;
	size_t recipients_len;
};

/* Queue message and copies (state queued, due now) into the open transaction, and the NOTIFY that wakes the senders. The
 * caller has made sure under the case's lock that its natural key is new. */
int outbound_put(struct db *db, struct arena *arena, const struct outbound_new *mails, size_t count, int64_t now_us,
                 struct err *err) MUST_CHECK;

#endif
