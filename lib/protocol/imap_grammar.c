/* SPDX-License-Identifier: Apache-2.0
 *
 * Grammar: one complete reply's text into a struct. A cursor walks text and marks together; no scan of a token ever
 * crosses the beginning of a literal.
 */
#include <time.h>

#include "base/clock.h"
#include "base/vec.h"
#include "imap_reply.h"

#include "base/banned.h"

#define DEPTH_MAX 64

struct cursor {
	struct imap_parser *parser;
	struct str text;
	size_t at;
	unsigned mark; /* the next literal */
};

enum token { TOKEN_END, TOKEN_ATOM, TOKEN_STRING, TOKEN_BODY, TOKEN_OPEN, TOKEN_CLOSE };

static void read_status(struct imap_reply *out, struct str rest);
static int read_fetch(struct cursor *cursor, struct imap_reply *out, struct err *err);
static int read_attribute(struct cursor *cursor, struct str name, struct imap_fetch *fetch, struct err *err);
static int read_flags(struct cursor *cursor, struct imap_fetch *fetch, struct err *err);
static int read_body(struct cursor *cursor, struct err *err);
static int read_list(struct cursor *cursor, struct imap_reply *out, struct err *err);
static int read_search(struct cursor *cursor, struct imap_reply *out, struct err *err);
static int read_esearch(struct cursor *cursor, struct imap_reply *out, struct err *err);
static enum token next_token(struct cursor *cursor, struct str *out);
static struct str next_name(struct cursor *cursor);
static int skip_value(struct cursor *cursor, struct err *err);
static int odd(struct err *err, const char *what);

static const struct {
	struct str word;
	enum imap_reply_kind kind;
} statuses[] = {
	{ STR("OK"), IMAP_OK },   { STR("NO"), IMAP_NO },           { STR("BAD"), IMAP_BAD },
	{ STR("BYE"), IMAP_BYE }, { STR("PREAUTH"), IMAP_PREAUTH },
};

int imap_grammar(struct imap_parser *parser, struct imap_reply *out, struct err *err)
{
	struct cursor cursor = { .parser = parser, .text = buf_str(&parser->text) };
	struct str text = cursor.text, tag;
	int64_t number;

	*out = (struct imap_reply){ 0 };
	if (text.at[0] == '+') {
		out->kind = IMAP_CONTINUE;
		out->text = str_trim(str_slice(text, 1, text.len));
		return 0;
	}
	if (text.at[0] == '[') /* Exchange breaks `* OK [COPYUID ...` over two lines */
		return 0;
	tag = next_name(&cursor);
	if (tag.len == 0)
		return odd(err, "a line that is no reply");
	if (!str_eq(tag, STR("*")))
		out->tag = tag;
	struct str word = next_name(&cursor);
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		if (str_eq_nocase(word, statuses[i].word)) {
			out->kind = statuses[i].kind;
			read_status(out, str_slice(text, cursor.at, text.len));
			return 0;
		}
	}
	if (out->tag.len > 0)
		return odd(err, "a tagged line that is neither OK nor NO nor BAD");
	if (str_eq_nocase(word, STR("CAPABILITY"))) {
		out->kind = IMAP_CAPABILITY;
		out->text = str_trim(str_slice(text, cursor.at, text.len));
		return 0;
	}
	if (str_eq_nocase(word, STR("LIST")) || str_eq_nocase(word, STR("XLIST")) || str_eq_nocase(word, STR("LSUB")))
		return read_list(&cursor, out, err);
	if (str_eq_nocase(word, STR("SEARCH")))
		return read_search(&cursor, out, err);
	if (str_eq_nocase(word, STR("ESEARCH")))
		return read_esearch(&cursor, out, err);
	if (!str_to_i64(word, 0, UINT32_MAX, &number))
		return 0; /* IMAP_OTHER: FLAGS, STATUS, ENABLED, ID, ... */
	out->number = (uint32_t)number;
	word = next_name(&cursor);
	if (str_eq_nocase(word, STR("EXISTS"))) {
		out->kind = IMAP_EXISTS;
	} else if (str_eq_nocase(word, STR("EXPUNGE"))) {
		out->kind = IMAP_EXPUNGE;
	} else if (str_eq_nocase(word, STR("FETCH"))) {
		out->fetch.seq = out->number;
		return read_fetch(&cursor, out, err);
	} else if (str_eq_nocase(word, STR("UIDFETCH"))) {
		out->fetch.uid = out->number;
		return read_fetch(&cursor, out, err);
	}
	return 0;
}

static void read_status(struct imap_reply *out, struct str rest)
{
	rest = str_trim(rest);
	if (rest.len > 0 && rest.at[0] == '[') {
		/* A code's arguments may hold brackets only within parentheses (PERMANENTFLAGS); the last of a run counts. */
		ptrdiff_t close = str_find_char(rest, ']', 1);
		if (close > 0) {
			struct str code = str_slice(rest, 1, (size_t)close);
			ptrdiff_t blank = str_find_char(code, ' ', 0);
			out->code = blank < 0 ? code : str_slice(code, 0, (size_t)blank);
			out->code_args = blank < 0 ? STR("") : str_trim(str_slice(code, (size_t)blank, code.len));
			rest = str_slice(rest, (size_t)close + 1, rest.len);
		}
	}
	out->text = str_trim(rest);
}

static int read_fetch(struct cursor *cursor, struct imap_reply *out, struct err *err)
{
	struct str token;

	out->kind = IMAP_FETCH;
	if (next_token(cursor, &token) != TOKEN_OPEN)
		return odd(err, "FETCH without a list");
	for (;;) {
		struct str name = next_name(cursor);
		if (name.len == 0)
			break;
		if (read_attribute(cursor, name, &out->fetch, err) < 0)
			return -1;
	}
	out->fetch.bodies = cursor->parser->bodies;
	if (next_token(cursor, &token) != TOKEN_CLOSE)
		return odd(err, "FETCH whose list does not end");
	return 0;
}

static int read_attribute(struct cursor *cursor, struct str name, struct imap_fetch *fetch, struct err *err)
{
	struct str value;
	int64_t number;

	if (str_eq_nocase(name, STR("UID"))) {
		if (next_token(cursor, &value) != TOKEN_ATOM || !str_to_i64(value, 1, UINT32_MAX, &number))
			return odd(err, "a UID that is no number");
		fetch->uid = (uint32_t)number;
		return 0;
	}
	if (str_eq_nocase(name, STR("RFC822.SIZE"))) {
		if (next_token(cursor, &value) != TOKEN_ATOM || !str_to_i64(value, 0, INT64_MAX, &number))
			return odd(err, "a size that is no number");
		fetch->size = (uint64_t)number;
		fetch->has_size = true;
		return 0;
	}
	if (str_eq_nocase(name, STR("INTERNALDATE"))) {
		enum token kind = next_token(cursor, &value);
		if (kind != TOKEN_STRING && kind != TOKEN_ATOM)
			return odd(err, "INTERNALDATE without a value");
		fetch->has_date = imap_date_parse(value, &fetch->date_us);
		return 0;
	}
	if (str_eq_nocase(name, STR("FLAGS")))
		return read_flags(cursor, fetch, err);
	if (str_starts_nocase(name, STR("BODY[")) || str_starts_nocase(name, STR("BINARY[")) ||
	    str_eq_nocase(name, STR("RFC822")) || str_eq_nocase(name, STR("RFC822.HEADER")) ||
	    str_eq_nocase(name, STR("RFC822.TEXT")))
		return read_body(cursor, err);
	return skip_value(cursor, err);
}

static int read_flags(struct cursor *cursor, struct imap_fetch *fetch, struct err *err)
{
	struct str flag;
	enum token kind = next_token(cursor, &flag);

	if (kind != TOKEN_OPEN)
		return odd(err, "FLAGS without a list");
	fetch->has_flags = true;
	while ((kind = next_token(cursor, &flag)) == TOKEN_ATOM) {
		fetch->is_seen |= str_eq_nocase(flag, STR("\\Seen"));
		fetch->is_deleted |= str_eq_nocase(flag, STR("\\Deleted"));
	}
	return kind == TOKEN_CLOSE ? 0 : odd(err, "FLAGS whose list does not end");
}

/* A body that came as a literal is in the sink already; a quoted one or NIL goes there now. */
static int read_body(struct cursor *cursor, struct err *err)
{
	const struct imap_sink *sink = &cursor->parser->sink;
	struct str value;
	enum token kind = next_token(cursor, &value);

	if (kind == TOKEN_BODY)
		return 0;
	bool is_nil = kind == TOKEN_ATOM && str_eq_nocase(value, STR("NIL"));
	if (kind != TOKEN_STRING && !is_nil)
		return odd(err, "a body that is no string");
	if (is_nil)
		value = STR("");
	cursor->parser->bodies++;
	if (sink->begin(sink->self, value.len, is_nil)) {
		if (value.len > 0)
			sink->bytes(sink->self, value.at, value.len);
		sink->end(sink->self);
	}
	return 0;
}

static int read_list(struct cursor *cursor, struct imap_reply *out, struct err *err)
{
	static const struct {
		struct str flag;
		const char *use;
	} uses[] = {
		{ STR("\\Sent"), "sent" },       { STR("\\Drafts"), "drafts" },   { STR("\\Trash"), "trash" },
		{ STR("\\Junk"), "junk" },       { STR("\\Spam"), "junk" },       { STR("\\Archive"), "archive" },
		{ STR("\\All"), "all" },         { STR("\\AllMail"), "all" },     { STR("\\Flagged"), "flagged" },
		{ STR("\\Starred"), "flagged" }, { STR("\\Inbox"), "inbox" },
	};
	struct str token;
	enum token kind;

	out->kind = IMAP_LIST;
	out->list.use = "";
	if (next_token(cursor, &token) != TOKEN_OPEN)
		return odd(err, "LIST without flags");
	while ((kind = next_token(cursor, &token)) == TOKEN_ATOM) {
		out->list.no_select |= str_eq_nocase(token, STR("\\Noselect")) || str_eq_nocase(token, STR("\\NonExistent"));
		for (size_t i = 0; i < ARRAY_LEN(uses); i++)
			if (str_eq_nocase(token, uses[i].flag))
				out->list.use = uses[i].use;
	}
	if (kind != TOKEN_CLOSE)
		return odd(err, "LIST whose flags do not end");
	kind = next_token(cursor, &token);
	if (kind == TOKEN_STRING && token.len == 1)
		out->list.delimiter = token.at[0];
	else if (kind != TOKEN_ATOM && kind != TOKEN_STRING)
		return odd(err, "LIST without a delimiter");
	kind = next_token(cursor, &out->list.name);
	if (kind != TOKEN_ATOM && kind != TOKEN_STRING)
		return odd(err, "LIST without a name");
	if (str_eq_nocase(out->list.name, STR("INBOX")))
		out->list.use = "inbox";
	return 0;
}

typedef VEC(struct imap_range) range_vec;

static void add_range(struct cursor *cursor, range_vec *ranges, uint32_t first, uint32_t last)
{
	if (ranges->len > 0 && first == ranges->at[ranges->len - 1].last + 1 && first != 0)
		ranges->at[ranges->len - 1].last = last;
	else
		*VEC_PUSH(&cursor->parser->arena, ranges) = (struct imap_range){ first, last };
}

static int read_search(struct cursor *cursor, struct imap_reply *out, struct err *err)
{
	range_vec ranges = { 0 };
	struct str token;
	enum token kind;
	int64_t number;

	out->kind = IMAP_SEARCH;
	while ((kind = next_token(cursor, &token)) == TOKEN_ATOM) {
		if (!str_to_i64(token, 1, UINT32_MAX, &number))
			return odd(err, "SEARCH with something that is no number");
		add_range(cursor, &ranges, (uint32_t)number, (uint32_t)number);
	}
	if (kind != TOKEN_END && kind != TOKEN_OPEN) /* (MODSEQ n) may follow */
		return odd(err, "SEARCH with something that is no number");
	out->ranges = ranges.at;
	out->range_count = ranges.len;
	return 0;
}

static int read_set(struct cursor *cursor, struct str set, range_vec *ranges, struct err *err)
{
	struct str piece, first;

	while (str_next(&set, ',', &piece)) {
		int64_t a, b;
		if (!str_next(&piece, ':', &first) || !str_to_i64(first, 1, UINT32_MAX, &a))
			return odd(err, "ESEARCH with a bad set");
		b = a;
		if (piece.len > 0 && !str_to_i64(piece, 1, UINT32_MAX, &b))
			return odd(err, "ESEARCH with a bad set");
		add_range(cursor, ranges, (uint32_t)(a < b ? a : b), (uint32_t)(a < b ? b : a));
	}
	return 0;
}

static int read_esearch(struct cursor *cursor, struct imap_reply *out, struct err *err)
{
	range_vec ranges = { 0 };
	struct str token;
	enum token kind = next_token(cursor, &token);

	out->kind = IMAP_SEARCH;
	if (kind == TOKEN_OPEN) { /* (TAG "A1") */
		while ((kind = next_token(cursor, &token)) == TOKEN_ATOM || kind == TOKEN_STRING)
			;
		if (kind != TOKEN_CLOSE)
			return odd(err, "ESEARCH whose tag does not end");
		kind = next_token(cursor, &token);
	}
	for (; kind == TOKEN_ATOM; kind = next_token(cursor, &token)) {
		struct str value;
		int64_t number;
		if (str_eq_nocase(token, STR("UID")))
			continue;
		if (str_eq_nocase(token, STR("ALL"))) {
			if (next_token(cursor, &value) != TOKEN_ATOM || read_set(cursor, value, &ranges, err) < 0)
				return odd(err, "ESEARCH with a bad set");
		} else if (str_eq_nocase(token, STR("MIN")) || str_eq_nocase(token, STR("MAX"))) {
			if (next_token(cursor, &value) != TOKEN_ATOM || !str_to_i64(value, 1, UINT32_MAX, &number))
				return odd(err, "ESEARCH with a bad number");
			*(str_eq_nocase(token, STR("MIN")) ? &out->min : &out->max) = (uint32_t)number;
		} else if (skip_value(cursor, err) < 0) {
			return -1;
		}
	}
	out->ranges = ranges.at;
	out->range_count = ranges.len;
	return 0;
}

static bool at_mark(const struct cursor *cursor)
{
	return cursor->mark < cursor->parser->mark_count && cursor->parser->marks[cursor->mark].at == cursor->at;
}

/* Where the next literal begins, or the text ends: no token reaches beyond. */
static size_t token_limit(const struct cursor *cursor)
{
	return cursor->mark < cursor->parser->mark_count ? cursor->parser->marks[cursor->mark].at : cursor->text.len;
}

static enum token quoted_token(struct cursor *cursor, struct str *out)
{
	size_t limit = token_limit(cursor), from = ++cursor->at;
	bool escaped = false;

	while (cursor->at < limit && cursor->text.at[cursor->at] != '"') {
		if (cursor->text.at[cursor->at] == '\\' && cursor->at + 1 < limit) {
			escaped = true;
			cursor->at++;
		}
		cursor->at++;
	}
	if (cursor->at >= limit)
		return TOKEN_END;
	*out = str_slice(cursor->text, from, cursor->at++);
	if (escaped) {
		char *plain = arena_alloc(&cursor->parser->arena, out->len);
		size_t len = 0;
		for (size_t i = 0; i < out->len; i++) {
			if (out->at[i] == '\\')
				i++;
			plain[len++] = out->at[i];
		}
		*out = str_span(plain, len);
	}
	return TOKEN_STRING;
}

static enum token next_token(struct cursor *cursor, struct str *out)
{
	*out = STR("");
	while (!at_mark(cursor) && cursor->at < cursor->text.len && cursor->text.at[cursor->at] == ' ')
		cursor->at++;
	if (at_mark(cursor)) {
		const struct imap_mark *mark = &cursor->parser->marks[cursor->mark++];
		*out = str_slice(cursor->text, mark->at, mark->at + mark->len);
		cursor->at = mark->at + mark->len;
		return mark->is_body ? TOKEN_BODY : TOKEN_STRING;
	}
	size_t limit = token_limit(cursor);
	if (cursor->at >= limit)
		return TOKEN_END;
	switch (cursor->text.at[cursor->at]) {
	case '(':
		cursor->at++;
		return TOKEN_OPEN;
	case ')':
		cursor->at++;
		return TOKEN_CLOSE;
	case '"':
		return quoted_token(cursor, out);
	}
	size_t from = cursor->at;
	while (cursor->at < limit && !strchr(" ()\"", cursor->text.at[cursor->at]))
		cursor->at++;
	if (cursor->at == from) { /* a NUL, which strchr finds at its end */
		cursor->at++;
		return TOKEN_END;
	}
	*out = str_slice(cursor->text, from, cursor->at);
	return TOKEN_ATOM;
}

/* An attribute's name or a word: up to a blank or parenthesis, but a `[...]` belongs to it whole, with what it holds. */
static struct str next_name(struct cursor *cursor)
{
	size_t limit;

	while (!at_mark(cursor) && cursor->at < cursor->text.len && cursor->text.at[cursor->at] == ' ')
		cursor->at++;
	limit = token_limit(cursor);
	size_t from = cursor->at;
	bool in_section = false;
	for (; cursor->at < limit; cursor->at++) {
		char c = cursor->text.at[cursor->at];
		if (c == '[')
			in_section = true;
		else if (c == ']')
			in_section = false;
		else if (!in_section && (c == ' ' || c == '(' || c == ')'))
			break;
	}
	return str_slice(cursor->text, from, cursor->at);
}

/* One value of whatever shape. */
static int skip_value(struct cursor *cursor, struct err *err)
{
	unsigned depth = 0;

	do {
		struct str token;
		switch (next_token(cursor, &token)) {
		case TOKEN_END:
			return odd(err, "a value that does not end");
		case TOKEN_OPEN:
			if (++depth > DEPTH_MAX)
				return odd(err, "parentheses nested too deep");
			break;
		case TOKEN_CLOSE:
			if (depth-- == 0)
				return odd(err, "a parenthesis that was not opened");
			break;
		default:
			break;
		}
	} while (depth > 0);
	return 0;
}

static int odd(struct err *err, const char *what)
{
	return err_set(err, ERR_PERM, "cannot read the server's answer: %s", what);
}
