/* SPDX-License-Identifier: Apache-2.0
 * mime_tree - the parts of a mail, found by GMime: text to read, attachments, and what a report holds
 *
 * GMime gives the tree and where each part's bytes are; they are decoded here. An attached message is one part and is
 * not entered.
 */
#ifndef MAILCASE_MIME_TREE_H
#define MAILCASE_MIME_TREE_H

#include "mail/automatic.h"

void mime_tree_init(void);

/* Fills text, has_html, parts and defects of `mail`, and the report. */
void mime_tree_read(struct arena *arena, struct str raw, const struct raw_headers *headers,
                    const struct mail_limits *limits, struct mail *mail, struct mail_report *report);

#endif
