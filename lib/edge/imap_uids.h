/* SPDX-License-Identifier: Apache-2.0
 * imap_uids - which mails a folder holds, as its server says: log in, EXAMINE, UID SEARCH, leave
 *
 * Blocking, for the auditor; changes nothing on the server, marks nothing as seen.
 */
#ifndef MAILCASE_IMAP_UIDS_H
#define MAILCASE_IMAP_UIDS_H

#include "base/arena.h"
#include "domain/mailbox_trouble.h"
#include "edge/imap.h"

struct imap_uids {
	bool ok;
	struct mailbox_trouble trouble; /* if not ok */
	struct str server_words;        /* what the server or the network said last; scrubbed */
	int64_t uidvalidity;
	int64_t *first, *last; /* runs of UIDs, each from `from` on */
	size_t count;
};

/* `folder` is UTF-8. At most `timeout_ms` for all of it. Always fills *out, in the arena. */
void imap_uids(struct arena *arena, const struct imap_target *target, struct str folder, int64_t from,
               int64_t timeout_ms, struct imap_uids *out);

#endif
