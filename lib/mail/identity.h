/* SPDX-License-Identifier: Apache-2.0
 * identity - the sums that tell whether two mails are the same message
 */
#ifndef MAILCASE_IDENTITY_H
#define MAILCASE_IDENTITY_H

#include "base/arena.h"
#include "base/digest.h"
#include "mail/raw_header.h"

/* All after the first empty line, line ends as CRLF, trailing empty lines cut. */
struct sha256 identity_body_sum(struct arena *arena, struct str body);

/* Of all fields but the trace headers, which differ from one delivery to the next, and of the body. */
struct sha256 identity_headless_sum(struct arena *arena, struct str raw, const struct raw_headers *headers);

#endif
