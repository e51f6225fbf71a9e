/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/raw_header.h"

#include "base/vec.h"

#include "base/banned.h"

enum { JUNK_LINES_MOST = 64 };

static bool line_is_field(struct str line, size_t *out_colon);
static struct str line_at(const struct raw_walk *walk, size_t at, size_t *out_next);
static bool junk_is_followed_by_header(const struct raw_walk *walk, size_t at, size_t *out_begin);

bool raw_lines_end_with_cr(struct str bytes)
{
	const char *cr = bytes.len ? memchr(bytes.at, '\r', bytes.len) : NULL;
	if (!cr)
		return false;
	size_t at = (size_t)(cr - bytes.at);
	if (at + 1 < bytes.len && bytes.at[at + 1] == '\n')
		return false;
	return !memchr(bytes.at, '\n', at);
}

void raw_walk_init(struct raw_walk *walk, struct str bytes, uint32_t *out_defects)
{
	*walk = (struct raw_walk){ .bytes = bytes, .cr_ends = raw_lines_end_with_cr(bytes) };
	if (walk->cr_ends)
		*out_defects |= MAIL_DEFECT_LONE_CR;
	if (str_starts(bytes, STR("\xef\xbb\xbf"))) {
		walk->at = 3;
		*out_defects |= MAIL_DEFECT_LEADING_JUNK;
	}
	while (walk->at < bytes.len) {
		size_t next, colon;
		struct str line = line_at(walk, walk->at, &next);
		if (line_is_field(line, &colon))
			break;
		size_t begin;
		bool is_envelope = str_starts(line, STR("From ")) || str_starts(line, STR(">From "));
		if (is_envelope || str_trim(line).len == 0) {
			begin = next;
		} else if (!junk_is_followed_by_header(walk, next, &begin)) {
			break;
		}
		walk->at = begin;
		*out_defects |= MAIL_DEFECT_LEADING_JUNK;
	}
	/* Only empty lines and no field at all: they are the end of an empty header. */
	if (walk->at == bytes.len)
		walk->at = 0;
}

/* Lines that are no fields, and then a field before any empty line: a header with something put before it. */
static bool junk_is_followed_by_header(const struct raw_walk *walk, size_t at, size_t *out_begin)
{
	for (int i = 0; i < JUNK_LINES_MOST && at < walk->bytes.len; i++) {
		size_t next, colon;
		struct str line = line_at(walk, at, &next);
		if (line.len == 0)
			return false;
		/* One field-like line is no proof: "Note: see below" stands in many a text. */
		size_t unused;
		if (line_is_field(line, &colon) && next < walk->bytes.len &&
		    (line_is_field(line_at(walk, next, &unused), &colon) || walk->bytes.at[next] == ' ' ||
		     walk->bytes.at[next] == '\t')) {
			*out_begin = at;
			return true;
		}
		at = next;
	}
	return false;
}

bool raw_walk_next(struct raw_walk *walk, struct raw_field *out)
{
	while (walk->at < walk->bytes.len) {
		size_t start = walk->at, next, colon;
		struct str line = line_at(walk, start, &next);
		if (line.len == 0) {
			walk->at = next;
			return false;
		}
		if (!line_is_field(line, &colon)) {
			/* An mbox line in the middle, or the rest of something: put up with; anything else is body. */
			if (str_starts(line, STR("From ")) || str_starts(line, STR(">From ")) || line.at[0] == ' ' ||
			    line.at[0] == '\t' || line.at[0] == ':') {
				walk->at = next;
				continue;
			}
			/* A fold that lost its blank: the header goes on behind it. */
			if (!junk_is_followed_by_header(walk, next, &walk->at))
				return false;
			continue;
		}
		size_t end = start + line.len;
		while (next < walk->bytes.len && (walk->bytes.at[next] == ' ' || walk->bytes.at[next] == '\t')) {
			line = line_at(walk, next, &next);
			end = (size_t)(line.at - walk->bytes.at) + line.len;
		}
		size_t value = start + colon + 1;
		out->name = str_trim(str_slice(walk->bytes, start, start + colon));
		out->value = str_slice(walk->bytes, value, end);
		out->offset = start;
		out->length = next - start;
		walk->at = next;
		return true;
	}
	return false;
}

static struct str line_at(const struct raw_walk *walk, size_t at, size_t *out_next)
{
	const char *from = walk->bytes.at + at;
	size_t left = walk->bytes.len - at;
	const char *end = memchr(from, walk->cr_ends ? '\r' : '\n', left);
	/* With lone CRs, an LF still ends a line. */
	if (walk->cr_ends) {
		const char *lf = memchr(from, '\n', end ? (size_t)(end - from) : left);
		if (lf)
			end = lf;
	}
	size_t len = end ? (size_t)(end - from) : left;
	*out_next = at + len + (end ? 1 : 0);
	if (len && from[len - 1] == '\r')
		len--;
	return (struct str){ from, len };
}

/* Printable ASCII but the colon, at least one, then perhaps blanks (obsolete syntax), then the colon. */
static bool line_is_field(struct str line, size_t *out_colon)
{
	size_t i = 0;
	while (i < line.len && line.at[i] > 32 && line.at[i] < 127 && line.at[i] != ':')
		i++;
	size_t name = i;
	while (i < line.len && (line.at[i] == ' ' || line.at[i] == '\t'))
		i++;
	if (name == 0 || i == line.len || line.at[i] != ':')
		return false;
	*out_colon = i;
	return true;
}

void raw_headers_read(struct arena *arena, struct str raw, const struct mail_limits *limits, struct raw_headers *out)
{
	VEC(struct raw_field) fields = { 0 };
	*out = (struct raw_headers){ 0 };
	struct raw_walk walk;
	raw_walk_init(&walk, raw, &out->defects);
	out->begin = walk.at;
	struct raw_field field;
	while (raw_walk_next(&walk, &field)) {
		if (fields.len == limits->headers || field.offset - out->begin > limits->header_block) {
			out->defects |= MAIL_DEFECT_TOO_BIG;
			continue;
		}
		if (field.value.len > limits->header_line) {
			out->defects |= MAIL_DEFECT_TOO_BIG;
			field.value.len = limits->header_line;
		}
		*VEC_PUSH(arena, &fields) = field;
	}
	out->at = fields.at;
	out->len = fields.len;
	out->body = walk.at;
}

struct str raw_headers_get(const struct raw_headers *headers, const char *name)
{
	struct str wanted = str_of(name);
	for (size_t i = 0; i < headers->len; i++)
		if (str_eq_nocase(headers->at[i].name, wanted))
			return str_trim(headers->at[i].value);
	return STR_NULL;
}

size_t raw_headers_count(const struct raw_headers *headers, const char *name)
{
	struct str wanted = str_of(name);
	size_t count = 0;
	for (size_t i = 0; i < headers->len; i++)
		count += str_eq_nocase(headers->at[i].name, wanted);
	return count;
}

struct str raw_unfold(struct arena *arena, struct str value)
{
	value = str_trim(value);
	if (!value.len ||
	    (!memchr(value.at, '\n', value.len) && !memchr(value.at, '\r', value.len) && !memchr(value.at, 0, value.len)))
		return value;
	char *out = arena_alloc(arena, value.len + 1);
	size_t len = 0;
	for (size_t i = 0; i < value.len; i++) {
		char c = value.at[i];
		if (c == '\r' || c == '\n' || c == 0)
			continue;
		out[len++] = c;
	}
	return (struct str){ out, len };
}
