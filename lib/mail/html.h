/* SPDX-License-Identifier: Apache-2.0
 * html - HTML to the text that a person would read
 *
 * gumbo reads it, but gumbo keeps no limit: 2 MB of <div> cost it more than 20 s, and open formatting elements count as
 * depth too. So a linear scan looks first, and what is too big or too deep for the limits is read by a plain stripper.
 */
#ifndef MAILCASE_HTML_H
#define MAILCASE_HTML_H

#include "base/arena.h"
#include "base/str.h"
#include "mail/model.h"

/* `html` is UTF-8. Lines end with LF, at most one empty line in a row. */
struct str html_to_text(struct arena *arena, struct str html, const struct mail_limits *limits, uint32_t *defects);

/* The charset that a <meta> near the start declares, or "". */
struct str html_declared_charset(struct str html);

#endif
