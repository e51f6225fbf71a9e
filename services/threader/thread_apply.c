/* SPDX-License-Identifier: Apache-2.0 */
#include "thread_apply.h"

#include "thread_changes.h"

#include "base/banned.h"

static int put_marks(struct thread_view *view, struct err *err);
static int put_membership(struct thread_view *view, struct thread_changes *changes, struct err *err);
static int put_participants(struct thread_view *view, struct err *err);
static int settle_refs(struct thread_view *view, struct err *err);
static int put_quarantine(struct thread_view *view, struct err *err);
static int put_ledger(struct thread_view *view, struct err *err);

int thread_apply(struct thread_view *view, bool *out_changed_cases, struct err *err)
{
	struct thread_changes changes;
	if (thread_changes_gather(view, &changes, err) < 0)
		return -1;
	if (put_marks(view, err) < 0 || put_membership(view, &changes, err) < 0 || put_participants(view, err) < 0 ||
	    settle_refs(view, err) < 0 || put_quarantine(view, err) < 0 ||
	    case_record_apply(view->db, view->arena, changes.at, changes.len, view->batch->now_us, err) < 0 ||
	    put_ledger(view, err) < 0)
		return err_prefix(err, "could not write what was decided");
	*out_changed_cases = changes.len > 0;
	return 0;
}

static bool has_place(const struct match_verdict *verdict)
{
	return verdict->outcome == MATCH_OPENED || verdict->outcome == MATCH_JOINED;
}

static const char marks_sql[] =
	"UPDATE message m SET variant_of = u.variant, is_suspicious = u.suspicious"
	" FROM unnest($1::uuid[], $2::uuid[], $3::bool[]) AS u(id, variant, suspicious) WHERE m.id = u.id";

static int put_marks(struct thread_view *view, struct err *err)
{
	struct uuid *ids = ARENA_ARRAY(view->arena, struct uuid, view->len),
				*variants = ARENA_ARRAY(view->arena, struct uuid, view->len);
	bool *suspicious = ARENA_ARRAY(view->arena, bool, view->len);
	size_t count = 0;
	for (size_t i = 0; i < view->len; i++) {
		const struct match_verdict *v = view->mails[i]->verdict;
		if (!has_place(v) || (!v->is_suspicious && uuid_is_null(v->variant_of.id)))
			continue;
		ids[count] = v->message.id;
		variants[count] = v->variant_of.id;
		suspicious[count++] = v->is_suspicious;
	}
	if (!count)
		return 0;
	struct db_args args;
	db_args_init(&args, view->arena);
	db_arg_uuids(&args, ids, count);
	db_arg_uuids_or_null(&args, variants, count);
	db_arg_bools(&args, suspicious, count);
	return db_queue(view->db, marks_sql, &args, NULL, err);
}

static int put_membership(struct thread_view *view, struct thread_changes *changes, struct err *err)
{
	struct case_message_new *rows = ARENA_ARRAY(view->arena, struct case_message_new, view->len);
	size_t count = 0;
	for (size_t i = 0; i < view->len; i++) {
		const struct match_verdict *v = view->mails[i]->verdict;
		if (!has_place(v))
			continue;
		rows[count++] = (struct case_message_new){ .message = v->message,
			                                       .case_id = v->case_id,
			                                       .tenant = view->mails[i]->tenant->id,
			                                       .position = thread_changes_position(changes, v->case_id),
			                                       .is_pending = v->is_pending,
			                                       .is_external = v->is_external,
			                                       .is_unverified = v->is_unverified,
			                                       .matched_by = v->matched_by,
			                                       .evidence = v->evidence };
	}
	return case_message_put(view->db, view->arena, rows, count, view->batch->now_us, err);
}

static const char participants_sql[] =
	"INSERT INTO participant (case_id, address, tenant_id, role, name, added_at)"
	" SELECT u.case_id, u.address, u.tenant, 'opener', u.name, $5"
	" FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[]) AS u(case_id, address, tenant, name)"
	" ON CONFLICT (case_id, address) DO NOTHING";

enum { NAME_MOST = 500 };

static int put_participants(struct thread_view *view, struct err *err)
{
	struct uuid *cases = ARENA_ARRAY(view->arena, struct uuid, view->len),
				*tenants = ARENA_ARRAY(view->arena, struct uuid, view->len);
	struct str *addresses = ARENA_ARRAY(view->arena, struct str, view->len),
			   *names = ARENA_ARRAY(view->arena, struct str, view->len);
	size_t count = 0;
	for (size_t i = 0; i < view->len; i++) {
		const struct thread_mail *mail = view->mails[i];
		if (!has_place(mail->verdict) || !mail->verdict->adds_opener)
			continue;
		cases[count] = mail->verdict->case_id.id;
		tenants[count] = mail->tenant->id.id;
		addresses[count] = mail->keys.from;
		struct str name = mail->mail.from.at[0].name;
		names[count++] = name.len ? str_cut_utf8(name, NAME_MOST) : STR("");
	}
	if (!count)
		return 0;
	struct db_args args;
	db_args_init(&args, view->arena);
	db_arg_uuids(&args, cases, count);
	db_arg_texts(&args, addresses, count);
	db_arg_uuids(&args, tenants, count);
	db_arg_texts(&args, names, count);
	db_arg_time(&args, view->batch->now_us);
	return db_queue(view->db, participants_sql, &args, NULL, err);
}

static const char refs_sql[] =
	"UPDATE message_ref r SET case_id = u.case_id, message_id = u.message"
	" FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS u(id, case_id, message) WHERE r.id = u.id";

/* The ids now lead where the decision put their mails. Most do already: only what was guessed wrong, or was only
 * referred to until now, is written again. Their old cases are locked. */
static int settle_refs(struct thread_view *view, struct err *err)
{
	struct uuid *uuids = ARENA_ARRAY(view->arena, struct uuid, view->refs_len * 3);
	struct uuid *ids = uuids, *cases = ids + view->refs_len, *messages = cases + view->refs_len;
	size_t count = 0;
	for (size_t i = 0; i < view->refs_len; i++) {
		const struct thread_ref *was = &view->refs_list[i];
		const struct match_ref *is = match_facts_ref(&view->facts, was->key);
		if (!is || (uuid_eq(is->case_id.id, was->case_id.id) && uuid_eq(is->message.id, was->message.id)))
			continue;
		ids[count] = was->key;
		cases[count] = is->case_id.id;
		messages[count++] = is->message.id;
	}
	if (!count)
		return 0;
	struct db_args args;
	db_args_init(&args, view->arena);
	db_arg_uuids(&args, ids, count);
	db_arg_uuids(&args, cases, count);
	db_arg_uuids_or_null(&args, messages, count);
	return db_queue(view->db, refs_sql, &args, NULL, err);
}

static const char quarantine_sql[] =
	"INSERT INTO quarantine (id, tenant_id, intake_id, reason, detail, created_at)"
	" SELECT u.id, u.tenant, u.intake, 'parser', u.detail, $5"
	" FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[]) AS u(id, tenant, intake, detail)"
	" ON CONFLICT (intake_id) DO UPDATE SET detail = EXCLUDED.detail, created_at = EXCLUDED.created_at,"
	" ended_at = NULL, ended_by = NULL";

static int put_quarantine(struct thread_view *view, struct err *err)
{
	struct thread_batch *batch = view->batch;
	struct uuid *uuids = ARENA_ARRAY(view->arena, struct uuid, batch->len * 3);
	struct uuid *ids = uuids, *tenants = ids + batch->len, *intakes = tenants + batch->len;
	struct str *details = ARENA_ARRAY(view->arena, struct str, batch->len);
	size_t count = 0;
	for (size_t i = 0; i < batch->len; i++) {
		if (batch->mails[i].fate != FATE_QUARANTINED)
			continue;
		ids[count] = uuid_v7();
		tenants[count] = batch->mails[i].received.tenant.id;
		intakes[count] = batch->mails[i].received.intake.id;
		details[count++] = str_of(parse_verdict_name(batch->mails[i].parse_verdict));
	}
	if (!count)
		return 0;
	struct db_args args;
	db_args_init(&args, view->arena);
	db_arg_uuids(&args, ids, count);
	db_arg_uuids(&args, tenants, count);
	db_arg_uuids(&args, intakes, count);
	db_arg_texts(&args, details, count);
	db_arg_time(&args, batch->now_us);
	return db_queue(view->db, quarantine_sql, &args, NULL, err);
}

static const char ledger_sql[] =
	"UPDATE intake i SET state = u.state, reason = u.reason, message_id = u.message, case_id = u.case_id,"
	" decided_at = $6"
	" FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[]) AS u(id, state, reason, message, case_id)"
	" WHERE i.id = u.id";

static const char *const ledger_states[] = { [MATCH_OPENED] = "case",
	                                         [MATCH_JOINED] = "attached",
	                                         [MATCH_DUPLICATE] = "duplicate",
	                                         [MATCH_PERSONAL] = "personal",
	                                         [MATCH_OWN_MAIL] = "filtered" };

static int put_ledger(struct thread_view *view, struct err *err)
{
	struct thread_batch *batch = view->batch;
	struct uuid *uuids = ARENA_ARRAY(view->arena, struct uuid, batch->len * 3);
	struct uuid *ids = uuids, *messages = ids + batch->len, *cases = messages + batch->len;
	struct str *states = ARENA_ARRAY(view->arena, struct str, batch->len),
			   *reasons = ARENA_ARRAY(view->arena, struct str, batch->len);
	size_t count = 0;
	for (size_t i = 0; i < batch->len; i++) {
		const struct thread_mail *mail = &batch->mails[i];
		const struct match_verdict *v = mail->verdict;
		if (mail->fate != FATE_QUARANTINED && (mail->fate != FATE_MATCHED || !v))
			continue;
		ids[count] = mail->received.intake.id;
		if (mail->fate == FATE_QUARANTINED) {
			states[count] = STR("quarantined");
			reasons[count++] = STR("parser");
			continue;
		}
		states[count] = str_of(ledger_states[v->outcome]);
		reasons[count] = v->outcome == MATCH_OWN_MAIL ? STR("own_mail")
		                 : v->outcome == MATCH_JOINED ? v->matched_by
		                                              : STR("");
		if (v->outcome != MATCH_OWN_MAIL)
			messages[count] = v->message.id;
		cases[count++] = v->case_id.id;
	}
	if (!count)
		return 0;
	struct db_args args;
	db_args_init(&args, view->arena);
	db_arg_uuids(&args, ids, count);
	db_arg_texts(&args, states, count);
	db_arg_texts(&args, reasons, count);
	db_arg_uuids_or_null(&args, messages, count);
	db_arg_uuids_or_null(&args, cases, count);
	db_arg_time(&args, batch->now_us);
	return db_queue(view->db, ledger_sql, &args, NULL, err);
}

static const char dead_sql[] =
	"UPDATE intake SET state = 'dead', reason = $2, decided_at = clock_timestamp() WHERE id = $1"
	" AND state IN ('received', 'retrying', 'action_needed')";

int thread_apply_dead(struct db *db, struct arena *arena, struct intake_id intake, const char *reason, struct err *err)
{
	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuid(&args, intake.id);
	db_arg_text(&args, str_of(reason));
	return db_queue(db, dead_sql, &args, NULL, err);
}
