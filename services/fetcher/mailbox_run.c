/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox_run.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "edge/bus.h"
#include "mailbox_session.h"
#include "record/outbox.h"

#include "base/banned.h"

static const char state_sql[] =
	"INSERT INTO mailbox_state (mailbox_id, tenant_id, state, reason, remedy, failures, version, last_success_at,"
	" last_error_at, next_try_at, has_idle)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $3 = 'ok' THEN clock_timestamp() END,"
	" CASE WHEN $4 <> '' THEN clock_timestamp() END, $8, $9)"
	" ON CONFLICT (mailbox_id) DO UPDATE SET state = excluded.state, reason = excluded.reason, remedy = excluded.remedy,"
	" failures = excluded.failures, version = excluded.version, next_try_at = excluded.next_try_at,"
	" has_idle = CASE WHEN excluded.state = 'ok' THEN excluded.has_idle ELSE mailbox_state.has_idle END,"
	" since = CASE WHEN mailbox_state.state = excluded.state THEN mailbox_state.since ELSE clock_timestamp() END,"
	" last_success_at = coalesce(excluded.last_success_at, mailbox_state.last_success_at),"
	" last_error_at = coalesce(excluded.last_error_at, mailbox_state.last_error_at)";

static int build_state(struct db_job *job, struct db *db, struct arena *arena, struct err *err);
static void state_written(struct db_job *job, const struct err *err, const char *sqlstate);
static int open_password(struct mailbox_run *run, struct err *err);
static void write_state(struct mailbox_run *run);

/* The mailbox's texts belong to whoever loaded it. */
static struct mailbox copy_mailbox(struct arena *arena, const struct mailbox *from)
{
	struct mailbox to = *from;

	to.address = str_dup(arena, from->address);
	to.host = to.ca_file = to.username = STR(""); /* the run has them as C strings */
	to.tls = str_dup(arena, from->tls);
	to.sealed = str_dup(arena, from->sealed);
	to.state = to.reason = STR("");
	to.folders = ARENA_ARRAY(arena, struct mailbox_folder, from->folder_count);
	for (size_t i = 0; i < from->folder_count; i++) {
		to.folders[i] = from->folders[i];
		to.folders[i].name = str_dup(arena, from->folders[i].name);
	}
	return to;
}

struct mailbox_run *mailbox_run_new(struct fetcher *fetcher, const struct mailbox *mailbox, const struct lease *lease)
{
	struct mailbox_run *run = xcalloc(1, sizeof *run);
	char name[UUID_TEXT_LEN + 1];
	struct err err = { 0 };

	arena_init(&run->arena);
	run->fetcher = fetcher;
	run->mailbox = copy_mailbox(&run->arena, mailbox);
	run->host = str_cstr(&run->arena, mailbox->host);
	run->ca_file = str_cstr(&run->arena, mailbox->ca_file);
	run->username = str_cstr(&run->arena, mailbox->username);
	run->lease = *lease;
	run->lease.name = str_dup(&run->arena, str_of(uuid_text(mailbox->id.id, name)));
	run->state_job = (struct db_job){ .build = build_state, .done = state_written, .self = run };
	run->version = mailbox->state_version;
	if (!mailbox_state_parse(mailbox->state, &run->told.state))
		run->told.state = MAILBOX_STARTING;
	snprintf(run->told.reason, sizeof run->told.reason, "%.*s", STR_ARG(mailbox->reason));
	run->told.remedy = run->told.cause = "";
	run->wanted = run->told;
	/* A login that was refused is not tried sooner because another process reads the mailbox now. */
	if (run->told.state == MAILBOX_AUTH_FAILED && mailbox->changed_at_us <= mailbox->last_error_at_us)
		run->refused_until_us = mailbox->next_try_at_us;
	run->sessions = xcalloc(mailbox->folder_count + 1, sizeof(struct mailbox_session *));
	bool has_password = open_password(run, &err) == 0;
	if (mailbox->insecure)
		log_warn("mailbox.insecure", LOG_UUID("mailbox", run->mailbox.id.id), LOG_END);
	for (size_t i = 0; i < run->mailbox.folder_count; i++)
		run->sessions[run->session_count++] =
			mailbox_session_new(run, &run->mailbox.folders[i], has_password ? NULL : err.text);
	mailbox_run_report(run);
	return run;
}

static int open_password(struct mailbox_run *run, struct err *err)
{
	if (run->mailbox.sealed.len == 0)
		return err_set(err, ERR_PERM, "no password is stored");
	if (!run->fetcher->has_key)
		return err_set(err, ERR_PERM, "MAILCASE_SEAL_KEY_FILE is not set");
	return seal_open(&run->arena, &run->fetcher->key, run->mailbox.sealed, &run->password, err);
}

void mailbox_run_close(struct mailbox_run *run)
{
	if (run->is_closed)
		return;
	run->is_closed = true;
	for (size_t i = 0; i < run->session_count; i++)
		mailbox_session_close(run->sessions[i]);
	db_jobs_cancel(run->fetcher->jobs, &run->state_job);
	mailbox_run_free_if_done(run);
}

void mailbox_run_free_if_done(struct mailbox_run *run)
{
	if (!run->is_closed || run->state_job.is_busy)
		return;
	for (size_t i = 0; i < run->session_count; i++)
		if (mailbox_session_is_busy(run->sessions[i]))
			return;
	for (size_t i = 0; i < run->session_count; i++)
		mailbox_session_free(run->sessions[i]);
	seal_forget(&run->password);
	free(run->sessions);
	arena_done(&run->arena);
	free(run);
}

bool mailbox_run_holds(const struct mailbox_run *run)
{
	return !run->is_closed && clock_mono_ms() < run->lease.expires_mono_ms - run->fetcher->conf->lease_ms / 4;
}

bool mailbox_run_is_late(const struct mailbox_run *run, int64_t now_ms)
{
	for (size_t i = 0; i < run->session_count; i++)
		if (mailbox_session_is_late(run->sessions[i], now_ms))
			return true;
	return false;
}

int64_t mailbox_run_credit(const struct mailbox_run *run)
{
	return run->mailbox.credit - run->waiting - run->in_flight;
}

static int severity(enum mailbox_state state)
{
	static const int severities[] = { [MAILBOX_OK] = 0, [MAILBOX_STARTING] = 1, [MAILBOX_BACKING_OFF] = 2,
		                          [MAILBOX_AUTH_FAILED] = 3, [MAILBOX_OFF] = 4 };

	return severities[state];
}

/* The worst folder speaks for the mailbox. */
static struct mailbox_shown show(const struct mailbox_run *run)
{
	const struct session_health *worst = mailbox_session_health(run->sessions[0]);
	struct mailbox_shown shown = { .remedy = "", .cause = "" };
	size_t which = 0;

	for (size_t i = 1; i < run->session_count; i++) {
		const struct session_health *health = mailbox_session_health(run->sessions[i]);
		if (severity(health->state) > severity(worst->state)) {
			worst = health;
			which = i;
		}
	}
	shown.state = worst->state;
	shown.has_idle = worst->has_idle;
	if (worst->state == MAILBOX_BACKING_OFF || worst->state == MAILBOX_AUTH_FAILED) {
		struct str folder = run->mailbox.folders[which].name;
		bool many = run->session_count > 1;
		snprintf(shown.reason, sizeof shown.reason, "%s%.*s%s%s%s%s", many ? "folder " : "",
		         many && folder.len < 60 ? (int)folder.len : 0, folder.at, many ? ": " : "", worst->trouble.problem,
		         worst->words[0] ? ": " : "", worst->words);
		shown.remedy = worst->trouble.remedy;
		shown.cause = worst->trouble.name;
		shown.failures = worst->failures;
		shown.next_try_at_us = worst->next_try_at_us;
	}
	return shown;
}

static bool same_shown(const struct mailbox_shown *a, const struct mailbox_shown *b)
{
	return a->state == b->state && strcmp(a->reason, b->reason) == 0 && a->next_try_at_us == b->next_try_at_us &&
	       a->has_idle == b->has_idle;
}

void mailbox_run_report(struct mailbox_run *run)
{
	if (run->is_closed || run->session_count == 0)
		return;
	struct mailbox_shown shown = show(run);
	/* While a mailbox starts again its row goes on telling how it fared before. */
	if (shown.state == MAILBOX_STARTING && run->version > 0 && run->told.state != MAILBOX_OFF)
		return;
	run->wanted = shown;
	write_state(run);
}

static void write_state(struct mailbox_run *run)
{
	if (run->state_job.is_busy || run->is_closed || (run->version > 0 && same_shown(&run->wanted, &run->told)))
		return;
	run->writing = run->wanted;
	run->is_step = run->version == 0 || run->writing.state != run->told.state;
	if (run->is_step) {
		run->version++;
		log_info("mailbox.state_changed", LOG_UUID("mailbox", run->mailbox.id.id),
		         LOG_TEXT("state", mailbox_state_name(run->writing.state)), LOG_TEXT("cause", run->writing.cause),
		         LOG_INT("failures", run->writing.failures), LOG_INT("version", run->version), LOG_END);
	}
	db_jobs_add(run->fetcher->jobs, &run->state_job);
}

static int build_state(struct db_job *job, struct db *db, struct arena *arena, struct err *err)
{
	struct mailbox_run *run = job->self;
	const struct mailbox_shown *shown = &run->writing;
	struct db_args args;

	if (!mailbox_run_holds(run))
		return err_set(err, ERR_PERM, "cannot write the state of a mailbox: its lease is over");
	db_args_init(&args, arena);
	db_arg_uuid(&args, run->mailbox.id.id);
	db_arg_uuid(&args, run->mailbox.tenant.id);
	db_arg_text(&args, str_of(mailbox_state_name(shown->state)));
	db_arg_text(&args, str_of(shown->reason));
	db_arg_text(&args, str_of(shown->remedy));
	db_arg_int(&args, shown->failures);
	db_arg_int(&args, run->version);
	db_arg_time_or_null(&args, shown->next_try_at_us);
	db_arg_bool(&args, shown->has_idle);
	if (db_begin(db, err) < 0 || lease_guard(db, arena, &run->lease, err) < 0 ||
	    db_queue(db, state_sql, &args, NULL, err) < 0)
		return -1;
	if (run->is_step) {
		struct mailbox_event event = {
			.tenant = run->mailbox.tenant, .mailbox = run->mailbox.id, .version = run->version,
			.at_us = clock_wall_us(), .from = run->told.state, .to = shown->state, .cause = str_of(shown->cause),
			.failures = shown->failures, .next_try_at_us = shown->next_try_at_us,
		};
		struct outbox_row row = {
			.ce_id = uuid_v7(), .tenant = run->mailbox.tenant, .topic = TOPIC_MAILBOX_EVENTS, .key = run->lease.name,
			.type = MAILBOX_STATE_CHANGED_TYPE, .subject = run->lease.name, .sequence = run->version,
			.value = mailbox_event_encode(arena, &event),
		};
		if (outbox_put(db, arena, &row, 1, err) < 0)
			return -1;
	}
	return db_queue(db, "COMMIT", NULL, NULL, err);
}

static void state_written(struct db_job *job, const struct err *err, const char *sqlstate)
{
	struct mailbox_run *run = job->self;

	(void)sqlstate;
	if (err)
		log_warn("mailbox.state_not_written", LOG_UUID("mailbox", run->mailbox.id.id), LOG_ERR(err), LOG_END);
	else if (run->is_step)
		service_wake_relay(run->fetcher->service);
	if (!err)
		run->told = run->writing;
	if (run->is_closed)
		mailbox_run_free_if_done(run);
	else if (!err)
		write_state(run);
}
