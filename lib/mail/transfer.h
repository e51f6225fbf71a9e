/* SPDX-License-Identifier: Apache-2.0
 * transfer - content transfer encodings, put up with as senders write them
 *
 * Base64 in chunks (padding in the middle), without its padding, with foreign characters between; quoted-printable with
 * stray "="; uuencode with or without its begin line. GMime's decoders stop or drop bytes there, silently.
 */
#ifndef MAILCASE_TRANSFER_H
#define MAILCASE_TRANSFER_H

#include "base/arena.h"
#include "base/str.h"
#include "mail/model.h"

/* MAIL_ENC_IDENTITY for what we do not know. */
enum mail_encoding transfer_encoding(struct str header_value);

/* The decoded bytes: a view of `bytes` for MAIL_ENC_IDENTITY, otherwise in the arena. */
struct str transfer_decode(struct arena *arena, enum mail_encoding encoding, struct str bytes, uint32_t *defects);

struct str base64_decode(struct arena *arena, struct str bytes, uint32_t *defects);
/* `underscore_is_blank`: the Q encoding of headers. */
struct str qp_decode(struct arena *arena, struct str bytes, bool underscore_is_blank, uint32_t *defects);
struct str uu_decode(struct arena *arena, struct str bytes);

#endif
