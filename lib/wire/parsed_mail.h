/* SPDX-License-Identifier: Apache-2.0
 * parsed_mail - struct mail <-> the bytes that the parser child answers with
 */
#ifndef MAILCASE_PARSED_MAIL_H
#define MAILCASE_PARSED_MAIL_H

#include "base/arena.h"
#include "base/err.h"
#include "mail/model.h"

struct str parsed_mail_encode(struct arena *arena, const struct mail *mail);

/* PERM for what no healthy child says about a mail of `raw_len` bytes: the child has read a stranger's bytes, so all of
 * it is checked (text is UTF-8, sums have their length, parts lie inside the mail). Views into the arena. */
int parsed_mail_decode(struct arena *arena, struct str bytes, size_t raw_len, struct mail *out,
                       struct err *err) MUST_CHECK;

#endif
