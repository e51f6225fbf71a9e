/* SPDX-License-Identifier: Apache-2.0
 * imap_reply - what an IMAP server says, as a stream: bytes in, one reply at a time out
 *
 * Pure: no sockets, no clock. A body (the literal, quoted string or NIL behind BODY[...], RFC822 or BINARY[...]) goes
 * through the sink as it comes and never into the reply's text. Everything has a limit; past it, and for anything that
 * cannot be IMAP, the stream is broken for good. Attributes of a FETCH may come in any order; unknown attributes, codes
 * and whole replies are skipped.
 *
 *	while ((rc = imap_parser_feed(&parser, &input, &reply, &err)) == 1)
 *		use(&reply); // views live until the next call
 */
#ifndef MAILCASE_IMAP_REPLY_H
#define MAILCASE_IMAP_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum imap_reply_kind {
	IMAP_OTHER,    /* understood by nobody here */
	IMAP_CONTINUE, /* "+ ..." */
	IMAP_OK,
	IMAP_NO,
	IMAP_BAD,
	IMAP_BYE,
	IMAP_PREAUTH,
	IMAP_CAPABILITY,
	IMAP_EXISTS,
	IMAP_EXPUNGE,
	IMAP_FETCH, /* UIDFETCH too */
	IMAP_LIST,  /* LIST, XLIST, LSUB */
	IMAP_SEARCH /* SEARCH, ESEARCH */
};

#define IMAP_CAP_IDLE (1u << 0)
#define IMAP_CAP_UIDPLUS (1u << 1)
#define IMAP_CAP_MOVE (1u << 2)
#define IMAP_CAP_ESEARCH (1u << 3)
#define IMAP_CAP_ID (1u << 4)
#define IMAP_CAP_LOGINDISABLED (1u << 5)
#define IMAP_CAP_STARTTLS (1u << 6)
#define IMAP_CAP_AUTH_PLAIN (1u << 7)
#define IMAP_CAP_SPECIAL_USE (1u << 8)
#define IMAP_CAP_UIDONLY (1u << 9)

struct imap_range {
	uint32_t first, last;
};

struct imap_fetch {
	uint32_t seq, uid; /* 0: not said */
	bool has_size, has_date, has_flags;
	uint64_t size;
	int64_t date_us; /* INTERNALDATE */
	bool is_seen, is_deleted;
	unsigned bodies; /* how many went to the sink */
};

struct imap_list {
	struct str name; /* as on the wire: modified UTF-7, see imap_name.h */
	char delimiter;  /* 0: none */
	bool no_select;
	const char *use; /* "sent", "drafts", "trash", "junk", "archive", "all", "flagged", "" */
};

struct imap_reply {
	enum imap_reply_kind kind;
	struct str tag;       /* empty: untagged */
	struct str code;      /* of OK NO BAD BYE PREAUTH: "UIDVALIDITY", in upper case or as sent */
	struct str code_args; /* what stands behind it */
	struct str text;      /* human text; of CONTINUE all of it; of CAPABILITY the list */
	uint32_t number;      /* EXISTS, EXPUNGE */
	struct imap_fetch fetch;
	struct imap_list list;
	const struct imap_range *ranges; /* SEARCH: what was found, ascending runs joined */
	size_t range_count;
	uint32_t min, max; /* ESEARCH MIN and MAX; 0: not said */
};

/* Where bodies go. `begin` answers whether it wants this body; refused bytes are drained. `end` after the last byte. */
struct imap_sink {
	void *self;
	bool (*begin)(void *self, uint64_t size, bool is_nil);
	void (*bytes)(void *self, const char *at, size_t len);
	void (*end)(void *self);
};

struct imap_limits {
	size_t text_max;      /* of one reply without bodies */
	size_t search_max;    /* of a SEARCH or ESEARCH line */
	uint64_t literal_max; /* of one body */
	unsigned literals_max; /* in one reply */
};
#define IMAP_LIMITS_DEFAULT \
	((struct imap_limits){ .text_max = 1 << 20, .search_max = 8 << 20, .literal_max = 400 << 20, .literals_max = 64 })

struct imap_mark {
	size_t at, len; /* a literal within the text */
	bool is_body;   /* it went to the sink: len is 0 here */
};

struct imap_parser {
	struct imap_limits limits;
	struct imap_sink sink;
	struct buf text;
	struct arena arena; /* ranges, unescaped strings of the reply in hand */
	struct imap_mark marks[64];
	unsigned mark_count;
	size_t line_from; /* where the line that is being read began in the text */
	uint64_t literal_left;
	bool in_literal, literal_is_body, literal_wanted, is_complete, is_broken;
	unsigned bodies;
};

void imap_parser_init(struct imap_parser *parser, const struct imap_limits *limits, const struct imap_sink *sink);
void imap_parser_done(struct imap_parser *parser);

/* Take bytes off the front of *input. 1: a reply is complete in *out; 0: the input is used up; -1: the stream is broken
 * (PERM), now and for ever. */
int imap_parser_feed(struct imap_parser *parser, struct str *input, struct imap_reply *out, struct err *err) MUST_CHECK;

/* IMAP_CAP_* of a capability list. */
uint32_t imap_capability_bits(struct str list);

/* `17-Jul-1996 02:44:25 -0700`. */
bool imap_date_parse(struct str text, int64_t *out_us);
/* The day as SEARCH SINCE wants it: `17-Jul-1996` (UTC). */
char *imap_day(struct arena *arena, int64_t wall_us);

/* --- between framing (imap_reply.c) and grammar (imap_grammar.c) */
int imap_grammar(struct imap_parser *parser, struct imap_reply *out, struct err *err) MUST_CHECK;

#endif
