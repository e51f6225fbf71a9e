/* SPDX-License-Identifier: Apache-2.0
 * mailbox_session - one folder of one mailbox: connect, select, list, fetch, store, wait, again
 *
 *	CONNECTING -> SELECTING -> OPENING (cursor) -> [FLOOR (search) ->] SYNCING <-> RESTING (IDLE or poll)
 *	any trouble -> BACKING_OFF -> CONNECTING
 *
 * SYNCING lists what is above the cursor and keeps two batches in flight; batches are stored in the order of their UIDs.
 * mailbox_session.c holds the life of the connection, session_open.c how a folder begins, session_list.c and session_fetch.c
 * what happens while SYNCING.
 */
#ifndef MAILCASE_MAILBOX_SESSION_H
#define MAILCASE_MAILBOX_SESSION_H

#include "intake_store.h"
#include "mailbox_run.h"

enum session_state {
	SESSION_CONNECTING,
	SESSION_SELECTING,
	SESSION_OPENING,
	SESSION_FLOOR,
	SESSION_SYNCING,
	SESSION_RESTING,
	SESSION_BACKING_OFF,
	SESSION_CLOSED
};

/* Kinds of commands; a FETCH of batch n is COMMAND_FETCH + n. */
enum session_command {
	COMMAND_CAPABILITY,
	COMMAND_SELECT,
	COMMAND_FLOOR,
	COMMAND_SEARCH,
	COMMAND_LIST,
	COMMAND_IDLE,
	COMMAND_STORE,
	COMMAND_NOOP,
	COMMAND_FETCH
};

struct flight {
	struct intake_batch *batch;
	int serial;
	unsigned commands;     /* that are not answered yet */
	bool is_complete, has_refused;
	struct flight *next;
};

struct mailbox_session {
	struct mailbox_run *run;
	const struct mailbox_folder *row;
	struct intake_folder folder;
	enum session_state state;
	struct session_health health;
	struct imap *imap;
	struct loop_timer timer; /* back-off, safety sync, credit: whatever the state waits for */
	struct loop_timer actions_timer;
	char *no_password;       /* why there is none; NULL: there is one */
	int64_t well_since_ms;
	int64_t idle_since_ms;
	bool without_idle;       /* over this connection: the server offers IDLE and does not keep to it */

	/* what SELECT said */
	int64_t uidvalidity, uidnext;
	uint32_t exists;
	struct fetch_opening opening;
	struct fetch_cursor cursor;
	uint32_t floor_hit; /* of the search for the floor */

	/* listing */
	uint32_t synced_exists;  /* EXISTS when the last listing began */
	int64_t sync_since_ms;   /* when it began */
	bool is_dirty;           /* EXISTS came since */
	bool is_listing;
	int64_t noticed_at_us, dirty_since_us;
	int64_t list_most;       /* the highest UID that this listing asks for; 0: none is under way */
	int64_t listed_to;       /* the highest UID that is in `items` or below */
	int64_t reread_until;    /* below it, mails may be known from an earlier UIDVALIDITY */
	struct imap_range *ranges; /* found by SEARCH, not listed yet */
	size_t range_count;
	struct fetch_item *items; /* listed, not asked for yet */
	struct known_mail *known;
	char **header_ids;       /* while re-reading: Message-IDs */
	size_t item_count, item_room;
	size_t known_checked;    /* items before this one were looked up */

	/* fetching */
	struct flight *flights, **flights_end;
	int serials;
	char *body;              /* the literal that is being received */
	size_t body_len;
	bool body_is_nil, body_dropped, body_unforeseen;
	bool sizes_lie;          /* then mails are asked for one by one */
	bool has_delivered;      /* a mail, over this connection */
	unsigned refusals;       /* visits in which mails were refused, since something was stored */
	int64_t wait_ms;         /* between two looks for credit; 0: not waiting */
	int64_t noop_at_ms;

	/* database */
	struct db_job open_job, cursor_job, store_job, known_job, waiting_job, actions_job;
	struct db_result *result; /* of whichever of them runs */
	struct db_result *store_result, *waiting_result, *actions_result;
	bool checks_existing;

	/* actions on the server */
	int64_t *action_uids;
	size_t action_count;
	bool actions_refused;
};

struct mailbox_session *mailbox_session_new(struct mailbox_run *run, const struct mailbox_folder *row,
                                            const char *no_password);
/* Stop everything; jobs that run end by themselves, then the session is no longer busy and can be freed. */
void mailbox_session_close(struct mailbox_session *session);
bool mailbox_session_is_busy(const struct mailbox_session *session);
void mailbox_session_free(struct mailbox_session *session);
const struct session_health *mailbox_session_health(const struct mailbox_session *session);
/* Has mail waited longer than it should, though there is credit for it? */
bool mailbox_session_is_late(const struct mailbox_session *session, int64_t now_ms);

/* --- between the files of the session */

void session_trouble(struct mailbox_session *session, enum trouble_cause cause, struct str words);
/* The server answers as it should. */
void session_well(struct mailbox_session *session);
/* All that was there is stored. */
void session_synced(struct mailbox_session *session);
/* Wait for news. */
void session_rest(struct mailbox_session *session);

/* session_open.c: from SELECT to the first look. */
void session_open_init(struct mailbox_session *session);
void session_opens(struct mailbox_session *session);
void session_floor_found(struct mailbox_session *session, const struct imap_reply *reply);
void session_floor_done(struct mailbox_session *session, const struct imap_reply *reply);

/* session_list.c */
void session_sync_init(struct mailbox_session *session);
/* Look for mail above the cursor. */
void session_sync(struct mailbox_session *session);
/* Go on with whatever can be done. */
void session_sync_step(struct mailbox_session *session);
void session_sync_reply(struct mailbox_session *session, const struct imap_reply *reply);
void session_sync_done(struct mailbox_session *session, int kind, const struct imap_reply *reply);
/* The connection is gone: forget what is not being stored. */
void session_sync_drop(struct mailbox_session *session);

/* session_fetch.c */
void session_fetch_init(struct mailbox_session *session);
void session_fetch_step(struct mailbox_session *session);
void session_fetch_mail(struct mailbox_session *session, const struct imap_fetch *fetch);
void session_fetch_answered(struct mailbox_session *session, int serial, const struct imap_reply *reply);
void session_fetch_drop(struct mailbox_session *session);
void session_body_drop(struct mailbox_session *session);
extern const struct imap_sink session_sink;

/* --- server_action.c */
void server_action_init(struct mailbox_session *session);
/* Look for due actions now, or when they will be. */
void server_action_look(struct mailbox_session *session);
void server_action_later(struct mailbox_session *session);
void server_action_done(struct mailbox_session *session, const struct imap_reply *reply);
/* The connection is gone: whatever was asked and not answered is asked again. */
void server_action_drop(struct mailbox_session *session);

#endif
