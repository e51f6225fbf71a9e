/* SPDX-License-Identifier: Apache-2.0
 *
 * Framing: lines and literals. A reply's text is its lines without their line ends and without the `{n}`, with small
 * literals where they stood; the marks say where. Bodies leave through the sink at once.
 */
#include "imap_reply.h"

#include "base/banned.h"

static int take_line(struct imap_parser *parser, struct str *input, struct err *err);
static void take_literal(struct imap_parser *parser, struct str *input);
static int end_of_line(struct imap_parser *parser, struct err *err);
static bool may_hold_literals(struct str text);
static bool ends_in_literal(struct str line, uint64_t *out_size, size_t *out_length);
static bool is_body_name(struct str text);
static int broken(struct imap_parser *parser, struct err *err, const char *why);

/* A reply larger than this gives its memory back: thousands of idle connections are kept. */
#define TEXT_KEPT ((size_t)8 * 1024)

void imap_parser_init(struct imap_parser *parser, const struct imap_limits *limits, const struct imap_sink *sink)
{
	*parser = (struct imap_parser){ .limits = *limits, .sink = *sink };
	if (parser->limits.literals_max > ARRAY_LEN(parser->marks))
		parser->limits.literals_max = ARRAY_LEN(parser->marks);
	buf_init(&parser->text, parser->limits.search_max);
	arena_init(&parser->arena);
}

void imap_parser_done(struct imap_parser *parser)
{
	buf_done(&parser->text);
	arena_done(&parser->arena);
}

int imap_parser_feed(struct imap_parser *parser, struct str *input, struct imap_reply *out, struct err *err)
{
	if (parser->is_broken)
		return broken(parser, err, "it was broken before");
	if (parser->is_complete) {
		parser->is_complete = false;
		parser->mark_count = 0;
		parser->bodies = 0;
		parser->line_from = 0;
		if (parser->text.room > TEXT_KEPT)
			buf_done(&parser->text);
		buf_reset(&parser->text);
		arena_done(&parser->arena);
	}
	while (input->len > 0) {
		if (parser->in_literal) {
			take_literal(parser, input);
			continue;
		}
		int complete = take_line(parser, input, err);
		if (complete < 0)
			return -1;
		if (!complete)
			continue;
		parser->is_complete = true;
		if (parser->text.len == 0)
			return broken(parser, err, "an empty line");
		if (imap_grammar(parser, out, err) < 0) {
			parser->is_broken = true;
			return -1;
		}
		return 1;
	}
	return 0;
}

/* 1 when the line that ended completes the reply. */
static int take_line(struct imap_parser *parser, struct str *input, struct err *err)
{
	ptrdiff_t end = str_find_char(*input, '\n', 0);
	struct str piece = str_slice(*input, 0, end < 0 ? input->len : (size_t)end);

	buf_add_str(&parser->text, piece);
	*input = str_slice(*input, end < 0 ? input->len : (size_t)end + 1, input->len);
	if (parser->text.overflowed)
		return broken(parser, err, "a reply without end");
	if (parser->text.len > parser->limits.text_max && !str_starts_nocase(buf_str(&parser->text), STR("* SEARCH")) &&
	    !str_starts_nocase(buf_str(&parser->text), STR("* ESEARCH")))
		return broken(parser, err, "a reply without end");
	return end < 0 ? 0 : end_of_line(parser, err);
}

static int end_of_line(struct imap_parser *parser, struct err *err)
{
	struct buf *text = &parser->text;
	uint64_t size;
	size_t length;

	if (text->len > parser->line_from && text->at[text->len - 1] == '\r')
		text->at[--text->len] = '\0';
	struct str line = str_slice(buf_str(text), parser->line_from, text->len);
	if (!may_hold_literals(buf_str(text)) || !ends_in_literal(line, &size, &length))
		return 1;
	if (parser->mark_count == parser->limits.literals_max)
		return broken(parser, err, "too many literals in one reply");
	text->len -= length;
	text->at[text->len] = '\0';
	parser->literal_is_body = is_body_name(buf_str(text));
	if (parser->literal_is_body ? size > parser->limits.literal_max : size > parser->limits.text_max)
		return broken(parser, err, "a literal larger than allowed");
	parser->marks[parser->mark_count++] = (struct imap_mark){ .at = text->len,
		                                                  .len = parser->literal_is_body ? 0 : (size_t)size,
		                                                  .is_body = parser->literal_is_body };
	parser->in_literal = size > 0;
	parser->literal_left = size;
	parser->line_from = text->len + (parser->literal_is_body ? 0 : (size_t)size);
	if (parser->literal_is_body) {
		parser->bodies++;
		parser->literal_wanted = parser->sink.begin(parser->sink.self, size, false);
		if (size == 0 && parser->literal_wanted)
			parser->sink.end(parser->sink.self);
	}
	return 0;
}

static void take_literal(struct imap_parser *parser, struct str *input)
{
	size_t len = parser->literal_left < input->len ? (size_t)parser->literal_left : input->len;

	if (!parser->literal_is_body)
		buf_add(&parser->text, input->at, len); /* an overflow shows at the next line */
	else if (parser->literal_wanted)
		parser->sink.bytes(parser->sink.self, input->at, len);
	*input = str_slice(*input, len, input->len);
	parser->literal_left -= len;
	parser->in_literal = parser->literal_left > 0;
	if (!parser->in_literal && parser->literal_is_body && parser->literal_wanted)
		parser->sink.end(parser->sink.self);
}

/* Human text may end in `{5}` as well: only untagged data has literals. */
static bool may_hold_literals(struct str text)
{
	static const struct str statuses[] = { STR("* OK "), STR("* NO "), STR("* BAD "), STR("* BYE "), STR("* PREAUTH ") };

	if (!str_starts(text, STR("* ")))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (str_starts_nocase(text, statuses[i]))
			return false;
	return true;
}

/* `{n}`, `{n+}` or `~{n}` at the end of the line; its length in *out_length. */
static bool ends_in_literal(struct str line, uint64_t *out_size, size_t *out_length)
{
	size_t end = line.len;
	int64_t size;

	if (end < 3 || line.at[end - 1] != '}')
		return false;
	end--;
	if (line.at[end - 1] == '+')
		end--;
	size_t from = end;
	while (from > 0 && line.at[from - 1] >= '0' && line.at[from - 1] <= '9')
		from--;
	if (from == 0 || line.at[from - 1] != '{' ||
	    !str_to_i64(str_slice(line, from, end), 0, INT64_MAX / 2, &size))
		return false;
	from--;
	if (from > 0 && line.at[from - 1] == '~')
		from--;
	*out_size = (uint64_t)size;
	*out_length = line.len - from;
	return true;
}

/* Does the text so far end in the name of an attribute whose value is a body? */
static bool is_body_name(struct str text)
{
	while (text.len > 0 && text.at[text.len - 1] == ' ')
		text.len--;
	if (str_ends_nocase(text, STR(" RFC822")) || str_ends_nocase(text, STR("(RFC822")) ||
	    str_ends_nocase(text, STR("RFC822.HEADER")) || str_ends_nocase(text, STR("RFC822.TEXT")))
		return true;
	if (text.len > 0 && text.at[text.len - 1] == '>') { /* BODY[]<0> */
		while (text.len > 0 && text.at[text.len - 1] != '<')
			text.len--;
		if (text.len > 0)
			text.len--;
	}
	if (text.len == 0 || text.at[text.len - 1] != ']')
		return false;
	size_t open = text.len;
	while (open > 0 && text.at[open - 1] != '[')
		open--;
	struct str name = str_slice(text, 0, open);
	return str_ends_nocase(name, STR(" BODY[")) || str_ends_nocase(name, STR("(BODY[")) ||
	       str_ends_nocase(name, STR(" BINARY[")) || str_ends_nocase(name, STR("(BINARY["));
}

static int broken(struct imap_parser *parser, struct err *err, const char *why)
{
	parser->is_broken = true;
	return err_set(err, ERR_PERM, "cannot read the server's answer: %s", why);
}
