/* SPDX-License-Identifier: Apache-2.0
 *
 * What a session does while SYNCING, first half: list what is above the cursor, and leave out what is known from an earlier
 * UIDVALIDITY.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "mailbox_session.h"

#include "base/banned.h"

/* More than so many new mails are searched first, and listed in windows of so many. */
#define LIST_DIRECTLY 1000
/* Of a listing that is longer all the same the lowest UIDs are kept, and the rest is listed again after them. */
#define LIST_MAX 5000
/* A longer Message-ID is not looked up: strangers choose its length. */
#define ID_MAX 998

static void list_more(struct mailbox_session *session);
static void take_listed(struct mailbox_session *session, const struct imap_fetch *fetch);
static void take_found(struct mailbox_session *session, const struct imap_reply *reply);
static void look_up_known(struct mailbox_session *session);
static int build_known(struct db_job *job, struct db *db, struct arena *arena, struct err *err);
static void known_found(struct db_job *job, const struct err *err, const char *sqlstate);

void session_sync_init(struct mailbox_session *session)
{
	session->known_job = (struct db_job){ .build = build_known, .done = known_found, .self = session };
	session_fetch_init(session);
}

void session_sync(struct mailbox_session *session)
{
	uint32_t more = session->exists > session->synced_exists ? session->exists - session->synced_exists : 0;
	bool has_esearch = imap_capabilities(session->imap) & IMAP_CAP_ESEARCH;
	char command[100];

	session->state = SESSION_SYNCING;
	session->sync_since_ms = clock_mono_ms();
	session->is_dirty = false;
	session->synced_exists = session->exists;
	if (more <= LIST_DIRECTLY) {
		list_more(session);
		return;
	}
	snprintf(command, sizeof command, "UID SEARCH %sUID %lld:*", has_esearch ? "RETURN (ALL) " : "",
	         (long long)session->listed_to + 1);
	session->is_listing = true;
	session->range_count = 0;
	imap_command(session->imap, COMMAND_SEARCH, str_of(command));
}

/* The next window of what was found, or everything above what is listed. */
static void list_more(struct mailbox_session *session)
{
	bool rereads = session->listed_to + 1 < session->reread_until;
	struct buf command;

	buf_init(&command, 64 * 1024);
	buf_add_text(&command, "UID FETCH ");
	if (session->range_count == 0) {
		buf_addf(&command, "%lld:*", (long long)session->listed_to + 1);
		session->list_most = UINT32_MAX;
	} else {
		uint32_t room = LIST_DIRECTLY;
		size_t used = 0;
		while (used < session->range_count && room > 0 && command.len < 900) {
			struct imap_range *range = &session->ranges[used];
			uint32_t last = range->last - range->first < room ? range->last : range->first + room - 1;
			buf_addf(&command, "%s%u:%u", used ? "," : "", range->first, last);
			room -= last - range->first + 1;
			session->list_most = last;
			if (last == range->last)
				used++;
			else
				range->first = last + 1;
		}
		session->range_count -= used;
		memmove(session->ranges, session->ranges + used, session->range_count * sizeof *session->ranges);
	}
	buf_add_text(&command, " (UID RFC822.SIZE INTERNALDATE");
	buf_add_text(&command, rereads ? " BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])" : ")");
	session->is_listing = true;
	imap_command(session->imap, COMMAND_LIST, buf_str(&command));
	buf_done(&command);
}

void session_sync_reply(struct mailbox_session *session, const struct imap_reply *reply)
{
	if (session->state == SESSION_SYNCING && reply->kind == IMAP_SEARCH)
		take_found(session, reply);
	else if (session->state == SESSION_SYNCING && reply->kind == IMAP_FETCH && reply->fetch.uid > 0) {
		if (reply->fetch.bodies > 0 && session->flights)
			session_fetch_mail(session, &reply->fetch);
		/* What nobody asked for would move the cursor past what is not listed yet. */
		if (reply->fetch.has_size && reply->fetch.uid > session->listed_to && reply->fetch.uid <= session->list_most)
			take_listed(session, &reply->fetch);
	}
	session_body_drop(session);
}

static void take_found(struct mailbox_session *session, const struct imap_reply *reply)
{
	/* Some servers tell in several lines. */
	session->ranges = xrealloc(session->ranges,
	                           (session->range_count + reply->range_count + 1) * sizeof *session->ranges);
	for (size_t i = 0; i < reply->range_count; i++) {
		struct imap_range range = reply->ranges[i];
		if (range.last <= session->listed_to)
			continue; /* n:* always holds the last mail */
		if (range.first <= session->listed_to)
			range.first = (uint32_t)session->listed_to + 1;
		session->ranges[session->range_count++] = range;
	}
}

/* A server may list in any order: the items are sorted when the listing is complete. */
static void take_listed(struct mailbox_session *session, const struct imap_fetch *fetch)
{
	if (session->item_count == session->item_room) {
		session->item_room = session->item_room ? session->item_room * 2 : 16;
		session->items = xrealloc(session->items, session->item_room * sizeof *session->items);
		session->known = xrealloc(session->known, session->item_room * sizeof *session->known);
		session->header_ids = xrealloc(session->header_ids, session->item_room * sizeof *session->header_ids);
	}
	size_t at = session->item_count;
	while (at > session->known_checked && session->items[at - 1].uid > fetch->uid)
		at--;
	if (at > session->known_checked && session->items[at - 1].uid == fetch->uid)
		return;
	if (session->item_count >= LIST_MAX) {
		if (!session->is_dirty)
			session->dirty_since_us = clock_wall_us();
		session->is_dirty = true;
		if (at == session->item_count)
			return;
		free(session->header_ids[--session->item_count]);
	}
	memmove(session->items + at + 1, session->items + at, (session->item_count - at) * sizeof *session->items);
	memmove(session->header_ids + at + 1, session->header_ids + at,
	        (session->item_count - at) * sizeof *session->header_ids);
	session->known[session->item_count] = (struct known_mail){ 0 };
	session->items[at] = (struct fetch_item){
		.uid = fetch->uid, .size = (int64_t)fetch->size, .date_us = fetch->has_date ? fetch->date_us : 0,
		.kind = (int64_t)fetch->size > session->run->mailbox.size_limit ? FETCH_HEADER : FETCH_MAIL,
	};
	session->header_ids[at] = NULL;
	session->item_count++;
	if (fetch->bodies > 0 && session->body_len > 0) {
		struct str id = fetch_message_id(str_span(session->body, session->body_len));
		if (id.len > 0 && id.len <= ID_MAX && str_is_text(id)) {
			session->header_ids[at] = xcalloc(1, id.len + 1);
			memcpy(session->header_ids[at], id.at, id.len);
		}
	}
}

void session_sync_done(struct mailbox_session *session, int kind, const struct imap_reply *reply)
{
	if (session->state != SESSION_SYNCING)
		return;
	if (kind >= COMMAND_FETCH) {
		session_fetch_answered(session, kind - COMMAND_FETCH, reply);
		return;
	}
	if (reply->kind != IMAP_OK) {
		session_trouble(session, TROUBLE_REFUSED_COMMAND, reply->text);
		return;
	}
	if (kind == COMMAND_SEARCH && session->range_count > 0) {
		list_more(session);
		return;
	}
	session->is_listing = false;
	session->list_most = 0;
	if (session->item_count > 0 && session->items[session->item_count - 1].uid > session->listed_to)
		session->listed_to = session->items[session->item_count - 1].uid;
	if (session->noticed_at_us == 0)
		session->noticed_at_us = clock_wall_us();
	session_well(session);
	session_sync_step(session);
}

void session_sync_step(struct mailbox_session *session)
{
	if (session->state != SESSION_SYNCING || session->is_listing)
		return;
	if (session->known_checked < session->item_count) {
		look_up_known(session);
		if (session->known_job.is_busy)
			return;
	}
	session_fetch_step(session);
	/* Two listings at once would take the second one's answers for mail that nobody asked for, and pass it over. */
	if (session->state != SESSION_SYNCING || session->is_listing || session->flights || session->item_count > 0)
		return;
	if (session->range_count > 0)
		list_more(session);
	else if (session->is_dirty) {
		session->noticed_at_us = session->dirty_since_us;
		session_sync(session);
	} else
		session_synced(session);
}

static void look_up_known(struct mailbox_session *session)
{
	bool any = false;

	for (size_t i = session->known_checked; i < session->item_count; i++)
		any |= session->header_ids[i] != NULL;
	if (!any)
		session->known_checked = session->item_count;
	else if (!session->known_job.is_busy)
		db_jobs_add(session->run->fetcher->jobs, &session->known_job);
}

static int build_known(struct db_job *job, struct db *db, struct arena *arena, struct err *err)
{
	struct mailbox_session *session = job->self;
	struct str *ids = ARENA_ARRAY(arena, struct str, session->item_count);

	for (size_t i = 0; i < session->item_count; i++)
		ids[i] = session->header_ids[i] ? str_of(session->header_ids[i]) : STR_NULL;
	return intake_queue_known(db, arena, &session->folder, ids, session->items, session->item_count, &session->result,
	                          err);
}

static void known_found(struct db_job *job, const struct err *err, const char *sqlstate)
{
	struct mailbox_session *session = job->self;

	(void)sqlstate;
	if (session->state != SESSION_SYNCING) {
		mailbox_run_free_if_done(session->run);
		return;
	}
	if (err) {
		session_trouble(session, TROUBLE_SERVER_BUSY, str_of(err->text));
		return;
	}
	for (int row = 0; row < db_rows(session->result); row++) {
		size_t i = (size_t)db_int(session->result, row, 0) - 1;
		session->items[i].kind = FETCH_KNOWN;
		session->known[i].message.id = db_uuid(session->result, row, 1);
		session->known[i].case_file.id = db_uuid(session->result, row, 2);
	}
	db_result_done(&session->result);
	session->known_checked = session->item_count;
	session_sync_step(session);
}

void session_sync_drop(struct mailbox_session *session)
{
	session_fetch_drop(session);
	for (size_t i = 0; i < session->item_count; i++)
		free(session->header_ids[i]);
	free(session->items);
	free(session->known);
	free(session->header_ids);
	free(session->ranges);
	session->items = NULL;
	session->known = NULL;
	session->header_ids = NULL;
	session->ranges = NULL;
	session->item_count = session->item_room = session->known_checked = session->range_count = 0;
	session->is_listing = session->is_dirty = false;
	session->list_most = 0;
}
