/* SPDX-License-Identifier: Apache-2.0 */
#include "desk/desk_reply.h"

#include "desk/desk_mail.h"

#include "base/banned.h"

#define CHAIN_MOST 20 /* ids of the thread in References, besides the root */

static int load_chain(const struct desk *desk, const struct case_row *row, struct desk_mail *mail, struct err *err);
static int load_candidates(const struct desk *desk, const struct desk_reply *request, const struct case_row *row,
                           struct desk_mail *mail, struct err *err);

/* The latest mails of the case, newest first. Pending ones are left out: nobody else is told of a stranger's mail. */
static const char sql_chain[] =
	"SELECT m.message_id, m.direction = 'in' AND NOT m.is_automatic FROM case_message c JOIN message m ON m.id = "
	"c.message_id WHERE c.case_id = $1 AND NOT c.is_pending AND m.direction <> 'note' AND m.message_id <> '' "
	"ORDER BY c.position DESC LIMIT $2";
static const char sql_participants[] =
	"SELECT address, name FROM participant WHERE case_id = $1 ORDER BY added_at, address";

enum desk_status desk_reply(const struct desk *desk, const struct desk_reply *request, struct desk_reply_done *out,
                            struct err *err)
{
	struct case_row row;
	struct fact facts[2];
	size_t facts_len = 0;
	struct desk_mail_done done;
	enum desk_status status = desk_begin(desk, request->number, &row, err);

	if (status != DESK_DONE)
		return status;
	if (row.state == CASE_CLOSED && !request->reopen)
		return desk_refuse(desk, err, "case %lld is closed: with --reopen the answer is sent and the case opened again",
		                   (long long)row.number);
	struct desk_mail mail = { .row = &row, .mailbox = row.mailbox, .outbound = request->outbound, .prefix = "Re: ",
		                  .text = request->text, .reason = "agent_replied" };
	struct group_id unused;
	if (uuid_is_null(row.mailbox.id) && desk_mailbox_of_queue(desk, row.queue, &mail.mailbox, &unused, err) < 0)
		return desk_fail(desk);
	if (load_chain(desk, &row, &mail, err) < 0 || load_candidates(desk, request, &row, &mail, err) < 0)
		return desk_fail(desk);
	status = desk_mail_put(desk, &mail, &done, err);
	if (status != DESK_DONE)
		return status;
	facts[facts_len++] = (struct fact){ .kind = FACT_MESSAGE_ADDED, .detail = done.detail,
		                            .message_added = { .message = done.message, .direction = DIRECTION_OUT,
		                                               .matched_by = STR("person"), .size = done.size } };
	if (row.state != CASE_WAITING)
		facts[facts_len++] = (struct fact){ .kind = FACT_STATE_CHANGED,
			                            .state_changed = { row.state, CASE_WAITING,
			                                               row.state == CASE_CLOSED ? STR("reopened") :
			                                                                          STR("agent_replied") } };
	status = desk_commit(desk, &row, NULL, facts, facts_len, err);
	if (status == DESK_DONE)
		*out = (struct desk_reply_done){ row.id, done.message, done.outbound, done.header_id, done.recipients_len };
	return status;
}

static int load_chain(const struct desk *desk, const struct case_row *row, struct desk_mail *mail, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, row->id.id);
	db_arg_int(&args, CHAIN_MOST);
	if (db_query(desk->db, sql_chain, &args, &rows, err) < 0)
		return -1;
	int count = db_rows(rows);
	struct str *chain = ARENA_ARRAY(desk->arena, struct str, (size_t)count + 1);
	size_t len = 0;
	if (row->root_header_id.len)
		chain[len++] = row->root_header_id;
	for (int i = count; i-- > 0;) {
		struct str id = db_str(rows, i, 0);
		if (!str_eq(id, row->root_header_id))
			chain[len++] = str_dup(desk->arena, id);
	}
	mail->references = (struct mail_strs){ chain, len };
	mail->in_reply_to = STR("");
	/* What is answered: the last that came in; where nothing did, the last of ours. */
	for (int i = 0; i < count && !mail->in_reply_to.len; i++)
		if (db_bool(rows, i, 1))
			mail->in_reply_to = str_dup(desk->arena, db_str(rows, i, 0));
	if (!mail->in_reply_to.len && len)
		mail->in_reply_to = chain[len - 1];
	return 0;
}

static int load_candidates(const struct desk *desk, const struct desk_reply *request, const struct case_row *row,
                           struct desk_mail *mail, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;
	size_t len = 0;

	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, row->id.id);
	if (db_query(desk->db, sql_participants, &args, &rows, err) < 0)
		return -1;
	int count = request->only_named ? 0 : db_rows(rows);
	struct recipient_candidate *all = ARENA_ARRAY(desk->arena, struct recipient_candidate,
	                                              (size_t)count + request->to.len + request->cc.len + 1);
	for (size_t i = 0; i < request->to.len; i++)
		all[len++] = (struct recipient_candidate){ { STR(""), request->to.at[i] }, false, "named" };
	for (int i = 0; i < count; i++)
		all[len++] = (struct recipient_candidate){ { str_dup(desk->arena, db_str(rows, i, 1)),
			                                     str_dup(desk->arena, db_str(rows, i, 0)) },
			                                   false, "participant" };
	for (size_t i = 0; i < request->cc.len; i++)
		all[len++] = (struct recipient_candidate){ { STR(""), request->cc.at[i] }, true, "named" };
	mail->candidates = all;
	mail->candidates_len = len;
	return 0;
}
