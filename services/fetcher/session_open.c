/* SPDX-License-Identifier: Apache-2.0
 *
 * How a folder begins: what SELECT said against what the cursor's row says.
 */
#include "base/clock.h"
#include "base/log.h"
#include "mailbox_session.h"

#include "base/banned.h"

static int build_open(struct db_job *job, struct db *db, struct arena *arena, struct err *err);
static void opened(struct db_job *job, const struct err *err, const char *sqlstate);
static void search_floor(struct mailbox_session *session);
static int build_cursor(struct db_job *job, struct db *db, struct arena *arena, struct err *err);
static void cursor_set(struct db_job *job, const struct err *err, const char *sqlstate);
static void begin_syncing(struct mailbox_session *session);

void session_open_init(struct mailbox_session *session)
{
	session->open_job = (struct db_job){ .build = build_open, .done = opened, .self = session };
	session->cursor_job = (struct db_job){ .build = build_cursor, .done = cursor_set, .self = session };
}

void session_opens(struct mailbox_session *session)
{
	if (session->uidvalidity == 0) {
		session_trouble(session, TROUBLE_PROTOCOL, STR("the folder has no UIDVALIDITY"));
		return;
	}
	session->folder.uidvalidity = session->uidvalidity;
	session->state = SESSION_OPENING;
	db_jobs_add(session->run->fetcher->jobs, &session->open_job);
}

static int build_open(struct db_job *job, struct db *db, struct arena *arena, struct err *err)
{
	struct mailbox_session *session = job->self;

	if (!mailbox_run_holds(session->run))
		return err_set(err, ERR_PERM, "cannot open a folder: the mailbox's lease is over");
	return intake_queue_open(db, arena, &session->folder, &session->result, err);
}

/* A job that ended after its session: whoever waits for it looks again. */
static bool is_late(struct mailbox_session *session, enum session_state expected, const struct err *err)
{
	if (session->state == SESSION_CLOSED) {
		mailbox_run_free_if_done(session->run);
		return true;
	}
	if (err && session->state == expected)
		session_trouble(session, TROUBLE_SERVER_BUSY, str_of(err->text));
	return err || session->state != expected;
}

static void opened(struct db_job *job, const struct err *err, const char *sqlstate)
{
	struct mailbox_session *session = job->self;
	const struct mailbox *mailbox = &session->run->mailbox;

	(void)sqlstate;
	if (is_late(session, SESSION_OPENING, err))
		return;
	if (db_rows(session->result) == 0) {
		session_trouble(session, TROUBLE_NO_FOLDER, STR("the folder's row is gone"));
		return;
	}
	session->cursor = (struct fetch_cursor){ db_int(session->result, 0, 0), db_int(session->result, 0, 1),
		                                 db_int(session->result, 0, 2) };
	session->run->waiting = db_int(session->result, 0, 3);
	session->reread_until = db_bool(session->result, 0, 4) ? (session->uidnext ? session->uidnext : INT64_MAX) : 0;
	db_result_done(&session->result);
	session->opening = fetch_open(&session->cursor, session->uidvalidity, session->uidnext, mailbox->start_from,
	                              mailbox->start_date_us, mailbox->added_at_us);
	if (session->opening.is_new_epoch)
		log_warn("mailbox.uidvalidity_changed", LOG_UUID("mailbox", mailbox->id.id),
		         LOG_UUID("folder", session->row->id.id), LOG_INT("from", session->cursor.uidvalidity),
		         LOG_INT("to", session->uidvalidity), LOG_END);
	switch (session->opening.kind) {
	case OPEN_CONTINUE:
		begin_syncing(session);
		break;
	case OPEN_AT:
		db_jobs_add(session->run->fetcher->jobs, &session->cursor_job);
		break;
	case OPEN_SEARCH:
		search_floor(session);
		break;
	case OPEN_SESSION_ONLY:
		session_trouble(session, TROUBLE_PROTOCOL, STR("the folder has no UIDVALIDITY"));
		break;
	}
}

static void search_floor(struct mailbox_session *session)
{
	bool has_esearch = imap_capabilities(session->imap) & IMAP_CAP_ESEARCH;
	struct arena arena;

	arena_init(&arena);
	session->state = SESSION_FLOOR;
	session->floor_hit = 0;
	imap_command(session->imap, COMMAND_FLOOR,
	             str_printf(&arena, "UID SEARCH %sSINCE %s", has_esearch ? "RETURN (MIN) " : "",
	                        imap_day(&arena, session->opening.since_us)));
	arena_done(&arena);
}

/* An answer may hold the least UID, or all of them in any order and in several lines, some of them empty. */
void session_floor_found(struct mailbox_session *session, const struct imap_reply *reply)
{
	uint32_t first = reply->min ? reply->min : reply->range_count > 0 ? reply->ranges[0].first : 0;

	for (size_t i = 0; i < reply->range_count; i++)
		first = reply->ranges[i].first < first ? reply->ranges[i].first : first;
	if (first > 0 && (session->floor_hit == 0 || first < session->floor_hit))
		session->floor_hit = first;
}

void session_floor_done(struct mailbox_session *session, const struct imap_reply *reply)
{
	if (reply->kind != IMAP_OK) {
		session_trouble(session, TROUBLE_REFUSED_COMMAND, reply->text);
		return;
	}
	session->opening.floor_uid = fetch_floor(session->floor_hit, session->uidnext);
	db_jobs_add(session->run->fetcher->jobs, &session->cursor_job);
}

static int build_cursor(struct db_job *job, struct db *db, struct arena *arena, struct err *err)
{
	struct mailbox_session *session = job->self;

	if (!mailbox_run_holds(session->run))
		return err_set(err, ERR_PERM, "cannot begin a folder: the mailbox's lease is over");
	return intake_queue_cursor(db, arena, &session->folder, session->opening.floor_uid, err);
}

static void cursor_set(struct db_job *job, const struct err *err, const char *sqlstate)
{
	struct mailbox_session *session = job->self;

	(void)sqlstate;
	if (is_late(session, session->state == SESSION_FLOOR ? SESSION_FLOOR : SESSION_OPENING, err))
		return;
	session->cursor = (struct fetch_cursor){ session->uidvalidity, session->opening.floor_uid,
		                                 session->opening.floor_uid - 1 };
	log_info("mailbox.folder_begun", LOG_UUID("mailbox", session->run->mailbox.id.id),
	         LOG_UUID("folder", session->row->id.id), LOG_INT("uidvalidity", session->uidvalidity),
	         LOG_INT("floor_uid", session->opening.floor_uid), LOG_END);
	begin_syncing(session);
}

static void begin_syncing(struct mailbox_session *session)
{
	session->listed_to = session->cursor.last_uid;
	session->synced_exists = 0;
	session->noticed_at_us = 0;
	session_sync(session);
}
