/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox_roll.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"

#include "base/banned.h"

#define SCAN_MS 2000
#define TAKE_MAX 500
#define LEFT_OVER_SCANS 3 /* a mailbox that nobody took in so many scans is taken beyond the share */
#define SPREAD_PER_MAILBOX_MS 2

static struct metric held = METRIC_GAUGE("mailcase_fetcher_mailboxes", "mailboxes that this process reads", NULL);
static struct metric late =
	METRIC_GAUGE("mailcase_fetcher_mailboxes_late", "of these, whose new mail waits longer than MAILCASE_LATE_S", NULL);
static struct metric unowned = METRIC_GAUGE("mailcase_fetcher_mailboxes_unowned", "active mailboxes without an owner", NULL);

static const char renew_sql[] =
	"UPDATE lease SET expires = clock_timestamp() + $3 * interval '1 millisecond'"
	" WHERE kind = 'mailbox' AND name = ANY($2) AND owner = $1 RETURNING name, epoch";

static const char present_sql[] =
	"INSERT INTO lease (kind, name, owner, epoch, expires)"
	" VALUES ('fetcher', $1, $1, 1, clock_timestamp() + $2 * interval '1 millisecond')"
	" ON CONFLICT (kind, name) DO UPDATE SET expires = excluded.expires";

static const char report_sql[] =
	"INSERT INTO fetcher_report (fetcher, mailboxes, late) VALUES ($1, $2, $3)"
	" ON CONFLICT (fetcher) DO UPDATE SET mailboxes = excluded.mailboxes, late = excluded.late"
	" WHERE (fetcher_report.mailboxes, fetcher_report.late) <> (excluded.mailboxes, excluded.late)";

static const char fetchers_sql[] = "SELECT count(*) FROM lease WHERE kind = 'fetcher' AND expires > clock_timestamp()";

static const char scan_sql[] =
	"SELECT m.id, m.changed_at, coalesce(l.owner, ''), coalesce(l.expires > clock_timestamp(), false)"
	" FROM mailbox m LEFT JOIN lease l ON l.kind = 'mailbox' AND l.name = m.id::text"
	" WHERE m.is_active AND m.protocol = 'imap' ORDER BY m.id";

static const char take_sql[] =
	"WITH taken AS ("
	"  UPDATE lease SET owner = $1, epoch = epoch + (owner <> $1)::integer,"
	"         expires = clock_timestamp() + $3 * interval '1 millisecond'"
	"  WHERE kind = 'mailbox' AND name = ANY($2) AND (owner = $1 OR expires <= clock_timestamp()) RETURNING name, epoch"
	"), fresh AS ("
	"  INSERT INTO lease (kind, name, owner, epoch, expires)"
	"  SELECT 'mailbox', n, $1, 1, clock_timestamp() + $3 * interval '1 millisecond' FROM unnest($2::text[]) AS n"
	"  WHERE NOT EXISTS (SELECT FROM lease WHERE kind = 'mailbox' AND name = n)"
	"  ON CONFLICT DO NOTHING RETURNING name, epoch"
	") SELECT name, epoch FROM taken UNION ALL SELECT name, epoch FROM fresh";

static const char release_sql[] =
	"UPDATE lease SET expires = clock_timestamp() WHERE kind = 'mailbox' AND owner = $1 AND name = ANY($2)";
static const char leave_sql[] =
	"UPDATE lease SET expires = clock_timestamp() WHERE owner = $1 AND kind IN ('mailbox', 'fetcher')";
static const char tell_sql[] = "SELECT pg_notify('mailcase_mailbox', '')";
/* For the row of a mailbox that was switched off while we had it. */
static const char off_sql[] =
	"UPDATE mailbox_state s SET state = 'off', reason = '', remedy = '', next_try_at = NULL, since = clock_timestamp()"
	" FROM mailbox m WHERE m.id = s.mailbox_id AND NOT m.is_active AND s.state <> 'off' AND s.mailbox_id = ANY($1)";

struct wanted {
	struct uuid id;
	unsigned scans; /* that found it without an owner */
};

struct mailbox_roll {
	struct fetcher *fetcher;
	struct db_jobs *jobs;
	struct loop_timer timer;
	struct db_job scan_job, take_job, leave_job;
	struct db_result *renewed, *fetchers, *scanned, *taken, *mailboxes, *folders;
	struct mailbox_run *runs;
	size_t run_count;
	int64_t asked_ms;   /* when the statement in hand was sent */
	int64_t renewed_ms; /* when the last renewal that succeeded was sent */
	struct arena arena; /* of the scan in hand */
	struct uuid *take;  /* what to take, or load again */
	size_t take_count;
	struct uuid *release;
	size_t release_count;
	struct wanted *waiting; /* without an owner, by earlier scans */
	size_t waiting_count;
	bool is_renewing, scan_again, is_stopping, is_released;
};

static void notified(void *self);
static void timer_fired(struct loop_timer *timer);
static int build_scan(struct db_job *job, struct db *db, struct arena *arena, struct err *err);
static void scanned(struct db_job *job, const struct err *err, const char *sqlstate);
static void look_at_leases(struct mailbox_roll *roll);
static void look_at_mailboxes(struct mailbox_roll *roll);
static int build_take(struct db_job *job, struct db *db, struct arena *arena, struct err *err);
static void taken(struct db_job *job, const struct err *err, const char *sqlstate);
static int build_leave(struct db_job *job, struct db *db, struct arena *arena, struct err *err);
static void left(struct db_job *job, const struct err *err, const char *sqlstate);
static void drop(struct mailbox_roll *roll, struct mailbox_run **link, const char *why);
static void next_scan(struct mailbox_roll *roll, int64_t wait_ms);

struct mailbox_roll *mailbox_roll_new(struct fetcher *fetcher, struct db *connection)
{
	struct mailbox_roll *roll = xcalloc(1, sizeof *roll);

	roll->fetcher = fetcher;
	arena_init(&roll->arena);
	roll->timer = (struct loop_timer){ .fire = timer_fired, .self = roll };
	roll->scan_job = (struct db_job){ .build = build_scan, .done = scanned, .self = roll };
	roll->take_job = (struct db_job){ .build = build_take, .done = taken, .self = roll };
	roll->leave_job = (struct db_job){ .build = build_leave, .done = left, .self = roll };
	roll->jobs = db_jobs_new(fetcher->loop, &connection, 1, notified, roll);
	next_scan(roll, 0);
	return roll;
}

void mailbox_roll_stop(struct mailbox_roll *roll)
{
	roll->is_stopping = true;
	loop_timer_stop(roll->fetcher->loop, &roll->timer);
	while (roll->runs)
		drop(roll, &roll->runs, "stopping");
	if (!roll->leave_job.is_busy)
		db_jobs_add(roll->jobs, &roll->leave_job);
}

bool mailbox_roll_released(const struct mailbox_roll *roll)
{
	return roll->is_released;
}

void mailbox_roll_free(struct mailbox_roll *roll)
{
	if (!roll)
		return;
	db_jobs_free(roll->jobs);
	db_result_done(&roll->renewed);
	db_result_done(&roll->fetchers);
	db_result_done(&roll->scanned);
	db_result_done(&roll->taken);
	db_result_done(&roll->mailboxes);
	db_result_done(&roll->folders);
	free(roll->waiting);
	arena_done(&roll->arena);
	free(roll);
}

bool mailbox_roll_healthy(const struct mailbox_roll *roll)
{
	return db_jobs_healthy(roll->jobs);
}

void mailbox_roll_check(struct mailbox_roll *roll)
{
	for (struct mailbox_run **link = &roll->runs; *link;) {
		struct mailbox_run *run = *link;
		if (mailbox_run_holds(run)) {
			link = &run->next;
			continue;
		}
		drop(roll, link, "not renewed in time");
	}
}

static void notified(void *self)
{
	struct mailbox_roll *roll = self;

	if (roll->scan_job.is_busy || roll->take_job.is_busy)
		roll->scan_again = true;
	else
		next_scan(roll, 0);
}

/* The scans renew the leases: a short one needs more of them. */
static int64_t scan_ms(const struct mailbox_roll *roll)
{
	int64_t renewal_ms = roll->fetcher->conf->lease_ms / 4;

	return renewal_ms < SCAN_MS ? renewal_ms : SCAN_MS;
}

static void next_scan(struct mailbox_roll *roll, int64_t wait_ms)
{
	if (!roll->is_stopping)
		loop_timer_at(roll->fetcher->loop, &roll->timer, clock_mono_ms() + wait_ms);
}

static void timer_fired(struct loop_timer *timer)
{
	struct mailbox_roll *roll = timer->self;

	if (!roll->scan_job.is_busy && !roll->take_job.is_busy)
		db_jobs_add(roll->jobs, &roll->scan_job);
}

static void owner_args(struct db_args *args, struct arena *arena, const struct mailbox_roll *roll)
{
	db_args_init(args, arena);
	db_arg_text(args, str_of(roll->fetcher->service->instance));
}

static int build_scan(struct db_job *job, struct db *db, struct arena *arena, struct err *err)
{
	struct mailbox_roll *roll = job->self;
	struct str *names = ARENA_ARRAY(arena, struct str, roll->run_count + 1);
	struct db_args args;
	size_t count = 0, late_count = 0;

	roll->asked_ms = clock_mono_ms();
	roll->scan_again = false;
	for (const struct mailbox_run *run = roll->runs; run; run = run->next) {
		names[count++] = run->lease.name;
		late_count += mailbox_run_is_late(run, roll->asked_ms);
	}
	metric_set(metric_label(&late, NULL), (int64_t)late_count);
	owner_args(&args, arena, roll);
	db_arg_texts(&args, names, count);
	db_arg_int(&args, roll->fetcher->conf->lease_ms);
	roll->is_renewing = count > 0 && roll->asked_ms - roll->renewed_ms >= roll->fetcher->conf->lease_ms / 4;
	if (roll->is_renewing && db_queue(db, renew_sql, &args, &roll->renewed, err) < 0)
		return -1;
	owner_args(&args, arena, roll);
	db_arg_int(&args, roll->fetcher->conf->lease_ms);
	if (db_queue(db, present_sql, &args, NULL, err) < 0 || db_queue(db, fetchers_sql, NULL, &roll->fetchers, err) < 0)
		return -1;
	owner_args(&args, arena, roll);
	db_arg_int(&args, (int64_t)count);
	db_arg_int(&args, (int64_t)late_count);
	if (db_queue(db, report_sql, &args, NULL, err) < 0)
		return -1;
	return db_queue(db, scan_sql, NULL, &roll->scanned, err);
}

static void scanned(struct db_job *job, const struct err *err, const char *sqlstate)
{
	struct mailbox_roll *roll = job->self;

	(void)sqlstate;
	if (err)
		log_warn("fetcher.scan_failed", LOG_ERR(err), LOG_END);
	if (err || roll->is_stopping) {
		next_scan(roll, scan_ms(roll));
		return;
	}
	arena_reset(&roll->arena);
	roll->take_count = roll->release_count = 0;
	if (roll->is_renewing)
		look_at_leases(roll);
	look_at_mailboxes(roll);
	metric_set(metric_label(&held, NULL), (int64_t)roll->run_count);
	if (roll->take_count > 0 || roll->release_count > 0)
		db_jobs_add(roll->jobs, &roll->take_job);
	else
		next_scan(roll, roll->scan_again ? 0 : scan_ms(roll));
}

static struct str id_key(const struct uuid *id)
{
	return str_span((const char *)id->b, sizeof id->b);
}

static struct map runs_by_id(struct mailbox_roll *roll)
{
	struct map map;

	map_init(&map, &roll->arena);
	for (struct mailbox_run *run = roll->runs; run; run = run->next)
		map_put(&map, id_key(&run->mailbox.id.id), run);
	return map;
}

/* What was not renewed is another's, or will be. */
static void look_at_leases(struct mailbox_roll *roll)
{
	struct map runs = runs_by_id(roll);

	roll->renewed_ms = roll->asked_ms;
	for (struct mailbox_run *run = roll->runs; run; run = run->next)
		run->is_wanted = false;
	for (int row = 0; row < db_rows(roll->renewed); row++) {
		struct uuid id;
		struct mailbox_run *run = uuid_parse(db_str(roll->renewed, row, 0), &id) ? map_get(&runs, id_key(&id)) : NULL;
		/* One that had lapsed by our own clock has ignored what its server said since: it begins anew. */
		if (!run || db_int(roll->renewed, row, 1) != run->lease.epoch || !mailbox_run_holds(run))
			continue;
		run->is_wanted = true;
		run->lease.expires_mono_ms = roll->asked_ms + roll->fetcher->conf->lease_ms;
	}
	for (struct mailbox_run **link = &roll->runs; *link;) {
		if ((*link)->is_wanted)
			link = &(*link)->next;
		else
			drop(roll, link, mailbox_run_holds(*link) ? "taken by another" : "not renewed in time");
	}
}

static struct mailbox_run **find_run(struct mailbox_roll *roll, struct uuid id)
{
	struct mailbox_run **link = &roll->runs;

	while (*link && !uuid_eq((*link)->mailbox.id.id, id))
		link = &(*link)->next;
	return link;
}

/* In how many scans, this one included, has nobody had the mailbox? Both lists are in the order of the ids. */
static unsigned count_scans(struct mailbox_roll *roll, size_t *place, struct uuid id)
{
	while (*place < roll->waiting_count && uuid_cmp(roll->waiting[*place].id, id) < 0)
		(*place)++;
	return *place < roll->waiting_count && uuid_eq(roll->waiting[*place].id, id) ? roll->waiting[*place].scans + 1 : 1;
}

static void look_at_mailboxes(struct mailbox_roll *roll)
{
	int total = db_rows(roll->scanned);
	int64_t fetchers = db_int(roll->fetchers, 0, 0);
	size_t share = (size_t)((total + fetchers - 1) / (fetchers > 0 ? fetchers : 1));
	struct wanted *now = xcalloc((size_t)total + 1, sizeof *now);
	size_t now_count = 0, place = 0, ours = 0;
	struct map runs = runs_by_id(roll);

	roll->take = ARENA_ARRAY(&roll->arena, struct uuid, (size_t)total + 1);
	roll->release = ARENA_ARRAY(&roll->arena, struct uuid, roll->run_count + 1);
	for (struct mailbox_run *run = roll->runs; run; run = run->next)
		run->is_wanted = false;
	for (int row = 0; row < total; row++) {
		struct uuid id = db_uuid(roll->scanned, row, 0);
		struct mailbox_run *run = map_get(&runs, id_key(&id));
		if (run) {
			run->is_wanted = ++ours <= share;
			if (run->is_wanted && run->mailbox.changed_at_us != db_time(roll->scanned, row, 1))
				roll->take[roll->take_count++] = id; /* loaded again, and started anew */
		} else if (!db_bool(roll->scanned, row, 3) ||
		           str_eq(db_str(roll->scanned, row, 2), str_of(roll->fetcher->service->instance))) {
			unsigned scans = count_scans(roll, &place, id);
			now[now_count++] = (struct wanted){ .id = id, .scans = scans };
			bool within_share = roll->run_count + roll->take_count < share;
			if (roll->take_count < TAKE_MAX && (within_share || scans > LEFT_OVER_SCANS))
				roll->take[roll->take_count++] = id;
		}
	}
	for (struct mailbox_run **link = &roll->runs; *link;) {
		if ((*link)->is_wanted) {
			link = &(*link)->next;
			continue;
		}
		roll->release[roll->release_count++] = (*link)->mailbox.id.id;
		drop(roll, link, "given back");
	}
	metric_set(metric_label(&unowned, NULL), (int64_t)now_count);
	free(roll->waiting);
	roll->waiting = now;
	roll->waiting_count = now_count;
}

static void add_names(struct db_args *args, struct arena *arena, const struct uuid *ids, size_t count)
{
	struct str *names = ARENA_ARRAY(arena, struct str, count + 1);

	for (size_t i = 0; i < count; i++)
		names[i] = uuid_str(arena, ids[i]);
	db_arg_texts(args, names, count);
}

static int build_take(struct db_job *job, struct db *db, struct arena *arena, struct err *err)
{
	struct mailbox_roll *roll = job->self;
	struct db_args args;

	roll->asked_ms = clock_mono_ms();
	if (roll->release_count > 0) {
		owner_args(&args, arena, roll);
		add_names(&args, arena, roll->release, roll->release_count);
		if (db_queue(db, release_sql, &args, NULL, err) < 0)
			return -1;
		db_args_init(&args, arena);
		db_arg_uuids(&args, roll->release, roll->release_count);
		if (db_queue(db, off_sql, &args, NULL, err) < 0 || db_queue(db, tell_sql, NULL, NULL, err) < 0)
			return -1;
	}
	owner_args(&args, arena, roll);
	add_names(&args, arena, roll->take, roll->take_count);
	db_arg_int(&args, roll->fetcher->conf->lease_ms);
	if (db_queue(db, take_sql, &args, &roll->taken, err) < 0)
		return -1;
	return mailbox_queue_load(db, arena, roll->take, roll->take_count, &roll->mailboxes, &roll->folders, err);
}

static void taken(struct db_job *job, const struct err *err, const char *sqlstate)
{
	struct mailbox_roll *roll = job->self;
	struct mailbox *mailboxes;
	size_t count;

	(void)sqlstate;
	if (err)
		log_warn("fetcher.take_failed", LOG_ERR(err), LOG_END);
	if (err || roll->is_stopping) {
		next_scan(roll, scan_ms(roll));
		return;
	}
	mailbox_decode(&roll->arena, roll->mailboxes, roll->folders, &mailboxes, &count);
	roll->fetcher->start_spread_ms = (uint32_t)db_rows(roll->taken) * SPREAD_PER_MAILBOX_MS;
	for (int row = 0; row < db_rows(roll->taken); row++) {
		struct uuid id;
		if (!uuid_parse(db_str(roll->taken, row, 0), &id))
			continue;
		for (size_t i = 0; i < count; i++) {
			if (!uuid_eq(mailboxes[i].id.id, id))
				continue;
			struct lease lease = { .kind = "mailbox", .owner = roll->fetcher->service->instance,
				               .epoch = db_int(roll->taken, row, 1),
				               .expires_mono_ms = roll->asked_ms + roll->fetcher->conf->lease_ms };
			struct mailbox_run **link = find_run(roll, id);
			if (*link) {
				mailboxes[i].next_try_at_us = 0; /* whatever the old settings led to */
				drop(roll, link, "settings changed");
			}
			struct mailbox_run *run = mailbox_run_new(roll->fetcher, &mailboxes[i], &lease);
			run->next = roll->runs;
			roll->runs = run;
			roll->run_count++;
			log_info("mailbox.taken", LOG_UUID("mailbox", id), LOG_INT("epoch", lease.epoch), LOG_END);
		}
	}
	metric_set(metric_label(&held, NULL), (int64_t)roll->run_count);
	/* There may be more than one taking's worth. */
	next_scan(roll, roll->scan_again || roll->take_count == TAKE_MAX ? 0 : scan_ms(roll));
}

static void drop(struct mailbox_roll *roll, struct mailbox_run **link, const char *why)
{
	struct mailbox_run *run = *link;

	*link = run->next;
	roll->run_count--;
	log_info("mailbox.dropped", LOG_UUID("mailbox", run->mailbox.id.id), LOG_TEXT("why", why), LOG_END);
	mailbox_run_close(run);
}

static int build_leave(struct db_job *job, struct db *db, struct arena *arena, struct err *err)
{
	struct mailbox_roll *roll = job->self;
	struct db_args args;

	owner_args(&args, arena, roll);
	if (db_queue(db, leave_sql, &args, NULL, err) < 0)
		return -1;
	return db_queue(db, tell_sql, NULL, NULL, err);
}

static void left(struct db_job *job, const struct err *err, const char *sqlstate)
{
	struct mailbox_roll *roll = job->self;

	(void)sqlstate;
	(void)err;
	roll->is_released = true;
}
