/* SPDX-License-Identifier: Apache-2.0
 * repair - what GMime loses or does not limit is put right before it sees a mail
 *
 * GMime 3.2 takes a first line that is no field for the end of the header, reads nothing of a mail with lone CRs, cuts
 * C strings at NUL, overflows its stack on nested groups in To, and keeps no limit: a million parts cost it 7 s and
 * 1.3 GB. So it is given a mail of our making: the MIME fields of the top header, an empty line, and the body, with
 * lone CRs and NULs replaced byte for byte (offsets stay true) and cut where a limit is passed. Address headers never
 * reach it. The other losses are avoided by decoding ourselves: see transfer.h, encoded_word.h, param.h.
 */
#ifndef MAILCASE_REPAIR_H
#define MAILCASE_REPAIR_H

#include "base/arena.h"
#include "mail/raw_header.h"

struct repaired {
	struct str mime; /* what GMime gets */
	size_t header;   /* bytes of it before the body */
	size_t raw_body; /* where the body starts in the raw mail: an offset in mime is one in raw plus raw_body - header */
	uint32_t defects;
};

void repair_mime(struct arena *arena, struct str raw, const struct raw_headers *headers,
                 const struct mail_limits *limits, struct repaired *out);

#endif
