/* SPDX-License-Identifier: Apache-2.0 */
#include "sender.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "kit/metrics.h"
#include "record/outbound.h"

#include "base/banned.h"

#define SCAN_MS INT64_C(1000)    /* deferred copies come due without a word */
#define REFRESH_MS INT64_C(2000) /* changed outbound mailboxes */
#define SWEEP_MS INT64_C(5000)
#define OUTCOMES_MOST 32 /* mails a transaction */
#define LINGER_MS 3      /* how long a commit waits for more to come along, while more is coming */
#define UNDER_WAY_MOST 1024

struct sender {
	struct sender_options options;
	pthread_t thread;
	int wake_fd;
	struct db *db;
	struct lanes *lanes;
	struct arena arena;
	bool is_due; /* look for work */
	int64_t scan_ms, refresh_ms, sweep_ms, renew_ms, stop_ms;
	struct backoff backoff; /* of the database */
	int64_t db_again_ms;
};

static struct metric copies_metric = METRIC_COUNTER("mailcase_copies_total", "copies of outgoing mails by what came of them",
                                                    "state");
static struct metric delay_metric = METRIC_HISTOGRAM("mailcase_send_seconds", "from the mail's making to its acceptance", NULL);

static void *run(void *self);
static int work(struct sender *sender, struct err *err);
static void linger(struct sender *sender);
static int refresh(struct sender *sender, struct err *err);
static int claim(struct sender *sender, struct err *err);
static int commit(struct sender *sender, bool *out_more, struct err *err);
static size_t collect_outcomes(const struct send_job *jobs, struct send_outcome *out);
static struct send_outcome outcome_of(const struct send_job *job, size_t i, int64_t now_us);
static void count_outcomes(const struct send_job *jobs, const struct send_outcome *outcomes, size_t count);
static int renew_and_sweep(struct sender *sender, int64_t now_ms, struct err *err);
static int tell_states(struct sender *sender, struct err *err);
static void database_is_away(struct sender *sender, const struct err *err);
static void take_wakes(struct sender *sender);

struct sender *sender_start(const struct sender_options *options, struct err *err)
{
	struct sender *sender = xcalloc(1, sizeof *sender);

	sender->options = *options;
	arena_init(&sender->arena);
	backoff_init(&sender->backoff, 100, 5000);
	sender->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	sender->is_due = true;
	if (sender->wake_fd < 0 || pthread_create(&sender->thread, NULL, run, sender) != 0) {
		err_set(err, ERR_FATAL, "could not start the sender's thread");
		free(sender);
		return NULL;
	}
	return sender;
}

void sender_wake(struct sender *sender)
{
	uint64_t one = 1;

	(void)!write(sender->wake_fd, &one, sizeof one);
}

void sender_join(struct sender *sender)
{
	if (!sender)
		return;
	sender_wake(sender);
	pthread_join(sender->thread, NULL);
	close(sender->wake_fd);
	arena_done(&sender->arena);
	free(sender);
}

static void *run(void *self)
{
	struct sender *sender = self;
	struct err err = { 0 };

	sender->db = service_open_db(sender->options.service, "sender", &err);
	if (!sender->db) {
		if (err.kind != ERR_NONE)
			log_error("sender.failed", LOG_ERR(&err), LOG_END);
		return NULL;
	}
	if (db_listen(sender->db, OUTBOUND_CHANNEL, &err) < 0)
		database_is_away(sender, &err);
	sender->lanes = lanes_new(&sender->options.lanes, &sender->options.seal_key);
	for (;;) {
		arena_reset(&sender->arena);
		int64_t now_ms = clock_mono_ms();
		if (service_stopping() && !sender->stop_ms) {
			sender->stop_ms = now_ms + sender->options.drain_ms;
			lanes_drain(sender->lanes);
		}
		if (sender->stop_ms && lanes_are_empty(sender->lanes))
			break;
		if (sender->stop_ms && now_ms >= sender->stop_ms) {
			/* What is cut now is recorded in a last transaction; what even that misses, its lease tells. */
			lanes_cut(sender->lanes);
			if (now_ms >= sender->stop_ms + 2000)
				break;
		}
		if (now_ms < sender->db_again_ms)
			lanes_turn(sender->lanes, NULL, 0, 50);
		else if (work(sender, &err) < 0)
			database_is_away(sender, &err);
	}
	lanes_free(sender->lanes);
	db_close(sender->db);
	return NULL;
}

/* One round. The lanes turn even while the database is away: servers must be heard in time. */
static int work(struct sender *sender, struct err *err)
{
	int64_t now_ms = clock_mono_ms();
	bool more = false;

	if (commit(sender, &more, err) < 0 || tell_states(sender, err) < 0 || renew_and_sweep(sender, now_ms, err) < 0)
		return -1;
	if (!sender->stop_ms) {
		if (now_ms >= sender->refresh_ms && refresh(sender, err) < 0)
			return -1;
		if (now_ms >= sender->scan_ms) {
			sender->is_due = true;
			sender->scan_ms = now_ms + SCAN_MS;
		}
		if (sender->is_due && claim(sender, err) < 0)
			return -1;
	}
	backoff_reset(&sender->backoff);

	int fds[] = { sender->wake_fd, db_socket(sender->db) };
	lanes_turn(sender->lanes, fds, 2, more ? 0 : (int)SCAN_MS / 4);
	linger(sender);
	take_wakes(sender);
	bool is_notified = false;
	if (db_notified(sender->db, &is_notified, err) < 0)
		return -1;
	sender->is_due = sender->is_due || is_notified;
	return 0;
}

/* Busy connections answer within moments of each other, and a transaction for eight mails costs little more than one for
 * one: once something has come, wait for the rest as long as there is a rest and it keeps coming. */
static void linger(struct sender *sender)
{
	int64_t until_ms = clock_mono_ms() + LINGER_MS;
	size_t before = 0, now = lanes_to_commit(sender->lanes);

	while (now > before && now < OUTCOMES_MOST && lanes_in_flight(sender->lanes) && clock_mono_ms() < until_ms) {
		before = now;
		lanes_turn(sender->lanes, NULL, 0, 1);
		now = lanes_to_commit(sender->lanes);
	}
}

static int refresh(struct sender *sender, struct err *err)
{
	struct send_mailbox *mailboxes;
	size_t count;

	if (send_store_mailboxes(sender->db, &sender->arena, &mailboxes, &count, err) < 0)
		return -1;
	lanes_refresh(sender->lanes, mailboxes, count);
	sender->refresh_ms = clock_mono_ms() + REFRESH_MS;
	return 0;
}

static int claim(struct sender *sender, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	size_t most = lanes_count(sender->lanes), count, asked = 0, claims_len;
	struct outbound_mailbox_id *ids = ARENA_ARRAY(&sender->arena, struct outbound_mailbox_id, most + 1);
	int64_t *wanted = ARENA_ARRAY(&sender->arena, int64_t, most + 1);
	int64_t now_ms = clock_mono_ms();
	struct send_claim *claims;

	count = lanes_wanted(sender->lanes, now_ms, ids, wanted);
	if (!count)
		return 0; /* still due: a lane that is full now has room soon */
	for (size_t i = 0; i < count; i++)
		asked += (size_t)wanted[i];
	if (send_store_claim(sender->db, &sender->arena, sender->options.service->instance, sender->options.lanes.lease_ms, ids,
	                     wanted, count, &claims, &claims_len, &rows, err) < 0)
		return -1;
	lanes_take(sender->lanes, claims, claims_len, now_ms);
	/* Less than asked for: there is no more. One of many lanes may have more; the scan finds it within a second. */
	sender->is_due = claims_len > 0 && (claims_len == asked || count > 1);
	return 0;
}

static int commit(struct sender *sender, bool *out_more, struct err *err)
{
	struct arena *arena = &sender->arena;
	struct send_job *jobs = lanes_done(sender->lanes, OUTCOMES_MOST), *waiting = lanes_waiting(sender->lanes);
	size_t outcomes_len = 0, starts_len = 0, most = 0, at = 0;
	bool filled_outbox = false;

	*out_more = false;
	if (!jobs && !waiting)
		return 0;
	for (struct send_job *job = jobs; job; job = job->next)
		most += job->mail.recipients_len;
	struct send_outcome *outcomes = ARENA_ARRAY(arena, struct send_outcome, most + 1);
	outcomes_len = collect_outcomes(jobs, outcomes);
	for (struct send_job *job = waiting; job; job = job->next_waiting)
		starts_len += job->mail.recipients_len;
	struct send_start *starts = ARENA_ARRAY(arena, struct send_start, starts_len + 1);
	starts_len = 0;
	for (struct send_job *job = waiting; job; job = job->next_waiting) {
		for (size_t i = 0; i < job->mail.recipients_len; i++) {
			if (!job->mail.recipients[i].is_settled)
				starts[starts_len++] = (struct send_start){ .copy = job->copies[i].copy,
					                                    .epoch = job->copies[i].epoch,
					                                    .attempts = job->copies[i].attempts + 1 };
		}
	}
	if (send_store_commit(sender->db, arena, sender->options.service->instance, sender->options.lanes.lease_ms, outcomes,
	                      outcomes_len, starts, starts_len, &filled_outbox, err) < 0) {
		db_rollback(sender->db);
		lanes_done_again(sender->lanes, jobs);
		return -1;
	}
	if (filled_outbox)
		service_wake_relay(sender->options.service);
	for (struct send_job *job = waiting; job; job = job->next_waiting) {
		for (size_t i = 0; i < job->mail.recipients_len; i++) {
			if (!job->mail.recipients[i].is_settled && starts[at++].may_start)
				job->copies[i].state = COPY_SENDING;
		}
	}
	lanes_started(sender->lanes);
	count_outcomes(jobs, outcomes, outcomes_len);
	while (jobs) {
		struct send_job *job = jobs;
		jobs = job->next;
		send_job_free(job);
		*out_more = true;
	}
	return 0;
}

static size_t collect_outcomes(const struct send_job *jobs, struct send_outcome *out)
{
	int64_t now_us = clock_wall_us();
	size_t count = 0;

	for (const struct send_job *job = jobs; job; job = job->next) {
		for (size_t i = 0; i < job->mail.recipients_len; i++)
			out[count++] = outcome_of(job, i, now_us);
	}
	return count;
}

static struct send_outcome outcome_of(const struct send_job *job, size_t i, int64_t now_us)
{
	const struct smtp_recipient *recipient = &job->mail.recipients[i];
	const struct send_claim *copy = &job->copies[i];
	enum copy_event event = COPY_WAS_DEFERRED;
	struct send_outcome outcome = {
		.copy = copy->copy,
		.epoch = copy->epoch,
		.outbound = job->outbound,
		.tenant = job->tenant,
		.case_id = job->case_id,
		.attempts = copy->attempts + 1,
		.reply_code = recipient->code,
		.reply_text = str_of(recipient->words),
	};
	uint32_t bits;

	if (recipient->verdict == SMTP_NOT_TRIED && copy->state != COPY_SENDING) {
		outcome.is_released = true;
		return outcome;
	}
	if (recipient->verdict == SMTP_ACCEPTED)
		event = COPY_WAS_ACCEPTED;
	else if (recipient->verdict == SMTP_REFUSED)
		event = COPY_WAS_REFUSED;
	else if (recipient->verdict == SMTP_UNKNOWN)
		event = COPY_LOST_TRACK;
	else if (outbound_gives_up(job->created_us, now_us))
		event = COPY_GAVE_UP;
	if (!outbound_state_next(copy->state, event, &outcome.state)) {
		/* No body was written, so whatever the server meant by it the copy is where it was. */
		outcome.is_released = true;
		return outcome;
	}
	if (outcome.state == COPY_DEFERRED) {
		random_bytes(&bits, sizeof bits);
		outcome.retry_us = outbound_retry_us(outcome.attempts, (double)bits / 4294967296.0);
	}
	return outcome;
}

static void count_outcomes(const struct send_job *jobs, const struct send_outcome *outcomes, size_t count)
{
	int64_t now_us = clock_wall_us();

	for (size_t i = 0; i < count; i++) {
		const struct send_outcome *outcome = &outcomes[i];
		if (outcome->is_released)
			continue;
		metric_add(metric_label(&copies_metric, copy_state_name(outcome->state)), 1);
		log_write(outcome->state == COPY_FAILED || outcome->state == COPY_UNKNOWN ? LOG_WARN : LOG_INFO, "copy.state",
		          LOG_UUID("case", outcome->case_id.id), LOG_UUID("outbound", outcome->outbound.id),
		          LOG_UUID("copy", outcome->copy.id), LOG_TEXT("state", copy_state_name(outcome->state)),
		          LOG_INT("code", outcome->reply_code), LOG_INT("attempts", outcome->attempts), LOG_END);
	}
	for (const struct send_job *job = jobs; job; job = job->next) {
		for (size_t i = 0; i < job->mail.recipients_len; i++) {
			if (job->mail.recipients[i].verdict == SMTP_ACCEPTED)
				metric_observe_us(metric_label(&delay_metric, NULL), now_us - job->created_us);
		}
	}
}

static int renew_and_sweep(struct sender *sender, int64_t now_ms, struct err *err)
{
	if (now_ms >= sender->renew_ms) {
		struct copy_id *copies = ARENA_ARRAY(&sender->arena, struct copy_id, UNDER_WAY_MOST);
		size_t count = lanes_under_way(sender->lanes, copies, UNDER_WAY_MOST);
		if (count && send_store_renew(sender->db, &sender->arena, sender->options.service->instance,
		                              sender->options.lanes.lease_ms, copies, count, err) < 0)
			return -1;
		sender->renew_ms = now_ms + sender->options.lanes.lease_ms / 3;
	}
	if (now_ms >= sender->sweep_ms && !sender->stop_ms) {
		size_t count;
		if (send_store_sweep(sender->db, &sender->arena, &count, err) < 0) {
			db_rollback(sender->db);
			return -1;
		}
		if (count) {
			metric_add(metric_label(&copies_metric, "unknown"), (int64_t)count);
			log_warn("copy.lost", LOG_INT("copies", count), LOG_END);
			service_wake_relay(sender->options.service);
		}
		sender->sweep_ms = now_ms + SWEEP_MS;
	}
	return 0;
}

static int tell_states(struct sender *sender, struct err *err)
{
	struct lane_state state;

	while (lanes_next_state(sender->lanes, &state)) {
		if (send_store_state(sender->db, &sender->arena, &state.id, state.tenant, state.state, state.reason, state.remedy,
		                     state.failures, state.next_try_ms, err) < 0)
			return -1;
	}
	return 0;
}

/* Nothing is lost by it: outcomes wait in memory, bodies are not begun, claims run out. */
static void database_is_away(struct sender *sender, const struct err *err)
{
	struct err again = { 0 };
	int64_t wait_ms = backoff_next_ms(&sender->backoff);

	log_warn("sender.waits", LOG_ERR(err), LOG_INT("wait_ms", wait_ms), LOG_END);
	/* Servers are heard meanwhile. */
	for (int64_t until_ms = clock_mono_ms() + wait_ms; clock_mono_ms() < until_ms;)
		lanes_turn(sender->lanes, NULL, 0, 50);
	if (db_recover(sender->db, &again) < 0)
		sender->db_again_ms = clock_mono_ms() + wait_ms;
	sender->is_due = true;
}

static void take_wakes(struct sender *sender)
{
	uint64_t count;

	if (read(sender->wake_fd, &count, sizeof count) == (ssize_t)sizeof count)
		sender->is_due = true;
}
