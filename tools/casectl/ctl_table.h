/* SPDX-License-Identifier: Apache-2.0
 * ctl_table - rows of a result: columns for people, one JSON object a line for programs
 */
#ifndef MAILCASE_CTL_TABLE_H
#define MAILCASE_CTL_TABLE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/json.h"
#include "edge/db.h"

enum cell { CELL_TEXT, CELL_INT, CELL_BOOL, CELL_TIME, CELL_UUID, CELL_TEXTS, CELL_JSON };

/* Column i of the table is column i of the result. */
struct column {
	const char *key;   /* of the JSON object */
	const char *title; /* for people; NULL: shown to programs only */
	enum cell kind;
};

/* One row as an object; the caller owns it. */
json_t *table_object(struct arena *arena, const struct column *columns, size_t columns_len,
                     const struct db_result *rows, int row);

/* All rows as an array of objects; the caller owns it. */
json_t *table_list(struct arena *arena, const struct column *columns, size_t columns_len, const struct db_result *rows);

/* All rows. People see `nothing` where there is none. */
void table_print(struct arena *arena, const struct column *columns, size_t columns_len, const struct db_result *rows,
                 bool as_json, const char *nothing);

/* One row, every key on a line of its own: nothing is cut. */
void table_print_record(struct arena *arena, const struct column *columns, size_t columns_len,
                        const struct db_result *rows, int row);

/* A time as people read it: 2026-01-31 12:00:00Z. */
struct str table_time(struct arena *arena, int64_t wall_us);

/* For terminals: control characters and what is not UTF-8 replaced, what turns the direction of writing taken out, so
 * that a stranger's bytes move no cursor and hide no name. */
struct str table_clean(struct arena *arena, struct str s);

#endif
