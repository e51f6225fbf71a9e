/* SPDX-License-Identifier: Apache-2.0
 * mailbox_roll - which mailboxes are ours
 *
 * Every fetcher holds a lease of kind `fetcher` and, for each mailbox that it reads, one of kind `mailbox`. Each takes at
 * most its share, ceil(mailboxes / fetchers), gives back what is above it, and takes what nobody took after a while.
 * Leases last 20 s, are renewed every 5 and not relied on after 15. New and changed mailboxes are seen by NOTIFY
 * mailcase_mailbox and by a scan every 2 s.
 */
#ifndef MAILCASE_MAILBOX_ROLL_H
#define MAILCASE_MAILBOX_ROLL_H

#include "mailbox_run.h"

struct mailbox_roll;

/* `connection` becomes the roll's own. */
struct mailbox_roll *mailbox_roll_new(struct fetcher *fetcher, struct db *connection);

/* Close all mailboxes and give the leases back; done when mailbox_roll_released() says so. */
void mailbox_roll_stop(struct mailbox_roll *roll);
bool mailbox_roll_released(const struct mailbox_roll *roll);
void mailbox_roll_free(struct mailbox_roll *roll);

/* Drop what could not be renewed in time. To be called in each loop turn. */
void mailbox_roll_check(struct mailbox_roll *roll);

bool mailbox_roll_healthy(const struct mailbox_roll *roll);

#endif
