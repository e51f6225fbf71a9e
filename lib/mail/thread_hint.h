/* SPDX-License-Identifier: Apache-2.0
 * thread_hint - the key under which a raw mail travels, from its header alone
 *
 * Mails of one conversation should get one key, so that one threader sees them in order. The first id in References
 * names the start of a conversation; else In-Reply-To, else the mail's own Message-ID, else its hash. It is a hint:
 * a wrong one costs a wait for a rival turn, never a wrong case.
 */
#ifndef MAILCASE_THREAD_HINT_H
#define MAILCASE_THREAD_HINT_H

#include "base/digest.h"
#include "base/str.h"

#define THREAD_HINT_LEN 16

/* 16 hex digits and a NUL. `raw` is the mail, or its header; `whole` is the sum of the whole mail. Returns `out`. */
char *thread_hint(struct str raw, struct sha256 whole, char out[THREAD_HINT_LEN + 1]);

#endif
