/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/html.h"

#include <gumbo.h>

#include "base/buf.h"
#include "mail/html_scan.h"

#include "base/banned.h"

/* Text with the white space of HTML: collapsed, with line ends where blocks begin and end. */
struct writer {
	struct buf out;
	bool blank_waits;
	int lines_wait;
	int pre; /* inside <pre> */
};

static void write_text(struct writer *w, struct str text);
static void want_lines(struct writer *w, int lines);
static struct str by_gumbo(struct arena *arena, struct str html, struct writer *w);
static void by_scan(struct arena *arena, struct str html, struct writer *w);
static void enter(struct writer *w, const GumboNode *node, bool *out_skip);
static void leave(struct writer *w, const GumboNode *node);

struct str html_to_text(struct arena *arena, struct str html, const struct mail_limits *limits, uint32_t *defects)
{
	struct writer w = { 0 };
	buf_init(&w.out, html.len * 2 + 64);
	bool is_big = html.len > limits->html_bytes;
	if (is_big)
		*defects |= MAIL_DEFECT_TOO_BIG;
	bool is_deep = !is_big && html_scan_depth(html, limits->html_depth) >= limits->html_depth;
	if (is_deep)
		*defects |= MAIL_DEFECT_TOO_DEEP;
	if (is_big || is_deep)
		by_scan(arena, html, &w);
	else
		by_gumbo(arena, html, &w);
	struct str text = str_scrub(arena, str_dup(arena, str_trim(buf_str(&w.out))));
	buf_done(&w.out);
	return text;
}

/* gumbo's tree lives in the arena: it is never freed node by node, which would recurse. */
static void *gumbo_alloc(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void gumbo_no_free(void *arena, void *at)
{
	(void)arena;
	(void)at;
}

static struct str by_gumbo(struct arena *arena, struct str html, struct writer *w)
{
	GumboOptions options = kGumboDefaultOptions;
	options.allocator = gumbo_alloc;
	options.deallocator = gumbo_no_free;
	options.userdata = arena;
	options.max_errors = 0;
	GumboOutput *tree = gumbo_parse_with_options(&options, html.at ? html.at : "", html.len);
	const GumboNode *node = tree->root;
	while (node) {
		bool skip = true;
		enter(w, node, &skip);
		bool has_children = node->type == GUMBO_NODE_ELEMENT && node->v.element.children.length > 0;
		if (!skip && has_children) {
			node = node->v.element.children.data[0];
			continue;
		}
		if (!skip)
			leave(w, node);
		/* To the next sibling, of the node or of the nearest ancestor that has one. */
		while (node && node != tree->root) {
			const GumboNode *parent = node->parent;
			if (node->index_within_parent + 1 < parent->v.element.children.length) {
				node = parent->v.element.children.data[node->index_within_parent + 1];
				break;
			}
			leave(w, parent);
			node = parent;
		}
		if (node == tree->root)
			break;
	}
	return buf_str(&w->out);
}

static struct str node_name(const GumboNode *node)
{
	return str_of(gumbo_normalized_tagname(node->v.element.tag));
}

static int lines_around(struct str name)
{
	if (str_eq_nocase(name, STR("p")) || (name.len == 2 && (name.at[0] | 32) == 'h' && name.at[1] != 'r') ||
	    str_eq_nocase(name, STR("ul")) || str_eq_nocase(name, STR("ol")) || str_eq_nocase(name, STR("blockquote")) ||
	    str_eq_nocase(name, STR("pre")))
		return 2;
	return html_is_block(name) ? 1 : 0;
}

static void enter(struct writer *w, const GumboNode *node, bool *out_skip)
{
	switch (node->type) {
	case GUMBO_NODE_TEXT:
	case GUMBO_NODE_WHITESPACE:
	case GUMBO_NODE_CDATA:
		write_text(w, str_of(node->v.text.text));
		return;
	case GUMBO_NODE_ELEMENT:
		break;
	case GUMBO_NODE_DOCUMENT:
	case GUMBO_NODE_COMMENT:
	case GUMBO_NODE_TEMPLATE:
		return;
	}
	GumboTag tag = node->v.element.tag;
	if (tag == GUMBO_TAG_SCRIPT || tag == GUMBO_TAG_STYLE || tag == GUMBO_TAG_TITLE || tag == GUMBO_TAG_TEXTAREA ||
	    tag == GUMBO_TAG_NOSCRIPT || tag == GUMBO_TAG_TEMPLATE)
		return;
	*out_skip = false;
	if (tag == GUMBO_TAG_BR)
		want_lines(w, -1);
	else if (tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH)
		w->blank_waits = true;
	else
		want_lines(w, lines_around(node_name(node)));
	if (tag == GUMBO_TAG_PRE)
		w->pre++;
}

static void leave(struct writer *w, const GumboNode *node)
{
	/* The walk ends at the root: there is always a node. */
	/* cppcheck-suppress nullPointerRedundantCheck */
	if (node->type != GUMBO_NODE_ELEMENT)
		return;
	if (node->v.element.tag == GUMBO_TAG_PRE)
		w->pre--;
	want_lines(w, lines_around(node_name(node)));
}

static void by_scan(struct arena *arena, struct str html, struct writer *w)
{
	struct html_scan scan = { .html = html };
	struct html_piece piece;
	while (html_scan_next(&scan, &piece)) {
		if (piece.kind == HTML_TEXT) {
			write_text(w, html_unescape(arena, piece.text));
		} else if (str_eq_nocase(piece.text, STR("br"))) {
			want_lines(w, -1);
		} else if (str_eq_nocase(piece.text, STR("td")) || str_eq_nocase(piece.text, STR("th"))) {
			w->blank_waits = true;
		} else {
			bool is_pre = str_eq_nocase(piece.text, STR("pre"));
			want_lines(w, lines_around(piece.text));
			if (is_pre)
				w->pre = piece.kind == HTML_OPEN;
		}
	}
}

/* At least so many line ends before the next text; -1: one more than there are, of which at most one line is empty. */
static void want_lines(struct writer *w, int lines)
{
	if (lines < 0)
		lines = w->lines_wait < 2 ? w->lines_wait + 1 : 2;
	if (lines > w->lines_wait)
		w->lines_wait = lines;
}

static void write_text(struct writer *w, struct str text)
{
	for (size_t i = 0; i < text.len;) {
		char c = text.at[i];
		bool is_nbsp = c == '\xc2' && i + 1 < text.len && text.at[i + 1] == '\xa0';
		if (w->pre && c == '\n') {
			want_lines(w, -1);
			i++;
			continue;
		}
		if ((c == ' ' && !w->pre) || (c == ' ' && w->lines_wait) || c == '\t' || c == '\r' || c == '\n' || c == '\f' ||
		    is_nbsp) {
			w->blank_waits = true;
			i += is_nbsp ? 2 : 1;
			continue;
		}
		if (w->out.len) {
			for (int k = 0; k < w->lines_wait; k++)
				buf_add_char(&w->out, '\n');
			if (!w->lines_wait && w->blank_waits)
				buf_add_char(&w->out, ' ');
		}
		w->lines_wait = 0;
		w->blank_waits = false;
		size_t end = i + 1;
		while (end < text.len && (unsigned char)text.at[end] > ' ' && text.at[end] != '\xc2')
			end++;
		buf_add(&w->out, text.at + i, end - i);
		i = end;
	}
}

struct str html_declared_charset(struct str html)
{
	struct str head = str_slice(html, 0, 2048);
	ptrdiff_t at = str_find_nocase(head, STR("charset="), 0);
	ptrdiff_t meta = str_find_nocase(head, STR("<meta"), 0);
	if (at < 0 || meta < 0 || meta > at)
		return STR("");
	size_t start = (size_t)at + 8, end;
	while (start < head.len && (head.at[start] == '"' || head.at[start] == '\'' || head.at[start] == ' '))
		start++;
	for (end = start; end < head.len && !strchr("\"' />;", head.at[end]) && head.at[end]; end++)
		;
	return str_slice(head, start, end);
}
