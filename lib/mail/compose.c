/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/compose.h"

#include <time.h>

#include "base/buf.h"

#include "base/banned.h"

#define LINE_WANTED 76               /* fold past this */
#define TEXT_LINE_MAX 998            /* RFC 5322: what a 7bit line may hold */
#define WORD_MAX 200                 /* an unbroken run longer than this is encoded, since it cannot be folded */
#define ID_MAX 900                   /* an id that is longer fits no line */
#define REFERENCES_KEPT 20           /* the root and the latest of them: RFC 5322 servers cut long headers */
#define SUBJECT_CHARACTERS 200
#define PLAIN_START_MAX 40           /* of a subject that is encoded from there on */
#define MAIL_MAX ((size_t)64 << 20)

static int check_fields(const struct compose *mail, struct err *err);
static int check_line(struct str field, const char *name, struct err *err);
static int check_address(struct str address, const char *name, struct err *err);
static int check_addresses(const struct mail_addresses *list, const char *name, struct err *err);
static bool is_id(struct str id);
static void put_date(struct buf *out, int64_t date_s);
static void put_addresses(struct buf *out, const char *name, const struct mail_addresses *list);
static void put_mailbox(struct buf *out, size_t *column, const struct mail_address *who);
static void put_references(struct buf *out, const struct compose *mail);
static void put_subject(struct buf *out, struct str subject);
static void put_words(struct buf *out, size_t *column, struct str text);
static void put_content(struct buf *out, struct arena *arena, struct str text);
static void put_quoted_printable(struct buf *out, struct str line);
static struct str strip_reply_prefixes(struct str subject);

int compose(struct arena *arena, const struct compose *mail, struct str *out_bytes, struct err *err)
{
	struct mail_address from = mail->from;
	struct buf out;

	if (check_fields(mail, err) < 0)
		return -1;
	buf_init(&out, MAIL_MAX);
	put_date(&out, mail->date_s);
	put_addresses(&out, "From: ", &(struct mail_addresses){ &from, 1 });
	if (mail->reply_to.len)
		buf_addf(&out, "Reply-To: %.*s\r\n", STR_ARG(mail->reply_to));
	put_addresses(&out, "To: ", &mail->to);
	put_addresses(&out, "Cc: ", &mail->cc);
	put_subject(&out, mail->subject);
	buf_addf(&out, "Message-ID: <%.*s>\r\n", STR_ARG(mail->message_id));
	put_references(&out, mail);
	if (mail->is_automatic) {
		/* RFC 3834, and the header that Exchange listens to. */
		buf_addf(&out, "Auto-Submitted: %s\r\n", mail->is_auto_reply ? "auto-replied" : "auto-generated");
		buf_add_text(&out, "X-Auto-Response-Suppress: All\r\n");
	}
	if (mail->own_mark.len)
		buf_addf(&out, "X-Mailcase-Token: %.*s\r\n", STR_ARG(mail->own_mark));
	put_content(&out, arena, mail->text);
	if (out.overflowed) {
		buf_done(&out);
		return err_set(err, ERR_PERM, "cannot write a mail of more than %zu bytes", MAIL_MAX);
	}
	*out_bytes = str_dup(arena, buf_str(&out));
	buf_done(&out);
	return 0;
}

struct str compose_subject(struct arena *arena, const char *prefix, struct str tag, struct str subject)
{
	char *clean = str_cstr(arena, subject);
	size_t len = 0, at = 0, characters = 0;

	/* Without the tag wherever it stands, on one line, and blanks never doubled by that. */
	while (at < subject.len) {
		if (tag.len && at + tag.len <= subject.len && memcmp(subject.at + at, tag.at, tag.len) == 0) {
			at += tag.len;
			continue;
		}
		char c = subject.at[at++];
		if ((unsigned char)c < 0x20 || c == 0x7f)
			c = ' ';
		if (c == ' ' && (len == 0 || clean[len - 1] == ' '))
			continue;
		clean[len++] = c;
	}
	struct str rest = str_trim(str_span(clean, len));
	if (prefix[0])
		rest = strip_reply_prefixes(rest);
	for (at = 0; at < rest.len; at++) {
		if (((unsigned char)rest.at[at] & 0xc0) != 0x80 && ++characters > SUBJECT_CHARACTERS)
			break;
	}
	rest = str_trim(str_span(rest.at, at));
	return str_trim(str_printf(arena, "%s%.*s%s%.*s", prefix, STR_ARG(tag), tag.len ? " " : "", STR_ARG(rest)));
}

/* "Re: AW: text" -> "text": what people's programs put before the subject of an answer. */
static struct str strip_reply_prefixes(struct str subject)
{
	static const char *const known[] = { "re:", "aw:", "antw:", "sv:", "vs:", "odp:", "res:", "r:" };
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = 0; i < ARRAY_LEN(known); i++) {
			if (str_starts_nocase(subject, str_of(known[i]))) {
				subject = str_trim(str_slice(subject, strlen(known[i]), subject.len));
				again = true;
			}
		}
	}
	return subject;
}

static int check_fields(const struct compose *mail, struct err *err)
{
	if (check_address(mail->from.address, "from", err) < 0 || check_line(mail->from.name, "from", err) < 0 ||
	    check_addresses(&mail->to, "to", err) < 0 || check_addresses(&mail->cc, "cc", err) < 0 ||
	    check_line(mail->subject, "subject", err) < 0 || check_line(mail->message_id, "message_id", err) < 0 ||
	    check_line(mail->in_reply_to, "in_reply_to", err) < 0 || check_line(mail->own_mark, "own_mark", err) < 0)
		return -1;
	if (mail->reply_to.len && check_address(mail->reply_to, "reply_to", err) < 0)
		return -1;
	for (size_t i = 0; i < mail->references.len; i++) {
		if (check_line(mail->references.at[i], "references", err) < 0)
			return -1;
	}
	if (mail->to.len + mail->cc.len == 0)
		return err_set(err, ERR_PERM, "cannot write the mail: field to is empty");
	if (!is_id(mail->message_id))
		return err_set(err, ERR_PERM, "cannot write the mail: field message_id is no id");
	if (mail->own_mark.len && !is_id(mail->own_mark))
		return err_set(err, ERR_PERM, "cannot write the mail: field own_mark is no token");
	if (mail->text.len && memchr(mail->text.at, '\0', mail->text.len))
		return err_set(err, ERR_PERM, "cannot write the mail: field text holds NUL");
	return 0;
}

static int check_line(struct str field, const char *name, struct err *err)
{
	for (size_t i = 0; i < field.len; i++) {
		if (field.at[i] == '\r' || field.at[i] == '\n' || field.at[i] == '\0')
			return err_set(err, ERR_PERM, "cannot write the mail: field %s holds a line end or NUL", name);
	}
	return 0;
}

/* What may stand between < and > of a header and of an SMTP command: printable ASCII, no blank, one domain. Quoted local
 * parts with blanks are lawful and nobody has one. */
static int check_address(struct str address, const char *name, struct err *err)
{
	ptrdiff_t at = -1;

	if (check_line(address, name, err) < 0)
		return -1;
	for (size_t i = 0; i < address.len; i++) {
		unsigned char c = (unsigned char)address.at[i];
		if (c >= 0x80)
			return err_set(err, ERR_PERM, "cannot write the mail: field %s has an address that needs SMTPUTF8", name);
		if (c <= 0x20 || c == 0x7f || strchr("<>,;:()\\\"", c))
			return err_set(err, ERR_PERM, "cannot write the mail: field %s holds no address", name);
		if (c == '@')
			at = (ptrdiff_t)i;
	}
	if (at <= 0 || (size_t)at + 1 >= address.len || address.len > 254 || memchr(address.at, '@', (size_t)at))
		return err_set(err, ERR_PERM, "cannot write the mail: field %s holds no address", name);
	return 0;
}

static int check_addresses(const struct mail_addresses *list, const char *name, struct err *err)
{
	for (size_t i = 0; i < list->len; i++) {
		if (check_address(list->at[i].address, name, err) < 0 || check_line(list->at[i].name, name, err) < 0)
			return -1;
	}
	return 0;
}

static bool is_id(struct str id)
{
	for (size_t i = 0; i < id.len; i++) {
		unsigned char c = (unsigned char)id.at[i];
		if (c <= 0x20 || c >= 0x7f || c == '<' || c == '>')
			return false;
	}
	return id.len > 0 && id.len <= ID_MAX;
}

static void put_date(struct buf *out, int64_t date_s)
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
		                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t seconds = (time_t)date_s;
	struct tm tm = { 0 };

	gmtime_r(&seconds, &tm);
	buf_addf(out, "Date: %s, %02d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday % 7], tm.tm_mday, months[tm.tm_mon % 12],
	         tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void put_addresses(struct buf *out, const char *name, const struct mail_addresses *list)
{
	size_t column = strlen(name);

	if (!list->len)
		return;
	buf_add_text(out, name);
	for (size_t i = 0; i < list->len; i++) {
		size_t least = list->at[i].address.len + 2;
		if (i > 0) {
			buf_add_char(out, ',');
			column++;
			if (column + 1 + least > LINE_WANTED) {
				buf_add_text(out, "\r\n");
				column = 0;
			}
			buf_add_char(out, ' ');
			column++;
		}
		put_mailbox(out, &column, &list->at[i]);
	}
	buf_add_text(out, "\r\n");
}

static bool is_printable_ascii(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if ((unsigned char)s.at[i] < 0x20 || (unsigned char)s.at[i] >= 0x7f)
			return false;
	}
	return true;
}

static void put_mailbox(struct buf *out, size_t *column, const struct mail_address *who)
{
	struct str name = str_trim(who->name);

	if (name.len) {
		if (name.len <= 60 && is_printable_ascii(name) && str_find(name, STR("=?"), 0) < 0) {
			/* Always quoted: what is an atom and what is not is nobody's business. */
			size_t before = out->len;
			buf_add_char(out, '"');
			for (size_t i = 0; i < name.len; i++) {
				if (name.at[i] == '"' || name.at[i] == '\\')
					buf_add_char(out, '\\');
				buf_add_char(out, name.at[i]);
			}
			buf_add_char(out, '"');
			*column += out->len - before;
		} else {
			put_words(out, column, str_cut_utf8(name, 300));
		}
		if (*column + who->address.len + 3 > LINE_WANTED) {
			buf_add_text(out, "\r\n");
			*column = 0;
		}
		buf_add_char(out, ' ');
		(*column)++;
	}
	buf_addf(out, "<%.*s>", STR_ARG(who->address));
	*column += who->address.len + 2;
}

/* Ids come from strangers: one that fits no header is left out, it would not match anything either. */
static void put_references(struct buf *out, const struct compose *mail)
{
	const struct mail_strs *ids = &mail->references;
	bool has_any = false;

	if (mail->in_reply_to.len && is_id(mail->in_reply_to))
		buf_addf(out, "In-Reply-To: <%.*s>\r\n", STR_ARG(mail->in_reply_to));
	for (size_t i = 0; i < ids->len; i++) {
		bool is_kept = i == 0 || i + REFERENCES_KEPT > ids->len;
		if (!is_kept || !is_id(ids->at[i]))
			continue;
		buf_addf(out, "%s<%.*s>", has_any ? "\r\n " : "References: ", STR_ARG(ids->at[i]));
		has_any = true;
	}
	if (has_any)
		buf_add_text(out, "\r\n");
}

/* Where the words begin that must be encoded. What stands before them stays as it is, so that the case's number can be
 * read by filters that know nothing of RFC 2047; it is short enough for an encoded word to follow on its line. */
static size_t plain_start(struct str subject)
{
	size_t start = 0;
	struct str word;

	for (struct str rest = subject; str_next(&rest, ' ', &word) && rest.len;) {
		size_t end = subject.len - rest.len;
		if (end > PLAIN_START_MAX || !word.len || !is_printable_ascii(word) || str_find(word, STR("=?"), 0) >= 0)
			break;
		start = end;
	}
	return start;
}

static void put_subject(struct buf *out, struct str subject)
{
	size_t column = strlen("Subject: ");
	struct str rest = str_trim(subject), word;
	bool is_plain = is_printable_ascii(rest) && str_find(rest, STR("=?"), 0) < 0;

	for (struct str look = rest; is_plain && str_next(&look, ' ', &word);)
		is_plain = word.len <= WORD_MAX;
	buf_add_text(out, "Subject: ");
	if (!is_plain) {
		size_t start = plain_start(rest);
		buf_add_str(out, str_slice(rest, 0, start));
		column += start;
		put_words(out, &column, str_slice(rest, start, rest.len));
	} else {
		for (size_t i = 0; i < rest.len; i++) {
			/* Break before a blank that a word follows: a line of blanks alone would end the header for some. */
			if (rest.at[i] == ' ' && rest.at[i + 1] != ' ') {
				ptrdiff_t end = str_find_char(rest, ' ', i + 1);
				size_t word_len = (end < 0 ? rest.len : (size_t)end) - i;
				if (column + word_len > LINE_WANTED) {
					buf_add_text(out, "\r\n");
					column = 0;
				}
			}
			buf_add_char(out, rest.at[i]);
			column++;
		}
	}
	buf_add_text(out, "\r\n");
}

static size_t utf8_length(struct str s, size_t at)
{
	size_t len = 1;

	while (at + len < s.len && len < 4 && ((unsigned char)s.at[at + len] & 0xc0) == 0x80)
		len++;
	return len;
}

/* RFC 2047, Q encoding in UTF-8: words of at most 75 characters, no character cut in two. */
static void put_words(struct buf *out, size_t *column, struct str text)
{
	static const char open[] = "=?utf-8?q?";
	const size_t overhead = sizeof open - 1 + 2;
	bool is_open = false;

	for (size_t at = 0, len; at < text.len; at += len) {
		char piece[16];
		size_t piece_len = 0;
		len = utf8_length(text, at);
		for (size_t i = 0; i < len; i++) {
			unsigned char c = (unsigned char)text.at[at + i];
			bool is_safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			               (c && strchr("!*+-/", c));
			if (c == ' ')
				piece_len += (size_t)snprintf(piece + piece_len, sizeof piece - piece_len, "_");
			else
				piece_len += (size_t)snprintf(piece + piece_len, sizeof piece - piece_len, is_safe ? "%c" : "=%02X", c);
		}
		if (is_open && *column + piece_len + 2 > LINE_WANTED - 1) {
			buf_add_text(out, "?=\r\n ");
			*column = 1;
			is_open = false;
		}
		if (!is_open) {
			if (*column > 1 && *column + overhead + piece_len > LINE_WANTED - 1) {
				buf_add_text(out, "\r\n ");
				*column = 1;
			}
			buf_add_text(out, open);
			*column += sizeof open - 1;
			is_open = true;
		}
		buf_add(out, piece, piece_len);
		*column += piece_len;
	}
	if (is_open) {
		buf_add_text(out, "?=");
		*column += 2;
	}
}

static void put_content(struct buf *out, struct arena *arena, struct str text)
{
	bool is_ascii = true, is_7bit = true;
	struct str line;

	text = str_scrub(arena, text);
	for (struct str rest = text; str_next_line(&rest, &line);) {
		is_7bit = is_7bit && line.len <= TEXT_LINE_MAX;
		for (size_t i = 0; i < line.len; i++) {
			unsigned char c = (unsigned char)line.at[i];
			is_ascii = is_ascii && c < 0x80;
			is_7bit = is_7bit && c < 0x7f && (c >= 0x20 || c == '\t');
		}
	}
	buf_addf(out, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: %s\r\n\r\n",
	         is_ascii ? "us-ascii" : "utf-8", is_7bit ? "7bit" : "quoted-printable");
	for (struct str rest = text; str_next_line(&rest, &line);) {
		if (is_7bit)
			buf_add_str(out, line);
		else
			put_quoted_printable(out, line);
		buf_add_text(out, "\r\n");
	}
}

static void put_quoted_printable(struct buf *out, struct str line)
{
	size_t column = 0;

	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.at[i];
		bool is_last = i + 1 == line.len;
		bool is_plain = (c > 0x20 && c < 0x7f && c != '=') || ((c == ' ' || c == '\t') && !is_last);
		size_t width = is_plain ? 1 : 3;
		if (column + width > LINE_WANTED - (is_last ? 0 : 1)) {
			buf_add_text(out, "=\r\n");
			column = 0;
		}
		if (is_plain)
			buf_add_char(out, (char)c);
		else
			buf_addf(out, "=%02X", c);
		column += width;
	}
}
