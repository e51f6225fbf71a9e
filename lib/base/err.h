/* SPDX-License-Identifier: Apache-2.0
 * err - what failed, how to treat it, and the remedy
 *
 * A function that can fail returns -1 and fills the err; what it had as outputs is untouched. TEMP: the same input may
 * succeed later. PERM: this input never will. FATAL: this process cannot go on. The edge that met the failure
 * classifies it; the turn alone acts on the class. Wording: lower case, what was attempted, then the reason:
 * "could not store mail 42: connection lost". "could not" for what may work next time, "cannot" for what will not.
 */
#ifndef MAILCASE_ERR_H
#define MAILCASE_ERR_H

#include <stddef.h>

#include "cleanup.h"

enum err_kind { ERR_NONE, ERR_TEMP, ERR_PERM, ERR_FATAL };

struct err {
	enum err_kind kind;
	char text[240];
};

/* Fill `err` (which may be NULL) and return -1, so that `return err_set(...)` reads well. Control characters in the
 * result are replaced, so that a stranger's bytes cannot break a log line. */
int err_set(struct err *err, enum err_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);

/* Put "what: " before the text that is there; keeps the kind. Returns -1. */
int err_prefix(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

const char *err_kind_name(enum err_kind kind);

/* malloc failed: one line on standard error, exit status 70. Unconfirmed work comes back after the restart. */
_Noreturn void die_no_memory(size_t wanted);

/* malloc and realloc that never return NULL. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);

#endif
