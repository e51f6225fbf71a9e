/* SPDX-License-Identifier: Apache-2.0
 * imap_probe - try a mailbox as a person would: connect, log in, list the folders, leave
 *
 * Blocking, for casectl and the gateway; changes nothing on the server. The dialogue is redacted: no password, no token,
 * no user name is in it.
 */
#ifndef MAILCASE_IMAP_PROBE_H
#define MAILCASE_IMAP_PROBE_H

#include "base/arena.h"
#include "domain/mailbox_trouble.h"
#include "edge/imap.h"

struct imap_folder {
	struct str name; /* UTF-8 */
	struct str use;  /* "inbox", "sent", "drafts", "trash", "junk", "archive", "all", "flagged" or "" */
	bool can_select;
};

struct imap_probe {
	bool ok;
	struct mailbox_trouble trouble; /* if not ok */
	struct str server_words;        /* what the server or the network said last; scrubbed */
	struct imap_folder *folders;
	size_t folder_count;
	bool has_idle, has_move, has_uidplus;
	struct str dialogue; /* lines "C: ..." and "S: ...", redacted */
	int64_t login_ms;    /* from the first packet to logged in */
};

/* At most `timeout_ms` for all of it. Always fills *out, in the arena. */
void imap_probe(struct arena *arena, const struct imap_target *target, int64_t timeout_ms, struct imap_probe *out);

#endif
