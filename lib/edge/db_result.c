/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db_private.h"

#include "base/banned.h"

#define OID_JSONB 3802
/* PostgreSQL counts from 2000. */
#define EPOCH_US INT64_C(946684800000000)

struct db_result {
	PGresult *pg;
};

static int64_t get_int(const char *at, int length);
static uint32_t get_u32(const char *at);

struct db_result *db_result_new(PGresult *result)
{
	struct db_result *made = xmalloc(sizeof *made);
	made->pg = result;
	return made;
}

void db_result_done(struct db_result **result)
{
	if (!*result)
		return;
	PQclear((*result)->pg);
	free(*result);
	*result = NULL;
}

int db_rows(const struct db_result *result)
{
	return PQntuples(result->pg);
}

int64_t db_affected(const struct db_result *result)
{
	int64_t rows = 0;
	str_to_i64(str_of(PQcmdTuples(result->pg)), 0, INT64_MAX, &rows);
	return rows;
}

bool db_is_null(const struct db_result *result, int row, int column)
{
	return PQgetisnull(result->pg, row, column);
}

/* A column that is read as what it is not is a mistake of ours, and no record's fault. */
static _Noreturn void wrong_type(const struct db_result *result, int column, const char *wanted)
{
	const char *name = PQfname(result->pg, column);
	fprintf(stderr, "column %d (%s) of type %u was read as %s\n", column, name ? name : "?", PQftype(result->pg, column),
	        wanted);
	abort();
}

bool db_bool(const struct db_result *result, int row, int column)
{
	if (PQgetisnull(result->pg, row, column))
		return false;
	if (PQgetlength(result->pg, row, column) != 1)
		wrong_type(result, column, "a boolean");
	return *PQgetvalue(result->pg, row, column) != 0;
}

int64_t db_int(const struct db_result *result, int row, int column)
{
	if (PQgetisnull(result->pg, row, column))
		return 0;
	switch (PQftype(result->pg, column)) {
	case 20: /* int8 */
	case 21: /* int2 */
	case 23: /* int4 */
	case 26: /* oid */
		return get_int(PQgetvalue(result->pg, row, column), PQgetlength(result->pg, row, column));
	default:
		wrong_type(result, column, "an integer");
	}
}

double db_real(const struct db_result *result, int row, int column)
{
	if (PQgetisnull(result->pg, row, column))
		return 0;
	const char *at = PQgetvalue(result->pg, row, column);
	if (PQftype(result->pg, column) == 701) {
		uint64_t bits = (uint64_t)get_int(at, 8);
		double value;
		memcpy(&value, &bits, sizeof value);
		return value;
	}
	if (PQftype(result->pg, column) == 700) {
		uint32_t bits = get_u32(at);
		float value;
		memcpy(&value, &bits, sizeof value);
		return (double)value;
	}
	wrong_type(result, column, "a real number");
}

struct str db_str(const struct db_result *result, int row, int column)
{
	if (PQgetisnull(result->pg, row, column))
		return STR("");
	struct str value = { PQgetvalue(result->pg, row, column), (size_t)PQgetlength(result->pg, row, column) };
	/* jsonb travels behind a version byte. */
	return PQftype(result->pg, column) == OID_JSONB ? str_slice(value, 1, value.len) : value;
}

struct uuid db_uuid(const struct db_result *result, int row, int column)
{
	struct uuid id = { { 0 } };
	if (PQgetisnull(result->pg, row, column))
		return id;
	if (PQgetlength(result->pg, row, column) != sizeof id.b || PQftype(result->pg, column) != 2950)
		wrong_type(result, column, "a uuid");
	memcpy(id.b, PQgetvalue(result->pg, row, column), sizeof id.b);
	return id;
}

int64_t db_time(const struct db_result *result, int row, int column)
{
	if (PQgetisnull(result->pg, row, column))
		return 0;
	if (PQftype(result->pg, column) != 1184)
		wrong_type(result, column, "a time");
	int64_t since_2000 = get_int(PQgetvalue(result->pg, row, column), 8);
	/* 'infinity' and '-infinity' are the ends of the range. */
	if (since_2000 > INT64_MAX - EPOCH_US)
		return INT64_MAX;
	return since_2000 == INT64_MIN ? INT64_MIN : since_2000 + EPOCH_US;
}

size_t db_texts(const struct db_result *result, int row, int column, struct arena *arena, struct str **out)
{
	*out = NULL;
	if (PQgetisnull(result->pg, row, column))
		return 0;
	struct str rest = { PQgetvalue(result->pg, row, column), (size_t)PQgetlength(result->pg, row, column) };
	if (rest.len < 12 || get_u32(rest.at) > 1)
		wrong_type(result, column, "an array of texts");
	if (get_u32(rest.at) == 0)
		return 0;
	size_t count = get_u32(rest.at + 12);
	*out = ARENA_ARRAY(arena, struct str, count);
	rest = str_slice(rest, 20, rest.len);
	for (size_t i = 0; i < count; i++) {
		uint32_t length = get_u32(rest.at);
		rest = str_slice(rest, 4, rest.len);
		if (length == UINT32_MAX) {
			(*out)[i] = STR_NULL;
			continue;
		}
		(*out)[i] = str_dup(arena, str_slice(rest, 0, length));
		rest = str_slice(rest, length, rest.len);
	}
	return count;
}

static uint32_t get_u32(const char *at)
{
	uint32_t value;
	memcpy(&value, at, sizeof value);
	return be32toh(value);
}

static int64_t get_int(const char *at, int length)
{
	if (length == 4)
		return (int32_t)get_u32(at);
	if (length == 2) {
		uint16_t value;
		memcpy(&value, at, sizeof value);
		return (int16_t)be16toh(value);
	}
	uint64_t value;
	memcpy(&value, at, sizeof value);
	return (int64_t)be64toh(value);
}
