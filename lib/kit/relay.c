/* SPDX-License-Identifier: Apache-2.0 */
#include "relay.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "kit/metrics.h"
#include "record/lease.h"
#include "record/outbox.h"

#include "base/banned.h"

#define ROWS_MAX 200
#define SCAN_MS 250       /* the safety net under the wake-ups */
#define GATHER_MS 5       /* under load: between two moves that were not full */
#define LOOK_AGAIN_MS 2   /* after a wake-up, because the next commit is often near */
#define LOOK_AGAIN_FOR_MS 20
#define LAST_LOOK_MS 2000 /* at the end: what our own last turn has put there */
#define GAUGES_MS 10000

struct relay {
	struct bus_options options;
	int64_t lease_ms;
	int wake_fd, stop_fd;
	pthread_t thread;
	atomic_bool is_stopping;

	/* the thread's own */
	struct arena arena;
	struct db *db;
	struct bus *bus;
	struct lease lease;
	bool holds;
	bool is_told; /* that the engine is another */
	int64_t next_lease_ms, next_gauges_ms;
	struct backoff backoff;
};

static struct metric moved_total = METRIC_COUNTER("mailcase_relay_moved_total", "records moved to the bus", NULL);
static struct metric failures_total = METRIC_COUNTER("mailcase_relay_failures_total", "relay turns that failed", NULL);
static struct metric holds_lease = METRIC_GAUGE("mailcase_relay_holds", "1 where this process is the relay", NULL);
static struct metric outbox_rows = METRIC_GAUGE("mailcase_outbox_rows", "records that wait, counted to 100,000", NULL);
static struct metric outbox_age =
	METRIC_SECONDS("mailcase_outbox_oldest_seconds", "age of the oldest record that waits", NULL);
static struct metric snapshot_age =
	METRIC_SECONDS("mailcase_oldest_snapshot_seconds", "age of the oldest transaction: it keeps vacuum away", NULL);

static void *relay_thread(void *arg);
static int turn(struct relay *relay, int *out_moved, struct err *err);
static int keep_lease(struct relay *relay, struct err *err);
static int is_our_engine(struct relay *relay, struct err *err);
static int stand_down(struct relay *relay, const char *event, struct err *err);
static int gauges(struct relay *relay, struct err *err);
static int has_rows(struct relay *relay, struct err *err);
static void wait_for_work(struct relay *relay, int64_t ms);
static void look_again(struct relay *relay);
static void last_look(struct relay *relay);

struct relay *relay_start(const struct bus_options *options, const char *owner, int64_t lease_ms, int wake_fd,
                          struct err *err)
{
	struct relay *relay = xcalloc(1, sizeof *relay);
	relay->options = *options;
	relay->lease_ms = lease_ms;
	relay->wake_fd = wake_fd;
	relay->lease = (struct lease){ .kind = "relay", .name = STR("outbox"), .owner = owner };
	backoff_init(&relay->backoff, 100, 5000);
	arena_init(&relay->arena);
	relay->bus = bus_open(options, err);
	relay->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (relay->bus && pthread_create(&relay->thread, NULL, relay_thread, relay) == 0)
		return relay;
	if (relay->bus)
		err_set(err, ERR_FATAL, "cannot start the relay: no thread to be had");
	bus_close(relay->bus);
	close(relay->stop_fd);
	free(relay);
	return NULL;
}

void relay_stop(struct relay *relay)
{
	if (!relay)
		return;
	uint64_t one = 1;
	atomic_store(&relay->is_stopping, true);
	(void)!write(relay->stop_fd, &one, sizeof one);
	pthread_join(relay->thread, NULL);
	bus_close(relay->bus);
	close(relay->stop_fd);
	free(relay);
}

static void *relay_thread(void *arg)
{
	struct relay *relay = arg;
	while (!atomic_load(&relay->is_stopping)) {
		struct err err = { 0 };
		int moved = 0;
		arena_reset(&relay->arena);
		if (turn(relay, &moved, &err) < 0) {
			int64_t wait_ms = backoff_next_ms(&relay->backoff);
			metric_add(metric_label(&failures_total, NULL), 1);
			log_warn("relay.retried", LOG_ERR(&err), LOG_INT("wait_ms", wait_ms), LOG_END);
			struct pollfd fd = { .fd = relay->stop_fd, .events = POLLIN };
			poll(&fd, 1, (int)wait_ms);
			continue;
		}
		backoff_reset(&relay->backoff);
		if (moved && moved < ROWS_MAX) {
			struct pollfd fd = { .fd = relay->stop_fd, .events = POLLIN };
			poll(&fd, 1, GATHER_MS);
		}
		if (moved)
			look_again(relay);
		else
			wait_for_work(relay, SCAN_MS);
	}
	last_look(relay);
	db_close(relay->db);
	arena_done(&relay->arena);
	return NULL;
}

static int turn(struct relay *relay, int *out_moved, struct err *err)
{
	if (!relay->db) {
		relay->db = db_open(relay->options.database_url, "relay", err);
		if (!relay->db)
			return -1;
	} else if (relay->backoff.failures && db_recover(relay->db, err) < 0) {
		return -1;
	}
	if (keep_lease(relay, err) < 0)
		return -1;
	if (!relay->holds)
		return 0;
	if (clock_mono_ms() >= relay->next_gauges_ms && gauges(relay, err) < 0)
		return -1;
	bool is_lost = false;
	int moved = 0;
	if (bus_relay(relay->bus, relay->db, relay->lease.owner, relay->lease.epoch, ROWS_MAX, &moved, &is_lost, err) < 0) {
		if (!is_lost)
			return -1;
		db_rollback(relay->db);
		return stand_down(relay, "relay.lost", err);
	}
	metric_add(metric_label(&moved_total, NULL), moved);
	*out_moved = moved;
	return 0;
}

/* Taken and renewed at a fifth of its life. */
static int keep_lease(struct relay *relay, struct err *err)
{
	int64_t now_ms = clock_mono_ms();
	if (now_ms < relay->next_lease_ms)
		return 0;
	relay->next_lease_ms = now_ms + relay->lease_ms / 5;
	int ours = is_our_engine(relay, err);
	if (ours < 0)
		return -1;
	if (!ours && !relay->holds)
		return 0;
	if (!ours) {
		if (lease_release(relay->db, &relay->arena, &relay->lease, err) < 0)
			return -1;
		return stand_down(relay, "relay.released", err);
	}
	int got = relay->holds ? lease_renew(relay->db, &relay->arena, &relay->lease, relay->lease_ms, err)
	                       : lease_take(relay->db, &relay->arena, &relay->lease, relay->lease_ms, err);
	if (got < 0)
		return -1;
	/* A move between the engines has the lease while it changes the engine: what was so before may be past. */
	if (got && !relay->holds && (ours = is_our_engine(relay, err)) <= 0)
		return ours < 0 ? -1 : lease_release(relay->db, &relay->arena, &relay->lease, err);
	if (got && !relay->holds) {
		/* Before the first scan: what is put there after it will wake us. Those who stand by sleep on. */
		if (db_listen(relay->db, OUTBOX_CHANNEL, err) < 0)
			return -1;
		relay->holds = true;
		metric_set(metric_label(&holds_lease, NULL), 1);
		log_info("relay.taken", LOG_INT("epoch", relay->lease.epoch), LOG_END);
	} else if (!got && relay->holds) {
		return stand_down(relay, "relay.lost", err);
	}
	return 0;
}

/* 0: the outbox goes to the other engine, and whoever has that one moves it; or the engine is just changing. */
static int is_our_engine(struct relay *relay, struct err *err)
{
	enum bus_engine engine = relay->options.engine;
	bool moves;
	if (bus_engine_of(relay->db, &engine, &moves, err) < 0)
		return -1;
	bool is_ours = engine == relay->options.engine;
	if (!is_ours && !relay->is_told)
		log_warn("relay.other_engine", LOG_TEXT("installed", bus_engine_name(engine)),
		         LOG_TEXT("ours", bus_engine_name(relay->options.engine)),
		         LOG_TEXT("remedy", "set MAILCASE_BUS to the installed one, or run `casectl bus move`"), LOG_END);
	relay->is_told = !is_ours;
	return is_ours && !moves;
}

static int stand_down(struct relay *relay, const char *event, struct err *err)
{
	relay->holds = false;
	metric_set(metric_label(&holds_lease, NULL), 0);
	log_info(event, LOG_INT("epoch", relay->lease.epoch), LOG_END);
	return db_unlisten(relay->db, OUTBOX_CHANNEL, err);
}

/* A snapshot that is held for long keeps dead outbox rows, and each scan reads them again. */
static int gauges(struct relay *relay, struct err *err)
{
	static const char sql[] =
		"SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT 100000) AS rows),"
		" coalesce((SELECT extract(epoch FROM clock_timestamp() - created_at)::float8 FROM outbox ORDER BY seq LIMIT 1), 0),"
		" coalesce((SELECT extract(epoch FROM clock_timestamp() - min(xact_start))::float8 FROM pg_stat_activity"
		" WHERE backend_xmin IS NOT NULL), 0)";
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	relay->next_gauges_ms = clock_mono_ms() + GAUGES_MS;
	if (db_query(relay->db, sql, NULL, &rows, err) < 0)
		return err_prefix(err, "could not measure the outbox");
	metric_set(metric_label(&outbox_rows, NULL), db_int(rows, 0, 0));
	metric_set(metric_label(&outbox_age, NULL), (int64_t)(db_real(rows, 0, 1) * 1e6));
	metric_set(metric_label(&snapshot_age, NULL), (int64_t)(db_real(rows, 0, 2) * 1e6));
	return 0;
}

static void wait_for_work(struct relay *relay, int64_t ms)
{
	/* What came along with an answer is in libpq's hands already. */
	bool is_notified = false;
	struct err err = { 0 };
	if (db_notified(relay->db, &is_notified, &err) < 0 || (is_notified && relay->holds))
		return;
	struct pollfd fds[] = { { .fd = relay->stop_fd, .events = POLLIN },
		                    { .fd = relay->wake_fd, .events = POLLIN },
		                    { .fd = db_socket(relay->db), .events = POLLIN } };
	int64_t until_lease_ms = relay->next_lease_ms - clock_mono_ms();
	if (!relay->holds || until_lease_ms < ms)
		ms = until_lease_ms;
	poll(fds, ARRAY_LEN(fds), ms > 0 ? (int)ms : 0);
	uint64_t count;
	(void)!read(relay->wake_fd, &count, sizeof count);
}

/* Returns as soon as there are rows, or when none came for a while. */
static void look_again(struct relay *relay)
{
	int64_t until_ms = clock_mono_ms() + LOOK_AGAIN_FOR_MS;
	while (clock_mono_ms() < until_ms) {
		struct err err = { 0 };
		if (has_rows(relay, &err) != 0)
			return;
		struct pollfd fds[] = { { .fd = relay->stop_fd, .events = POLLIN },
			                    { .fd = relay->wake_fd, .events = POLLIN },
			                    { .fd = db_socket(relay->db), .events = POLLIN } };
		uint64_t count;
		poll(fds, ARRAY_LEN(fds), LOOK_AGAIN_MS);
		if (fds[0].revents || read(relay->wake_fd, &count, sizeof count) > 0)
			return;
	}
}

static int has_rows(struct relay *relay, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	if (db_query(relay->db, "SELECT 1 FROM outbox ORDER BY seq LIMIT 1", NULL, &rows, err) < 0)
		return -1;
	return db_rows(rows);
}

static void last_look(struct relay *relay)
{
	int64_t until_ms = clock_mono_ms() + LAST_LOOK_MS;
	struct err err = { 0 };
	int moved = 1;
	while (relay->holds && moved && clock_mono_ms() < until_ms) {
		arena_reset(&relay->arena);
		if (turn(relay, &moved, &err) < 0)
			break;
	}
	if (relay->holds && lease_release(relay->db, &relay->arena, &relay->lease, &err) == 0)
		(void)!stand_down(relay, "relay.released", &err);
}
