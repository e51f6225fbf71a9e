/* SPDX-License-Identifier: Apache-2.0
 * json - thin over jansson: objects from views that may hold strangers' bytes
 *
 * jansson refuses strings that are not UTF-8 and then the field vanishes: everything goes through a scrub here.
 */
#ifndef MAILCASE_JSON_H
#define MAILCASE_JSON_H

#include <jansson.h>
#include <stdio.h>

#include "arena.h"
#include "cleanup.h"
#include "str.h"
#include "uuid.h"

/* For CLEANUP. */
void json_done(json_t **json);

/* A new reference to a string. */
json_t *json_text(struct str s);
json_t *json_uuid(struct uuid id);
json_t *json_time(int64_t wall_us); /* RFC 3339 with Z */

/* Set `key` of `object` to a view, a number, a flag; the object owns it. */
void json_put(json_t *object, const char *key, json_t *value); /* steals; NULL becomes null */
void json_put_str(json_t *object, const char *key, struct str value);
void json_put_int(json_t *object, const char *key, int64_t value);
void json_put_bool(json_t *object, const char *key, bool value);
void json_put_uuid(json_t *object, const char *key, struct uuid value); /* null id -> null */

/* Compact text in the arena. */
struct str json_dump(struct arena *arena, const json_t *json);

/* One object a line, flushed. */
void json_print_line(FILE *out, const json_t *json);

/* At most `limit` bytes, duplicates rejected; NULL with a reason in `out_reason` (which may be NULL), good until the
 * next call in this thread. */
json_t *json_parse(struct str text, size_t limit, const char **out_reason);

/* "" where absent or no string. The view lives as long as the object. */
struct str json_str(const json_t *object, const char *key);

#endif
