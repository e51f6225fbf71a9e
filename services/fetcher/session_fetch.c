/* SPDX-License-Identifier: Apache-2.0
 *
 * What a session does while SYNCING, second half: ask for mails in batches, gather them, store them in the order of their
 * UIDs.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "mailbox_session.h"

#include "base/banned.h"

#define FLIGHTS_MAX 2
#define SMALL_BATCH (64 * 1024) /* needs no leave: one slow giant must not keep small mails waiting */
#define WAIT_FIRST_MS 100 /* before it is looked again whether there is leave to fetch, growing to */
#define WAIT_MOST_MS 2000
#define REFUSALS_MAX 3
/* A session may hold so much more than its listings had said; then sizes are not believed any more. */
#define LIES_MAX FETCH_BATCH_BYTES

static struct metric intake_total = METRIC_COUNTER("mailcase_fetcher_mails_total", "ledger rows written", "state");
static struct metric intake_bytes = METRIC_COUNTER("mailcase_fetcher_bytes_total", "bytes of mail stored", NULL);
static struct metric store_time = METRIC_HISTOGRAM("mailcase_fetcher_store_seconds", "from fetched to durable", NULL);

static bool ask_for_batch(struct mailbox_session *session);
static void wait_for_leave(struct mailbox_session *session);
static void send_fetch(struct mailbox_session *session, struct flight *flight, struct str set, enum fetch_kind kind);
static bool retry_missing(struct mailbox_session *session, struct flight *flight, const struct imap_reply *reply);
static void store_next(struct mailbox_session *session);
static int build_store(struct db_job *job, struct db *db, struct arena *arena, struct err *err);
static void stored(struct db_job *job, const struct err *err, const char *sqlstate);
static void not_stored(struct mailbox_session *session, struct str words);
static int build_waiting(struct db_job *job, struct db *db, struct arena *arena, struct err *err);
static void waiting_counted(struct db_job *job, const struct err *err, const char *sqlstate);
static void drop_flight(struct mailbox_session *session);

void session_fetch_init(struct mailbox_session *session)
{
	session->flights_end = &session->flights;
	session->store_job = (struct db_job){ .build = build_store, .done = stored, .self = session };
	session->waiting_job = (struct db_job){ .build = build_waiting, .done = waiting_counted, .self = session };
}

void session_fetch_step(struct mailbox_session *session)
{
	size_t flights = 0;

	for (const struct flight *flight = session->flights; flight; flight = flight->next)
		flights++;
	while (flights < FLIGHTS_MAX && session->item_count > 0 && ask_for_batch(session))
		flights++;
	store_next(session);
}

static bool ask_for_batch(struct mailbox_session *session)
{
	struct mailbox_run *run = session->run;
	struct fetcher *fetcher = run->fetcher;
	size_t mails = session->sizes_lie ? 1 : FETCH_BATCH_MAILS;
	struct fetch_limits limits = { mails, FETCH_BATCH_BYTES, mailbox_run_credit(run) };
	int64_t bytes;
	size_t count = fetch_batch(session->items, session->item_count, &limits, &bytes);

	if (count == 0) { /* no credit: count again, now or soon */
		if (!session->waiting_job.is_busy && run->in_flight == 0)
			db_jobs_add(fetcher->jobs, &session->waiting_job);
		else if (!session->flights && !session->waiting_job.is_busy)
			wait_for_leave(session);
		return false;
	}
	if (bytes > SMALL_BATCH && fetcher->bytes_in_flight > 0 &&
	    fetcher->bytes_in_flight + bytes > fetcher->conf->fetch_bytes) {
		if (!session->flights)
			wait_for_leave(session);
		return false;
	}
	session->wait_ms = session->noop_at_ms = 0;
	struct flight *flight = xcalloc(1, sizeof *flight);
	struct buf set;
	flight->batch = intake_batch_new(session->items, session->known, count);
	flight->batch->bytes = bytes;
	flight->batch->noticed_at_us = session->noticed_at_us;
	flight->serial = session->serials++;
	*session->flights_end = flight;
	session->flights_end = &flight->next;
	run->in_flight += (int64_t)count;
	fetcher->bytes_in_flight += bytes;
	buf_init(&set, 64 * 1024);
	if (fetch_set(&set, session->items, count, FETCH_MAIL))
		send_fetch(session, flight, buf_str(&set), FETCH_MAIL);
	buf_reset(&set);
	if (fetch_set(&set, session->items, count, FETCH_HEADER))
		send_fetch(session, flight, buf_str(&set), FETCH_HEADER);
	buf_done(&set);
	flight->is_complete = flight->commands == 0;
	for (size_t i = 0; i < count; i++)
		free(session->header_ids[i]);
	session->item_count -= count;
	session->known_checked -= count;
	memmove(session->items, session->items + count, session->item_count * sizeof *session->items);
	memmove(session->known, session->known + count, session->item_count * sizeof *session->known);
	memmove(session->header_ids, session->header_ids + count, session->item_count * sizeof *session->header_ids);
	return true;
}

/* Credit or memory is used up: look again, soon at first. A server would end a session that says nothing for half an
 * hour, and a peer that is gone would not be noticed. */
static void wait_for_leave(struct mailbox_session *session)
{
	const struct fetcher *fetcher = session->run->fetcher;
	int64_t now_ms = clock_mono_ms();

	session->wait_ms = session->wait_ms == 0 ? WAIT_FIRST_MS : session->wait_ms * 2;
	if (session->wait_ms > WAIT_MOST_MS)
		session->wait_ms = WAIT_MOST_MS;
	if (session->noop_at_ms != 0 && now_ms >= session->noop_at_ms)
		imap_command(session->imap, COMMAND_NOOP, STR("NOOP"));
	if (session->noop_at_ms <= now_ms)
		session->noop_at_ms = now_ms + fetcher->conf->safety_sync_s * 1000;
	loop_timer_at(fetcher->loop, &session->timer, now_ms + session->wait_ms);
}

static void send_fetch(struct mailbox_session *session, struct flight *flight, struct str set, enum fetch_kind kind)
{
	struct buf command;

	buf_init(&command, 64 * 1024);
	buf_addf(&command, "UID FETCH %.*s (UID INTERNALDATE BODY.PEEK[%s])", STR_ARG(set),
	         kind == FETCH_HEADER ? "HEADER" : "");
	flight->commands++;
	imap_command(session->imap, COMMAND_FETCH + flight->serial, buf_str(&command));
	buf_done(&command);
}

static void take_body(struct mailbox_session *session, char **out, size_t *out_len)
{
	*out = session->body;
	*out_len = session->body_len;
	session->body = NULL;
	session->body_len = 0;
}

void session_fetch_mail(struct mailbox_session *session, const struct imap_fetch *fetch)
{
	for (struct flight *flight = session->flights; flight; flight = flight->next) {
		for (size_t i = 0; i < flight->batch->count; i++) {
			struct intake_entry *entry = &flight->batch->entries[i];
			if (entry->item.uid != fetch->uid || entry->arrived || session->body_is_nil)
				continue;
			if (fetch->has_date)
				entry->item.date_us = fetch->date_us;
			if (session->body_dropped && entry->item.kind == FETCH_MAIL) {
				/* Larger than the server had said: its header is asked for alone. */
				entry->item.kind = FETCH_HEADER;
				entry->item.size = session->run->mailbox.size_limit + 1;
				entry->retried = false;
				return;
			}
			if (session->body_unforeseen) {
				session->sizes_lie = true;
				session_trouble(session, TROUBLE_PROTOCOL, STR("its mails are larger than it had said"));
				return;
			}
			take_body(session, &entry->bytes, &entry->len);
			if (!entry->bytes)
				entry->bytes = xcalloc(1, 1); /* an empty mail is one too */
			entry->sum = sha256_of(str_span(entry->bytes, entry->len));
			entry->arrived = true;
			session->has_delivered = true;
			return;
		}
	}
}

void session_fetch_answered(struct mailbox_session *session, int serial, const struct imap_reply *reply)
{
	struct flight *flight = session->flights;

	while (flight && flight->serial != serial)
		flight = flight->next;
	if (!flight)
		return;
	flight->commands--;
	if (reply->kind != IMAP_OK) {
		enum trouble_cause cause = mailbox_trouble_of(TROUBLE_REFUSED_COMMAND, reply->text).cause;
		if (cause == TROUBLE_THROTTLED || cause == TROUBLE_TOO_MANY) {
			session_trouble(session, cause, reply->text);
			return;
		}
	}
	if (flight->commands > 0 || retry_missing(session, flight, reply) || session->state != SESSION_SYNCING)
		return;
	flight->is_complete = true;
	session_sync_step(session);
}

/* What was listed and did not come is asked for alone, once. If the server then says OK without it, it is gone. If it
 * refuses, we come back later; after three such visits we go on without it, but only on a connection that does deliver
 * other mail: else it is the server that is ill, and nothing may be given up. */
static bool retry_missing(struct mailbox_session *session, struct flight *flight, const struct imap_reply *reply)
{
	for (size_t i = 0; i < flight->batch->count; i++) {
		struct intake_entry *entry = &flight->batch->entries[i];
		char uid[16];
		if (entry->arrived)
			continue;
		if (!entry->retried) {
			entry->retried = true;
			snprintf(uid, sizeof uid, "%u", entry->item.uid);
			send_fetch(session, flight, str_of(uid), entry->item.kind);
			return true;
		}
		if (reply->kind != IMAP_OK) {
			session->refusals += !flight->has_refused;
			flight->has_refused = true;
			if (session->refusals < REFUSALS_MAX) {
				session_trouble(session, TROUBLE_REFUSED_COMMAND, reply->text);
				return true;
			}
		}
		struct buf reason;
		buf_init(&reason, 300);
		buf_add_text(&reason, reply->kind == IMAP_OK ? "the server no longer has it" : "the server refuses it: ");
		if (reply->kind != IMAP_OK)
			buf_add_str(&reason, str_slice(reply->text, 0, 200));
		entry->reason = xstrdup(reason.at);
		buf_done(&reason);
		entry->item.kind = FETCH_GONE;
		entry->arrived = true;
	}
	if (flight->has_refused && !session->has_delivered) {
		session_trouble(session, TROUBLE_REFUSED_COMMAND, reply->text);
		return true;
	}
	return false;
}

static void store_next(struct mailbox_session *session)
{
	if (!session->flights || !session->flights->is_complete || session->store_job.is_busy)
		return;
	session->flights->batch->received_at_us = clock_wall_us();
	db_jobs_add(session->run->fetcher->jobs, &session->store_job);
}

static int build_store(struct db_job *job, struct db *db, struct arena *arena, struct err *err)
{
	struct mailbox_session *session = job->self;

	if (!mailbox_run_holds(session->run))
		return err_set(err, ERR_PERM, "cannot store mail: the mailbox's lease is over");
	if (session->checks_existing)
		return intake_queue_existing(db, arena, &session->folder, session->flights->batch, &session->store_result, err);
	return intake_queue(db, arena, &session->folder, session->flights->batch, &session->store_result, err);
}

static void count_stored(struct mailbox_session *session, const struct intake_batch *batch)
{
	static const char *const names[] = { [FETCH_MAIL] = "received", [FETCH_HEADER] = "quarantined",
		                             [FETCH_KNOWN] = "duplicate", [FETCH_GONE] = "gone" };
	int64_t bytes = 0;

	for (size_t i = 0; i < batch->count; i++) {
		const struct intake_entry *entry = &batch->entries[i];
		if (entry->is_stored)
			continue;
		metric_add(metric_label(&intake_total, names[entry->item.kind]), 1);
		bytes += (int64_t)entry->len;
	}
	metric_add(metric_label(&intake_bytes, NULL), bytes);
	metric_observe_us(metric_label(&store_time, NULL), clock_wall_us() - batch->received_at_us);
	log_info("mail.received", LOG_UUID("mailbox", session->run->mailbox.id.id), LOG_UUID("folder", session->row->id.id),
	         LOG_INT("mails", batch->count), LOG_INT("bytes", bytes), LOG_INT("last_uid", session->cursor.last_uid), LOG_END);
}

static void stored(struct db_job *job, const struct err *err, const char *sqlstate)
{
	struct mailbox_session *session = job->self;

	/* Stored before, and the answer was lost: what the ledger has is left out. */
	if (err && strcmp(sqlstate, SQLSTATE_EXISTS_ALREADY) == 0 && !session->checks_existing &&
	    session->state != SESSION_CLOSED) {
		session->checks_existing = true;
		db_jobs_add(session->run->fetcher->jobs, &session->store_job);
		return;
	}
	if (!err && session->checks_existing) {
		session->checks_existing = false;
		bool is_news = intake_mark_existing(session->flights->batch, session->store_result);
		db_result_done(&session->store_result);
		if (session->state == SESSION_CLOSED)
			mailbox_run_free_if_done(session->run);
		else if (is_news)
			db_jobs_add(session->run->fetcher->jobs, &session->store_job);
		else /* another key: nothing would change by trying again at once */
			not_stored(session, STR("could not store mail: a key exists already"));
		return;
	}
	session->checks_existing = false;
	if (!err) {
		const struct intake_batch *batch = session->flights->batch;
		session->run->waiting = db_int(session->store_result, 0, 0);
		session->cursor.last_uid = batch->entries[batch->count - 1].item.uid;
		service_wake_relay(session->run->fetcher->service);
		count_stored(session, batch);
	}
	db_result_done(&session->store_result);
	if (err) {
		not_stored(session, str_of(err->text));
		return;
	}
	drop_flight(session);
	session->health.failures = 0; /* whatever went wrong before: it goes on */
	session->refusals = 0;
	if (session->state == SESSION_CLOSED)
		mailbox_run_free_if_done(session->run);
	else if (session->state != SESSION_SYNCING)
		session_sync_drop(session);
	else
		session_sync_step(session);
}

static void not_stored(struct mailbox_session *session, struct str words)
{
	drop_flight(session);
	if (session->state == SESSION_CLOSED)
		mailbox_run_free_if_done(session->run);
	else if (session->state != SESSION_SYNCING)
		session_sync_drop(session);
	else
		session_trouble(session, TROUBLE_SERVER_BUSY, words);
}

static int build_waiting(struct db_job *job, struct db *db, struct arena *arena, struct err *err)
{
	struct mailbox_session *session = job->self;

	return intake_queue_waiting(db, arena, &session->run->mailbox, &session->waiting_result, err);
}

static void waiting_counted(struct db_job *job, const struct err *err, const char *sqlstate)
{
	struct mailbox_session *session = job->self;
	struct mailbox_run *run = session->run;

	(void)sqlstate;
	if (!err)
		run->waiting = db_int(session->waiting_result, 0, 0);
	db_result_done(&session->waiting_result);
	if (session->state == SESSION_CLOSED)
		mailbox_run_free_if_done(run);
	else if (session->state == SESSION_SYNCING && mailbox_run_credit(run) > 0)
		session_sync_step(session);
	else if (session->state == SESSION_SYNCING)
		wait_for_leave(session);
}

static void drop_flight(struct mailbox_session *session)
{
	struct flight *flight = session->flights;

	session->flights = flight->next;
	if (!session->flights)
		session->flights_end = &session->flights;
	session->run->in_flight -= (int64_t)flight->batch->count;
	session->run->fetcher->bytes_in_flight -= flight->batch->bytes;
	intake_batch_free(flight->batch);
	free(flight);
}

/* A batch that is being stored stays until that has ended. */
void session_fetch_drop(struct mailbox_session *session)
{
	struct flight *storing = session->store_job.is_busy ? session->flights : NULL;

	if (storing) {
		session->flights = storing->next;
		if (!session->flights)
			session->flights_end = &session->flights;
	}
	while (session->flights)
		drop_flight(session);
	if (storing) {
		storing->next = NULL;
		session->flights = storing;
		session->flights_end = &storing->next;
	}
	session_body_drop(session);
}

/* --- bodies as they come off the wire */

void session_body_drop(struct mailbox_session *session)
{
	free(session->body);
	session->body = NULL;
	session->body_len = 0;
}

/* Would a body of this size bring what is held in memory far above what was planned? */
static bool holds_unforeseen(const struct mailbox_session *session, uint64_t size)
{
	uint64_t planned = (uint64_t)session->run->mailbox.size_limit + LIES_MAX, held = size;

	for (const struct flight *flight = session->flights; flight; flight = flight->next) {
		planned += (uint64_t)flight->batch->bytes;
		for (size_t i = 0; i < flight->batch->count; i++)
			held += flight->batch->entries[i].len;
	}
	return held > planned;
}

static bool body_begins(void *self, uint64_t size, bool is_nil)
{
	struct mailbox_session *session = self;
	uint64_t most = (uint64_t)session->run->mailbox.size_limit + SMALL_BATCH;

	session_body_drop(session);
	session->body_is_nil = is_nil;
	session->body_dropped = size > most;
	session->body_unforeseen = !session->sizes_lie && holds_unforeseen(session, size);
	if (session->body_dropped || session->body_unforeseen || size == 0)
		return false;
	session->body = xmalloc((size_t)size);
	return true;
}

static void body_comes(void *self, const char *at, size_t len)
{
	struct mailbox_session *session = self;

	memcpy(session->body + session->body_len, at, len);
	session->body_len += len;
}

static void body_ends(void *self)
{
	(void)self;
}

const struct imap_sink session_sink = { .begin = body_begins, .bytes = body_comes, .end = body_ends };
