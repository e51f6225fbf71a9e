/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_move.h"

#include <poll.h>

#include "base/clock.h"
#include "record/lease.h"

#include "base/banned.h"

/* Renewed at every look: if the mover dies, the relays go on after so long. */
#define LEASE_MS 10000
#define LOOK_MS 200
#define TELL_MS 1000

struct move {
	struct bus_options from;
	struct db *db;
	struct arena arena; /* of one look */
	struct lease lease;
	int64_t until_ms, next_tell_ms;
	bus_move_waits *waits;
};

static int take_lease(struct move *move, struct err *err);
static int wait_for_groups(struct move *move, struct err *err);
static int note_engine(struct move *move, enum bus_engine to, struct err *err);
static int look(struct move *move, struct str *out_group, int64_t *out_unread, struct err *err);
static bool pause_once(struct move *move, struct str group, int64_t unread);

int bus_move(const struct bus_options *options, struct db *db, enum bus_engine to, int64_t wait_ms, bus_move_waits *waits,
             struct err *err)
{
	struct move move = { .from = *options, .db = db, .until_ms = clock_mono_ms() + wait_ms, .waits = waits };
	struct bus_options target = *options;
	char id[UUID_TEXT_LEN + 1];
	bool moves;
	int found = bus_engine_of(db, &move.from.engine, &moves, err);

	if (found < 0)
		return -1;
	if (!found)
		return err_set(err, ERR_FATAL, "cannot move the bus: it is not installed yet; run `casectl topics`");
	if (move.from.engine == to)
		return 0;
	target.engine = to;
	if (bus_make_topics(&target, db, 0, err) < 0)
		return -1;
	if (moves)
		return err_set(err, ERR_TEMP, "could not move the bus: another move is under way");
	arena_init(&move.arena);
	move.lease = (struct lease){ .kind = "relay", .name = STR("outbox"), .owner = uuid_text(uuid_v7(), id) };
	int failed = take_lease(&move, err) < 0 || wait_for_groups(&move, err) < 0 || note_engine(&move, to, err) < 0;
	/* Where these fail, hold and lease run out by themselves. */
	struct err ignored = { 0 };
	if (failed)
		(void)!bus_engine_hold(db, 0, &ignored);
	(void)!lease_release(db, &move.arena, &move.lease, &ignored);
	arena_done(&move.arena);
	return failed ? -1 : 1;
}

static int take_lease(struct move *move, struct err *err)
{
	for (;;) {
		arena_reset(&move->arena);
		if (bus_engine_hold(move->db, LEASE_MS, err) < 0)
			return -1;
		int got = lease_take(move->db, &move->arena, &move->lease, LEASE_MS, err);
		if (got)
			return got < 0 ? -1 : 0;
		if (!pause_once(move, STR_NULL, 0))
			return err_set(err, ERR_TEMP, "could not move the bus: a relay keeps its lease; is a service stopped in its tracks?");
	}
}

static int wait_for_groups(struct move *move, struct err *err)
{
	for (;;) {
		struct str group = STR_NULL;
		int64_t unread = 0;

		arena_reset(&move->arena);
		int held = lease_renew(move->db, &move->arena, &move->lease, LEASE_MS, err);
		if (held < 0 || bus_engine_hold(move->db, LEASE_MS, err) < 0 || look(move, &group, &unread, err) < 0)
			return -1;
		if (!held)
			return err_set(err, ERR_TEMP, "could not move the bus: the relay's lease was lost; try again");
		if (!unread)
			return 0;
		if (!pause_once(move, group, unread))
			return err_set(err, ERR_TEMP,
			               "could not move the bus: group %.*s has %lld records to read; its service must run on %s meanwhile",
			               STR_ARG(group), (long long)unread, bus_engine_name(move->from.engine));
	}
}

/* Whoever was stopped between look and note may have lost the lease to a relay that went on with the old engine. */
static int note_engine(struct move *move, enum bus_engine to, struct err *err)
{
	if (db_begin(move->db, err) == 0 && lease_guard(move->db, &move->arena, &move->lease, err) == 0 &&
	    bus_engine_set(move->db, to, err) == 0 && db_commit(move->db, err) == 0)
		return 0;
	if (str_eq(str_of(db_sqlstate(move->db)), STR("22012")))
		err_set(err, ERR_TEMP, "could not move the bus: the relay's lease was lost; try again");
	db_rollback(move->db);
	return -1;
}

/* The group of ours that is farthest behind. */
static int look(struct move *move, struct str *out_group, int64_t *out_unread, struct err *err)
{
	struct bus_lag *lags;
	size_t count;
	int64_t unread = 0;

	if (bus_lag(&move->from, move->db, &move->arena, &lags, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		unread = i && str_eq(lags[i].group, lags[i - 1].group) ? unread + lags[i].lag : lags[i].lag;
		if (bus_is_own_group(lags[i].group) && unread > *out_unread) {
			*out_unread = unread;
			*out_group = lags[i].group;
		}
	}
	return 0;
}

/* False when the time is up. */
static bool pause_once(struct move *move, struct str group, int64_t unread)
{
	int64_t now_ms = clock_mono_ms();

	if (now_ms >= move->until_ms)
		return false;
	if (now_ms >= move->next_tell_ms) {
		move->waits(group, unread);
		move->next_tell_ms = now_ms + TELL_MS;
	}
	poll(NULL, 0, LOOK_MS);
	return true;
}
