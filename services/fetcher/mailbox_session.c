/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox_session.h"

#include <stdlib.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "protocol/imap_name.h"

#include "base/banned.h"

/* Servers end a session after 30 minutes of silence. */
#define POLL_MOST_S 1500
/* An IDLE that the server ends sooner is none. */
#define IDLE_LEAST_MS 10000
/* Only a connection that was well for so long makes the failures before it forgotten. */
#define WELL_MS 60000
/* While one folder tries whether the server takes the password, the others wait. */
#define LOGIN_TURN_MS 100

static struct metric logins = METRIC_COUNTER("mailcase_fetcher_logins_total", "attempts to open a mailbox", "outcome");

static void connect_now(struct mailbox_session *session);
static void login_failed(struct mailbox_session *session, int64_t wait_ms);
static void on_timer(struct loop_timer *timer);
static void on_ready(void *self);
static void on_reply(void *self, const struct imap_reply *reply);
static void on_done(void *self, int kind, const struct imap_reply *reply);
static void idle_ended(struct mailbox_session *session, bool ok);
static void on_failed(void *self, enum trouble_cause cause, struct str words);

struct mailbox_session *mailbox_session_new(struct mailbox_run *run, const struct mailbox_folder *row,
                                            const char *no_password)
{
	struct mailbox_session *session = xcalloc(1, sizeof *session);

	session->run = run;
	session->row = row;
	session->no_password = no_password ? xstrdup(no_password) : NULL;
	session->folder = (struct intake_folder){ .mailbox = &run->mailbox, .lease = &run->lease, .folder = row->id,
		                                  .action_delay_s = run->fetcher->conf->action_delay_s };
	session->health = (struct session_health){ .state = MAILBOX_STARTING };
	session->timer = (struct loop_timer){ .fire = on_timer, .self = session };
	session_open_init(session);
	session_sync_init(session);
	server_action_init(session);
	session->state = SESSION_BACKING_OFF;
	uint32_t random;
	random_bytes(&random, sizeof random);
	int64_t wait_ms = (int64_t)(random % (run->fetcher->start_spread_ms + 1u));
	int64_t refused_ms = (run->refused_until_us - clock_wall_us()) / 1000;
	if (refused_ms > 0) {
		session->health.failures = run->mailbox.failures;
		wait_ms += refused_ms < run->fetcher->conf->wait_most_ms ? refused_ms : run->fetcher->conf->wait_most_ms;
	}
	loop_timer_at(run->fetcher->loop, &session->timer, clock_mono_ms() + wait_ms);
	return session;
}

static struct db_job *job_of(struct mailbox_session *session, size_t i)
{
	struct db_job *jobs[] = { &session->open_job,  &session->cursor_job,  &session->store_job,
		                  &session->known_job, &session->waiting_job, &session->actions_job };

	return i < ARRAY_LEN(jobs) ? jobs[i] : NULL;
}

void mailbox_session_close(struct mailbox_session *session)
{
	struct fetcher *fetcher = session->run->fetcher;

	session->state = SESSION_CLOSED;
	loop_timer_stop(fetcher->loop, &session->timer);
	loop_timer_stop(fetcher->loop, &session->actions_timer);
	imap_close(session->imap);
	session->imap = NULL;
	for (size_t i = 0; job_of(session, i); i++)
		db_jobs_cancel(fetcher->jobs, job_of(session, i));
	session_sync_drop(session);
}

bool mailbox_session_is_busy(const struct mailbox_session *session)
{
	return session->open_job.is_busy || session->cursor_job.is_busy || session->store_job.is_busy ||
	       session->known_job.is_busy || session->waiting_job.is_busy || session->actions_job.is_busy;
}

void mailbox_session_free(struct mailbox_session *session)
{
	session_sync_drop(session);
	db_result_done(&session->result);
	db_result_done(&session->store_result);
	db_result_done(&session->waiting_result);
	db_result_done(&session->actions_result);
	free(session->action_uids);
	free(session->no_password);
	free(session);
}

const struct session_health *mailbox_session_health(const struct mailbox_session *session)
{
	return &session->health;
}

bool mailbox_session_is_late(const struct mailbox_session *session, int64_t now_ms)
{
	return session->state == SESSION_SYNCING && mailbox_run_credit(session->run) > 0 &&
	       now_ms - session->sync_since_ms > session->run->fetcher->conf->late_s * 1000;
}

static void connect_now(struct mailbox_session *session)
{
	static const struct imap_handler handler = { .ready = on_ready, .reply = on_reply, .done = on_done,
		                                     .failed = on_failed };
	struct mailbox_run *run = session->run;
	const struct fetcher *fetcher = run->fetcher;
	struct imap_target target = {
		.host = run->host, .port = run->mailbox.port,
		.ca_file = run->ca_file, .insecure = run->mailbox.insecure,
		.username = run->username, .password = run->password,
		.egress = fetcher->egress, .login_timeout_ms = fetcher->conf->login_timeout_ms,
		.silence_ms = fetcher->conf->silence_ms,
	};

	if (!run->login_works && run->logging_in && run->logging_in != session) {
		loop_timer_at(fetcher->loop, &session->timer, clock_mono_ms() + LOGIN_TURN_MS);
		return;
	}
	run->logging_in = session;
	session->state = SESSION_CONNECTING;
	if (session->no_password) {
		session_trouble(session, TROUBLE_NO_CREDENTIAL, str_of(session->no_password));
		return;
	}
	imap_tls_parse(run->mailbox.tls, &target.tls);
	session->uidvalidity = session->uidnext = 0;
	session->exists = 0;
	session->without_idle = session->has_delivered = false;
	session->wait_ms = session->noop_at_ms = 0;
	struct imap_sink sink = session_sink;
	sink.self = session;
	session->imap = imap_open(fetcher->hub, &target, &handler, &sink, UINT64_C(1) << 40, session);
}

/* What a timer means depends on what the session waits for. */
static void on_timer(struct loop_timer *timer)
{
	struct mailbox_session *session = timer->self;

	switch (session->state) {
	case SESSION_BACKING_OFF:
		if (mailbox_session_is_busy(session)) /* the last batch is still being stored: the cursor would be old */
			loop_timer_at(session->run->fetcher->loop, timer, clock_mono_ms() + 100);
		else
			connect_now(session);
		break;
	case SESSION_RESTING:
		session->noticed_at_us = 0;
		session_sync(session);
		break;
	case SESSION_SYNCING:
		session_sync_step(session);
		break;
	default:
		break;
	}
}

static void on_ready(void *self)
{
	struct mailbox_session *session = self;
	struct arena arena;
	struct buf line;

	metric_add(metric_label(&logins, "ok"), 1);
	session->run->login_works = true;
	if (session->run->logging_in == session)
		session->run->logging_in = NULL;
	session->state = SESSION_SELECTING;
	arena_init(&arena);
	buf_init(&line, 4096);
	/* What the server offers may depend on who asks. */
	imap_command(session->imap, COMMAND_CAPABILITY, STR("CAPABILITY"));
	buf_add_text(&line, session->run->mailbox.after_seen ? "SELECT " : "EXAMINE ");
	imap_quote(&line, imap_name_encode(&arena, session->row->name));
	imap_command(session->imap, COMMAND_SELECT, buf_str(&line));
	buf_done(&line);
	arena_done(&arena);
}

static void on_reply(void *self, const struct imap_reply *reply)
{
	struct mailbox_session *session = self;

	if (!mailbox_run_holds(session->run))
		return; /* the roll is about to take the mailbox away */
	if (reply->kind == IMAP_OK && session->state == SESSION_SELECTING) {
		int64_t number;
		if (!str_to_i64(reply->code_args, 1, UINT32_MAX, &number))
			return;
		if (str_eq_nocase(reply->code, STR("UIDVALIDITY")))
			session->uidvalidity = number;
		else if (str_eq_nocase(reply->code, STR("UIDNEXT")))
			session->uidnext = number;
	} else if (reply->kind == IMAP_EXISTS) {
		bool more = reply->number > session->exists;
		session->exists = reply->number;
		if (!more || (session->state != SESSION_RESTING && session->state != SESSION_SYNCING))
			return;
		if (!session->is_dirty)
			session->dirty_since_us = clock_wall_us();
		session->is_dirty = true;
		if (session->state == SESSION_RESTING) {
			session->noticed_at_us = session->dirty_since_us;
			session_sync(session);
		}
	} else if (reply->kind == IMAP_EXPUNGE) {
		session->exists -= session->exists > 0;
		session->synced_exists -= session->synced_exists > 0;
	} else if (reply->kind == IMAP_SEARCH && session->state == SESSION_FLOOR) {
		session_floor_found(session, reply);
	} else {
		session_sync_reply(session, reply);
	}
}

static void on_done(void *self, int kind, const struct imap_reply *reply)
{
	struct mailbox_session *session = self;

	if (!mailbox_run_holds(session->run))
		return;
	switch (kind) {
	case COMMAND_CAPABILITY:
	case COMMAND_NOOP:
		break;
	case COMMAND_SELECT:
		if (reply->kind == IMAP_OK)
			session_opens(session);
		else
			session_trouble(session, TROUBLE_NO_FOLDER, reply->text);
		break;
	case COMMAND_FLOOR:
		session_floor_done(session, reply);
		break;
	case COMMAND_IDLE:
		if (session->state == SESSION_RESTING && imap_commands_waiting(session->imap) == 0)
			idle_ended(session, reply->kind == IMAP_OK);
		break;
	case COMMAND_STORE:
		server_action_done(session, reply);
		break;
	default:
		session_sync_done(session, kind, reply);
	}
}

/* By the server: it refused, or it ends IDLE from time to time. One that does so at once would be asked without end. */
static void idle_ended(struct mailbox_session *session, bool ok)
{
	if (ok && clock_mono_ms() - session->idle_since_ms >= IDLE_LEAST_MS) {
		session->noticed_at_us = 0;
		session_sync(session);
		return;
	}
	session->without_idle = true;
	session->health.has_idle = false;
	session_rest(session);
	mailbox_run_report(session->run);
}

static void on_failed(void *self, enum trouble_cause cause, struct str words)
{
	struct mailbox_session *session = self;

	if (session->state == SESSION_CONNECTING)
		metric_add(metric_label(&logins, trouble_name(cause)), 1);
	session_trouble(session, cause, words);
}

void session_trouble(struct mailbox_session *session, enum trouble_cause cause, struct str words)
{
	struct session_health *health = &session->health;
	const struct fetcher_conf *conf = session->run->fetcher->conf;
	struct arena arena;

	if (session->state == SESSION_CLOSED || session->state == SESSION_BACKING_OFF)
		return;
	arena_init(&arena);
	health->trouble = mailbox_trouble_of(cause, words);
	struct str shown = str_cut_utf8(str_scrub(&arena, str_trim(words)), sizeof health->words - 1);
	snprintf(health->words, sizeof health->words, "%.*s", STR_ARG(shown));
	arena_done(&arena);
	if (health->state == MAILBOX_OK && clock_mono_ms() - session->well_since_ms >= WELL_MS)
		health->failures = 0;
	health->failures++;
	health->state = health->trouble.state == TROUBLE_AUTH_FAILS ? MAILBOX_AUTH_FAILED : MAILBOX_BACKING_OFF;
	int64_t most_ms = health->trouble.wait_most_ms < conf->wait_most_ms ? health->trouble.wait_most_ms : conf->wait_most_ms;
	int64_t first_ms = health->trouble.wait_first_ms < most_ms ? health->trouble.wait_first_ms : most_ms;
	struct backoff backoff;
	backoff_init(&backoff, first_ms, most_ms);
	backoff.failures = (unsigned)(health->failures < 30 ? health->failures - 1 : 30);
	int64_t wait_ms = health->trouble.wait_asked_ms ? health->trouble.wait_asked_ms : backoff_next_ms(&backoff);
	health->next_try_at_us = clock_wall_us() + wait_ms * 1000;
	log_warn("mailbox.trouble", LOG_UUID("mailbox", session->run->mailbox.id.id),
	         LOG_UUID("folder", session->row->id.id), LOG_TEXT("cause", health->trouble.name),
	         LOG_INT("failures", health->failures), LOG_INT("wait_ms", wait_ms), LOG_END);
	imap_close(session->imap);
	session->imap = NULL;
	session_sync_drop(session);
	server_action_drop(session);
	bool was_login = session->state == SESSION_CONNECTING;
	session->state = SESSION_BACKING_OFF;
	loop_timer_stop(session->run->fetcher->loop, &session->actions_timer);
	loop_timer_at(session->run->fetcher->loop, &session->timer, clock_mono_ms() + wait_ms);
	if (was_login)
		login_failed(session, wait_ms);
	mailbox_run_report(session->run);
}

/* A password that was refused is refused to every folder: to let each of them find out would lock the account. */
static void login_failed(struct mailbox_session *session, int64_t wait_ms)
{
	struct mailbox_run *run = session->run;

	if (run->logging_in == session)
		run->logging_in = NULL;
	if (session->health.trouble.state != TROUBLE_AUTH_FAILS)
		return;
	run->login_works = false;
	for (size_t i = 0; i < run->session_count; i++) {
		struct mailbox_session *other = run->sessions[i];
		if (other == session || other->state != SESSION_BACKING_OFF)
			continue;
		other->health = session->health;
		loop_timer_at(run->fetcher->loop, &other->timer, clock_mono_ms() + wait_ms);
	}
}

void session_well(struct mailbox_session *session)
{
	if (session->health.state != MAILBOX_OK)
		session->well_since_ms = clock_mono_ms();
	session->health.state = MAILBOX_OK;
	session->health.next_try_at_us = 0;
	session->health.has_idle = !session->without_idle && imap_capabilities(session->imap) & IMAP_CAP_IDLE;
	mailbox_run_report(session->run);
}

void session_synced(struct mailbox_session *session)
{
	session_rest(session);
	if (session->run->mailbox.after_seen)
		server_action_later(session);
}

/* Wait for news: pushed where the server can, else asked for; and look from time to time whatever the server says, for
 * pushes get lost. */
void session_rest(struct mailbox_session *session)
{
	const struct fetcher *fetcher = session->run->fetcher;
	int64_t wait_s = session->run->mailbox.poll_s < POLL_MOST_S ? session->run->mailbox.poll_s : POLL_MOST_S;

	session->state = SESSION_RESTING;
	if (session->health.has_idle) {
		session->idle_since_ms = clock_mono_ms();
		imap_idle(session->imap, COMMAND_IDLE);
		wait_s = fetcher->conf->safety_sync_s;
	}
	loop_timer_at(fetcher->loop, &session->timer, clock_mono_ms() + wait_s * 1000);
}
