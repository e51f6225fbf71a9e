/* SPDX-License-Identifier: Apache-2.0
 * event_json - the published JSON view of a record's value: protobuf's own JSON mapping
 *
 * Names in lowerCamelCase, enums by name, 64-bit numbers as strings, bytes as base64, what is empty or 0 left out:
 * what every protobuf library prints. docs/integrate.md shows it, contracts/golden has an example of each event. The
 * walk goes over the generated descriptors, so that it knows every field there is.
 */
#ifndef MAILCASE_EVENT_JSON_H
#define MAILCASE_EVENT_JSON_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

/* `type` is the record's ce_type or its topic: its second word tells the message. PERM for a type that is none of ours
 * and for bytes that are no such message. A new reference; the arena may be reset. */
int event_json(struct arena *arena, struct str type, struct str value, json_t **out, struct err *err) MUST_CHECK;

#endif
