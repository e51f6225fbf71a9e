/* SPDX-License-Identifier: Apache-2.0
 * smtp_data - a mail as it goes over the wire after DATA
 */
#ifndef MAILCASE_SMTP_DATA_H
#define MAILCASE_SMTP_DATA_H

#include "base/buf.h"

/* The mail with its dots doubled at the start of lines, and the final dot. Lone CR and lone LF become CRLF, whoever wrote
 * them: a server that takes them for line ends would see a dot of its own (SMTP smuggling). */
void smtp_data_write(struct buf *out, struct str mail);

#endif
