/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db.h"

#include "base/banned.h"

/* Object ids of PostgreSQL's own types never change. */
enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_TEXT = 25,
	OID_FLOAT8 = 701,
	OID_TIMESTAMPTZ = 1184,
	OID_UUID = 2950,
	OID_JSONB = 3802,
	OID_BOOLS = 1000,
	OID_BYTEAS = 1001,
	OID_TEXTS = 1009,
	OID_INT8S = 1016,
	OID_TIMESTAMPTZS = 1185,
	OID_UUIDS = 2951,
	OID_JSONBS = 3807,
};

#define EPOCH_US INT64_C(946684800000000)

static void put(struct db_args *args, unsigned type, const void *value, size_t length);
static uint64_t net_time(int64_t wall_us);

/* One dimension, in PostgreSQL's binary form; filled element by element. */
struct array {
	char *start, *at;
};

static struct array array_start(struct db_args *args, unsigned element, size_t count, size_t bytes);
static void array_add(struct array *array, const void *bytes, size_t length);
static void array_add_null(struct array *array);
static void array_put(struct db_args *args, unsigned type, const struct array *array);

void db_args_init(struct db_args *args, struct arena *arena)
{
	args->arena = arena;
	args->len = 0;
}

void db_arg_null(struct db_args *args)
{
	put(args, 0, NULL, 0);
}

void db_arg_bool(struct db_args *args, bool value)
{
	put(args, OID_BOOL, arena_copy(args->arena, value ? "\1" : "\0", 1), 1);
}

void db_arg_int(struct db_args *args, int64_t value)
{
	uint64_t net = htobe64((uint64_t)value);
	put(args, OID_INT8, arena_copy(args->arena, &net, sizeof net), sizeof net);
}

void db_arg_real(struct db_args *args, double value)
{
	uint64_t bits;
	memcpy(&bits, &value, sizeof bits);
	bits = htobe64(bits);
	put(args, OID_FLOAT8, arena_copy(args->arena, &bits, sizeof bits), sizeof bits);
}

void db_arg_text(struct db_args *args, struct str value)
{
	struct str text = str_scrub(args->arena, value);
	put(args, OID_TEXT, text.at ? text.at : "", text.len);
}

void db_arg_bytes(struct db_args *args, struct str value)
{
	put(args, OID_BYTEA, value.at ? value.at : "", value.len);
}

/* jsonb travels behind a version byte. */
static struct str jsonb(struct arena *arena, struct str value)
{
	struct str text = str_scrub(arena, value);
	char *copy = arena_alloc(arena, text.len + 1);
	copy[0] = 1;
	if (text.len)
		memcpy(copy + 1, text.at, text.len);
	return str_span(copy, text.len + 1);
}

void db_arg_json(struct db_args *args, struct str value)
{
	struct str json = jsonb(args->arena, value);
	put(args, OID_JSONB, json.at, json.len);
}

void db_arg_uuid(struct db_args *args, struct uuid value)
{
	put(args, OID_UUID, arena_copy(args->arena, value.b, sizeof value.b), sizeof value.b);
}

void db_arg_uuid_or_null(struct db_args *args, struct uuid value)
{
	if (uuid_is_null(value))
		put(args, OID_UUID, NULL, 0);
	else
		db_arg_uuid(args, value);
}

void db_arg_time(struct db_args *args, int64_t wall_us)
{
	uint64_t net = net_time(wall_us);
	put(args, OID_TIMESTAMPTZ, arena_copy(args->arena, &net, sizeof net), sizeof net);
}

void db_arg_time_or_null(struct db_args *args, int64_t wall_us)
{
	if (wall_us == 0)
		put(args, OID_TIMESTAMPTZ, NULL, 0);
	else
		db_arg_time(args, wall_us);
}

void db_arg_bools(struct db_args *args, const bool *values, size_t count)
{
	struct array array = array_start(args, OID_BOOL, count, count);
	for (size_t i = 0; i < count; i++)
		array_add(&array, values[i] ? "\1" : "\0", 1);
	array_put(args, OID_BOOLS, &array);
}

void db_arg_ints(struct db_args *args, const int64_t *values, size_t count)
{
	struct array array = array_start(args, OID_INT8, count, count * 8);
	for (size_t i = 0; i < count; i++) {
		uint64_t net = htobe64((uint64_t)values[i]);
		array_add(&array, &net, sizeof net);
	}
	array_put(args, OID_INT8S, &array);
}

static void put_strs(struct db_args *args, unsigned element, unsigned type, const struct str *values, size_t count)
{
	size_t bytes = 0;
	for (size_t i = 0; i < count; i++)
		bytes += values[i].len;
	struct array array = array_start(args, element, count, bytes);
	for (size_t i = 0; i < count; i++)
		if (values[i].at)
			array_add(&array, values[i].at, values[i].len);
		else
			array_add_null(&array);
	array_put(args, type, &array);
}

void db_arg_texts(struct db_args *args, const struct str *values, size_t count)
{
	struct str *texts = ARENA_ARRAY(args->arena, struct str, count);
	for (size_t i = 0; i < count; i++)
		if (values[i].at)
			texts[i] = str_scrub(args->arena, values[i]);
	put_strs(args, OID_TEXT, OID_TEXTS, texts, count);
}

void db_arg_bytess(struct db_args *args, const struct str *values, size_t count)
{
	put_strs(args, OID_BYTEA, OID_BYTEAS, values, count);
}

void db_arg_jsons(struct db_args *args, const struct str *values, size_t count)
{
	struct str *jsons = ARENA_ARRAY(args->arena, struct str, count);
	for (size_t i = 0; i < count; i++)
		if (values[i].at)
			jsons[i] = jsonb(args->arena, values[i]);
	put_strs(args, OID_JSONB, OID_JSONBS, jsons, count);
}

static void put_uuids(struct db_args *args, const struct uuid *values, size_t count, bool or_null)
{
	struct array array = array_start(args, OID_UUID, count, count * sizeof values->b);
	for (size_t i = 0; i < count; i++)
		if (or_null && uuid_is_null(values[i]))
			array_add_null(&array);
		else
			array_add(&array, values[i].b, sizeof values[i].b);
	array_put(args, OID_UUIDS, &array);
}

void db_arg_uuids(struct db_args *args, const struct uuid *values, size_t count)
{
	put_uuids(args, values, count, false);
}

void db_arg_uuids_or_null(struct db_args *args, const struct uuid *values, size_t count)
{
	put_uuids(args, values, count, true);
}

void db_arg_times_or_null(struct db_args *args, const int64_t *wall_us, size_t count)
{
	struct array array = array_start(args, OID_TIMESTAMPTZ, count, count * 8);
	for (size_t i = 0; i < count; i++) {
		uint64_t net = net_time(wall_us[i]);
		if (wall_us[i] == 0)
			array_add_null(&array);
		else
			array_add(&array, &net, sizeof net);
	}
	array_put(args, OID_TIMESTAMPTZS, &array);
}

static void put(struct db_args *args, unsigned type, const void *value, size_t length)
{
	if (args->len == DB_ARGS_MAX || length > INT32_MAX) {
		fprintf(stderr, "a statement has more than %d parameters, or one of %zu bytes\n", DB_ARGS_MAX, length);
		abort();
	}
	args->value[args->len] = value;
	args->length[args->len] = (int)length;
	args->type[args->len] = type;
	args->len++;
}

static uint64_t net_time(int64_t wall_us)
{
	return htobe64((uint64_t)wall_us - (uint64_t)EPOCH_US);
}

static void array_add_u32(struct array *array, uint32_t value)
{
	value = htobe32(value);
	memcpy(array->at, &value, sizeof value);
	array->at += sizeof value;
}

/* An empty array has no dimension, but its element type must be right. */
static struct array array_start(struct db_args *args, unsigned element, size_t count, size_t bytes)
{
	char *start = arena_alloc(args->arena, 20 + bytes + count * 4);
	struct array array = { start, start };
	array_add_u32(&array, count ? 1 : 0);
	array_add_u32(&array, 1); /* may hold NULLs */
	array_add_u32(&array, element);
	if (count) {
		array_add_u32(&array, (uint32_t)count);
		array_add_u32(&array, 1); /* first index */
	}
	return array;
}

static void array_add(struct array *array, const void *bytes, size_t length)
{
	array_add_u32(array, (uint32_t)length);
	if (length)
		memcpy(array->at, bytes, length);
	array->at += length;
}

static void array_add_null(struct array *array)
{
	array_add_u32(array, UINT32_MAX);
}

static void array_put(struct db_args *args, unsigned type, const struct array *array)
{
	put(args, type, array->start, (size_t)(array->at - array->start));
}
