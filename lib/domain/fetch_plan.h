/* SPDX-License-Identifier: Apache-2.0
 * fetch_plan - what to take from a folder next
 *
 * Pure decisions about one folder: where to begin, what a new UIDVALIDITY means, which mails go into the next batch. The
 * reasons are in the answers.
 */
#ifndef MAILCASE_FETCH_PLAN_H
#define MAILCASE_FETCH_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

/* --- a folder was selected: where to begin */

enum fetch_start { FETCH_FROM_NOW, FETCH_FROM_DATE, FETCH_FROM_ALL };

struct fetch_cursor {
	int64_t uidvalidity; /* 0: never selected */
	int64_t floor_uid, last_uid;
};

struct fetch_opening {
	enum fetch_opening_kind {
		OPEN_CONTINUE,      /* the cursor holds */
		OPEN_AT,            /* set the cursor to floor_uid, nothing is known yet */
		OPEN_SEARCH,        /* the floor is the first UID since `since_us`; ask, then set */
		OPEN_SESSION_ONLY,  /* no UIDVALIDITY: nothing can be promised; refuse the folder */
	} kind;
	bool is_new_epoch; /* UIDVALIDITY changed: compare before downloading */
	int64_t floor_uid;
	int64_t since_us;
};

/* `uidvalidity` and `uidnext` are what SELECT said; 0 where it did not. */
struct fetch_opening fetch_open(const struct fetch_cursor *cursor, int64_t uidvalidity, int64_t uidnext,
                                enum fetch_start start, int64_t start_date_us, int64_t added_at_us);

/* The floor from a search's answer: its first hit, but never above what came next when the folder was selected: a mail
 * that was moved here meanwhile may carry an old date. Without either all, for nothing may be lost. */
int64_t fetch_floor(uint32_t first_hit, int64_t uidnext);

/* --- which mails next */

enum fetch_kind {
	FETCH_MAIL,     /* whole */
	FETCH_HEADER,   /* over the size limit: the header only */
	FETCH_KNOWN,    /* stored before under another UIDVALIDITY: not downloaded */
	FETCH_GONE      /* listed, then not there */
};

struct fetch_item {
	uint32_t uid;
	int64_t size;    /* RFC822.SIZE */
	int64_t date_us; /* INTERNALDATE; 0: unknown */
	enum fetch_kind kind;
};

struct fetch_limits {
	size_t mails;   /* most in one batch */
	int64_t bytes;  /* most bytes in one batch; a larger mail travels alone */
	int64_t credit; /* how many more the mailbox may have under way */
};
#define FETCH_BATCH_MAILS 100
#define FETCH_BATCH_BYTES (INT64_C(4) << 20)

/* How many of the items, from the front, make the next batch: 0 if credit is used up. Items are in ascending order. */
size_t fetch_batch(const struct fetch_item *items, size_t count, const struct fetch_limits *limits, int64_t *out_bytes);

/* Append the UIDs of one kind as an IMAP set ("1:3,7"); false if there are none. A batch's set stays near the 1,000 bytes
 * of a line that every server takes (RFC 2683). */
bool fetch_set(struct buf *out, const struct fetch_item *items, size_t count, enum fetch_kind kind);

/* Is a mail that arrived at `date_us` from before the mailbox was ours? */
bool fetch_is_quiet(int64_t date_us, int64_t added_at_us, bool is_loud);

/* The id of a Message-ID header field block: without name, brackets and blanks; "" where there is none. */
struct str fetch_message_id(struct str header_block);

#endif
