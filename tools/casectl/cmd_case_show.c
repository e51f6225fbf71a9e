/* SPDX-License-Identifier: Apache-2.0
 * cmd_case_show - cases in a list, and one with its messages and its timeline
 */
#include "cmd_case.h"

#include "base/banned.h"

#define LIMIT 50

/* Newest first, a page at a time: the key is the number. */
static const char sql_list[] =
	"SELECT c.number, c.subject, c.state, q.name, t.name, u.login, c.message_count, c.opened_at, c.changed_at, c.id "
	"FROM case_file c LEFT JOIN queue q ON q.id = c.queue_id LEFT JOIN team t ON t.id = c.team_id "
	"LEFT JOIN app_user u ON u.id = c.assignee_id WHERE c.tenant_id = $1 AND ($2::text IS NULL OR c.state = $2::text) "
	"AND ($3::text IS NULL OR q.name = $3::text) AND ($4::text IS NULL OR u.login = $4::text) "
	"AND (NOT $5 OR c.assignee_id IS NULL) AND ($6::bigint IS NULL OR c.number < $6::bigint) "
	"ORDER BY c.number DESC LIMIT $7";
static const struct column list_columns[] = {
	{ "number", "CASE", CELL_INT },     { "subject", "SUBJECT", CELL_TEXT },   { "state", "STATE", CELL_TEXT },
	{ "queue", "QUEUE", CELL_TEXT },    { "team", "TEAM", CELL_TEXT },         { "assignee", "ASSIGNEE", CELL_TEXT },
	{ "messages", "MAILS", CELL_INT },  { "created_at", "OPENED", CELL_TIME }, { "changed_at", NULL, CELL_TIME },
	{ "id", NULL, CELL_UUID },
};

static const char sql_case[] =
	"SELECT c.number, c.subject, c.state, q.name, t.name, u.login, c.message_count, c.opened_at, c.changed_at, "
	"c.closed_at, "
	"c.version, c.is_touched, c.is_quiet, m.address, (SELECT r.number FROM case_file r WHERE r.id = c.merged_into), "
	"ARRAY(SELECT p.address FROM participant p WHERE p.case_id = c.id ORDER BY p.added_at, p.address), "
	"ARRAY(SELECT f.login FROM follower w JOIN app_user f ON f.id = w.user_id WHERE w.case_id = c.id ORDER BY "
	"f.login), c.id FROM case_file c LEFT JOIN queue q ON q.id = c.queue_id LEFT JOIN team t ON t.id = c.team_id "
	"LEFT JOIN app_user u ON u.id = c.assignee_id LEFT JOIN mailbox m ON m.id = c.mailbox_id "
	"WHERE c.number = $2 AND c.tenant_id = $1";
static const struct column case_columns[] = {
	{ "number", NULL, CELL_INT },        { "subject", NULL, CELL_TEXT },     { "state", NULL, CELL_TEXT },
	{ "queue", NULL, CELL_TEXT },        { "team", NULL, CELL_TEXT },        { "assignee", NULL, CELL_TEXT },
	{ "messages", NULL, CELL_INT },      { "created_at", NULL, CELL_TIME },  { "changed_at", NULL, CELL_TIME },
	{ "closed_at", NULL, CELL_TIME },    { "version", NULL, CELL_INT },      { "touched", NULL, CELL_BOOL },
	{ "quiet", NULL, CELL_BOOL },        { "mailbox", NULL, CELL_TEXT },     { "merged_into", NULL, CELL_INT },
	{ "participants", NULL, CELL_TEXTS }, { "followers", NULL, CELL_TEXTS }, { "id", NULL, CELL_UUID },
};

/* What hangs on each message comes along as JSON: one statement, however many messages, each table read once. */
static const char sql_messages[] =
	"WITH sent AS (SELECT o.message_id, jsonb_agg(jsonb_build_object('to', k.recipient, 'role', k.role, 'state', "
	"k.state) ORDER BY k.id) AS copies FROM outbound_message o JOIN outbound_copy k ON k.outbound_id = o.id "
	"WHERE o.case_id = $1 AND o.kind = 'reply' GROUP BY o.message_id) "
	"SELECT m.id, m.direction, m.from_address, m.from_name, m.to_addresses, m.cc_addresses, m.subject, m.message_id, "
	"c.matched_by, m.sender_level, c.is_pending, c.is_external, c.is_unverified, m.is_automatic, m.is_suspicious, "
	"u.login, "
	"COALESCE((SELECT jsonb_agg(jsonb_build_object('name', a.name, 'type', a.type, 'size', a.size, 'inline', "
	"a.is_inline) ORDER BY a.position) FROM attachment a WHERE a.message_id = m.id), '[]'), "
	"COALESCE(s.copies, '[]'), c.evidence, m.created_at, m.body, m.body_is_cut, c.position "
	"FROM (SELECT * FROM case_message WHERE case_id = $1 ORDER BY position DESC, message_id DESC LIMIT $2) c "
	"JOIN message m ON m.id = c.message_id LEFT JOIN app_user u ON u.id = m.author_user_id "
	"LEFT JOIN sent s ON s.message_id = m.id ORDER BY c.position, m.id";
static const struct column message_columns[] = {
	{ "id", NULL, CELL_UUID },            { "direction", NULL, CELL_TEXT }, { "from", NULL, CELL_TEXT },
	{ "from_name", NULL, CELL_TEXT },     { "to", NULL, CELL_TEXTS },       { "cc", NULL, CELL_TEXTS },
	{ "subject", NULL, CELL_TEXT },       { "message_id", NULL, CELL_TEXT }, { "matched_by", NULL, CELL_TEXT },
	{ "sender_level", NULL, CELL_TEXT },  { "pending", NULL, CELL_BOOL },   { "external", NULL, CELL_BOOL },
	{ "unverified", NULL, CELL_BOOL },    { "automatic", NULL, CELL_BOOL }, { "suspicious", NULL, CELL_BOOL },
	{ "author", NULL, CELL_TEXT },        { "attachments", NULL, CELL_JSON }, { "copies", NULL, CELL_JSON },
	{ "evidence", NULL, CELL_JSON },      { "created_at", NULL, CELL_TIME }, { "text", NULL, CELL_TEXT },
	{ "text_is_cut", NULL, CELL_BOOL },   { "position", NULL, CELL_INT },
};
enum {
	MESSAGE_ID,
	DIRECTION,
	FROM,
	FROM_NAME,
	TO,
	CC,
	SUBJECT,
	HEADER_ID,
	MATCHED_BY,
	LEVEL,
	PENDING,
	EXTERNAL,
	UNVERIFIED,
	AUTOMATIC,
	SUSPICIOUS,
	AUTHOR,
	ATTACHMENTS,
	COPIES,
	EVIDENCE,
	CREATED_AT,
	TEXT,
	TEXT_IS_CUT,
	POSITION
};

/* The last column is for people: whom it is about and what is said, without the ids. */
static const char sql_timeline[] =
	"SELECT e.version, e.kind, e.author_kind, u.login, e.created_at, e.data, e.detail, e.hop, "
	"concat_ws(', ', COALESCE(w.login, CASE e.kind WHEN 'assigned' THEN 'nobody' END), k.recipient, (SELECT string_agg(d.key || ' ' || d.value, ', ' ORDER BY d.key NOT IN "
	"('from', 'to'), d.key) "
	"FROM jsonb_each_text(e.data) d WHERE right(d.key, 3) <> '_id' AND d.value NOT IN ('', 'false'))) "
	"FROM (SELECT * FROM case_event WHERE case_id = $1 ORDER BY version DESC, ordinal DESC LIMIT $2) e "
	"LEFT JOIN app_user u ON u.id = e.author_id LEFT JOIN app_user w ON w.id = (e.data->>'user_id')::uuid "
	"LEFT JOIN outbound_copy k ON k.id = (e.data->>'copy_id')::uuid ORDER BY e.version, e.ordinal";
static const struct column timeline_columns[] = {
	{ "version", "VERSION", CELL_INT }, { "kind", "WHAT", CELL_TEXT },       { "author_kind", "BY", CELL_TEXT },
	{ "author", "WHO", CELL_TEXT },     { "created_at", "WHEN", CELL_TIME }, { "data", NULL, CELL_JSON },
	{ "detail", NULL, CELL_JSON },      { "hop", NULL, CELL_INT },           { "about", "ABOUT", CELL_TEXT },
};

static void print_messages(struct ctl *ctl, int64_t number, const struct db_result *messages);

int case_list(struct ctl *ctl)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, ctl->tenant.id);
	ctl_arg_text(ctl, &args, "state");
	ctl_arg_text(ctl, &args, "queue");
	ctl_arg_text(ctl, &args, "assignee");
	db_arg_bool(&args, ctl_given(ctl, "unassigned"));
	ctl_arg_int(ctl, &args, "before");
	ctl_arg_limit(ctl, &args, LIMIT);
	if (db_query(ctl->db, sql_list, &args, &rows, &ctl->err) < 0)
		return ctl_failed(ctl);
	table_print(&ctl->arena, list_columns, ARRAY_LEN(list_columns), rows, ctl->as_json, "no cases");
	ctl_tell_more(ctl, db_rows(rows), LIMIT, "--before N shows those below number N, --limit N so many");
	return CTL_DONE;
}

int case_show(struct ctl *ctl)
{
	struct db_result *row CLEANUP(db_result_done) = NULL, *messages CLEANUP(db_result_done) = NULL,
	                 *timeline CLEANUP(db_result_done) = NULL;
	struct arena *arena = &ctl->arena;
	struct db_args args;
	int64_t number;
	int status = case_number(ctl, &number);

	if (status != CTL_DONE)
		return status;
	db_args_init(&args, arena);
	db_arg_uuid(&args, ctl->tenant.id);
	db_arg_int(&args, number);
	if (db_query(ctl->db, sql_case, &args, &row, &ctl->err) < 0)
		return ctl_failed(ctl);
	if (db_rows(row) == 0)
		return ctl_not_found("there is no case %lld; `casectl case list` shows what there is", (long long)number);
	db_args_init(&args, arena);
	db_arg_uuid(&args, db_uuid(row, 0, ARRAY_LEN(case_columns) - 1));
	ctl_arg_int(ctl, &args, "limit");
	if (db_query(ctl->db, sql_messages, &args, &messages, &ctl->err) < 0 ||
	    db_query(ctl->db, sql_timeline, &args, &timeline, &ctl->err) < 0)
		return ctl_failed(ctl);
	if (ctl->as_json) {
		json_t *object CLEANUP(json_done) = table_object(arena, case_columns, ARRAY_LEN(case_columns), row, 0);
		json_put(object, "message_list", table_list(arena, message_columns, ARRAY_LEN(message_columns), messages));
		json_put(object, "timeline", table_list(arena, timeline_columns, ARRAY_LEN(timeline_columns) - 1, timeline));
		json_print_line(stdout, object);
		return CTL_DONE;
	}
	table_print_record(arena, case_columns, ARRAY_LEN(case_columns), row, 0);
	print_messages(ctl, number, messages);
	putchar('\n');
	table_print(arena, timeline_columns, ARRAY_LEN(timeline_columns), timeline, false, "no timeline");
	return CTL_DONE;
}

static void print_list(struct ctl *ctl, const char *title, const struct db_result *rows, int row, int column)
{
	struct str *items;
	size_t count = db_texts(rows, row, column, &ctl->arena, &items);

	for (size_t i = 0; i < count; i++)
		printf("%s%.*s", i ? ", " : title, STR_ARG(table_clean(&ctl->arena, items[i])));
	if (count)
		putchar('\n');
}

static void print_messages(struct ctl *ctl, int64_t number, const struct db_result *messages)
{
	struct arena *arena = &ctl->arena;

	for (int i = 0; i < db_rows(messages); i++) {
		struct str author = db_str(messages, i, AUTHOR), from = table_clean(arena, db_str(messages, i, FROM));
		printf("\n--- %lld  %.*s  %.*s  %.*s%s%s%s%s%s\n", (long long)db_int(messages, i, POSITION),
		       STR_ARG(db_str(messages, i, DIRECTION)), STR_ARG(table_time(arena, db_time(messages, i, CREATED_AT))),
		       STR_ARG(author.len ? author : from), db_bool(messages, i, PENDING) ? "  PENDING" : "",
		       db_bool(messages, i, EXTERNAL) ? "  external" : "",
		       db_bool(messages, i, UNVERIFIED) ? "  unverified" : "",
		       db_bool(messages, i, AUTOMATIC) ? "  automatic" : "",
		       db_bool(messages, i, SUSPICIOUS) ? "  suspicious" : "");
		if (db_bool(messages, i, PENDING))
			printf("to let it in: casectl case confirm %lld --message %s\n", (long long)number,
			       uuid_str(arena, db_uuid(messages, i, MESSAGE_ID)).at);
		print_list(ctl, "to: ", messages, i, TO);
		print_list(ctl, "cc: ", messages, i, CC);
		printf("subject: %.*s\nsender: %.*s, matched by %.*s\n\n",
		       STR_ARG(table_clean(arena, db_str(messages, i, SUBJECT))), STR_ARG(db_str(messages, i, LEVEL)),
		       STR_ARG(db_str(messages, i, MATCHED_BY)));
		struct str text = db_str(messages, i, TEXT), line;
		while (str_next_line(&text, &line))
			printf("  %.*s\n", STR_ARG(table_clean(arena, line)));
		if (db_bool(messages, i, TEXT_IS_CUT))
			puts("  [...]");
		json_t *attachments CLEANUP(json_done) = json_parse(db_str(messages, i, ATTACHMENTS), SIZE_MAX, NULL);
		for (size_t k = 0; k < json_array_size(attachments); k++) {
			const json_t *part = json_array_get(attachments, k);
			printf("  [%.*s, %lld bytes]\n", STR_ARG(table_clean(arena, json_str(part, "name"))),
			       (long long)json_integer_value(json_object_get(part, "size")));
		}
		json_t *copies CLEANUP(json_done) = json_parse(db_str(messages, i, COPIES), SIZE_MAX, NULL);
		for (size_t k = 0; k < json_array_size(copies); k++) {
			const json_t *copy = json_array_get(copies, k);
			printf("  -> %.*s: %.*s\n", STR_ARG(json_str(copy, "to")), STR_ARG(json_str(copy, "state")));
		}
	}
}
