/* SPDX-License-Identifier: Apache-2.0 */
#include "desk/desk_note.h"

#include "base/digest.h"
#include "record/message.h"

#include "base/banned.h"

static int keep_whole(const struct desk *desk, struct str text, struct blob_id *out, struct err *err);

static const char sql_blob[] = "INSERT INTO blob (id, tenant_id, sha256, size, bytes) VALUES ($1, $2, $3, $4, $5)";
static const char sql_author[] = "SELECT name FROM app_user WHERE id = $1";

enum desk_status desk_note(const struct desk *desk, const struct desk_note *request, struct desk_note_done *out,
                           struct err *err)
{
	struct case_row row;
	struct message_id message;
	enum desk_status status = desk_begin(desk, request->number, &row, err);

	if (status != DESK_DONE)
		return status;
	if (desk_note_put(desk, &row, request->text, &message, err) < 0)
		return desk_fail(desk);
	struct fact fact = { .kind = FACT_MESSAGE_ADDED,
		             .message_added = { .message = message, .direction = DIRECTION_NOTE, .matched_by = STR("person"),
		                                .size = (int64_t)request->text.len } };
	status = desk_commit(desk, &row, NULL, &fact, 1, err);
	if (status == DESK_DONE)
		*out = (struct desk_note_done){ row.id, message };
	return status;
}

int desk_note_put(const struct desk *desk, const struct case_row *row, struct str text, struct message_id *out,
                  struct err *err)
{
	struct db_result *author CLEANUP(db_result_done) = NULL;
	struct db_args args;
	struct message_new message = {
		.id = { uuid_v7() },
		.tenant = desk->tenant,
		.direction = DIRECTION_NOTE,
		.kind = STR("normal"),
		.subject = row->subject,
		.body = text,
		.sender_level = STR("authenticated"),
		.size = (int64_t)text.len,
		.author = desk->author.user,
		.sent_at_us = desk->now_us,
	};
	message.identity = message.id.id; /* made once, here: it can be no other */
	struct case_message_new place = {
		.message = message.id,
		.case_id = row->id,
		.tenant = desk->tenant,
		.position = row->message_count + 1,
		.matched_by = row->version ? STR("person") : STR("opened"),
	};

	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, desk->author.user.id);
	if (db_query(desk->db, sql_author, &args, &author, err) < 0)
		return -1;
	if (db_rows(author))
		message.from_name = str_dup(desk->arena, db_str(author, 0, 0));
	if (text.len > MESSAGE_BODY_CAP && keep_whole(desk, text, &message.blob, err) < 0)
		return -1;
	if (message_put(desk->db, desk->arena, &message, 1, desk->now_us, err) < 0 ||
	    case_message_put(desk->db, desk->arena, &place, 1, desk->now_us, err) < 0)
		return -1;
	*out = message.id;
	return 0;
}

/* The row holds the beginning only. A mail of ours has its bytes in the outbound message; a note has nothing else. */
static int keep_whole(const struct desk *desk, struct str text, struct blob_id *out, struct err *err)
{
	struct blob_id id = { uuid_v7() };
	struct sha256 sum = sha256_of(text);
	struct db_args args;

	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, id.id);
	db_arg_uuid(&args, desk->tenant.id);
	db_arg_bytes(&args, str_span((const char *)sum.b, sizeof sum.b));
	db_arg_int(&args, (int64_t)text.len);
	db_arg_bytes(&args, text);
	if (db_queue(desk->db, sql_blob, &args, NULL, err) < 0)
		return -1;
	*out = id;
	return 0;
}
