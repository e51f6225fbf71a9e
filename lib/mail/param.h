/* SPDX-License-Identifier: Apache-2.0
 * param - Content-Type and Content-Disposition with their parameters (RFC 2045, 2231, and what senders do instead)
 */
#ifndef MAILCASE_PARAM_H
#define MAILCASE_PARAM_H

#include "base/arena.h"
#include "base/str.h"

/* The value before the first ";", trimmed, lower case. */
struct str param_head(struct arena *arena, struct str raw_value);

/* A parameter, decoded to UTF-8: RFC 2231 pieces and charsets, encoded words in quotes, raw 8-bit bytes. STR_NULL
 * where there is none. */
struct str param_get(struct arena *arena, struct str raw_value, const char *name, uint32_t *defects);

#endif
