/* SPDX-License-Identifier: Apache-2.0
 * message - a message, its attachments, its place in a case; the statements that threader and desk share
 */
#ifndef MAILCASE_MESSAGE_H
#define MAILCASE_MESSAGE_H

#include "domain/fact.h"
#include "domain/match_keys.h"
#include "edge/db.h"
#include "mail/model.h"

#define MESSAGE_BODY_CAP 2048 /* bytes kept in the row; the rest is read from the blob */

struct message_new {
	struct message_id id;
	struct tenant_id tenant;
	struct uuid identity;
	enum direction direction;
	struct str kind; /* mail_kind_name() */
	bool is_automatic, is_quiet;
	struct str header_id; /* Message-ID without brackets */
	struct mail_strs in_reply_to, references;
	struct str from_name, from_address;
	struct mail_strs to, cc;  /* addresses, folded */
	struct str subject, body; /* capped here */
	struct str sender_level;
	struct message_id variant_of;
	bool is_suspicious;
	uint32_t defects;
	struct blob_id blob;
	int64_t size;
	struct user_id author;
	struct mailbox_id mailbox;
	int64_t sent_at_us; /* 0: unknown */
	const struct mail_part *parts;
	size_t parts_len;
};

/* Queue the rows and those of their attachments. */
int message_put(struct db *db, struct arena *arena, const struct message_new *messages, size_t count, int64_t now_us,
                struct err *err) MUST_CHECK;

/* Insert those whose identity no message has, in the order of identity (this waits for a rival), and flush: out_is_new[i]
 * tells which. Attachments of the new ones are queued. */
int message_claim(struct db *db, struct arena *arena, const struct message_new *messages, size_t count, int64_t now_us,
                  bool *out_is_new, struct err *err) MUST_CHECK;

struct case_message_new {
	struct message_id message;
	struct case_id case_id;
	struct tenant_id tenant;
	int64_t position; /* 1 for the opener */
	bool is_pending, is_external, is_unverified;
	struct str matched_by, evidence; /* evidence: JSON object */
};

/* Queue the rows. */
int case_message_put(struct db *db, struct arena *arena, const struct case_message_new *rows, size_t count,
                     int64_t now_us, struct err *err) MUST_CHECK;

/* Rows of message_ref; their keys are made by match_ref_key(). */
struct message_ref_new {
	struct uuid id;
	struct tenant_id tenant;
	struct case_id case_id;
	struct message_id message; /* null: only referred to */
};

/* Queue: insert, or fill in message_id where the row had none. */
int message_ref_put(struct db *db, struct arena *arena, const struct message_ref_new *rows, size_t count,
                    int64_t now_us, struct err *err) MUST_CHECK;

#endif
