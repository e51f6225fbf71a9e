/* SPDX-License-Identifier: Apache-2.0
 * understand - from records to mails: ledger rows, raw bytes, parser children
 */
#ifndef UNDERSTAND_H
#define UNDERSTAND_H

#include "edge/db.h"
#include "thread_batch.h"

/* Decode the records, skip what the ledger says is done, load the raw mails and have them parsed. At most 16 MiB of raw
 * mail is held at once; a larger mail alone. Outside any transaction. */
int understand(struct db *db, struct arena *arena, struct parser_pool *pool, const struct bus_record *records,
               size_t count, struct thread_batch *out, struct err *err) MUST_CHECK;

#endif
