/* SPDX-License-Identifier: Apache-2.0
 * msgid - message ids: found in headers, and in the one spelling in which they are compared and stored
 */
#ifndef MAILCASE_MSGID_H
#define MAILCASE_MSGID_H

#include "base/arena.h"
#include "base/str.h"
#include "mail/model.h"

enum { MSGID_MOST = 512 };

/* The next id of an unfolded header, without angle brackets, as written (a view). What is in brackets is an id; where
 * there are no brackets at all, each word is, if it holds an "@" or is the only one. */
bool msgid_next(struct str *rest, struct str *out_id);

/* All ids of a header, in header order, at most `most` (the first and the last ones); blanks and line ends inside an id (from folding) are dropped. */
struct mail_strs msgid_list(struct arena *arena, struct str raw_value, size_t most, uint32_t *defects);

/* The normal spelling: trimmed, without brackets, the domain in lower case (gateways change its case; the left part may
 * be case-sensitive base64 and stays). An id longer than MSGID_MOST becomes "sha256." and its hash, so that a key has a
 * bound and two long ids are still two. "" for what is no id. */
struct str msgid_normal(struct arena *arena, struct str id);

#endif
