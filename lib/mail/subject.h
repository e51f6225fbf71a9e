/* SPDX-License-Identifier: Apache-2.0
 * subject - what stays of a subject when the mail programs' additions are gone, and the numbers of ours in it
 */
#ifndef MAILCASE_SUBJECT_H
#define MAILCASE_SUBJECT_H

#include "base/arena.h"
#include "base/str.h"
#include "mail/model.h"

/* The base subject, for comparing: without reply and forward prefixes (in the languages that mail programs know, also
 * counted, "Re[2]:", "Re^3:"), without a trailing "(fwd)", blanks collapsed, A-Z in lower case. Tags of lists ("[dev]")
 * stay; prefixes behind them go. Number tags of the given formats go too; `formats` may be NULL. */
struct str subject_base(struct arena *arena, struct str subject, const struct mail_strs *formats);

/* True if the subject starts with a reply prefix. */
bool subject_is_reply(struct str subject);

struct subject_numbers {
	int64_t *at;
	size_t len;
};

/* The numbers written as `format` says ("[#%d]"; exactly one %d, and some text around it), in order, each once.
 * Letters of the format match in either case. */
void subject_numbers(struct arena *arena, struct str subject, struct str format, struct subject_numbers *out);

/* The tag for a number: "[#235]". */
struct str subject_tag(struct arena *arena, struct str format, int64_t number);

#endif
