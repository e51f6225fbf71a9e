/* SPDX-License-Identifier: Apache-2.0
 * send_store - the sender's statements: claim copies, commit that a body may be written, record what came of it
 *
 * A claimed copy stays as it is, under an owner, an epoch and an expiry; whoever claims it later has a higher epoch, and
 * the earlier owner's writes find no row. Lock order: cases, then copies.
 */
#ifndef MAILCASE_SEND_STORE_H
#define MAILCASE_SEND_STORE_H

#include "domain/fact.h"
#include "domain/mailbox_trouble.h"
#include "domain/outbound_state.h"
#include "edge/db.h"
#include "edge/seal.h"
#include "edge/smtp.h"

/* An outbound mailbox as the sender needs it; texts in the arena. */
struct send_mailbox {
	struct outbound_mailbox_id id;
	struct tenant_id tenant;
	int64_t changed_us;
	const char *host;
	int port;
	enum smtp_tls tls;
	const char *ca_file, *username, *sender_domain;
	bool insecure;
	struct str sealed_password; /* "" where none */
};

/* All that are switched on. */
int send_store_mailboxes(struct db *db, struct arena *arena, struct send_mailbox **out, size_t *out_count, struct err *err)
	MUST_CHECK;

struct send_claim {
	struct copy_id copy;
	int64_t epoch;
	enum copy_state state; /* queued or deferred */
	int64_t attempts;
	struct str recipient;
	struct outbound_id outbound;
	struct outbound_mailbox_id mailbox;
	struct tenant_id tenant;
	struct case_id case_id;
	struct str envelope_from, bytes;
	int64_t created_us;
};

/* Take up to wanted[i] due copies of each mailbox; those of one mail stand together. Views live as long as *out_rows. */
int send_store_claim(struct db *db, struct arena *arena, const char *owner, int64_t lease_ms,
                     const struct outbound_mailbox_id *mailboxes, const int64_t *wanted, size_t count, struct send_claim **out,
                     size_t *out_count, struct db_result **out_rows, struct err *err) MUST_CHECK;

/* What came of one copy. */
struct send_outcome {
	struct copy_id copy;
	int64_t epoch;
	struct outbound_id outbound;
	struct tenant_id tenant;
	struct case_id case_id;
	bool is_released; /* nothing came of it: due again, as it was */
	enum copy_state state;
	int64_t attempts;
	int64_t retry_us; /* deferred: how long from now */
	int reply_code;
	struct str reply_text;
};

struct send_start {
	struct copy_id copy;
	int64_t epoch, attempts;
	bool may_start; /* out */
};

/* One transaction: outcomes with their facts, and `sending` for all that wait to write their body. Can be repeated after
 * a TEMP failure. *out_filled_outbox: the relay has work. */
int send_store_commit(struct db *db, struct arena *arena, const char *owner, int64_t lease_ms,
                      const struct send_outcome *outcomes, size_t outcomes_len, struct send_start *starts, size_t starts_len,
                      bool *out_filled_outbox, struct err *err) MUST_CHECK;

/* Keep the copies whose answer is awaited. */
int send_store_renew(struct db *db, struct arena *arena, const char *owner, int64_t lease_ms, const struct copy_id *copies,
                     size_t count, struct err *err) MUST_CHECK;

/* Copies whose sender went away after `sending`: unknown, with their facts. *out_count of this call (at most 32). */
int send_store_sweep(struct db *db, struct arena *arena, size_t *out_count, struct err *err) MUST_CHECK;

/* The state of a mailbox as people see it. */
int send_store_state(struct db *db, struct arena *arena, const struct outbound_mailbox_id *id, struct tenant_id tenant,
                     const char *state, struct str reason, struct str remedy, int64_t failures, int64_t next_try_ms,
                     struct err *err) MUST_CHECK;

#endif
