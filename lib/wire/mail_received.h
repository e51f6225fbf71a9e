/* SPDX-License-Identifier: Apache-2.0
 * mail_received - values of topic mailcase.mail.received.v1
 *
 * The record's key is `hint`, its ce_subject the intake id, its ce_type MAIL_RECEIVED_TYPE.
 */
#ifndef MAILCASE_MAIL_RECEIVED_H
#define MAILCASE_MAIL_RECEIVED_H

#include "base/arena.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"
#include "mail/thread_hint.h"

#define MAIL_RECEIVED_TYPE "mailcase.mail.received.v1"

struct mail_received {
	struct intake_id intake;
	struct tenant_id tenant;
	struct mailbox_id mailbox;
	struct folder_id folder;
	struct blob_id blob;
	struct sha256 sha256;
	int64_t size;
	int64_t received_at_us;
	bool is_quiet;
	char hint[THREAD_HINT_LEN + 1];
};

struct str mail_received_encode(struct arena *arena, const struct mail_received *record);

/* PERM for anything that no fetcher of ours can have written. */
int mail_received_decode(struct arena *arena, struct str bytes, struct mail_received *out, struct err *err) MUST_CHECK;

#endif
