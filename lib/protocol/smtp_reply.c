/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/smtp_reply.h"

#include "base/cleanup.h"

#include "base/banned.h"

static void read_mechanisms(struct str names, struct smtp_capabilities *out);
static bool take_line(struct smtp_reply_parser *parser, bool *out_is_last);
static void keep_text(struct smtp_reply *reply, struct str text);
static void read_enhanced(struct smtp_reply *reply);
static bool is_digit(char c);

void smtp_reply_init(struct smtp_reply_parser *parser)
{
	parser->reply.code = 0;
	parser->reply.enhanced[0] = '\0';
	parser->reply.lines = 0;
	parser->reply.text_len = 0;
	parser->reply.text[0] = '\0';
	parser->line_len = 0;
	parser->is_done = parser->is_bad = false;
}

enum smtp_feed smtp_reply_feed(struct smtp_reply_parser *parser, struct str *bytes, const struct smtp_reply **out)
{
	bool is_last;

	if (parser->is_bad)
		return SMTP_FEED_BAD;
	if (parser->is_done)
		smtp_reply_init(parser);
	while (bytes->len) {
		char c = bytes->at[0];
		*bytes = str_slice(*bytes, 1, bytes->len);
		if (c != '\n') {
			if (parser->line_len == sizeof parser->line) {
				parser->is_bad = true;
				return SMTP_FEED_BAD;
			}
			parser->line[parser->line_len++] = c;
			continue;
		}
		if (!take_line(parser, &is_last)) {
			parser->is_bad = true;
			return SMTP_FEED_BAD;
		}
		parser->line_len = 0;
		if (is_last) {
			read_enhanced(&parser->reply);
			parser->is_done = true;
			*out = &parser->reply;
			return SMTP_FEED_REPLY;
		}
	}
	return SMTP_FEED_MORE;
}

void smtp_capabilities_read(const struct smtp_reply *reply, struct smtp_capabilities *out)
{
	struct str rest = str_span(reply->text, reply->text_len), line, word;
	bool is_first = true;

	*out = (struct smtp_capabilities){ 0 };
	while (str_next(&rest, '\n', &line)) {
		/* The first line is the server's name. */
		if (is_first) {
			is_first = false;
			continue;
		}
		/* AUTH=PLAIN is how old servers wrote it, and some still do besides. */
		if (str_starts_nocase(line, STR("AUTH=")))
			read_mechanisms(str_slice(line, 5, line.len), out);
		else if (!str_next(&line, ' ', &word))
			continue;
		else if (str_eq_nocase(word, STR("AUTH")))
			read_mechanisms(line, out);
		else if (str_eq_nocase(word, STR("PIPELINING")))
			out->has_pipelining = true;
		else if (str_eq_nocase(word, STR("STARTTLS")))
			out->has_starttls = true;
		else if (str_eq_nocase(word, STR("8BITMIME")))
			out->has_8bitmime = true;
		else if (str_eq_nocase(word, STR("SMTPUTF8")))
			out->has_smtputf8 = true;
		else if (str_eq_nocase(word, STR("ENHANCEDSTATUSCODES")))
			out->has_enhanced_codes = true;
		else if (str_eq_nocase(word, STR("SIZE")))
			(void)str_to_i64(str_trim(line), 0, INT64_MAX, &out->size_max);
	}
}

static void read_mechanisms(struct str names, struct smtp_capabilities *out)
{
	struct str name;

	while (str_next(&names, ' ', &name)) {
		out->has_auth_plain = out->has_auth_plain || str_eq_nocase(name, STR("PLAIN"));
		out->has_auth_login = out->has_auth_login || str_eq_nocase(name, STR("LOGIN"));
	}
}

/* "250-text", "250 text" or "250": all lines of a reply bear one code. */
static bool take_line(struct smtp_reply_parser *parser, bool *out_is_last)
{
	struct str line = str_span(parser->line, parser->line_len);
	struct smtp_reply *reply = &parser->reply;

	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	if (line.len < 3 || line.at[0] < '2' || line.at[0] > '5' || !is_digit(line.at[1]) || !is_digit(line.at[2]))
		return false;
	if (line.len > 3 && line.at[3] != ' ' && line.at[3] != '-')
		return false;
	int code = (line.at[0] - '0') * 100 + (line.at[1] - '0') * 10 + (line.at[2] - '0');
	if (reply->lines && code != reply->code)
		return false;
	reply->code = code;
	if (++reply->lines > SMTP_LINES_MAX)
		return false;
	keep_text(reply, str_slice(line, 4, line.len));
	*out_is_last = line.len == 3 || line.at[3] == ' ';
	return true;
}

static void keep_text(struct smtp_reply *reply, struct str text)
{
	if (reply->lines > 1 && reply->text_len < SMTP_TEXT_MAX)
		reply->text[reply->text_len++] = '\n';
	for (size_t i = 0; i < text.len && reply->text_len < SMTP_TEXT_MAX; i++) {
		unsigned char c = (unsigned char)text.at[i];
		reply->text[reply->text_len++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
	}
	reply->text[reply->text_len] = '\0';
}

/* class "." subject "." detail, of the reply's own class, at the start of its text. */
static void read_enhanced(struct smtp_reply *reply)
{
	const char *at = reply->text;
	size_t len = 0;

	reply->enhanced[0] = '\0';
	if (at[0] != '0' + reply->code / 100)
		return;
	len = 1;
	for (int part = 0; part < 2; part++) {
		size_t digits = 0;
		if (at[len++] != '.')
			return;
		while (digits < 3 && is_digit(at[len])) {
			digits++;
			len++;
		}
		if (!digits)
			return;
	}
	if ((at[len] != ' ' && at[len] != '\0' && at[len] != '\n') || len >= sizeof reply->enhanced)
		return;
	memcpy(reply->enhanced, at, len);
	reply->enhanced[len] = '\0';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}
