/* SPDX-License-Identifier: Apache-2.0
 * thread_setup - the tenants and mailboxes that a batch is about: queues, keys, own addresses
 *
 * Loaded anew for each batch: it costs little beside the mails, and a change of a setting holds from the next mail on.
 */
#ifndef THREAD_SETUP_H
#define THREAD_SETUP_H

#include "edge/db.h"
#include "edge/seal.h"
#include "thread_batch.h"

struct thread_setup {
	struct match_tenant *tenants;
	size_t tenants_len;
	struct match_mailbox *mailboxes; /* receiving ones, and those that the mails' addresses name */
	size_t mailboxes_len;
};

/* Gives each mail that is to be matched its tenant, mailbox and keys; sets it aside where there is none. Outside any
 * transaction. */
int thread_setup_load(struct db *db, struct arena *arena, const struct seal_key *seal_key, struct thread_batch *batch,
                      struct thread_setup *out, struct err *err) MUST_CHECK;

/* Put the addresses of ours into the facts. */
void thread_setup_facts(const struct thread_setup *setup, struct match_facts *facts);

#endif
