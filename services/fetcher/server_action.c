/* SPDX-License-Identifier: Apache-2.0
 * server_action - what is done to a mail on the server after its intake: durable rows, carried out when they are due
 *
 * An action names (folder, uidvalidity, uid), can be repeated, and is void under another UIDVALIDITY. A crash between the
 * server's OK and our commit repeats it.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "mailbox_session.h"

#include "base/banned.h"

#define ACTIONS_MAX 100 /* in one command: its line stays near 1,000 bytes */

static struct metric actions_total = METRIC_COUNTER("mailcase_fetcher_actions_total", "actions on the server", "outcome");

static const char due_sql[] =
	"SELECT uid, due_at <= clock_timestamp(), (extract(epoch FROM due_at - clock_timestamp()) * 1000)::bigint"
	" FROM server_action WHERE mailbox_id = $1 AND state = 'due' AND folder_id = $2 AND uidvalidity = $3 AND action = 'seen'"
	" ORDER BY due_at LIMIT $4";

static const char done_sql[] =
	"UPDATE server_action SET state = 'done', done_at = clock_timestamp(), attempts = attempts + 1"
	" WHERE folder_id = $1 AND uidvalidity = $2 AND action = 'seen' AND uid = ANY($3) AND state = 'due'";

/* A folder that may only be read refuses for ever: less and less often, and intake does not suffer. */
static const char refused_sql[] =
	"UPDATE server_action SET attempts = attempts + 1,"
	" due_at = clock_timestamp() + interval '1 minute' * power(2, least(attempts, 10))"
	" WHERE folder_id = $1 AND uidvalidity = $2 AND action = 'seen' AND uid = ANY($3) AND state = 'due'";

static int build(struct db_job *job, struct db *db, struct arena *arena, struct err *err);
static void built(struct db_job *job, const struct err *err, const char *sqlstate);

static void timer_fired(struct loop_timer *timer)
{
	server_action_look(timer->self);
}

void server_action_init(struct mailbox_session *session)
{
	session->actions_timer = (struct loop_timer){ .fire = timer_fired, .self = session };
	session->actions_job = (struct db_job){ .build = build, .done = built, .self = session };
}

void server_action_look(struct mailbox_session *session)
{
	if (session->state == SESSION_RESTING && !session->actions_job.is_busy && session->action_count == 0)
		db_jobs_add(session->run->fetcher->jobs, &session->actions_job);
}

void server_action_later(struct mailbox_session *session)
{
	if (session->actions_timer.place == 0)
		loop_timer_at(session->run->fetcher->loop, &session->actions_timer, clock_mono_ms());
}

/* One job says what was carried out and asks what is due now. */
static int build(struct db_job *job, struct db *db, struct arena *arena, struct err *err)
{
	struct mailbox_session *session = job->self;
	struct db_args args;

	if (!mailbox_run_holds(session->run))
		return err_set(err, ERR_PERM, "cannot look for actions: the mailbox's lease is over");
	if (db_begin(db, err) < 0 || lease_guard(db, arena, &session->run->lease, err) < 0)
		return -1;
	if (session->action_count > 0) {
		db_args_init(&args, arena);
		db_arg_uuid(&args, session->row->id.id);
		db_arg_int(&args, session->uidvalidity);
		db_arg_ints(&args, session->action_uids, session->action_count);
		if (db_queue(db, session->actions_refused ? refused_sql : done_sql, &args, NULL, err) < 0)
			return -1;
	}
	db_args_init(&args, arena);
	db_arg_uuid(&args, session->run->mailbox.id.id);
	db_arg_uuid(&args, session->row->id.id);
	db_arg_int(&args, session->uidvalidity);
	db_arg_int(&args, ACTIONS_MAX);
	if (db_queue(db, due_sql, &args, &session->actions_result, err) < 0)
		return -1;
	return db_queue(db, "COMMIT", NULL, NULL, err);
}

static void send_store(struct mailbox_session *session, const struct db_result *rows)
{
	struct fetch_item *items = xcalloc((size_t)db_rows(rows) + 1, sizeof *items);
	struct buf command;
	size_t count = 0;

	for (int row = 0; row < db_rows(rows); row++)
		if (db_bool(rows, row, 1))
			items[count++].uid = (uint32_t)db_int(rows, row, 0);
	session->action_uids = xcalloc(count + 1, sizeof *session->action_uids);
	for (size_t i = 0; i < count; i++)
		session->action_uids[i] = items[i].uid;
	session->action_count = count;
	buf_init(&command, 64 * 1024);
	buf_add_text(&command, "UID STORE ");
	if (fetch_set(&command, items, count, FETCH_MAIL)) {
		buf_add_text(&command, " +FLAGS.SILENT (\\Seen)");
		imap_command(session->imap, COMMAND_STORE, buf_str(&command));
	}
	buf_done(&command);
	free(items);
}

static void built(struct db_job *job, const struct err *err, const char *sqlstate)
{
	struct mailbox_session *session = job->self;
	struct fetcher *fetcher = session->run->fetcher;
	const struct db_result *rows = session->actions_result;

	(void)sqlstate;
	free(session->action_uids);
	session->action_uids = NULL;
	session->action_count = 0;
	session->actions_refused = false;
	if (session->state == SESSION_CLOSED) {
		mailbox_run_free_if_done(session->run);
	} else if (err) {
		log_warn("mailbox.actions_failed", LOG_UUID("mailbox", session->run->mailbox.id.id), LOG_ERR(err), LOG_END);
	} else if (db_rows(rows) > 0 && session->state != SESSION_BACKING_OFF) {
		bool is_due = db_bool(rows, 0, 1);
		int64_t wait_ms = is_due ? 0 : db_int(rows, 0, 2) + 1;
		if (is_due && session->state == SESSION_RESTING)
			send_store(session, rows);
		else
			loop_timer_at(fetcher->loop, &session->actions_timer, clock_mono_ms() + (wait_ms > 10 ? wait_ms : 10));
	}
	db_result_done(&session->actions_result);
}

void server_action_done(struct mailbox_session *session, const struct imap_reply *reply)
{
	bool ok = reply->kind == IMAP_OK;

	metric_add(metric_label(&actions_total, ok ? "done" : "refused"), (int64_t)session->action_count);
	enum trouble_cause cause = mailbox_trouble_of(TROUBLE_REFUSED_COMMAND, reply->text).cause;
	if (!ok && cause != TROUBLE_REFUSED_COMMAND) {
		session_trouble(session, cause, reply->text);
		return;
	}
	session->actions_refused = !ok;
	if (!ok)
		log_warn("mailbox.actions_refused", LOG_UUID("mailbox", session->run->mailbox.id.id),
		         LOG_UUID("folder", session->row->id.id), LOG_INT("mails", session->action_count), LOG_END);
	db_jobs_add(session->run->fetcher->jobs, &session->actions_job);
	if (session->state == SESSION_RESTING)
		session_rest(session);
}

void server_action_drop(struct mailbox_session *session)
{
	if (session->actions_job.is_busy) /* it is being recorded */
		return;
	free(session->action_uids);
	session->action_uids = NULL;
	session->action_count = 0;
}
