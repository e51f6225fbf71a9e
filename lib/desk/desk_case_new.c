/* SPDX-License-Identifier: Apache-2.0 */
#include "desk/desk_case_new.h"

#include "desk/desk_mail.h"
#include "desk/desk_note.h"
#include "mail/address.h"
#include "mail/subject.h"

#include "base/banned.h"

#define TO_MOST 50

/* What the act gathers before it writes. */
struct opening {
	struct case_row row; /* as it will be; version 0 */
	struct mailbox_id mailbox;
	struct str root;
};

static enum desk_status prepare(const struct desk *desk, const struct desk_case_new *request, struct opening *out,
                                struct err *err);
static int put_participants(const struct desk *desk, const struct opening *opening, const struct desk_mail *mail,
                            const struct recipient_verdict *verdicts, struct err *err);
static enum desk_status put_mail(const struct desk *desk, const struct desk_case_new *request, struct opening *opening,
                                 struct desk_mail_done *out, struct err *err);

static const char sql_queue[] =
	"SELECT q.team_id, q.subject_format, (SELECT id FROM mailbox_group WHERE tenant_id = $2 AND name = 'default') "
	"FROM queue q WHERE q.id = $1 AND q.tenant_id = $2";
static const char sql_participant[] =
	"INSERT INTO participant (case_id, address, tenant_id, role, name, added_at) VALUES ($1, $2, $3, 'added', $4, $5) "
	"ON CONFLICT (case_id, address) DO NOTHING";

enum desk_status desk_case_new(const struct desk *desk, const struct desk_case_new *request,
                               struct desk_case_new_done *out, struct err *err)
{
	struct opening opening = { .root = STR("") };
	struct fact facts[4 + TO_MOST];
	size_t facts_len = 0;
	struct desk_mail_done mail = { 0 };
	struct message_id message;

	if (request->to.len > TO_MOST) {
		err_set(err, ERR_PERM, "a first mail goes to at most %d addresses", TO_MOST);
		return DESK_REFUSED;
	}
	enum desk_status status = desk_begin_new(desk, err);
	if (status == DESK_DONE && !uuid_is_null(request->assignee.id))
		status = desk_check_user(desk, request->assignee, "the assignee", err);
	if (status == DESK_DONE)
		status = prepare(desk, request, &opening, err);
	if (status != DESK_DONE)
		return status;
	const struct case_row *row = &opening.row;
	if (request->to.len) {
		status = put_mail(desk, request, &opening, &mail, err);
		if (status != DESK_DONE)
			return status;
		message = mail.message;
	} else if (desk_note_put(desk, row, request->text, &message, err) < 0)
		return desk_fail(desk);

	facts[facts_len++] = (struct fact){ .kind = FACT_CASE_OPENED,
		                            .case_opened = { .queue = row->queue, .team = row->team, .state = row->state } };
	facts[facts_len++] = (struct fact){ .kind = FACT_MESSAGE_ADDED, .detail = mail.detail,
		                            .message_added = { .message = message,
		                                               .direction = request->to.len ? DIRECTION_OUT : DIRECTION_NOTE,
		                                               .matched_by = STR("opened"),
		                                               .size = mail.size ? mail.size : (int64_t)request->text.len } };
	for (size_t i = 0; i < request->to.len; i++)
		if (mail.verdicts[i].is_in)
			facts[facts_len++] =
				(struct fact){ .kind = FACT_PARTICIPANT_ADDED, .participant_added = { .role = STR("added") } };
	if (!uuid_is_null(request->assignee.id))
		facts[facts_len++] = (struct fact){ .kind = FACT_ASSIGNED,
			                            .assigned = { request->assignee, row->team, { { { 0 } } }, STR("person") } };
	struct case_opening about = { row->subject, row->subject_base, row->group, message, opening.root };
	status = desk_commit(desk, row, &about, facts, facts_len, err);
	if (status == DESK_DONE)
		*out = (struct desk_case_new_done){ row->id, row->number, message, mail.outbound };
	return status;
}

static enum desk_status prepare(const struct desk *desk, const struct desk_case_new *request, struct opening *out,
                                struct err *err)
{
	struct db_result *queue CLEANUP(db_result_done) = NULL;
	struct db_args args;
	struct case_row *row = &out->row;

	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, request->queue.id);
	db_arg_uuid(&args, desk->tenant.id);
	if (db_query(desk->db, sql_queue, &args, &queue, err) < 0)
		return desk_fail(desk);
	if (db_rows(queue) == 0)
		return desk_absent(desk, err, "there is no such queue");
	*row = (struct case_row){ .tenant = desk->tenant, .id = { uuid_v7() }, .queue = request->queue,
		                  .team = { db_uuid(queue, 0, 0) }, .subject = request->subject,
		                  .state = request->to.len ? CASE_WAITING : CASE_OPEN, .root_header_id = STR("") };
	if (desk_mailbox_of_queue(desk, request->queue, &out->mailbox, &row->group, err) < 0)
		return desk_fail(desk);
	if (uuid_is_null(row->group.id))
		row->group.id = db_uuid(queue, 0, 2);
	struct str *format = ARENA_NEW(desk->arena, struct str);
	*format = str_dup(desk->arena, db_str(queue, 0, 1));
	row->subject_base = subject_base(desk->arena, request->subject, &(struct mail_strs){ format, 1 });
	if (case_record_numbers(desk->db, desk->arena, desk->tenant, 1, &row->number, err) < 0)
		return desk_fail(desk);
	return DESK_DONE;
}

static enum desk_status put_mail(const struct desk *desk, const struct desk_case_new *request, struct opening *opening,
                                 struct desk_mail_done *out, struct err *err)
{
	struct recipient_candidate *candidates = ARENA_ARRAY(desk->arena, struct recipient_candidate, request->to.len);
	struct desk_mail mail = { .row = &opening->row,
		                      .mailbox = opening->mailbox,
		                      .outbound = request->outbound,
		                      .prefix = "",
		                      .text = request->text,
		                      .candidates = candidates,
		                      .candidates_len = request->to.len,
		                      .in_reply_to = STR(""),
		                      .reason = "case_opened" };

	for (size_t i = 0; i < request->to.len; i++)
		candidates[i] = (struct recipient_candidate){ request->to.at[i], false, "named" };
	enum desk_status status = desk_mail_put(desk, &mail, out, err);
	if (status != DESK_DONE)
		return status;
	opening->root = out->header_id;
	return put_participants(desk, opening, &mail, out->verdicts, err) < 0 ? desk_fail(desk) : DESK_DONE;
}

static int put_participants(const struct desk *desk, const struct opening *opening, const struct desk_mail *mail,
                            const struct recipient_verdict *verdicts, struct err *err)
{
	for (size_t i = 0; i < mail->candidates_len; i++) {
		const struct mail_address *who = &mail->candidates[i].who;
		struct db_args args;
		if (!verdicts[i].is_in)
			continue;
		db_args_init(&args, desk->arena);
		db_arg_uuid(&args, opening->row.id.id);
		db_arg_text(&args, address_fold(desk->arena, who->address));
		db_arg_uuid(&args, desk->tenant.id);
		db_arg_text(&args, who->name);
		db_arg_time(&args, desk->now_us);
		if (db_queue(desk->db, sql_participant, &args, NULL, err) < 0)
			return -1;
	}
	return 0;
}
