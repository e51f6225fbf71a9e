/* SPDX-License-Identifier: Apache-2.0
 * imap_talk - one short dialogue with an IMAP server, on a connection and a loop of its own; blocking
 */
#ifndef MAILCASE_IMAP_TALK_H
#define MAILCASE_IMAP_TALK_H

#include "base/arena.h"
#include "domain/mailbox_trouble.h"
#include "edge/imap.h"

/* The first member of what the handler's calls get as `self`. */
struct imap_talk {
	struct arena *arena;
	struct imap *imap;
	bool ended; /* by a handler that has what it wanted, or by trouble */
	struct mailbox_trouble trouble;
	struct str server_words; /* what the server or the network said last; scrubbed, in the arena */
};

/* Until it has ended, at most `timeout_ms`. Mail bodies are not taken. */
void imap_talk(struct imap_talk *talk, const struct imap_target *target, const struct imap_handler *handler,
               int64_t timeout_ms);

/* It ends with this; what comes after an end does not count. */
void imap_talk_trouble(struct imap_talk *talk, enum trouble_cause cause, struct str words);

/* The same as a handler's `failed`. */
void imap_talk_failed(void *self, enum trouble_cause cause, struct str words);

#endif
