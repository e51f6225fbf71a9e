/* SPDX-License-Identifier: Apache-2.0
 * pb - what the wire modules share: protobuf-c decoding into an arena, and checked ids
 *
 * protobuf-c's strings are NUL-terminated; ids travel as lower-case UUID text.
 */
#ifndef MAILCASE_PB_H
#define MAILCASE_PB_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"

/* An allocator whose memory is the arena's; freeing does nothing. Lives as long as the arena. */
ProtobufCAllocator pb_allocator(struct arena *arena);

/* The packed bytes of a message, in the arena. */
struct str pb_pack(struct arena *arena, const ProtobufCMessage *message);

/* A UUID field. `what` names it in the error, which is PERM. */
int pb_uuid(const char *text, const char *what, struct uuid *out, struct err *err) MUST_CHECK;

/* The text of an id, for a field. */
char *pb_uuid_text(struct arena *arena, struct uuid id);

/* The same for an id that may be missing: the null id is "". False for what is neither. */
bool pb_optional_uuid(const char *text, struct uuid *out);
char *pb_optional_uuid_text(struct arena *arena, struct uuid id);

/* A scrubbed, NUL-terminated copy. */
char *pb_text(struct arena *arena, struct str s);

#endif
