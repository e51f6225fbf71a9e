/* SPDX-License-Identifier: Apache-2.0
 * The helpers that see strangers' bytes first: UTF-8, numbers, times, ids, JSON.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "base/uuid.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_so)
{
	if (!is_so)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena CLEANUP(arena_done);
	struct str s = str_span((const char *)data, size), rest = s, piece;
	char text[CLOCK_TEXT_LEN + 1];
	int64_t value, again;
	struct uuid id;

	arena_init(&arena);
	struct str clean = str_scrub(&arena, s);
	must(str_is_text(clean) && str_is_text(s) == str_eq(clean, s));
	struct str cut = str_cut_utf8(clean, size / 2);
	must(cut.len <= size / 2 && str_is_text(cut) && cut.len + 4 > (size / 2 < clean.len ? size / 2 : clean.len));
	must(str_trim(s).len <= size);

	size_t seen = 0;
	while (str_next_line(&rest, &piece)) {
		must(str_find_char(piece, '\n', 0) < 0);
		seen += piece.len;
	}
	must(seen <= size);

	if (str_to_i64(s, INT64_MIN, INT64_MAX, &value)) {
		struct str number = str_printf(&arena, "%lld", (long long)value);
		must(str_to_i64(number, value, value, &again) && again == value);
	}
	if (clock_parse(s, &value) && value >= INT64_C(-62167219200000000) && value < INT64_C(253402300800000000))
		must(clock_parse(str_of(clock_rfc3339(value, text)), &again) && again == value);
	if (uuid_parse(s, &id))
		must(str_eq_nocase(uuid_str(&arena, id), s));

	json_t *json CLEANUP(json_done) = json_parse(s, 4096, NULL);
	if (json)
		must(json_dump(&arena, json).len > 0);
	json_t *string CLEANUP(json_done) = json_text(s);
	must(str_eq(str_span(json_string_value(string), json_string_length(string)), clean));
	return 0;
}
