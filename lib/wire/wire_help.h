/* SPDX-License-Identifier: Apache-2.0
 * wire_help - what every codec needs: ids as text, an allocator that is the arena
 *
 * protobuf-c's strings are NUL-terminated; ids travel as lower-case UUID text, the null id as "".
 */
#ifndef MAILCASE_WIRE_HELP_H
#define MAILCASE_WIRE_HELP_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/uuid.h"

/* What unpack takes lives until the arena's reset. */
ProtobufCAllocator wire_allocator(struct arena *arena);

char *wire_uuid(struct arena *arena, struct uuid id);

/* "" is the null id. False for anything else that is no UUID. */
bool wire_uuid_parse(const char *text, struct uuid *out);

/* A scrubbed, NUL-terminated copy. */
char *wire_text(struct arena *arena, struct str s);

#endif
