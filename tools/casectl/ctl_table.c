/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_table.h"

#include <locale.h>
#include <stdio.h>
#include <wchar.h>

#include "base/clock.h"

#include "base/banned.h"

#define CELL_WIDTH_MAX 60 /* columns; longer ones are cut in tables, never in JSON */

static json_t *cell_json(struct arena *arena, enum cell kind, const struct db_result *rows, int row, int column);
static struct str cell_text(struct arena *arena, enum cell kind, const struct db_result *rows, int row, int column);
static size_t shown_width(struct str s);
static struct str cut_to_width(struct arena *arena, struct str s, size_t width);

json_t *table_object(struct arena *arena, const struct column *columns, size_t columns_len,
                     const struct db_result *rows, int row)
{
	json_t *object = json_object();

	for (size_t i = 0; i < columns_len; i++)
		json_put(object, columns[i].key, cell_json(arena, columns[i].kind, rows, row, (int)i));
	return object;
}

json_t *table_list(struct arena *arena, const struct column *columns, size_t columns_len, const struct db_result *rows)
{
	json_t *list = json_array();

	for (int row = 0; row < db_rows(rows); row++)
		json_array_append_new(list, table_object(arena, columns, columns_len, rows, row));
	return list;
}

void table_print(struct arena *arena, const struct column *columns, size_t columns_len, const struct db_result *rows,
                 bool as_json, const char *nothing)
{
	int count = db_rows(rows);

	if (as_json) {
		for (int row = 0; row < count; row++) {
			json_t *object CLEANUP(json_done) = table_object(arena, columns, columns_len, rows, row);
			json_print_line(stdout, object);
		}
		return;
	}
	if (count == 0) {
		puts(nothing);
		return;
	}
	struct str *cells = ARENA_ARRAY(arena, struct str, (size_t)(count + 1) * columns_len);
	size_t *widths = ARENA_ARRAY(arena, size_t, columns_len);
	for (int row = -1; row < count; row++)
		for (size_t i = 0; i < columns_len; i++) {
			if (!columns[i].title)
				continue;
			struct str cell = row < 0 ? str_of(columns[i].title) :
			                            cut_to_width(arena, cell_text(arena, columns[i].kind, rows, row, (int)i),
			                                         CELL_WIDTH_MAX);
			cells[(size_t)(row + 1) * columns_len + i] = cell;
			if (shown_width(cell) > widths[i])
				widths[i] = shown_width(cell);
		}
	for (size_t line = 0; line <= (size_t)count; line++) {
		size_t owed = 0; /* blanks that are printed only if something follows */
		for (size_t i = 0; i < columns_len; i++) {
			struct str cell = cells[line * columns_len + i];
			if (!columns[i].title)
				continue;
			printf("%*s%.*s", (int)owed, "", STR_ARG(cell));
			owed = widths[i] - shown_width(cell) + 2;
		}
		putchar('\n');
	}
}

void table_print_record(struct arena *arena, const struct column *columns, size_t columns_len,
                        const struct db_result *rows, int row)
{
	for (size_t i = 0; i < columns_len; i++)
		if (columns[i].kind != CELL_JSON)
			printf("%-16s %.*s\n", columns[i].key, STR_ARG(cell_text(arena, columns[i].kind, rows, row, (int)i)));
}

struct str table_time(struct arena *arena, int64_t wall_us)
{
	char text[CLOCK_TEXT_LEN + 1];

	clock_rfc3339(wall_us / USEC_PER_SEC * USEC_PER_SEC, text);
	return str_printf(arena, "%.10s %.8sZ", text, text + 11);
}

/* U+202A to U+202E and U+2066 to U+2069 turn the direction of what follows: "exe.pdf" that ends in fdp.exe. */
static bool turns_direction(struct str s)
{
	if (s.len < 3 || (unsigned char)s.at[0] != 0xe2)
		return false;
	unsigned char second = (unsigned char)s.at[1], third = (unsigned char)s.at[2];
	return (second == 0x80 && third >= 0xaa && third <= 0xae) || (second == 0x81 && third >= 0xa6 && third <= 0xa9);
}

struct str table_clean(struct arena *arena, struct str s)
{
	struct str clean = str_scrub(arena, s);
	char *copy = arena_copy(arena, clean.len ? clean.at : "", clean.len);
	size_t len = 0;

	for (size_t i = 0; i < clean.len; i++) {
		unsigned char c = (unsigned char)clean.at[i];
		/* C1 controls, U+0080 to U+009F */
		bool is_c1 = c == 0xc2 && i + 1 < clean.len && (unsigned char)clean.at[i + 1] < 0xa0;
		if (turns_direction(str_slice(clean, i, clean.len))) {
			i += 2;
			continue;
		}
		copy[len++] = c < 0x20 || c == 0x7f || is_c1 ? ' ' : (char)c;
		i += is_c1;
	}
	return str_span(copy, len);
}

static json_t *cell_json(struct arena *arena, enum cell kind, const struct db_result *rows, int row, int column)
{
	if (db_is_null(rows, row, column))
		return json_null();
	switch (kind) {
	case CELL_INT:
		return json_integer(db_int(rows, row, column));
	case CELL_BOOL:
		return json_boolean(db_bool(rows, row, column));
	case CELL_TIME:
		return json_time(db_time(rows, row, column));
	case CELL_UUID:
		return json_uuid(db_uuid(rows, row, column));
	case CELL_JSON:
		return json_parse(db_str(rows, row, column), SIZE_MAX, NULL);
	case CELL_TEXTS: {
		struct str *texts;
		size_t count = db_texts(rows, row, column, arena, &texts);
		json_t *list = json_array();
		for (size_t i = 0; i < count; i++)
			json_array_append_new(list, json_text(texts[i]));
		return list;
	}
	case CELL_TEXT:
		break;
	}
	return json_text(db_str(rows, row, column));
}

static struct str cell_text(struct arena *arena, enum cell kind, const struct db_result *rows, int row, int column)
{
	if (db_is_null(rows, row, column))
		return STR("-");
	switch (kind) {
	case CELL_INT:
		return str_printf(arena, "%lld", (long long)db_int(rows, row, column));
	case CELL_BOOL:
		return db_bool(rows, row, column) ? STR("yes") : STR("no");
	case CELL_TIME:
		return table_time(arena, db_time(rows, row, column));
	case CELL_UUID:
		return uuid_str(arena, db_uuid(rows, row, column));
	case CELL_TEXTS: {
		struct str *texts, all = STR("");
		size_t count = db_texts(rows, row, column, arena, &texts);
		for (size_t i = 0; i < count; i++)
			all = str_printf(arena, "%.*s%s%.*s", STR_ARG(all), i ? ", " : "", STR_ARG(texts[i]));
		return all.len ? table_clean(arena, all) : STR("-");
	}
	case CELL_TEXT:
	case CELL_JSON:
		break;
	}
	struct str text = db_str(rows, row, column);
	return text.len ? table_clean(arena, text) : STR("-");
}

/* The columns of a terminal that the character at `at` takes; CJK and emoji take two, combining marks none. */
static size_t width_at(struct str s, size_t at, size_t *out_len)
{
	mbstate_t state = { 0 };
	wchar_t letter;
	size_t len = mbrtowc(&letter, s.at + at, s.len - at, &state);
	bool is_letter = len != 0 && len != (size_t)-1 && len != (size_t)-2;
	int width = is_letter ? wcwidth(letter) : 1;

	*out_len = is_letter ? len : 1;
	return width < 0 ? 1 : (size_t)width;
}

/* What is shown is UTF-8, whatever the locale of who runs this. Without that locale a byte counts as a column. */
static locale_t use_utf8(void)
{
	static locale_t utf8;

	if (!utf8)
		utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	return uselocale(utf8);
}

static size_t shown_width(struct str s)
{
	locale_t before = use_utf8();
	size_t width = 0;

	for (size_t at = 0, len; at < s.len; at += len)
		width += width_at(s, at, &len);
	uselocale(before);
	return width;
}

static struct str cut_to_width(struct arena *arena, struct str s, size_t width)
{
	size_t seen = 0, at = 0;

	if (shown_width(s) <= width)
		return s;
	locale_t before = use_utf8();
	for (size_t len; at < s.len; at += len) {
		seen += width_at(s, at, &len);
		if (seen >= width)
			break;
	}
	uselocale(before);
	return str_printf(arena, "%.*s…", (int)at, s.at);
}
