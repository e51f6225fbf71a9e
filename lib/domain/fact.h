/* SPDX-License-Identifier: Apache-2.0
 * fact - what can become true of a case; the vocabulary of the timeline and of case.events
 *
 * A fact carries ids and words of ours only. What a decision rested on (addresses, subjects, candidates) goes into
 * `detail`, which stays in the timeline row and is not published.
 */
#ifndef MAILCASE_FACT_H
#define MAILCASE_FACT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "base/uuid.h"

enum fact_kind {
	FACT_CASE_OPENED,
	FACT_MESSAGE_ADDED,
	FACT_MESSAGE_CONFIRMED,
	FACT_PARTICIPANT_ADDED,
	FACT_ASSIGNED,
	FACT_QUEUE_CHANGED,
	FACT_STATE_CHANGED,
	FACT_FOLLOWED,
	FACT_NOTICE_PLANNED,
	FACT_NOTICE_SUPPRESSED,
	FACT_COPY_STATE_CHANGED,
	FACT_TOKEN_REFUSED,
	FACT_MATCH_SUGGESTED,
	FACT_KINDS
};

/* "case_opened", ...; NULL for none. */
const char *fact_kind_name(enum fact_kind kind);
bool fact_kind_parse(struct str name, enum fact_kind *out);

enum case_state { CASE_NO_STATE, CASE_OPEN, CASE_WAITING, CASE_CLOSED, CASE_MERGED };
const char *case_state_name(enum case_state state); /* "open", ...; "" for none */
bool case_state_parse(struct str name, enum case_state *out);

enum direction { DIRECTION_NONE, DIRECTION_IN, DIRECTION_OUT, DIRECTION_NOTE };
const char *direction_name(enum direction direction); /* "in", "out", "note" */
bool direction_parse(struct str name, enum direction *out);

enum author_kind { AUTHOR_NONE, AUTHOR_SYSTEM, AUTHOR_USER, AUTHOR_SENDER };
const char *author_kind_name(enum author_kind kind);

struct author {
	enum author_kind kind;
	struct user_id user; /* AUTHOR_USER */
};

struct fact {
	enum fact_kind kind;
	struct str detail; /* JSON object for the timeline only, or STR_NULL */
	union {
		struct {
			struct queue_id queue;
			struct team_id team;
			struct mailbox_id mailbox;
			struct case_id follows;
			enum case_state state;
		} case_opened;
		struct {
			struct message_id message;
			enum direction direction;
			bool is_pending, is_automatic, is_external, is_unverified;
			struct str matched_by;
			int64_t size;
			uint32_t attachments;
		} message_added;
		struct {
			struct message_id message;
		} message_confirmed;
		struct {
			struct message_id message;
			struct str role;
		} participant_added;
		struct {
			struct user_id user; /* null: unassigned */
			struct team_id team;
			struct user_id previous;
			struct str method;
		} assigned;
		struct {
			struct queue_id from, to;
		} queue_changed;
		struct {
			enum case_state from, to;
			struct str reason;
		} state_changed;
		struct {
			struct user_id user;
			bool is_following;
		} followed;
		struct {
			struct outbound_id outbound;
			struct str audience, kind, reason;
			struct user_id user;
		} notice_planned;
		struct {
			struct str audience, kind, reason, suppressed_by;
			struct user_id user;
		} notice_suppressed;
		struct {
			struct outbound_id outbound;
			struct copy_id copy;
			struct str from, to;
			int reply_code;
		} copy_state_changed;
		struct {
			struct message_id message;
			struct str reason;
		} token_refused;
		struct {
			struct message_id message;
			struct case_id other;
			struct str rung, reason;
		} match_suggested;
	};
};

/* What a record says of a case, as consumers get it. */
struct case_record {
	struct tenant_id tenant;
	struct case_id case_id;
	int64_t version, number, time_us;
	struct uuid cause;
	uint32_t hop;
	bool is_quiet;
	struct author author;
	const struct fact *facts;
	size_t facts_len;
};

#endif
