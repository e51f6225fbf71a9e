/* SPDX-License-Identifier: Apache-2.0 */
#include "desk/desk_confirm.h"

#include "domain/recipients.h"

#include "base/banned.h"

static const char sql_pending[] =
	"SELECT c.message_id, c.is_pending, m.from_address, m.from_name, m.is_automatic FROM case_message c "
	"JOIN message m ON m.id = c.message_id WHERE c.case_id = $1 AND ((c.message_id = $2) OR ($2 IS NULL AND "
	"c.is_pending)) ORDER BY c.position LIMIT 2";
static const char sql_confirm[] =
	"UPDATE case_message SET is_pending = false, confirmed_by = $3, confirmed_at = $4 WHERE message_id = $2 AND "
	"case_id = $1";
static const char sql_participant[] =
	"INSERT INTO participant (case_id, address, tenant_id, role, name, added_at) VALUES ($1, $2, $3, 'confirmed', "
	"$4, $5) ON CONFLICT (case_id, address) DO NOTHING";

static int confirm(const struct desk *desk, const struct case_row *row, const struct db_result *found, bool *out_added,
                   struct err *err);

enum desk_status desk_confirm(const struct desk *desk, const struct desk_confirm *request,
                              struct desk_confirm_done *out, struct err *err)
{
	struct db_result *found CLEANUP(db_result_done) = NULL;
	struct case_row row;
	struct db_args args;
	struct fact facts[3];
	size_t facts_len = 0;
	bool added;
	enum desk_status status = desk_begin(desk, request->number, &row, err);

	if (status != DESK_DONE)
		return status;
	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, row.id.id);
	db_arg_uuid_or_null(&args, request->message.id);
	if (db_query(desk->db, sql_pending, &args, &found, err) < 0)
		return desk_fail(desk);
	if (db_rows(found) == 0)
		return desk_absent(desk, err, uuid_is_null(request->message.id) ? "case %lld has no pending message" :
		                                                                  "case %lld has no such message",
		                   (long long)row.number);
	if (db_rows(found) > 1)
		return desk_refuse(desk, err, "case %lld has several pending messages: name one with --message ID",
		                   (long long)row.number);
	if (!db_bool(found, 0, 1))
		return desk_refuse(desk, err, "this message is in case %lld in full already", (long long)row.number);
	if (confirm(desk, &row, found, &added, err) < 0)
		return desk_fail(desk);
	struct message_id message = { db_uuid(found, 0, 0) };
	facts[facts_len++] = (struct fact){ .kind = FACT_MESSAGE_CONFIRMED, .message_confirmed = { message } };
	if (added)
		facts[facts_len++] = (struct fact){ .kind = FACT_PARTICIPANT_ADDED,
			                            .participant_added = { message, STR("confirmed") } };
	if (row.state == CASE_WAITING && !db_bool(found, 0, 4))
		facts[facts_len++] = (struct fact){ .kind = FACT_STATE_CHANGED,
			                            .state_changed = { CASE_WAITING, CASE_OPEN, STR("customer_wrote") } };
	status = desk_commit(desk, &row, NULL, facts, facts_len, err);
	if (status == DESK_DONE)
		*out = (struct desk_confirm_done){ row.id, message, added };
	return status;
}

static int confirm(const struct desk *desk, const struct case_row *row, const struct db_result *found, bool *out_added,
                   struct err *err)
{
	struct db_args args;
	int64_t rows = 0;

	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, row->id.id);
	db_arg_uuid(&args, db_uuid(found, 0, 0));
	db_arg_uuid(&args, desk->author.user.id);
	db_arg_time(&args, desk->now_us);
	if (db_queue(desk->db, sql_confirm, &args, NULL, err) < 0)
		return -1;
	struct str address = db_str(found, 0, 2);
	/* A machine's report comes in, but nobody would read our answers to it. */
	bool is_person = address.len && !db_bool(found, 0, 4) && !recipient_is_unattended(address);
	if (is_person) {
		db_args_init(&args, desk->arena);
		db_arg_uuid(&args, row->id.id);
		db_arg_text(&args, address);
		db_arg_uuid(&args, desk->tenant.id);
		db_arg_text(&args, db_str(found, 0, 3));
		db_arg_time(&args, desk->now_us);
		if (db_exec(desk->db, sql_participant, &args, &rows, err) < 0)
			return -1;
	}
	*out_added = rows > 0;
	return 0;
}
