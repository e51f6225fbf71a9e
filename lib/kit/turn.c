/* SPDX-License-Identifier: Apache-2.0 */
#include "turn.h"

#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "kit/metrics.h"
#include "kit/turn_private.h"
#include "record/dead_letter.h"

#include "base/banned.h"

#define BYTES_MAX ((size_t)4 << 20)
#define IDLE_MS 1000
#define REPLAY_EVERY_MS 1000
#define GAUGES_MS 10000
#define AGAIN_MAX 50   /* rows that move under a turn this often are no accident */
#define SINGLE_AFTER 5 /* failures, then the batch is run one by one: it may be too large for what is free */
#define RACES_MAX 5    /* a duplicate key that comes this often is no race */

static const char again_text[] = "a row moved before it was locked";
static const char poisoned_reason[] = "the process crashed three times with this record in hand";

static struct metric turns_total = METRIC_COUNTER("mailcase_turns_total", "turns by outcome", "outcome");
static struct metric records_total = METRIC_COUNTER("mailcase_records_total", "records confirmed", NULL);
static struct metric lost_total =
	METRIC_COUNTER("mailcase_partitions_lost_total", "partitions lost before their batch was confirmed", NULL);
static struct metric behind_records = METRIC_GAUGE(
	"mailcase_bus_behind_records", "records that this process's partitions hold beyond what it has confirmed", NULL);
static struct metric seconds = METRIC_HISTOGRAM("mailcase_turn_seconds", "from poll to commit", NULL);

static int one_turn(struct turn *turn, struct err *err);
static int poll_batch(struct turn *turn, struct bus_record **records, size_t *count, bool *is_poisoned, struct err *err);
static enum settled settle(struct turn *turn, struct bus_record *records, size_t count, bool is_poisoned,
                           struct err *err);
static enum settled settle_singly(struct turn *turn, struct bus_record *records, size_t count, struct err *err);
static size_t keep_owned(struct turn *turn, struct bus_record *records, size_t count);
static int attempt(struct turn *turn, struct err *err);
static int transaction(struct turn *turn, struct err *err);
static bool is_again(const struct err *err);
static int confirm(struct turn *turn, size_t count, struct err *err);
static int run_idle(struct turn *turn, struct err *err);
static int wait_and_recover(struct turn *turn, const char *event, struct err *err);

int turn_loop(struct service *service, const struct turn_handler *handler, struct err *err)
{
	struct turn_private priv = { .handler = handler };
	struct turn turn = { .service = service, .self = handler->self, .priv = &priv };
	int failed = 0;
	backoff_init(&priv.backoff, 100, 10000);
	arena_init(&turn.arena);
	arena_init(&priv.batch_arena);
	turn.db = service_open_db(service, handler->group, err);
	if (!turn.db) {
		failed = err->kind ? -1 : 0;
		goto out;
	}
	while (!priv.consumer && !service_stopping()) {
		priv.consumer = bus_consumer_open(&service->bus_options, handler->group, handler->topics, err);
		if (!priv.consumer && (failed = wait_and_recover(&turn, "bus.waiting", err)) < 0)
			goto out;
	}
	while (!service_stopping() && !failed)
		failed = one_turn(&turn, err);
	if (failed && priv.is_records_fault)
		bus_consumer_abandon(priv.consumer);
	else
		bus_consumer_close(priv.consumer);
out:
	db_close(turn.db);
	arena_done(&priv.batch_arena);
	arena_done(&turn.arena);
	return failed;
}

static int one_turn(struct turn *turn, struct err *err)
{
	struct turn_private *priv = turn->priv;
	struct bus_record *records = NULL;
	size_t count = 0;
	bool is_poisoned = false;
	service_alive(turn->service);
	if (priv->handler->idle && clock_mono_ms() >= priv->next_idle_ms && run_idle(turn, err) < 0)
		return -1;
	if (clock_mono_ms() >= priv->next_replay_ms) {
		int replayed = turn_replay(turn, err);
		/* More of them may be due. */
		priv->next_replay_ms = clock_mono_ms() + (replayed > 0 ? 0 : REPLAY_EVERY_MS);
		if (replayed < 0 && wait_and_recover(turn, "turn.retried", err) < 0)
			return -1;
	}
	if (clock_mono_ms() >= priv->next_gauges_ms) {
		int64_t behind = 0;
		priv->next_gauges_ms = clock_mono_ms() + GAUGES_MS;
		if (bus_behind(priv->consumer, &behind, err) < 0)
			return wait_and_recover(turn, "bus.waiting", err);
		metric_set(metric_label(&behind_records, NULL), behind);
	}
	arena_reset(&priv->batch_arena);
	if (poll_batch(turn, &records, &count, &is_poisoned, err) < 0)
		return wait_and_recover(turn, "bus.waiting", err);
	service_ready(turn->service, true, NULL);
	if (count == 0) {
		backoff_reset(&priv->backoff);
		return 0;
	}
	int64_t begun_us = clock_wall_us();
	switch (settle(turn, records, count, is_poisoned, err)) {
	case SETTLED:
		metric_observe_us(metric_label(&seconds, NULL), clock_wall_us() - begun_us);
		metric_add(metric_label(&turns_total, "done"), 1);
		backoff_reset(&priv->backoff);
		return confirm(turn, count, err);
	case LEFT:
		bus_rewind(priv->consumer);
		return 0;
	default:
		metric_add(metric_label(&turns_total, "failed"), 1);
		return -1;
	}
}

static int poll_batch(struct turn *turn, struct bus_record **records, size_t *count, bool *is_poisoned, struct err *err)
{
	const struct turn_handler *handler = turn->priv->handler;
	int64_t wait_ms = handler->idle_ms ? handler->idle_ms : IDLE_MS;
	int64_t now_ms = clock_mono_ms();
	if (handler->idle && turn->priv->next_idle_ms - now_ms < wait_ms)
		wait_ms = turn->priv->next_idle_ms - now_ms;
	if (turn->priv->next_replay_ms - now_ms < wait_ms)
		wait_ms = turn->priv->next_replay_ms - now_ms;
	return bus_poll(turn->priv->consumer, &turn->priv->batch_arena, (size_t)turn->service->conf.batch_max,
	                handler->bytes_max ? handler->bytes_max : BYTES_MAX, wait_ms > 0 ? (int)wait_ms : 0,
	                turn->service->stop_fd, records, count, is_poisoned, err);
}

/* Until the records are handled or set aside, whatever it takes. */
static enum settled settle(struct turn *turn, struct bus_record *records, size_t count, bool is_poisoned,
                           struct err *err)
{
	unsigned failures = 0, races = 0;
	for (;;) {
		count = keep_owned(turn, records, count);
		if (count == 0)
			return LEFT;
		turn->records = records;
		turn->count = count;
		turn->is_replay = false;
		int done = is_poisoned ? turn_bury(turn, &records[0], poisoned_reason, err) : attempt(turn, err);
		if (done == 0)
			return SETTLED;
		if (is_again(err))
			continue;
		races = strcmp(db_sqlstate(turn->db), "23505") == 0 ? races + 1 : 0;
		if (races == RACES_MAX)
			err->kind = ERR_PERM;
		if (err->kind == ERR_FATAL) {
			turn->priv->is_records_fault = true;
			return FAILED;
		}
		if (err->kind == ERR_PERM && count == 1) {
			char reason[sizeof err->text];
			memcpy(reason, err->text, sizeof reason);
			if (turn_bury(turn, &records[0], reason, err) == 0)
				return SETTLED;
			err->kind = ERR_TEMP;
		}
		if (err->kind == ERR_PERM || (++failures >= SINGLE_AFTER && count > 1)) {
			metric_add(metric_label(&turns_total, "one_by_one"), 1);
			log_warn("turn.one_by_one", LOG_TEXT("group", turn->priv->handler->group), LOG_INT("records", count),
			         LOG_ERR(err), LOG_END);
			return settle_singly(turn, records, count, err);
		}
		metric_add(metric_label(&turns_total, "retried"), 1);
		if (wait_and_recover(turn, "turn.retried", err) < 0)
			return FAILED;
		if (service_stopping())
			return LEFT;
	}
}

static enum settled settle_singly(struct turn *turn, struct bus_record *records, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		struct err ignored = { 0 };
		service_alive(turn->service);
		/* Two hundred turns take longer than a membership lasts. */
		(void)!bus_keep_alive(turn->priv->consumer, &ignored);
		if (!bus_owns(turn->priv->consumer, &records[i]))
			continue;
		enum settled one = settle(turn, &records[i], 1, false, err);
		/* Stopped in the middle: nothing is confirmed, and what is done already will be found done. */
		if (one == FAILED || (one == LEFT && service_stopping()))
			return one;
	}
	return SETTLED;
}

static size_t keep_owned(struct turn *turn, struct bus_record *records, size_t count)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++)
		if (bus_owns(turn->priv->consumer, &records[i]))
			records[kept++] = records[i];
	if (kept < count)
		log_info("turn.partition_taken", LOG_TEXT("group", turn->priv->handler->group), LOG_INT("records", count - kept),
		         LOG_END);
	return kept;
}

/* Prepare, then the transaction. */
static int attempt(struct turn *turn, struct err *err)
{
	const struct turn_handler *handler = turn->priv->handler;
	arena_reset(&turn->arena);
	turn->batch = NULL;
	db_rollback(turn->db);
	if (handler->prepare) {
		if (handler->prepare(turn, err) < 0)
			return -1;
		if (bus_keep_alive(turn->priv->consumer, err) < 0)
			return -1;
		for (size_t i = 0; i < turn->count; i++)
			if (!bus_owns(turn->priv->consumer, &turn->records[i]))
				return turn_again(err);
	}
	return turn_apply(turn, NULL, err);
}

int turn_apply(struct turn *turn, const struct uuid *replayed, struct err *err)
{
	turn->priv->replayed = replayed;
	for (int again = 0; again < AGAIN_MAX; again++) {
		if (transaction(turn, err) == 0)
			return 0;
		db_rollback(turn->db);
		if (!is_again(err))
			return -1;
	}
	return err_set(err, ERR_TEMP, "could not lock what was read: it moved %d times", AGAIN_MAX);
}

static int transaction(struct turn *turn, struct err *err)
{
	const struct turn_handler *handler = turn->priv->handler;
	turn->filled_outbox = false;
	turn_verdicts_reset(turn);
	if (db_begin(turn->db, err) < 0 || handler->apply(turn, err) < 0)
		return -1;
	if (turn->priv->replayed && !turn->priv->verdicts.len &&
	    dead_letter_settle(turn->db, &turn->arena, *turn->priv->replayed, NULL, err) < 0)
		return -1;
	if (db_commit(turn->db, err) < 0)
		return -1;
	turn_committed(turn);
	if (handler->committed)
		handler->committed(turn);
	return 0;
}

int turn_again(struct err *err)
{
	return err_set(err, ERR_TEMP, "%s", again_text);
}

static bool is_again(const struct err *err)
{
	return err->kind == ERR_TEMP && strcmp(err->text, again_text) == 0;
}

/* The batch is durable: this may wait for the bus, but not be given up. */
static int confirm(struct turn *turn, size_t count, struct err *err)
{
	size_t lost = 0;
	while (bus_confirm(turn->priv->consumer, &lost, err) < 0) {
		if (wait_and_recover(turn, "turn.confirm_retried", err) < 0)
			return -1;
		if (service_stopping())
			return 0;
	}
	metric_add(metric_label(&records_total, NULL), (int64_t)count);
	if (lost) {
		metric_add(metric_label(&lost_total, NULL), (int64_t)lost);
		log_info("turn.confirm_refused", LOG_TEXT("group", turn->priv->handler->group), LOG_INT("partitions", lost),
		         LOG_END);
	}
	return 0;
}

static int run_idle(struct turn *turn, struct err *err)
{
	const struct turn_handler *handler = turn->priv->handler;
	arena_reset(&turn->arena);
	turn->records = NULL;
	turn->count = 0;
	turn->filled_outbox = false;
	turn->priv->next_idle_ms = clock_mono_ms() + (handler->idle_ms ? handler->idle_ms : IDLE_MS);
	int failed = handler->idle(turn, err);
	if (turn->filled_outbox)
		service_wake_relay(turn->service);
	if (!failed)
		return 0;
	db_rollback(turn->db);
	return wait_and_recover(turn, "turn.idle_failed", err);
}

/* TEMP: a growing pause, in which membership and probes stay alive. FATAL is passed on. */
static int wait_and_recover(struct turn *turn, const char *event, struct err *err)
{
	struct turn_private *priv = turn->priv;
	if (err->kind == ERR_FATAL)
		return -1;
	int64_t wait_ms = backoff_next_ms(&priv->backoff), until_ms = clock_mono_ms() + wait_ms;
	log_warn(event, LOG_TEXT("group", priv->handler->group), LOG_TEXT("kind", err_kind_name(err->kind)),
	         LOG_INT("wait_ms", wait_ms), LOG_ERR(err), LOG_END);
	if (priv->backoff.failures >= 3)
		service_ready(turn->service, false, "database or bus");
	int64_t left_ms;
	while ((left_ms = until_ms - clock_mono_ms()) > 0 && !service_stopping()) {
		struct err ignored = { 0 };
		service_alive(turn->service);
		if (priv->consumer)
			(void)!bus_keep_alive(priv->consumer, &ignored);
		service_wait(turn->service, left_ms < 500 ? left_ms : 500);
	}
	struct err recover_err = { 0 };
	if (db_recover(turn->db, &recover_err) < 0 && recover_err.kind == ERR_FATAL) {
		*err = recover_err;
		return -1;
	}
	return 0;
}
