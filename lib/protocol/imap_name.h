/* SPDX-License-Identifier: Apache-2.0
 * imap_name - folder names between UTF-8 and IMAP's modified UTF-7 (RFC 3501, 5.1.3)
 */
#ifndef MAILCASE_IMAP_NAME_H
#define MAILCASE_IMAP_NAME_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

/* UTF-8 of a name on the wire; false where it is not modified UTF-7 (a server that sends UTF-8 right away, say). */
bool imap_name_decode(struct arena *arena, struct str wire, struct str *out);

/* `name` must be UTF-8. The result is printable ASCII. */
struct str imap_name_encode(struct arena *arena, struct str name);

/* A quoted string of printable ASCII, quotes included. */
void imap_quote(struct buf *buf, struct str ascii);

#endif
