/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/mime_tree.h"

#include <gmime/gmime.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_LEAK_CHECK 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAVE_LEAK_CHECK 1
#endif
#if defined(HAVE_LEAK_CHECK)
#include <sanitizer/lsan_interface.h>
#endif

#include "base/buf.h"
#include "base/vec.h"
#include "mail/charset.h"
#include "mail/encoded_word.h"
#include "mail/html.h"
#include "mail/param.h"
#include "mail/repair.h"
#include "mail/transfer.h"

#include "base/banned.h"

/* As documented for the parser child: the process ended because GLib had no memory. */
enum { EXIT_GLIB_FATAL = 71 };

#if defined(HAVE_LEAK_CHECK)
#define LEAKS_ARE_MEANT_BEGIN __lsan_disable()
#define LEAKS_ARE_MEANT_END __lsan_enable()
#else
#define LEAKS_ARE_MEANT_BEGIN (void)0
#define LEAKS_ARE_MEANT_END (void)0
#endif

struct leaf {
	struct str type;              /* lower case */
	struct str type_raw;          /* Content-Type with its parameters */
	struct str disposition, name; /* lower case; decoded */
	struct str content_id;
	enum mail_encoding encoding;
	size_t start, length; /* in repaired.mime */
	bool is_related;      /* inside multipart/related, not its first part */
};

struct tree {
	struct arena *arena;
	const struct mail_limits *limits;
	struct repaired repaired;
	struct mail *mail;
	struct mail_report *report;
	VEC(struct mail_part) parts;
	VEC(struct str) texts;
	VEC(struct str) htmls;
};

static void walk(struct tree *tree, GMimeObject *object, const char *parent_subtype, bool is_first, unsigned depth);
static void read_leaf(struct tree *tree, GMimeObject *object, const char *parent_subtype, bool is_first);
static void take_leaf(struct tree *tree, const struct leaf *leaf);
static void take_attachment(struct tree *tree, const struct leaf *leaf, struct str bytes);
static void take_report_part(struct tree *tree, const struct leaf *leaf, struct str bytes);
static struct str leaf_text(struct tree *tree, const struct leaf *leaf, struct str bytes);
static struct str lf_lines(struct arena *arena, struct str text);
static struct str join_texts(struct tree *tree);

/* GLib aborts where memory is out, after saying so. Its chatter about strange mails is none of our log's business. */
static GLogWriterOutput on_glib_log(GLogLevelFlags level, const GLogField *fields, gsize count, gpointer data)
{
	(void)fields;
	(void)count;
	(void)data;
	if (level & (G_LOG_FLAG_FATAL | G_LOG_LEVEL_ERROR)) {
		static const char last_words[] = "GLib gave up: out of memory\n";
		(void)!write(STDERR_FILENO, last_words, sizeof last_words - 1);
		_exit(EXIT_GLIB_FATAL);
	}
	return G_LOG_WRITER_HANDLED;
}

void mime_tree_init(void)
{
	g_log_set_writer_func(on_glib_log, NULL, NULL);
	LEAKS_ARE_MEANT_BEGIN;
	g_mime_init();
	LEAKS_ARE_MEANT_END;
	/* An attached message is a part like any other: its content stays whole and nothing nests in it. GMime forgets what
	 * it had registered before. */
	static const char *const messages[] = { "rfc822", "rfc2822", "global", "news", "partial" };
	for (size_t i = 0; i < ARRAY_LEN(messages); i++)
		g_mime_object_register_type("message", messages[i], g_mime_part_get_type());
}

void mime_tree_read(struct arena *arena, struct str raw, const struct raw_headers *headers,
                    const struct mail_limits *limits, struct mail *mail, struct mail_report *report)
{
	struct tree tree = { .arena = arena, .limits = limits, .mail = mail, .report = report };
	repair_mime(arena, raw, headers, limits, &tree.repaired);
	mail->defects |= tree.repaired.defects;
	struct str type = raw_headers_get(headers, "Content-Type");
	struct str head = param_head(arena, type);
	if (str_eq(head, STR("multipart/report"))) {
		report->is_report = true;
		uint32_t ignored = 0;
		report->type = str_lower(arena, param_get(arena, type, "report-type", &ignored));
	}

	/* GMime reads the repaired copy where it lies. */
	GByteArray bytes = { .data = (guint8 *)(uintptr_t)tree.repaired.mime.at, .len = (guint)tree.repaired.mime.len };
	GMimeStream *stream = g_mime_stream_mem_new_with_byte_array(&bytes);
	g_mime_stream_mem_set_owner(GMIME_STREAM_MEM(stream), FALSE);
	GMimeParser *parser = g_mime_parser_new_with_stream(stream);
	g_mime_parser_set_format(parser, GMIME_FORMAT_MESSAGE);
	GMimeObject *top = g_mime_parser_construct_part(parser, NULL);
	if (top)
		walk(&tree, top, "", true, 0);
	bool is_empty = !tree.parts.len && !tree.texts.len && !tree.htmls.len;
	if (is_empty && tree.repaired.mime.len > tree.repaired.header) {
		/* A multipart without parts: its text is better than nothing. */
		struct leaf leaf = { .type = STR("text/plain"),
			                 .start = tree.repaired.header,
			                 .length = tree.repaired.mime.len - tree.repaired.header };
		mail->defects |= MAIL_DEFECT_BAD_BOUNDARY;
		take_leaf(&tree, &leaf);
	}
	if (top)
		g_object_unref(top);
	g_object_unref(parser);
	g_object_unref(stream);

	mail->text = join_texts(&tree);
	mail->has_html = tree.htmls.len > 0;
	mail->parts = tree.parts.at;
	mail->parts_len = tree.parts.len;
}

static void walk(struct tree *tree, GMimeObject *object, const char *parent_subtype, bool is_first, unsigned depth)
{
	if (!GMIME_IS_MULTIPART(object)) {
		read_leaf(tree, object, parent_subtype, is_first);
		return;
	}
	/* repair_mime cut what is deeper; this only keeps the stack honest. */
	if (depth > tree->limits->depth + 8) {
		tree->mail->defects |= MAIL_DEFECT_TOO_DEEP;
		return;
	}
	GMimeContentType *type = g_mime_object_get_content_type(object);
	const char *subtype = type ? g_mime_content_type_get_media_subtype(type) : "";
	int count = g_mime_multipart_get_count(GMIME_MULTIPART(object));
	for (int i = 0; i < count; i++)
		walk(tree, g_mime_multipart_get_part(GMIME_MULTIPART(object), i), subtype ? subtype : "", i == 0, depth + 1);
}

static struct str field_of(struct tree *tree, GMimeObject *object, const char *name)
{
	GMimeHeader *header = g_mime_header_list_get_header(g_mime_object_get_header_list(object), name);
	const char *value = header ? g_mime_header_get_raw_value(header) : NULL;
	return value ? str_dup(tree->arena, str_trim(str_of(value))) : STR_NULL;
}

static void read_leaf(struct tree *tree, GMimeObject *object, const char *parent_subtype, bool is_first)
{
	struct arena *arena = tree->arena;
	uint32_t *defects = &tree->mail->defects;
	if (!GMIME_IS_PART(object) || tree->parts.len + tree->texts.len + tree->htmls.len >= tree->limits->parts)
		return;
	GMimeDataWrapper *content = g_mime_part_get_content(GMIME_PART(object));
	GMimeStream *stream = content ? g_mime_data_wrapper_get_stream(content) : NULL;
	struct leaf leaf = { .type_raw = field_of(tree, object, "Content-Type") };
	leaf.start = tree->repaired.mime.len;
	if (stream && stream->bound_end >= stream->bound_start) {
		leaf.start = (size_t)stream->bound_start;
		leaf.length = (size_t)(stream->bound_end - stream->bound_start);
	}
	leaf.type = param_head(arena, leaf.type_raw);
	if (!memchr(leaf.type.len ? leaf.type.at : "", '/', leaf.type.len)) {
		/* "text" alone, or nothing. */
		bool is_text = !leaf.type.len || str_eq(leaf.type, STR("text"));
		bool is_digest = g_ascii_strcasecmp(parent_subtype, "digest") == 0;
		leaf.type = is_digest ? STR("message/rfc822") : is_text ? STR("text/plain") : STR("application/octet-stream");
	}
	struct str disposition = field_of(tree, object, "Content-Disposition");
	leaf.disposition = param_head(arena, disposition);
	leaf.name = param_get(arena, disposition, "filename", defects);
	if (!leaf.name.len)
		leaf.name = param_get(arena, leaf.type_raw, "name", defects);
	leaf.name = leaf.name.at ? str_scrub(arena, leaf.name) : STR("");
	struct str id = header_text(arena, field_of(tree, object, "Content-ID"), defects);
	while (id.len && id.at[0] == '<')
		id = str_slice(id, 1, id.len);
	while (id.len && id.at[id.len - 1] == '>')
		id.len--;
	leaf.content_id = id.len ? str_scrub(arena, str_trim(id)) : STR("");
	leaf.encoding = transfer_encoding(field_of(tree, object, "Content-Transfer-Encoding"));
	leaf.is_related = g_ascii_strcasecmp(parent_subtype, "related") == 0 && !is_first;
	take_leaf(tree, &leaf);
}

static void take_leaf(struct tree *tree, const struct leaf *leaf)
{
	struct str raw = str_slice(tree->repaired.mime, leaf->start, leaf->start + leaf->length);
	struct str bytes = transfer_decode(tree->arena, leaf->encoding, raw, &tree->mail->defects);
	bool is_attached = str_eq(leaf->disposition, STR("attachment"));
	if (str_eq(leaf->type, STR("text/plain")) && !is_attached && !leaf->name.len) {
		*VEC_PUSH(tree->arena, &tree->texts) = leaf_text(tree, leaf, bytes);
	} else if (str_eq(leaf->type, STR("text/html")) && !is_attached) {
		*VEC_PUSH(tree->arena, &tree->htmls) = leaf_text(tree, leaf, bytes);
	} else {
		take_attachment(tree, leaf, bytes);
		take_report_part(tree, leaf, bytes);
	}
}

static void take_attachment(struct tree *tree, const struct leaf *leaf, struct str bytes)
{
	struct mail_part *part = VEC_PUSH(tree->arena, &tree->parts);
	part->name = leaf->name;
	part->type = str_scrub(tree->arena, leaf->type);
	part->content_id = leaf->content_id;
	part->size = bytes.len;
	part->sum = sha256_of(bytes);
	part->is_inline = leaf->disposition.len ? str_eq(leaf->disposition, STR("inline")) : leaf->is_related;
	/* The copy that GMime read starts with a header of our making. */
	bool is_body = leaf->start >= tree->repaired.header;
	part->offset = is_body ? leaf->start - tree->repaired.header + tree->repaired.raw_body : tree->repaired.raw_body;
	part->length = leaf->length;
	part->encoding = leaf->encoding;
}

static void take_report_part(struct tree *tree, const struct leaf *leaf, struct str bytes)
{
	struct mail_report *report = tree->report;
	struct str type = leaf->type;
	if (str_eq(type, STR("message/feedback-report")))
		report->has_feedback = true;
	else if (str_eq(type, STR("message/delivery-status")) || str_eq(type, STR("message/global-delivery-status")))
		report->delivery_status = report->delivery_status.len ? report->delivery_status : bytes;
	else if (str_eq(type, STR("message/disposition-notification")))
		report->disposition = report->disposition.len ? report->disposition : bytes;
	else if (!report->returned.len &&
	         (str_eq(type, STR("message/rfc822")) || str_eq(type, STR("message/global")) ||
	          str_eq(type, STR("text/rfc822-headers")) || str_eq(type, STR("text/rfc822-header"))))
		report->returned = bytes;
}

static struct str leaf_text(struct tree *tree, const struct leaf *leaf, struct str bytes)
{
	if (bytes.len > tree->limits->text_bytes) {
		bytes.len = tree->limits->text_bytes;
		tree->mail->defects |= MAIL_DEFECT_TOO_BIG;
	}
	uint32_t ignored = 0;
	struct str charset = param_get(tree->arena, leaf->type_raw, "charset", &ignored);
	if (!charset.len && str_eq(leaf->type, STR("text/html")))
		charset = html_declared_charset(bytes);
	return charset_to_utf8(tree->arena, charset, bytes, &tree->mail->defects);
}

static struct str lf_lines(struct arena *arena, struct str text)
{
	if (!text.len || !memchr(text.at, '\r', text.len))
		return text;
	char *out = arena_alloc(arena, text.len + 1);
	size_t len = 0;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] != '\r')
			out[len++] = text.at[i];
		else if (i + 1 == text.len || text.at[i + 1] != '\n')
			out[len++] = '\n';
	}
	return (struct str){ out, len };
}

/* The plain texts; where they are missing or blank, what the HTML says. */
static struct str join_texts(struct tree *tree)
{
	struct arena *arena = tree->arena;
	size_t total = 0, blank = 0, count = 0;
	for (size_t i = 0; i < tree->texts.len; i++)
		blank += str_trim(tree->texts.at[i]).len == 0;
	bool from_html = blank == tree->texts.len && tree->htmls.len > 0;
	struct str *texts = from_html ? tree->htmls.at : tree->texts.at;
	count = from_html ? tree->htmls.len : tree->texts.len;
	for (size_t i = 0; i < count; i++) {
		texts[i] =
			from_html ? html_to_text(arena, texts[i], tree->limits, &tree->mail->defects) : lf_lines(arena, texts[i]);
		total += texts[i].len + 1;
	}
	if (count == 0)
		return STR("");
	if (count == 1)
		return str_cut_utf8(str_scrub(arena, texts[0]), tree->limits->text_bytes);
	char *out = arena_alloc(arena, total);
	size_t len = 0;
	for (size_t i = 0; i < count; i++) {
		if (texts[i].len)
			memcpy(out + len, texts[i].at, texts[i].len);
		len += texts[i].len;
		if (i + 1 < count && texts[i].len && out[len - 1] != '\n')
			out[len++] = '\n';
	}
	return str_cut_utf8(str_scrub(arena, (struct str){ out, len }), tree->limits->text_bytes);
}
