/* SPDX-License-Identifier: Apache-2.0
 * address - mail addresses: lists in headers, comparing, taking apart
 *
 * The list reader is own code: it keeps no stack (GMime's overflows on nested groups), and it takes what senders write:
 * raw commas in encoded words, unclosed quotes and brackets, "Name name@host", an address alone in quotes.
 */
#ifndef MAILCASE_ADDRESS_H
#define MAILCASE_ADDRESS_H

#include "base/arena.h"
#include "base/str.h"
#include "mail/model.h"

/* Append what an address header holds to a list of at most `most`; members of groups flat, empty groups vanish. */
struct mail_addresses address_list(struct arena *arena, struct str raw_value, size_t most, uint32_t *defects);

/* local@domain, each non-empty, without blanks or control characters, of lengths that SMTP can carry. */
bool address_is_valid(struct str address);

/* Both views; false where there is no "@". The last "@" outside quotes parts them. */
bool address_split(struct str address, struct str *out_local, struct str *out_domain);

/* For comparing and as a key: trimmed, A-Z lower case throughout. Local parts are case-sensitive by the letter of the
 * RFC and nowhere in practice. */
struct str address_fold(struct arena *arena, struct str address);
bool address_same(struct str a, struct str b);

/* The token of local+token@domain, if `address` is `base` with a plus extension; STR_NULL otherwise. */
struct str address_plus_token(struct str address, struct str base);

#endif
