/* SPDX-License-Identifier: Apache-2.0 */
#include "db_jobs.h"

#include <stdlib.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"

#include "base/banned.h"

#define WORKERS_MAX 4
#define CONNECT_MOST_S 2 /* the loop stands still while a connection is made again */

struct worker {
	struct db_jobs *jobs;
	struct db *db;
	struct arena arena;
	struct loop_watch watch;
	struct loop_timer retry;
	struct loop_timer begin; /* a job has been added */
	struct backoff backoff;
	struct db_job *job;
	bool in_trouble;
};

struct db_jobs {
	struct loop *loop;
	struct worker workers[WORKERS_MAX];
	size_t count;
	struct db_job *first, **end;
	void (*notified)(void *self);
	void *self;
};

static void begin(struct loop_timer *timer);
static void start(struct worker *worker);
static void step(struct worker *worker);
static void failed(struct worker *worker, const struct err *err);
static void finish(struct worker *worker, const struct err *err, const char *sqlstate);
static void retry(struct loop_timer *timer);
static void ready(struct loop_watch *watch, uint32_t events);
static void rest(struct worker *worker);

struct db_jobs *db_jobs_new(struct loop *loop, struct db **connections, size_t count, void (*notified)(void *self),
                            void *self)
{
	struct db_jobs *jobs = xcalloc(1, sizeof *jobs);

	jobs->loop = loop;
	jobs->count = count < WORKERS_MAX ? count : WORKERS_MAX;
	jobs->end = &jobs->first;
	jobs->notified = notified;
	jobs->self = self;
	for (size_t i = 0; i < jobs->count; i++) {
		struct worker *worker = &jobs->workers[i];
		worker->jobs = jobs;
		worker->db = connections[i];
		db_connect_most(worker->db, CONNECT_MOST_S);
		arena_init(&worker->arena);
		backoff_init(&worker->backoff, 50, 5000);
		worker->watch = (struct loop_watch){ .fd = -1, .ready = ready, .self = worker };
		worker->retry = (struct loop_timer){ .fire = retry, .self = worker };
		worker->begin = (struct loop_timer){ .fire = begin, .self = worker };
		rest(worker);
	}
	return jobs;
}

void db_jobs_free(struct db_jobs *jobs)
{
	if (!jobs)
		return;
	for (size_t i = 0; i < jobs->count; i++) {
		struct worker *worker = &jobs->workers[i];
		loop_watch(jobs->loop, &worker->watch, 0);
		loop_timer_stop(jobs->loop, &worker->retry);
		loop_timer_stop(jobs->loop, &worker->begin);
		db_close(worker->db);
		arena_done(&worker->arena);
	}
	free(jobs);
}

void db_jobs_add(struct db_jobs *jobs, struct db_job *job)
{
	job->is_busy = true;
	job->is_running = false;
	job->next = NULL;
	*jobs->end = job;
	jobs->end = &job->next;
	/* Not from here: a quick answer would call `done` in the middle of what the caller is doing. */
	for (size_t i = 0; i < jobs->count; i++) {
		struct worker *worker = &jobs->workers[i];
		if (!worker->job && !worker->in_trouble && worker->begin.place == 0) {
			loop_timer_at(jobs->loop, &worker->begin, clock_mono_ms());
			return;
		}
	}
}

static void begin(struct loop_timer *timer)
{
	struct worker *worker = timer->self;

	if (!worker->job && !worker->in_trouble)
		start(worker);
}

bool db_jobs_cancel(struct db_jobs *jobs, struct db_job *job)
{
	if (!job->is_busy)
		return true;
	if (job->is_running)
		return false;
	for (struct db_job **link = &jobs->first; *link; link = &(*link)->next) {
		if (*link == job) {
			*link = job->next;
			if (!job->next)
				jobs->end = link;
			break;
		}
	}
	job->is_busy = false;
	return true;
}

bool db_jobs_healthy(const struct db_jobs *jobs)
{
	for (size_t i = 0; i < jobs->count; i++)
		if (jobs->workers[i].in_trouble)
			return false;
	return true;
}

bool db_jobs_idle(const struct db_jobs *jobs)
{
	for (size_t i = 0; i < jobs->count; i++)
		if (jobs->workers[i].job)
			return false;
	return !jobs->first;
}

/* Take the next job; a worker whose job is set begins that one again. */
static void start(struct worker *worker)
{
	struct db_jobs *jobs = worker->jobs;
	struct err err = { 0 };

	if (!worker->job) {
		worker->job = jobs->first;
		if (!worker->job) {
			rest(worker);
			return;
		}
		jobs->first = worker->job->next;
		if (!jobs->first)
			jobs->end = &jobs->first;
		worker->job->is_running = true;
	}
	arena_reset(&worker->arena);
	if (worker->job->build(worker->job, worker->db, &worker->arena, &err) < 0 || db_flush_start(worker->db, &err) < 0) {
		failed(worker, &err);
		return;
	}
	step(worker);
}

static void watch_socket(struct worker *worker, uint32_t events)
{
	int fd = db_socket(worker->db);

	if (worker->watch.fd != fd) {
		loop_watch(worker->jobs->loop, &worker->watch, 0);
		worker->watch.fd = fd;
	}
	if (fd >= 0)
		loop_watch(worker->jobs->loop, &worker->watch, events);
}

static void step(struct worker *worker)
{
	enum db_step next = DB_STEP_READ;
	struct err err = { 0 };

	if (db_flush_step(worker->db, &next, &err) < 0) {
		failed(worker, &err);
		return;
	}
	if (next == DB_STEP_DONE)
		finish(worker, NULL, "");
	else
		watch_socket(worker, next == DB_STEP_WRITE ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void failed(struct worker *worker, const struct err *err)
{
	struct err kept = *err, ignored;
	char sqlstate[6] = "";

	snprintf(sqlstate, sizeof sqlstate, "%s", db_sqlstate(worker->db));
	loop_watch(worker->jobs->loop, &worker->watch, 0);
	worker->watch.fd = -1;
	bool is_back = db_recover(worker->db, &ignored) == 0;
	bool is_owners = kept.kind != ERR_TEMP || strcmp(sqlstate, SQLSTATE_LEASE_LOST) == 0 ||
	                 strcmp(sqlstate, SQLSTATE_EXISTS_ALREADY) == 0;
	if (is_back && worker->job && is_owners) {
		finish(worker, &kept, sqlstate);
		return;
	}
	int64_t wait_ms = backoff_next_ms(&worker->backoff);
	log_warn("fetcher.database_retried", LOG_ERR(&kept), LOG_INT("wait_ms", wait_ms), LOG_END);
	worker->in_trouble = true;
	loop_timer_at(worker->jobs->loop, &worker->retry, clock_mono_ms() + wait_ms);
}

static void retry(struct loop_timer *timer)
{
	struct worker *worker = timer->self;
	struct err err = { 0 };

	if (db_recover(worker->db, &err) < 0) {
		failed(worker, &err);
		return;
	}
	if (!worker->job)
		worker->in_trouble = false;
	start(worker);
}

static void finish(struct worker *worker, const struct err *err, const char *sqlstate)
{
	struct db_job *job = worker->job;

	worker->job = NULL;
	worker->in_trouble = false;
	backoff_reset(&worker->backoff);
	job->is_busy = job->is_running = false;
	job->done(job, err, sqlstate);
	if (!worker->job)
		start(worker);
}

/* Nothing to do: the socket still tells of notifications and of a server that hung up. */
static void rest(struct worker *worker)
{
	struct err err = { 0 };
	bool any = false;

	watch_socket(worker, EPOLLIN);
	if (!worker->jobs->notified)
		return;
	/* What came along with the last answer does not make the socket readable. */
	if (db_notified(worker->db, &any, &err) < 0)
		failed(worker, &err);
	else if (any)
		worker->jobs->notified(worker->jobs->self);
}

static void ready(struct loop_watch *watch, uint32_t events)
{
	struct worker *worker = watch->self;
	struct err err = { 0 };
	bool any = false;

	(void)events;
	if (worker->job) {
		step(worker);
		return;
	}
	if (db_notified(worker->db, &any, &err) < 0) {
		failed(worker, &err);
		return;
	}
	watch_socket(worker, EPOLLIN);
	if (any && worker->jobs->notified)
		worker->jobs->notified(worker->jobs->self);
}
