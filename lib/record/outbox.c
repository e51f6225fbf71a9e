/* SPDX-License-Identifier: Apache-2.0 */
#include "outbox.h"

#include "base/digest.h"

#include "base/banned.h"

/* One statement for all rows costs half of one statement each. The sequence is drawn in the order of the rows. */
static const char put_sql[] =
	"INSERT INTO outbox (ce_id, tenant_id, topic, key, key_hash, type, subject, sequence, traceparent, value)"
	" SELECT ce_id, tenant_id, topic, key, key_hash::integer, type, subject, sequence, traceparent, value"
	" FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::bigint[],"
	" $9::text[], $10::bytea[]) WITH ORDINALITY AS"
	" r (ce_id, tenant_id, topic, key, key_hash, type, subject, sequence, traceparent, value, place) ORDER BY place";

static const char notify_sql[] = "SELECT pg_notify('" OUTBOX_CHANNEL "', '')";

static struct str text_or_empty(struct str text)
{
	return text.at ? text : STR("");
}

int outbox_put(struct db *db, struct arena *arena, const struct outbox_row *rows, size_t count, struct err *err)
{
	if (count == 0)
		return 0;
	struct uuid *ce_ids = ARENA_ARRAY(arena, struct uuid, count), *tenants = ARENA_ARRAY(arena, struct uuid, count);
	struct str *topics = ARENA_ARRAY(arena, struct str, count), *keys = ARENA_ARRAY(arena, struct str, count);
	struct str *types = ARENA_ARRAY(arena, struct str, count), *subjects = ARENA_ARRAY(arena, struct str, count);
	struct str *parents = ARENA_ARRAY(arena, struct str, count), *values = ARENA_ARRAY(arena, struct str, count);
	int64_t *hashes = ARENA_ARRAY(arena, int64_t, count), *sequences = ARENA_ARRAY(arena, int64_t, count);
	for (size_t i = 0; i < count; i++) {
		const struct outbox_row *row = &rows[i];
		ce_ids[i] = row->ce_id;
		tenants[i] = row->tenant.id;
		topics[i] = str_of(row->topic);
		keys[i] = text_or_empty(row->key);
		hashes[i] = (int64_t)murmur2_positive(row->key);
		types[i] = text_or_empty(str_of(row->type));
		subjects[i] = text_or_empty(row->subject);
		sequences[i] = row->sequence;
		parents[i] = text_or_empty(row->traceparent);
		values[i] = text_or_empty(row->value);
	}
	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuids(&args, ce_ids, count);
	db_arg_uuids(&args, tenants, count);
	db_arg_texts(&args, topics, count);
	db_arg_texts(&args, keys, count);
	db_arg_ints(&args, hashes, count);
	db_arg_texts(&args, types, count);
	db_arg_texts(&args, subjects, count);
	db_arg_ints(&args, sequences, count);
	db_arg_texts(&args, parents, count);
	db_arg_bytess(&args, values, count);
	if (db_queue(db, put_sql, &args, NULL, err) < 0 || db_queue(db, notify_sql, NULL, NULL, err) < 0)
		return err_prefix(err, "could not put %zu records into the outbox", count);
	return 0;
}
