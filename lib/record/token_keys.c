/* SPDX-License-Identifier: Apache-2.0 */
#include "record/token_keys.h"

#include "base/digest.h"

#include "base/banned.h"

static const char load_sql[] =
	"SELECT key_id, sealed, retired_at IS NOT NULL FROM token_key WHERE tenant_id = $1 ORDER BY created_at DESC, key_id DESC";

int token_keys_load(struct db *db, struct arena *arena, const struct seal_key *seal_key, struct tenant_id tenant,
                    struct token_keys *out, struct err *err)
{
	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuid(&args, tenant.id);
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	if (db_query(db, load_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not load token keys");

	size_t count = (size_t)db_rows(rows);
	struct token_key *keys = ARENA_ARRAY(arena, struct token_key, count);
	for (size_t i = 0; i < count; i++) {
		struct str secret;
		if (seal_open(arena, seal_key, db_str(rows, (int)i, 1), &secret, err) < 0)
			return err_prefix(err, "cannot open token key %d", (int)db_int(rows, (int)i, 0));
		if (secret.len != TOKEN_SECRET_LEN) {
			seal_forget(&secret);
			return err_set(err, ERR_FATAL, "cannot use token key %d: wrong length", (int)db_int(rows, (int)i, 0));
		}
		keys[i].id = (uint8_t)db_int(rows, (int)i, 0);
		keys[i].is_retired = db_bool(rows, (int)i, 2);
		memcpy(keys[i].secret, secret.at, TOKEN_SECRET_LEN);
		seal_forget(&secret);
	}
	*out = (struct token_keys){ .tenant = tenant, .at = keys, .len = count };
	return 0;
}

/* One statement, so that there is no moment without a key that signs. */
static const char rotate_sql[] =
	"WITH former AS (UPDATE token_key SET retired_at = now() WHERE tenant_id = $1 AND retired_at IS NULL)"
	" INSERT INTO token_key (tenant_id, key_id, sealed, created_at)"
	" SELECT $1, COALESCE(max(key_id) + 1, 1), $2, clock_timestamp() FROM token_key WHERE tenant_id = $1";

int token_keys_rotate(struct db *db, struct arena *arena, const struct seal_key *seal_key, struct tenant_id tenant,
                      struct err *err)
{
	char bytes[TOKEN_SECRET_LEN];
	random_bytes(bytes, sizeof bytes);
	struct str secret = str_span(bytes, sizeof bytes);
	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuid(&args, tenant.id);
	db_arg_bytes(&args, seal(arena, seal_key, secret));
	seal_forget(&secret);
	int64_t rows;
	if (db_exec(db, rotate_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not make a token key");
	return 0;
}
