/* SPDX-License-Identifier: Apache-2.0
 * Who has which partition: members renew themselves, partitions are dealt range-wise over the live ones, and change
 * hands by owner and epoch.
 */
#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "bus_postgres.h"

#include "base/banned.h"

static const char join_sql[] =
	"INSERT INTO bus_member (group_name, member, expires)"
	" VALUES ($1, $2, clock_timestamp() + $3 * interval '1 millisecond')"
	" ON CONFLICT (group_name, member) DO UPDATE SET expires = excluded.expires";
static const char bury_sql[] =
	"DELETE FROM bus_member WHERE group_name = $1 AND expires < clock_timestamp() - interval '1 minute'";
static const char renew_sql[] =
	"UPDATE bus_position SET expires = clock_timestamp() + $5 * interval '1 millisecond'"
	" FROM unnest($3::text[], $4::int8[], $6::int8[]) AS mine (topic, partition, epoch)"
	" WHERE bus_position.group_name = $1 AND bus_position.topic = mine.topic AND bus_position.partition = mine.partition"
	" AND bus_position.owner = $2 AND bus_position.epoch = mine.epoch"
	" RETURNING bus_position.topic, bus_position.partition";
/* A group that nobody has registered begins at the end, but reads partitions that are added later from their start. */
static const char register_sql[] =
	"INSERT INTO bus_position (group_name, topic, partition, next_offset)"
	" SELECT $1, p.topic, p.partition,"
	"   CASE WHEN EXISTS (SELECT FROM bus_position g WHERE g.group_name = $1 AND g.topic = p.topic)"
	"   THEN p.first_offset ELSE p.next_offset END"
	" FROM bus_partition p WHERE p.topic = ANY ($2)"
	" AND NOT EXISTS (SELECT FROM bus_position g WHERE g.group_name = $1 AND g.topic = p.topic"
	"                 AND g.partition = p.partition) ON CONFLICT DO NOTHING";
static const char members_sql[] =
	"SELECT member FROM bus_member WHERE group_name = $1 AND expires > clock_timestamp() ORDER BY member";
static const char positions_sql[] =
	"SELECT topic, partition, owner = $3, owner IS NULL OR expires <= clock_timestamp() FROM bus_position"
	" WHERE group_name = $1 AND topic = ANY ($2) ORDER BY topic, partition";
/* What is still being tried one by one is handed over as that, not as clean. */
static const char give_up_sql[] =
	"UPDATE bus_position SET owner = NULL, expires = NULL, trying = NULL, is_clean = mine.is_clean"
	" FROM unnest($3::text[], $4::int8[], $5::int8[], $6::bool[]) AS mine (topic, partition, epoch, is_clean)"
	" WHERE bus_position.group_name = $1 AND bus_position.topic = mine.topic AND bus_position.partition = mine.partition"
	" AND bus_position.owner = $2 AND bus_position.epoch = mine.epoch";
/* Unclean: whoever had it died with a batch in hand. Its crashes count at one offset: the one it was trying alone. Who
 * died before it tried anything does not count. */
static const char take_sql[] =
	"UPDATE bus_position SET owner = $2, epoch = epoch + 1, is_clean = false,"
	" expires = clock_timestamp() + $5 * interval '1 millisecond',"
	" crashes = CASE WHEN is_clean THEN 0 WHEN trying = next_offset THEN crashes + 1 ELSE greatest(crashes, 1) END,"
	" trying = NULL"
	" FROM unnest($3::text[], $4::int8[]) AS free (topic, partition)"
	" WHERE bus_position.group_name = $1 AND bus_position.topic = free.topic AND bus_position.partition = free.partition"
	" AND (owner IS NULL OR owner = $2 OR expires <= clock_timestamp())"
	" RETURNING bus_position.topic, bus_position.partition, epoch, next_offset, crashes";
static const char leave_sql[] = "DELETE FROM bus_member WHERE group_name = $1 AND member = $2";
/* Those who wait for a partition look at once. */
static const char tell_sql[] = "SELECT count(pg_notify(topic, '')) FROM unnest($1::text[]) AS t (topic)";

struct choice {
	struct str *topics;
	int64_t *partitions, *epochs;
	size_t len;
};

static int renew(struct pg_consumer *consumer, struct err *err);
static int change_hands(struct pg_consumer *consumer, struct err *err);
static int give_up(struct pg_consumer *consumer, const struct choice *given, struct err *err);
static int take(struct pg_consumer *consumer, const struct choice *wanted, struct err *err);
static void choice_init(struct choice *choice, struct arena *arena, size_t room);
static void choose(struct choice *choice, struct str topic, int64_t partition, int64_t epoch);
static int topic_index(const struct pg_consumer *consumer, struct str topic);
static void topic_args(struct db_args *args, struct pg_consumer *consumer);

int bus_upkeep(struct pg_consumer *consumer, bool may_change_hands, struct err *err)
{
	struct db_args args;
	int64_t now_ms = clock_mono_ms();

	db_args_init(&args, &consumer->arena);
	db_arg_text(&args, str_of(consumer->group));
	db_arg_text(&args, str_of(consumer->member));
	db_arg_int(&args, consumer->options.member_expiry_ms);
	if (db_queue(consumer->db, join_sql, &args, NULL, err) < 0)
		return -1;
	if (renew(consumer, err) < 0)
		return -1;
	if (may_change_hands && change_hands(consumer, err) < 0)
		return -1;

	int64_t member_ms = consumer->options.member_expiry_ms / 3, position_ms = consumer->options.position_expiry_ms / 5;
	consumer->next_upkeep_ms = now_ms + (member_ms < position_ms ? member_ms : position_ms);
	return 0;
}

int bus_give_up_all(struct pg_consumer *consumer, struct err *err)
{
	struct choice all;
	struct db_args args;

	choice_init(&all, &consumer->arena, consumer->held_len);
	for (size_t i = 0; i < consumer->held_len; i++)
		choose(&all, str_of(consumer->topics[consumer->held[i].topic]), consumer->held[i].partition,
		       consumer->held[i].epoch);
	db_args_init(&args, &consumer->arena);
	db_arg_text(&args, str_of(consumer->group));
	db_arg_text(&args, str_of(consumer->member));
	if (db_queue(consumer->db, leave_sql, &args, NULL, err) < 0)
		return -1;
	return give_up(consumer, &all, err);
}

struct holding *bus_holding(struct pg_consumer *consumer, struct str topic, int64_t partition)
{
	for (size_t i = 0; i < consumer->held_len; i++)
		if (consumer->held[i].partition == partition && str_eq(str_of(consumer->topics[consumer->held[i].topic]), topic))
			return &consumer->held[i];
	return NULL;
}

void bus_drop_lost(struct pg_consumer *consumer)
{
	size_t kept = 0;

	for (size_t i = 0; i < consumer->held_len; i++)
		if (!consumer->held[i].is_lost)
			consumer->held[kept++] = consumer->held[i];
	consumer->held_len = kept;
}

static int renew(struct pg_consumer *consumer, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;
	struct choice mine;
	int64_t asked_ms = clock_mono_ms();

	choice_init(&mine, &consumer->arena, consumer->held_len);
	for (size_t i = 0; i < consumer->held_len; i++)
		choose(&mine, str_of(consumer->topics[consumer->held[i].topic]), consumer->held[i].partition,
		       consumer->held[i].epoch);
	db_args_init(&args, &consumer->arena);
	db_arg_text(&args, str_of(consumer->group));
	db_arg_text(&args, str_of(consumer->member));
	db_arg_texts(&args, mine.topics, mine.len);
	db_arg_ints(&args, mine.partitions, mine.len);
	db_arg_int(&args, consumer->options.position_expiry_ms);
	db_arg_ints(&args, mine.epochs, mine.len);
	if (db_query(consumer->db, renew_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not renew membership of group %s", consumer->group);

	for (size_t i = 0; i < consumer->held_len; i++)
		consumer->held[i].is_lost = true;
	for (int row = 0; row < db_rows(rows); row++) {
		struct holding *holding = bus_holding(consumer, db_str(rows, row, 0), db_int(rows, row, 1));
		if (holding) {
			holding->is_lost = false;
			holding->expires_mono_ms = asked_ms + consumer->options.position_expiry_ms;
		}
	}
	return 0;
}

/* Every member computes the same deal for itself. Two that see different members for a moment do no harm: a partition is
 * taken only when it is free or its owner has been silent. */
static int change_hands(struct pg_consumer *consumer, struct err *err)
{
	struct db_result *members CLEANUP(db_result_done) = NULL, *positions CLEANUP(db_result_done) = NULL;
	struct db_args args;

	bus_drop_lost(consumer);
	db_args_init(&args, &consumer->arena);
	db_arg_text(&args, str_of(consumer->group));
	if (db_queue(consumer->db, bury_sql, &args, NULL, err) < 0 ||
	    db_queue(consumer->db, members_sql, &args, &members, err) < 0)
		return -1;
	topic_args(&args, consumer);
	if (db_queue(consumer->db, register_sql, &args, NULL, err) < 0)
		return -1;
	db_arg_text(&args, str_of(consumer->member));
	if (db_queue(consumer->db, positions_sql, &args, &positions, err) < 0 || db_flush(consumer->db, err) < 0)
		return err_prefix(err, "could not read the members of group %s", consumer->group);

	int count = db_rows(members), me = -1, all = db_rows(positions);
	for (int i = 0; i < count; i++)
		if (str_eq(db_str(members, i, 0), str_of(consumer->member)))
			me = i;
	if (me < 0)
		return err_set(err, ERR_TEMP, "could not stay in group %s: the membership ran out", consumer->group);
	if (!all)
		return err_set(err, ERR_TEMP, "could not join group %s: its topics are not there; run `casectl topics`",
		               consumer->group);

	struct choice given, wanted;
	choice_init(&given, &consumer->arena, (size_t)all);
	choice_init(&wanted, &consumer->arena, (size_t)all);
	consumer->is_lacking = false;
	for (int first = 0; first < all;) {
		struct str topic = db_str(positions, first, 0);
		int n = 0;
		while (first + n < all && str_eq(db_str(positions, first + n, 0), topic))
			n++;
		int32_t from, share;
		bus_range(n, (size_t)count, (size_t)me, &from, &share);
		for (int i = 0; i < n; i++) {
			int64_t partition = db_int(positions, first + i, 1);
			bool is_mine = db_bool(positions, first + i, 2), is_free = db_bool(positions, first + i, 3);
			const struct holding *holding = bus_holding(consumer, topic, partition);
			bool is_due = i >= from && i < from + share;
			if (holding && !is_due)
				choose(&given, topic, partition, holding->epoch);
			else if (!holding && is_due && (is_free || is_mine))
				choose(&wanted, topic, partition, 0);
			else if (!holding && is_due)
				consumer->is_lacking = true;
		}
		first += n;
	}
	if (given.len && give_up(consumer, &given, err) < 0)
		return -1;
	return wanted.len ? take(consumer, &wanted, err) : 0;
}

static int give_up(struct pg_consumer *consumer, const struct choice *given, struct err *err)
{
	struct db_args args, tell;
	bool *is_clean = ARENA_ARRAY(&consumer->arena, bool, given->len + 1);

	for (size_t i = 0; i < given->len; i++) {
		const struct holding *holding = bus_holding(consumer, given->topics[i], given->partitions[i]);
		is_clean[i] = holding && !holding->singly;
	}
	db_args_init(&args, &consumer->arena);
	db_arg_text(&args, str_of(consumer->group));
	db_arg_text(&args, str_of(consumer->member));
	db_arg_texts(&args, given->topics, given->len);
	db_arg_ints(&args, given->partitions, given->len);
	db_arg_ints(&args, given->epochs, given->len);
	db_arg_bools(&args, is_clean, given->len);
	db_args_init(&tell, &consumer->arena);
	db_arg_texts(&tell, given->topics, given->len ? 1 : 0);
	if (db_queue(consumer->db, give_up_sql, &args, NULL, err) < 0 || db_queue(consumer->db, tell_sql, &tell, NULL, err) < 0 ||
	    db_flush(consumer->db, err) < 0)
		return err_prefix(err, "could not give up partitions of group %s", consumer->group);
	for (size_t i = 0; i < given->len; i++) {
		struct holding *holding = bus_holding(consumer, given->topics[i], given->partitions[i]);
		if (holding)
			holding->is_lost = true;
	}
	bus_drop_lost(consumer);
	if (given->len)
		log_info("bus.gave_up", LOG_TEXT("group", consumer->group), LOG_INT("partitions", given->len), LOG_END);
	return 0;
}

static int take(struct pg_consumer *consumer, const struct choice *wanted, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;
	int64_t asked_ms = clock_mono_ms();
	int unclean = 0;

	db_args_init(&args, &consumer->arena);
	db_arg_text(&args, str_of(consumer->group));
	db_arg_text(&args, str_of(consumer->member));
	db_arg_texts(&args, wanted->topics, wanted->len);
	db_arg_ints(&args, wanted->partitions, wanted->len);
	db_arg_int(&args, consumer->options.position_expiry_ms);
	if (db_query(consumer->db, take_sql, &args, &rows, err) < 0)
		return err_prefix(err, "could not take partitions of group %s", consumer->group);
	for (int row = 0; row < db_rows(rows); row++) {
		int topic = topic_index(consumer, db_str(rows, row, 0));
		if (topic < 0)
			continue;
		if (consumer->held_len == consumer->held_room) {
			consumer->held_room = consumer->held_room ? consumer->held_room * 2 : 16;
			consumer->held = xrealloc(consumer->held, consumer->held_room * sizeof *consumer->held);
		}
		int crashes = (int)db_int(rows, row, 4);
		consumer->held[consumer->held_len++] = (struct holding){
			.topic = topic,
			.partition = (int32_t)db_int(rows, row, 1),
			.epoch = db_int(rows, row, 2),
			.next_offset = db_int(rows, row, 3),
			.delivered = db_int(rows, row, 3),
			.expires_mono_ms = asked_ms + consumer->options.position_expiry_ms,
			.singly = crashes ? BUS_SINGLY : 0,
			.crashes = crashes,
		};
		unclean += crashes > 0;
	}
	if ((size_t)db_rows(rows) < wanted->len)
		consumer->is_lacking = true;
	if (db_rows(rows))
		log_info("bus.took", LOG_TEXT("group", consumer->group), LOG_INT("partitions", db_rows(rows)),
		         LOG_INT("unclean", unclean), LOG_END);
	return 0;
}

static void choice_init(struct choice *choice, struct arena *arena, size_t room)
{
	choice->topics = ARENA_ARRAY(arena, struct str, room + 1);
	choice->partitions = ARENA_ARRAY(arena, int64_t, room + 1);
	choice->epochs = ARENA_ARRAY(arena, int64_t, room + 1);
	choice->len = 0;
}

static void choose(struct choice *choice, struct str topic, int64_t partition, int64_t epoch)
{
	choice->topics[choice->len] = topic;
	choice->partitions[choice->len] = partition;
	choice->epochs[choice->len++] = epoch;
}

static int topic_index(const struct pg_consumer *consumer, struct str topic)
{
	for (int i = 0; i < consumer->topics_len; i++)
		if (str_eq(str_of(consumer->topics[i]), topic))
			return i;
	return -1;
}

/* $1 the group, $2 its topics. */
static void topic_args(struct db_args *args, struct pg_consumer *consumer)
{
	struct str *names = ARENA_ARRAY(&consumer->arena, struct str, (size_t)consumer->topics_len);

	for (int i = 0; i < consumer->topics_len; i++)
		names[i] = str_of(consumer->topics[i]);
	db_args_init(args, &consumer->arena);
	db_arg_text(args, str_of(consumer->group));
	db_arg_texts(args, names, (size_t)consumer->topics_len);
}
