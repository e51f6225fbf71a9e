/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "err.h"

#include "banned.h"

static json_t *must(json_t *json);

void json_done(json_t **json)
{
	json_decref(*json);
	*json = NULL;
}

json_t *json_text(struct str s)
{
	struct arena scratch CLEANUP(arena_done);

	arena_init(&scratch); /* takes memory only where something is wrong with the text */
	s = str_scrub(&scratch, s);
	return must(json_stringn_nocheck(s.len ? s.at : "", s.len));
}

json_t *json_uuid(struct uuid id)
{
	char text[UUID_TEXT_LEN + 1];

	return must(json_string_nocheck(uuid_text(id, text)));
}

json_t *json_time(int64_t wall_us)
{
	char text[CLOCK_TEXT_LEN + 1];

	return must(json_string_nocheck(clock_rfc3339(wall_us, text)));
}

void json_put(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value ? value : json_null()) < 0)
		die_no_memory(strlen(key));
}

void json_put_str(json_t *object, const char *key, struct str value)
{
	json_put(object, key, json_text(value));
}

void json_put_int(json_t *object, const char *key, int64_t value)
{
	json_put(object, key, must(json_integer(value)));
}

void json_put_bool(json_t *object, const char *key, bool value)
{
	json_put(object, key, json_boolean(value));
}

void json_put_uuid(json_t *object, const char *key, struct uuid value)
{
	json_put(object, key, uuid_is_null(value) ? json_null() : json_uuid(value));
}

struct str json_dump(struct arena *arena, const json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

	if (!text)
		die_no_memory(0);
	size_t len = strlen(text);
	struct str copy = str_span(arena_copy(arena, text, len), len);
	free(text);
	return copy;
}

void json_print_line(FILE *out, const json_t *json)
{
	if (json_dumpf(json, out, JSON_COMPACT | JSON_ENCODE_ANY) < 0 && !ferror(out))
		die_no_memory(0);
	fputc('\n', out);
	fflush(out);
}

json_t *json_parse(struct str text, size_t limit, const char **out_reason)
{
	static _Thread_local json_error_t error;
	json_t *json = NULL;

	if (text.len > limit)
		snprintf(error.text, sizeof error.text, "longer than %zu bytes", limit);
	else
		json = json_loadb(text.len ? text.at : "", text.len, JSON_REJECT_DUPLICATES, &error);
	if (!json && out_reason)
		*out_reason = error.text;
	return json;
}

struct str json_str(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_string(value) ? str_span(json_string_value(value), json_string_length(value)) : STR("");
}

static json_t *must(json_t *json)
{
	if (!json)
		die_no_memory(0);
	return json;
}
