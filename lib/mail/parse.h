/* SPDX-License-Identifier: Apache-2.0
 * parse - any bytes give a mail and a list of defects, never an error
 */
#ifndef MAILCASE_PARSE_H
#define MAILCASE_PARSE_H

#include "base/arena.h"
#include "mail/model.h"

/* Once a process, before the first mail_parse(): GMime, charset aliases. */
void mail_parse_init(void);

/* Understand `raw`. Everything in *out is taken from `arena` or views `raw`, which must live as long. Bounded by
 * `limits` in memory and in time (linear in the size of raw). */
void mail_parse(struct arena *arena, struct str raw, const struct mail_limits *limits, struct mail *out);

#endif
