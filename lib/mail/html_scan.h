/* SPDX-License-Identifier: Apache-2.0
 * html_scan - HTML tag by tag, linear and without memory
 */
#ifndef MAILCASE_HTML_SCAN_H
#define MAILCASE_HTML_SCAN_H

#include "base/arena.h"
#include "base/str.h"

struct html_scan {
	struct str html;
	size_t at;
};

struct html_piece {
	enum { HTML_TEXT, HTML_OPEN, HTML_CLOSE } kind;
	struct str text;   /* the text, or the name of the tag */
	struct str inside; /* of a tag: what stands behind its name */
};

/* The next piece; comments, declarations and the content of script, style, title, textarea and template are passed over. */
bool html_scan_next(struct html_scan *scan, struct html_piece *out);

/* An upper bound of the elements that gumbo would have open at once, counting the formatting elements that it opens
 * again; stops counting beyond `most`. A tag with very many attributes counts as `most`: gumbo compares each with all. */
size_t html_scan_depth(struct str html, size_t most);

/* Character references of a piece of text resolved. A view where there are none. */
struct str html_unescape(struct arena *arena, struct str text);

bool html_is_block(struct str name);

#endif
