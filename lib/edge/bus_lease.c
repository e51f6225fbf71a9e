/* SPDX-License-Identifier: Apache-2.0
 * What the relays of both engines rest on: the lease (relay, outbox).
 */
#include "bus_engine.h"

#include "base/banned.h"

/* The lease's row, FOR SHARE: no other relay can take it until our commit, and a lost lease aborts all that follows.
 * The same words as record/lease.c, which stands above this layer. */
static const char guard_sql[] =
	"SELECT 1 / count(*) FROM (SELECT FROM lease"
	" WHERE kind = 'relay' AND name = 'outbox' AND owner = $1 AND epoch = $2 FOR SHARE) AS held";

int bus_begin_as_relay(struct db *db, struct arena *arena, const char *owner, int64_t epoch, struct err *err)
{
	struct db_args guard;

	db_args_init(&guard, arena);
	db_arg_text(&guard, str_of(owner));
	db_arg_int(&guard, epoch);
	return db_begin(db, err) < 0 ? -1 : db_queue(db, guard_sql, &guard, NULL, err);
}

bool bus_roll_back_as_relay(struct db *db)
{
	bool is_lost = str_eq(str_of(db_sqlstate(db)), STR("22012"));

	db_rollback(db);
	return is_lost;
}
