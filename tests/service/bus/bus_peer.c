/* SPDX-License-Identifier: Apache-2.0
 * bus_peer - a service that does nothing but produce, relay or consume, as the bus tests need it
 *
 * READS     mailcase.case.events.v1 (mode consume)
 * WRITES    tables peer_seen, peer_key (made by the tests); the outbox (mode produce)
 * SETTINGS  MAILCASE_PEER_*, see the table below
 * FAILURES  those that a record's type asks for: test.perm, test.verdict, test.crash, test.fatal, test.temp, as long as
 *           peer_cured does not name the type
 */
#include <unistd.h>

#include "base/digest.h"
#include "base/log.h"
#include "kit/service.h"
#include "kit/turn.h"
#include "record/outbox.h"

#include "base/banned.h"

#define BATCH_MAX 20

struct peer_conf {
	char *mode, *group;
	int64_t count, keys, pause_ms;
};

static const struct conf_setting settings[] = {
	{ "MAILCASE_PEER_MODE", CONF_CHOICE, offsetof(struct peer_conf, mode), .choices = "install|produce|relay|consume|trim",
	  .required = true, .help = "what to do" },
	{ "MAILCASE_PEER_GROUP", CONF_TEXT, offsetof(struct peer_conf, group), .def = "alpha", .help = "consume: the group" },
	{ "MAILCASE_PEER_COUNT", CONF_INT, offsetof(struct peer_conf, count), .def = "1000", .min = 1, .max = 100000000,
	  .help = "produce: so many records; install: partitions" },
	{ "MAILCASE_PEER_KEYS", CONF_INT, offsetof(struct peer_conf, keys), .def = "100", .min = 1, .max = 1000000,
	  .help = "produce: of so many keys" },
	{ "MAILCASE_PEER_PAUSE_MS", CONF_INT, offsetof(struct peer_conf, pause_ms), .def = "0", .min = 0, .max = 10000,
	  .help = "produce: wait after each transaction; consume: between commit and confirm, where a crash makes repeats" },
	{ 0 },
};

static int run(struct service *service, struct err *err);
static int install(struct service *service, struct db *db, int partitions, struct err *err);
static int trim(struct db *db, struct err *err);
static int produce(struct service *service, struct db *db, const struct peer_conf *conf, struct err *err);
static int produce_batch(struct db *db, struct arena *arena, int64_t keys, size_t count, struct err *err);
static int consume(struct service *service, const struct peer_conf *conf, struct err *err);
static void linger(struct turn *turn);
static int apply(struct turn *turn, struct err *err);
static int is_cured(struct turn *turn, struct str type, struct err *err);

static const struct service_def def = {
	.name = "bus_peer",
	.summary = "produce, relay or consume, as the bus tests need it",
	.examples = "  MAILCASE_PEER_MODE=consume MAILCASE_DATABASE_URL=postgresql:///mailcase bus_peer\n",
	.settings = settings,
	.own_conf_size = sizeof(struct peer_conf),
	.run = run,
};

int main(int argc, char **argv)
{
	return service_main(argc, argv, &def);
}

static int run(struct service *service, struct err *err)
{
	const struct peer_conf *conf = service->own_conf;
	struct str mode = str_of(conf->mode);
	if (str_eq(mode, STR("consume")))
		return consume(service, conf, err);
	struct db *db = service_open_db(service, "peer", err);
	if (!db)
		return err->kind ? -1 : 0;
	int failed = 0;
	if (str_eq(mode, STR("install")))
		failed = install(service, db, (int)conf->count, err);
	else if (str_eq(mode, STR("trim")))
		failed = trim(db, err);
	else if (str_eq(mode, STR("produce")))
		failed = produce(service, db, conf, err);
	service_ready(service, true, NULL);
	while (str_eq(mode, STR("relay")) && !service_stopping()) {
		service_alive(service);
		service_wait(service, 1000);
	}
	db_close(db);
	return failed;
}

static int install(struct service *service, struct db *db, int partitions, struct err *err)
{
	return bus_install(&service->bus_options, db, partitions, err);
}

static int trim(struct db *db, struct err *err)
{
	int64_t trimmed;
	if (bus_trim(db, &trimmed, err) < 0)
		return -1;
	log_info("peer.trimmed", LOG_INT("records", trimmed), LOG_END);
	return 0;
}

static int produce(struct service *service, struct db *db, const struct peer_conf *conf, struct err *err)
{
	struct arena arena CLEANUP(arena_done);
	arena_init(&arena);
	int64_t left = conf->count;
	while (left > 0 && !service_stopping()) {
		uint32_t random;
		random_bytes(&random, sizeof random);
		size_t count = 1 + random % BATCH_MAX;
		count = (int64_t)count > left ? (size_t)left : count;
		arena_reset(&arena);
		if (produce_batch(db, &arena, conf->keys, count, err) == 0) {
			left -= (int64_t)count;
			service_wake_relay(service);
			if (conf->pause_ms)
				service_wait(service, conf->pause_ms);
			continue;
		}
		db_rollback(db);
		if (err->kind != ERR_TEMP)
			return -1;
		log_warn("peer.retried", LOG_ERR(err), LOG_END);
		service_wait(service, 50);
		if (db_recover(db, err) < 0)
			return -1;
	}
	return 0;
}

/* As a case's events are written: the key's row is locked, its version grows, and only then the sequence is drawn. Keys
 * are shared by all producers. */
static int produce_batch(struct db *db, struct arena *arena, int64_t keys, size_t count, struct err *err)
{
	int64_t *wanted = ARENA_ARRAY(arena, int64_t, count);
	uint64_t *random = ARENA_ARRAY(arena, uint64_t, count);
	random_bytes(random, count * sizeof *random);
	for (size_t i = 0; i < count; i++)
		wanted[i] = (int64_t)(random[i] % (uint64_t)keys);
	struct db_args args;
	db_args_init(&args, arena);
	db_arg_ints(&args, wanted, count);
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	if (db_begin(db, err) < 0 ||
	    db_query(db,
	             "WITH mine AS (SELECT n FROM peer_key WHERE n = ANY ($1) ORDER BY n FOR NO KEY UPDATE)"
	             " UPDATE peer_key k SET version = version + 1 FROM mine WHERE k.n = mine.n RETURNING k.key, k.version",
	             &args, &rows, err) < 0)
		return -1;
	size_t found = (size_t)db_rows(rows);
	struct outbox_row *out = ARENA_ARRAY(arena, struct outbox_row, found);
	for (size_t i = 0; i < found; i++)
		out[i] = (struct outbox_row){
			.ce_id = uuid_v7(),
			.topic = TOPIC_CASE_EVENTS,
			.key = db_str(rows, (int)i, 0),
			.type = "test.storm",
			.subject = db_str(rows, (int)i, 0),
			.sequence = db_int(rows, (int)i, 1),
			.value = { arena_calloc(arena, 1, 300), 300 },
		};
	if (outbox_put(db, arena, out, found, err) < 0)
		return -1;
	return db_commit(db, err);
}

static int consume(struct service *service, const struct peer_conf *conf, struct err *err)
{
	static const char *const topics[] = { TOPIC_CASE_EVENTS, NULL };
	struct turn_handler handler = { .group = conf->group, .topics = topics, .idle_ms = 1000, .apply = apply,
		                            .committed = linger };
	return turn_loop(service, &handler, err);
}

static void linger(struct turn *turn)
{
	const struct peer_conf *conf = turn->service->own_conf;
	if (conf->pause_ms)
		service_wait(turn->service, conf->pause_ms);
}

static int apply(struct turn *turn, struct err *err)
{
	size_t n = turn->count, kept = 0;
	struct arena *arena = &turn->arena;
	struct uuid *ids = ARENA_ARRAY(arena, struct uuid, n);
	struct str *keys = ARENA_ARRAY(arena, struct str, n);
	int64_t *partitions = ARENA_ARRAY(arena, int64_t, n), *offsets = ARENA_ARRAY(arena, int64_t, n),
	        *sequences = ARENA_ARRAY(arena, int64_t, n);
	for (size_t i = 0; i < n; i++) {
		const struct bus_record *record = &turn->records[i];
		int cured = str_eq(record->type, STR("test.storm")) ? 1 : is_cured(turn, record->type, err);
		if (cured < 0)
			return -1;
		if (!cured && str_eq(record->type, STR("test.crash")))
			_exit(99);
		if (!cured && str_eq(record->type, STR("test.perm")))
			return err_set(err, ERR_PERM, "cannot handle %.*s", STR_ARG(record->key));
		if (!cured && str_eq(record->type, STR("test.temp")))
			return err_set(err, ERR_TEMP, "could not handle %.*s", STR_ARG(record->key));
		if (!cured && str_eq(record->type, STR("test.fatal")))
			return err_set(err, ERR_FATAL, "cannot go on with %.*s", STR_ARG(record->key));
		if (!cured && str_eq(record->type, STR("test.verdict"))) {
			if (turn_set_aside(turn, record, "the verdict", err) < 0)
				return -1;
			continue;
		}
		ids[kept] = record->ce_id;
		keys[kept] = record->key;
		partitions[kept] = record->partition;
		offsets[kept] = record->offset;
		sequences[kept++] = record->sequence;
	}
	struct db_args args;
	db_args_init(&args, arena);
	db_arg_text(&args, str_of(((const struct peer_conf *)turn->service->own_conf)->group));
	db_arg_uuids(&args, ids, kept);
	db_arg_texts(&args, keys, kept);
	db_arg_ints(&args, partitions, kept);
	db_arg_ints(&args, offsets, kept);
	db_arg_ints(&args, sequences, kept);
	db_arg_bool(&args, turn->is_replay);
	return db_queue(turn->db,
	                "INSERT INTO peer_seen (group_name, ce_id, key, partition, log_offset, sequence, is_replay)"
	                " SELECT $1, ce_id, key, partition, log_offset, sequence, $7 FROM unnest($2::uuid[], $3::text[], $4::int8[], $5::int8[], $6::int8[])"
	                " WITH ORDINALITY AS r (ce_id, key, partition, log_offset, sequence, place) ORDER BY place",
	                &args, NULL, err);
}

static int is_cured(struct turn *turn, struct str type, struct err *err)
{
	struct db_args args;
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	db_args_init(&args, &turn->arena);
	db_arg_text(&args, type);
	if (db_query(turn->db, "SELECT 1 FROM peer_cured WHERE type = $1", &args, &rows, err) < 0)
		return -1;
	return db_rows(rows) > 0;
}
