/* SPDX-License-Identifier: Apache-2.0
 * model - a mail as we understand it: one flat struct of views, the same in the parser child and in its parent
 *
 * Made by mail_parse() from any bytes whatever; what was wrong is in `defects`, never an error. All text is UTF-8
 * without NUL (scrubbed), ids are without angle brackets, addresses are as written (compare them folded, see address.h).
 * Every view lives as long as the arena it was made in.
 */
#ifndef MAILCASE_MODEL_H
#define MAILCASE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/str.h"

struct mail_address {
	struct str name;    /* decoded display name, or "" */
	struct str address; /* local@domain as written, or what stood there if it is no address */
};

struct mail_addresses {
	struct mail_address *at;
	size_t len;
};

struct mail_strs {
	struct str *at;
	size_t len;
};

enum mail_encoding { MAIL_ENC_IDENTITY, MAIL_ENC_BASE64, MAIL_ENC_QP, MAIL_ENC_UUENCODE };

/* One attachment. Its bytes stay in the raw mail: [offset, offset + length) of it, encoded as `encoding` says. */
struct mail_part {
	struct str name; /* decoded; never used as a path */
	struct str type; /* lower case, "application/octet-stream" where absent */
	struct str content_id;
	uint64_t size; /* decoded bytes */
	struct sha256 sum;
	bool is_inline;
	uint64_t offset, length;
	enum mail_encoding encoding;
};

/* Codes of ../shared FORMAT: what was wrong and was put up with. Bits of mail.defects. */
enum mail_defect {
	MAIL_DEFECT_LEADING_JUNK = 1 << 0,
	MAIL_DEFECT_LONE_CR = 1 << 1,
	MAIL_DEFECT_NUL_BYTES = 1 << 2,
	MAIL_DEFECT_NO_FROM = 1 << 3,
	MAIL_DEFECT_BAD_ADDRESS = 1 << 4,
	MAIL_DEFECT_NO_DATE = 1 << 5,
	MAIL_DEFECT_BAD_DATE = 1 << 6,
	MAIL_DEFECT_NO_MESSAGE_ID = 1 << 7,
	MAIL_DEFECT_DOUBLED_HEADER = 1 << 8,
	MAIL_DEFECT_RAW_8BIT_HEADER = 1 << 9,
	MAIL_DEFECT_UNKNOWN_CHARSET = 1 << 10,
	MAIL_DEFECT_CHARSET_GUESSED = 1 << 11,
	MAIL_DEFECT_BAD_BASE64 = 1 << 12,
	MAIL_DEFECT_BAD_QUOTED_PRINTABLE = 1 << 13,
	MAIL_DEFECT_BAD_BOUNDARY = 1 << 14,
	MAIL_DEFECT_UNCLOSED_MULTIPART = 1 << 15,
	MAIL_DEFECT_TOO_DEEP = 1 << 16,
	MAIL_DEFECT_TOO_BIG = 1 << 17,
};

/* "lone_cr" for MAIL_DEFECT_LONE_CR; NULL for no single known bit. */
const char *mail_defect_name(uint32_t bit);

enum mail_kind {
	MAIL_NORMAL,
	MAIL_LIST,
	MAIL_AUTO_REPLY,
	MAIL_DELIVERY_REPORT,
	MAIL_BOUNCE,
	MAIL_COMPLAINT,
};

/* "normal", "list", "auto_reply", "delivery_report", "bounce", "complaint". */
const char *mail_kind_name(enum mail_kind kind);

struct mail {
	/* Headers. The first Subject, From and Content-Type count where they are doubled. */
	struct str subject; /* decoded, on one line */
	struct mail_addresses from, sender, reply_to, to, cc;
	struct mail_address best_sender; /* From, else the best that Reply-To, Sender, Return-Path give */
	struct mail_strs delivered_to;   /* addresses in Delivered-To, X-Original-To, Envelope-To: where tokens come back */
	struct str return_path; /* without brackets; "" for <> and for absent, told apart by has_empty_return_path */
	bool has_empty_return_path;
	bool has_date;
	int64_t date_s;      /* seconds since 1970, if has_date */
	struct str date_raw; /* as it stood */
	struct str message_id;
	struct mail_strs in_reply_to, references; /* in header order */
	struct str thread_index;                  /* raw base64 of Thread-Index, or "" */
	struct str auto_submitted, precedence, list_id;
	bool
		is_automatic; /* design.md section 12: Auto-Submitted other than no, empty Return-Path, List-Id, Precedence bulk|junk|list, multipart/report */
	enum mail_kind kind;
	struct mail_strs
		inner_ids; /* Message-ID, then In-Reply-To and References, of a returned mail or its headers inside */

	/* Content. */
	struct str text; /* what a person would read */
	bool has_html;
	struct mail_part *parts; /* attachments */
	size_t parts_len;

	uint32_t defects;

	/* Identity (design.md section 6). */
	struct sha256 body_sum;     /* all after the first empty line, line ends as CRLF, trailing empty lines cut */
	struct sha256 headless_sum; /* of all but the trace headers; the identity of a mail without Message-ID */
};

/* Limits that the linear scan keeps before GMime and gumbo see a mail (parser-child measurements). */
struct mail_limits {
	size_t header_block, header_line, headers, parts, depth, html_bytes, html_depth, text_bytes, addresses, references;
};
extern const struct mail_limits mail_limits_default;

#endif
