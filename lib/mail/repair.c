/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/repair.h"

#include "base/buf.h"
#include "mail/param.h"

#include "base/banned.h"

enum { MIME_FIELD_MOST = 8192, BOUNDARY_MOST = 200, NESTING_MOST = 256 };

/* The multiparts that are open at a place of the body. */
struct scan {
	struct str body;
	const struct mail_limits *limits;
	struct str boundaries[NESTING_MOST];
	size_t open, deepest_allowed;
	size_t parts, headers, header_start;
	bool in_header;
	bool any_dashes; /* a boundary was declared in a way that we do not read: every line with "--" may be one */
	bool found_delimiter;
	uint32_t defects;
};

static void write_top_header(struct arena *arena, const struct raw_headers *headers, struct buf *out);
static void replace_bytes(char *body, size_t len, bool cr_ends, uint32_t *defects);
static size_t scan_parts(struct scan *scan);
static bool is_delimiter(struct scan *scan, struct str line);
static bool read_part_field(struct scan *scan, struct str line, size_t at);
static struct str guess_boundary(struct str body);

void repair_mime(struct arena *arena, struct str raw, const struct raw_headers *headers,
                 const struct mail_limits *limits, struct repaired *out)
{
	struct str body = str_slice(raw, headers->body, raw.len);
	struct scan scan = { .limits = limits };
	scan.deepest_allowed = limits->depth < NESTING_MOST ? limits->depth : NESTING_MOST;
	uint32_t ignored = 0;
	struct str type = raw_headers_get(headers, "Content-Type");
	bool is_multipart = type.len && str_starts(param_head(arena, type), STR("multipart/"));
	struct buf header;
	buf_init(&header, 1 << 20);

	if (is_multipart) {
		struct str boundary = param_get(arena, type, "boundary", &ignored);
		bool is_there = boundary.len && str_find(body, str_printf(arena, "--%.*s", STR_ARG(boundary)), 0) >= 0;
		if (!is_there) {
			/* Declared wrongly or not at all: the first line that looks like a delimiter and is followed by a
			 * part's header names it. */
			struct str guess = guess_boundary(body);
			scan.defects |= MAIL_DEFECT_BAD_BOUNDARY;
			if (guess.len) {
				boundary = guess;
				struct str head = param_head(arena, type);
				struct str report = param_get(arena, type, "report-type", &ignored);
				buf_addf(&header, "Content-Type: %.*s; report-type=\"%.*s\"; boundary=\"%.*s\"\n", STR_ARG(head),
				         STR_ARG(report), STR_ARG(guess));
			}
		}
		if (boundary.len)
			scan.boundaries[scan.open++] = boundary;
	}
	if (!header.len)
		write_top_header(arena, headers, &header);
	buf_add_char(&header, '\n');

	char *mime = arena_alloc(arena, header.len + body.len + 1);
	memcpy(mime, header.at, header.len);
	if (body.len)
		memcpy(mime + header.len, body.at, body.len);
	out->header = header.len;
	buf_done(&header);
	replace_bytes(mime + out->header, body.len, raw_lines_end_with_cr(raw), &scan.defects);
	scan.body = (struct str){ mime + out->header, body.len };
	size_t kept = is_multipart ? scan_parts(&scan) : body.len;
	if (kept == body.len && is_multipart && scan.open && scan.found_delimiter)
		scan.defects |= MAIL_DEFECT_UNCLOSED_MULTIPART;
	out->mime = (struct str){ mime, out->header + kept };
	out->raw_body = headers->body;
	out->defects = scan.defects;
}

/* The first of each counts. */
static void write_top_header(struct arena *arena, const struct raw_headers *headers, struct buf *out)
{
	static const char *const fields[] = { "Content-Type", "Content-Transfer-Encoding", "Content-Disposition",
		                                  "Content-ID" };
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		struct str value = raw_unfold(arena, raw_headers_get(headers, fields[i]));
		if (value.len && value.len <= MIME_FIELD_MOST)
			buf_addf(out, "%s: %.*s\n", fields[i], STR_ARG(value));
	}
}

/* Length stays: offsets of parts are offsets in the raw mail. */
static void replace_bytes(char *body, size_t len, bool cr_ends, uint32_t *defects)
{
	char *at = body, *end = body + len;
	while ((at = memchr(at, 0, (size_t)(end - at))) != NULL) {
		*at++ = ' ';
		*defects |= MAIL_DEFECT_NUL_BYTES;
	}
	at = body;
	while ((at = memchr(at, '\r', (size_t)(end - at))) != NULL) {
		bool is_alone = at + 1 == end || at[1] != '\n';
		if (is_alone && cr_ends)
			*at = '\n';
		if (is_alone)
			*defects |= MAIL_DEFECT_LONE_CR;
		at++;
	}
}

/* How much of the body is within the limits. */
static size_t scan_parts(struct scan *scan)
{
	size_t at = 0;
	while (at < scan->body.len) {
		const char *start = scan->body.at + at;
		const char *lf;
		if (!scan->in_header && *start != '-') {
			/* Text: only a line that starts with "--" matters. */
			ptrdiff_t next = str_find(scan->body, STR("\n--"), at);
			if (next < 0)
				return scan->body.len;
			at = (size_t)next + 1;
			continue;
		}
		lf = memchr(start, '\n', scan->body.len - at);
		size_t len = lf ? (size_t)(lf - start) : scan->body.len - at;
		struct str line = { start, len && start[len - 1] == '\r' ? len - 1 : len };
		if (str_starts(line, STR("--")) && is_delimiter(scan, line)) {
			if (scan->in_header && ++scan->parts > scan->limits->parts) {
				scan->defects |= MAIL_DEFECT_TOO_BIG;
				return at;
			}
			scan->header_start = at;
			scan->headers = 0;
		} else if (scan->in_header) {
			if (line.len == 0)
				scan->in_header = false;
			else if (!read_part_field(scan, line, at))
				return at;
		}
		at += len + 1;
	}
	return scan->body.len;
}

static bool is_delimiter(struct scan *scan, struct str line)
{
	struct str rest = str_slice(line, 2, line.len);
	for (size_t i = scan->open; i > 0; i--) {
		struct str boundary = scan->boundaries[i - 1];
		if (!str_starts(rest, boundary))
			continue;
		bool closes = str_starts(str_slice(rest, boundary.len, rest.len), STR("--"));
		/* "--abc" is also the start of "--abcd": the whole line must be it. */
		struct str behind = str_trim(str_slice(rest, boundary.len + (closes ? 2 : 0), rest.len));
		if (behind.len && !closes)
			continue;
		scan->found_delimiter = true;
		scan->open = closes ? i - 1 : i;
		scan->in_header = !closes;
		return true;
	}
	if (scan->any_dashes)
		scan->in_header = true;
	return scan->any_dashes;
}

/* A line of a part's header. False where a limit is passed. */
static bool read_part_field(struct scan *scan, struct str line, size_t at)
{
	if (++scan->headers > scan->limits->headers || line.len > scan->limits->header_line ||
	    at - scan->header_start > scan->limits->header_block) {
		scan->defects |= MAIL_DEFECT_TOO_BIG;
		return false;
	}
	ptrdiff_t found = str_find_nocase(line, STR("boundary"), 0);
	if (found < 0)
		return true;
	size_t start = (size_t)found + 8;
	while (start < line.len && (line.at[start] == ' ' || line.at[start] == '='))
		start++;
	if (start == line.len || line.at[start - 1] == 'y') {
		scan->any_dashes = true;
		return true;
	}
	bool quoted = line.at[start] == '"';
	start += quoted;
	size_t end = start;
	while (end < line.len && (quoted ? line.at[end] != '"' : line.at[end] != ';' && line.at[end] != ' '))
		end++;
	struct str boundary = str_slice(line, start, end);
	if (!boundary.len || boundary.len > BOUNDARY_MOST)
		return true;
	if (scan->open == scan->deepest_allowed) {
		scan->defects |= MAIL_DEFECT_TOO_DEEP;
		return false;
	}
	scan->boundaries[scan->open++] = boundary;
	return true;
}

static struct str guess_boundary(struct str body)
{
	struct str rest = str_slice(body, 0, 64 << 10), line, before = STR_NULL;
	while (str_next_line(&rest, &line)) {
		if (before.len > 4 && before.len < BOUNDARY_MOST && str_starts(before, STR("--")) &&
		    str_starts_nocase(line, STR("Content-")) && !memchr(before.at, '"', before.len))
			return str_trim(str_slice(before, 2, before.len));
		before = line;
	}
	return STR_NULL;
}
