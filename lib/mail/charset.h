/* SPDX-License-Identifier: Apache-2.0
 * charset - bytes in whatever charset become UTF-8, always
 *
 * The ladder: the declared charset if the bytes decode in it; UTF-8; what the detector says; windows-1252. Names are
 * those that mails use, corrected where the name is not what is meant (iso-8859-1 is windows-1252, ks_c_5601-1987 is
 * CP949). The list of charsets is closed, so that the parser child, which cannot open files, knows the same ones as
 * the process that has not dropped anything. Converters are opened once a thread and kept: glibc would unload and
 * reload its modules with every mail.
 */
#ifndef MAILCASE_CHARSET_H
#define MAILCASE_CHARSET_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/* UTF-8 without NUL. `declared` may be empty. Adds to *defects what had to be put up with. The result may view
 * `bytes`. */
struct str charset_to_utf8(struct arena *arena, struct str declared, struct str bytes, uint32_t *defects);

/* The name that iconv knows (see charset_names.c), or NULL for a charset that we do not know. "" for names that say
 * nothing (unknown-8bit). */
const char *charset_canonical(struct str name);

/* Open every converter and wake the detector, for this thread. -1 (FATAL) naming the charset that is missing. */
int charset_preload(struct err *err);

#endif
