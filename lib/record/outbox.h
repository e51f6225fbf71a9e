/* SPDX-License-Identifier: Apache-2.0
 * outbox - facts on their way to the bus, written by the transaction that made them true
 */
#ifndef MAILCASE_OUTBOX_H
#define MAILCASE_OUTBOX_H

#include "edge/db.h"

#define OUTBOX_CHANNEL "mailcase_outbox"

struct outbox_row {
	struct uuid ce_id; /* stable for ever */
	struct tenant_id tenant;
	const char *topic;
	struct str key; /* lower-case text: a UUID or 16 hex digits */
	const char *type;
	struct str subject;
	int64_t sequence;
	struct str traceparent;
	struct str value; /* < 64 KiB */
};

/* Queue the rows, in order, into the open transaction, and a NOTIFY. The lock of what they are about is held, so that
 * order per key is commit order. Needs a db_flush() or db_commit() behind it. */
int outbox_put(struct db *db, struct arena *arena, const struct outbox_row *rows, size_t count, struct err *err) MUST_CHECK;

#endif
