/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/html_scan.h"

#include "base/banned.h"

enum { OPEN_MOST = 1024, ATTRIBUTES_MOST = 128 };

static bool is_one_of(struct str name, const char *const *names);
static bool has_many_attributes(struct str inside);
static uint32_t name_hash(struct str name);
static size_t tag_end(struct str html, size_t at);
static size_t put_utf8(char *out, uint32_t code);
static bool read_reference(struct str s, uint32_t *out_code, size_t *out_len);

bool html_scan_next(struct html_scan *scan, struct html_piece *out)
{
	static const char *const raw_text[] = {
		"script", "style", "title", "textarea", "template", "noscript", "xmp", NULL
	};
	struct str html = scan->html;
	while (scan->at < html.len) {
		size_t start = scan->at;
		char next = start + 1 < html.len ? html.at[start + 1] : 0;
		bool is_tag = html.at[start] == '<' &&
		              (((next | 32) >= 'a' && (next | 32) <= 'z') || next == '/' || next == '!' || next == '?');
		if (!is_tag) {
			ptrdiff_t end = str_find_char(html, '<', start + 1);
			scan->at = end < 0 ? html.len : (size_t)end;
			out->kind = HTML_TEXT;
			out->text = str_slice(html, start, scan->at);
			return true;
		}
		if (next == '!' || next == '?') {
			bool is_comment = str_starts(str_slice(html, start, html.len), STR("<!--"));
			ptrdiff_t end = is_comment ? str_find(html, STR("-->"), start + 4) : str_find_char(html, '>', start);
			/* "<!-->" is a whole comment; one never closed ends at its first bracket, as little as possible is lost. */
			if (is_comment && str_starts(str_slice(html, start, html.len), STR("<!-->")))
				end = (ptrdiff_t)start + 2;
			if (is_comment && end < 0)
				end = (ptrdiff_t)html.len;
			scan->at = end < 0 ? html.len : (size_t)end + (is_comment ? 3 : 1);
			continue;
		}
		size_t name = start + 1 + (next == '/');
		size_t name_end = name;
		while (name_end < html.len && !strchr(" \t\r\n\f/>", html.at[name_end]) && html.at[name_end])
			name_end++;
		out->text = str_slice(html, name, name_end);
		out->kind = next == '/' ? HTML_CLOSE : HTML_OPEN;
		scan->at = tag_end(html, name_end);
		out->inside = str_slice(html, name_end, scan->at);
		if (out->kind == HTML_OPEN && is_one_of(out->text, raw_text)) {
			/* Its content goes, up to the matching end tag. */
			for (size_t at = scan->at;;) {
				ptrdiff_t close = str_find(html, STR("</"), at);
				if (close < 0) {
					scan->at = html.len;
					break;
				}
				at = (size_t)close + 2;
				if (str_starts_nocase(str_slice(html, at, html.len), out->text)) {
					scan->at = tag_end(html, at);
					break;
				}
			}
			continue;
		}
		return true;
	}
	return false;
}

/* Behind the ">" that ends a tag; one in a quoted value does not. A quote that never closes is none. */
static size_t tag_end(struct str html, size_t at)
{
	char quote = 0;
	size_t limit = at + 65536 < html.len ? at + 65536 : html.len;
	for (size_t i = at; i < limit; i++) {
		char c = html.at[i];
		if (quote) {
			if (c == quote)
				quote = 0;
		} else if (c == '>') {
			return i + 1;
		} else if ((c == '"' || c == '\'') && i > at) {
			/* A quote opens a value only behind "=". */
			size_t k = i;
			while (
				k > at &&
				(html.at[k - 1] == ' ' || html.at[k - 1] == '\n' || html.at[k - 1] == '\r' || html.at[k - 1] == '\t') &&
				i - k < 16)
				k--;
			if (k > at && html.at[k - 1] == '=')
				quote = c;
		}
	}
	ptrdiff_t end = str_find_char(str_slice(html, 0, limit), '>', at);
	return end < 0 ? limit : (size_t)end + 1;
}

size_t html_scan_depth(struct str html, size_t most)
{
	/* Never open for long: without content, or closed by what follows them. */
	static const char *const passing[] = {
		"area",   "base",  "br",     "col",      "embed",    "hr",   "img",  "input", "link", "meta", "param",
		"source", "track", "wbr",    "p",        "li",       "dt",   "dd",   "tr",    "td",   "th",   "tbody",
		"thead",  "tfoot", "option", "optgroup", "colgroup", "html", "body", "head",  NULL,
	};
	static const char *const formatting[] = { "a", "b",     "big",    "code",   "em", "font", "i", "nobr",
		                                      "s", "small", "strike", "strong", "tt", "u",    NULL };
	/* What a closing tag cannot reach through, unless it closes one of them. */
	static const char *const scopes[] = { "table", "object", "applet", "marquee", "button", "select", NULL };
	uint32_t open[OPEN_MOST];
	bool is_scope[OPEN_MOST];
	uint16_t formats[64] = { 0 };
	size_t depth = 0, formats_open = 0, deepest = 0;
	struct html_scan scan = { .html = html };
	struct html_piece piece;
	if (most > OPEN_MOST)
		most = OPEN_MOST;
	while (html_scan_next(&scan, &piece)) {
		if (piece.kind == HTML_OPEN && has_many_attributes(piece.inside))
			return most;
		if (piece.kind == HTML_TEXT || is_one_of(piece.text, passing))
			continue;
		uint32_t hash = name_hash(piece.text);
		if (is_one_of(piece.text, formatting)) {
			if (piece.kind == HTML_OPEN) {
				formats[hash % 64]++;
				formats_open++;
			} else if (formats[hash % 64]) {
				formats[hash % 64]--;
				formats_open--;
			}
		} else if (piece.kind == HTML_OPEN) {
			is_scope[depth] = is_one_of(piece.text, scopes);
			open[depth++] = hash;
		} else {
			bool closes_scope = is_one_of(piece.text, scopes);
			size_t at = depth;
			while (at && open[at - 1] != hash && (closes_scope || !is_scope[at - 1]))
				at--;
			if (at && open[at - 1] == hash)
				depth = at - 1;
		}
		if (depth + formats_open > deepest)
			deepest = depth + formats_open;
		if (deepest >= most)
			return deepest;
	}
	return deepest;
}

/* Counts words outside quotes: at least as many as there are attributes. */
static bool has_many_attributes(struct str inside)
{
	size_t words = 0;
	bool in_word = false;
	char quote = 0;
	if (inside.len < ATTRIBUTES_MOST)
		return false;
	for (size_t i = 0; i < inside.len; i++) {
		char c = inside.at[i];
		if (quote) {
			if (c == quote)
				quote = 0, in_word = false;
			continue;
		}
		if ((c == '"' || c == '\'') && i && inside.at[i - 1] == '=')
			quote = c;
		bool is_blank = strchr(" \t\r\n\f/", c) != NULL;
		words += !is_blank && !in_word;
		in_word = !is_blank;
	}
	return words > ATTRIBUTES_MOST;
}

static uint32_t name_hash(struct str name)
{
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.at[i];
		hash = (hash ^ (uint8_t)(c >= 'A' && c <= 'Z' ? c | 32 : c)) * 16777619u;
	}
	return hash;
}

static bool is_one_of(struct str name, const char *const *names)
{
	for (; *names; names++)
		if (str_eq_nocase(name, str_of(*names)))
			return true;
	return false;
}

bool html_is_block(struct str name)
{
	static const char *const blocks[] = {
		"address", "article",  "aside",  "blockquote", "center", "dd",   "dir",     "div", "dl",
		"dt",      "fieldset", "figure", "footer",     "form",   "h1",   "h2",      "h3",  "h4",
		"h5",      "h6",       "header", "hr",         "li",     "main", "nav",     "ol",  "p",
		"pre",     "section",  "table",  "tr",         "ul",     "body", "caption", NULL,
	};
	return is_one_of(name, blocks);
}

struct str html_unescape(struct arena *arena, struct str text)
{
	if (!text.len || !memchr(text.at, '&', text.len))
		return text;
	char *out = arena_alloc(arena, text.len + 4);
	size_t len = 0;
	for (size_t i = 0; i < text.len;) {
		uint32_t code;
		size_t used;
		if (text.at[i] == '&' && read_reference(str_slice(text, i, text.len), &code, &used)) {
			len += put_utf8(out + len, code);
			i += used;
		} else {
			out[len++] = text.at[i++];
		}
	}
	return (struct str){ out, len };
}

/* "&amp;", "&#228;", "&#xE4;". No reference of the table is shorter than what it stands for. */
static bool read_reference(struct str s, uint32_t *out_code, size_t *out_len)
{
	static const struct {
		const char *name;
		uint32_t code;
	} names[] = {
		{ "nbsp", 0xa0 },    { "amp", '&' },      { "lt", '<' },        { "gt", '>' },      { "quot", '"' },
		{ "apos", '\'' },    { "auml", 0xe4 },    { "ouml", 0xf6 },     { "uuml", 0xfc },   { "Auml", 0xc4 },
		{ "Ouml", 0xd6 },    { "Uuml", 0xdc },    { "szlig", 0xdf },    { "eacute", 0xe9 }, { "egrave", 0xe8 },
		{ "agrave", 0xe0 },  { "ccedil", 0xe7 },  { "euro", 0x20ac },   { "copy", 0xa9 },   { "reg", 0xae },
		{ "ndash", 0x2013 }, { "mdash", 0x2014 }, { "hellip", 0x2026 }, { "bull", 0x2022 }, { "lsquo", 0x2018 },
		{ "rsquo", 0x2019 }, { "ldquo", 0x201c }, { "rdquo", 0x201d },  { "laquo", 0xab },  { "raquo", 0xbb },
		{ "middot", 0xb7 },  { "trade", 0x2122 }, { "pound", 0xa3 },    { "sect", 0xa7 },   { "deg", 0xb0 },
		{ "iacute", 0xed },  { "oacute", 0xf3 },  { "uacute", 0xfa },   { "aacute", 0xe1 }, { "ntilde", 0xf1 },
		{ "aring", 0xe5 },   { "oslash", 0xf8 },  { "aelig", 0xe6 },    { "acirc", 0xe2 },  { "ecirc", 0xea },
		{ "icirc", 0xee },   { "ocirc", 0xf4 },   { "ucirc", 0xfb },
	};
	size_t end = 1;
	while (end < s.len && end < 12 && s.at[end] != ';' && s.at[end] != ' ' && s.at[end] != '&' && s.at[end] != '<')
		end++;
	struct str name = str_slice(s, 1, end);
	if (end == s.len || s.at[end] != ';' || !name.len)
		return false;
	*out_len = end + 1;
	if (name.at[0] != '#') {
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (str_eq(name, str_of(names[i].name))) {
				*out_code = names[i].code;
				return true;
			}
		return false;
	}
	bool is_hex = name.len > 2 && (name.at[1] | 32) == 'x';
	uint32_t code = 0;
	for (size_t i = is_hex ? 2 : 1; i < name.len; i++) {
		char c = name.at[i];
		uint32_t digit;
		if (c >= '0' && c <= '9')
			digit = (uint32_t)(c - '0');
		else if (is_hex && (c | 32) >= 'a' && (c | 32) <= 'f')
			digit = (uint32_t)((c | 32) - 'a' + 10);
		else
			return false;
		code = code * (is_hex ? 16 : 10) + digit;
		if (code > 0x10ffff)
			return false;
	}
	if (code == 0 || (code >= 0xd800 && code < 0xe000))
		return false;
	*out_code = code;
	return true;
}

static size_t put_utf8(char *out, uint32_t code)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
	static const uint8_t lead[] = { 0, 0xc0, 0xe0, 0xf0 };
	out[0] = (char)(lead[more] | code >> (6 * more));
	for (size_t i = more; i > 0; i--)
		out[more - i + 1] = (char)(0x80 | ((code >> (6 * (i - 1))) & 0x3f));
	return more + 1;
}
