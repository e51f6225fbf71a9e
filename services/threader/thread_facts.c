/* SPDX-License-Identifier: Apache-2.0 */
#include "thread_facts.h"

#include "base/clock.h"
#include "base/vec.h"
#include "kit/metrics.h"
#include "mail/encoded_word.h"
#include "mail/raw_header.h"
#include "mail/subject.h"
#include "thread_claim.h"

#include "base/banned.h"

enum { ATTEMPTS = 5, SUBJECTS_MOST = 20 };

static struct metric moved_refs =
	METRIC_COUNTER("mailcase_threader_claims_repeated_total", "times that another turn had the same ids", NULL);

static int load_under_lock(struct thread_view *view, bool *out_is_settled, struct err *err);

int thread_facts_load(struct db *db, struct arena *arena, struct thread_batch *batch, const struct thread_setup *setup,
                      struct thread_view *out, bool *out_is_settled, struct err *err)
{
	*out = (struct thread_view){ .db = db, .arena = arena, .batch = batch, .setup = setup };
	if (thread_claim_ledger(out, err) < 0 || thread_load_sent(out, err) < 0 || thread_claim_messages(out, err) < 0)
		return -1;

	/* Ids that a rival turn has claimed or moved since we looked are given back and looked at again; the ledger rows
	 * and identities stay ours, so that nothing is parsed or inserted twice. */
	*out_is_settled = false;
	for (int attempt = 0; attempt < ATTEMPTS && !*out_is_settled; attempt++) {
		struct case_id *cases;
		size_t count;
		if (attempt > 0) {
			metric_add(metric_label(&moved_refs, NULL), 1);
			if (db_exec(db, "ROLLBACK TO SAVEPOINT claim", NULL, NULL, err) < 0)
				return -1;
		}
		thread_list_refs(out);
		if (thread_guess_cases(out, &cases, &count, err) < 0 ||
		    thread_claim_refs(out, cases, count, out_is_settled, err) < 0)
			return -1;
		if (*out_is_settled && load_under_lock(out, out_is_settled, err) < 0)
			return -1;
	}
	return 0;
}

const struct case_row *thread_view_case(const struct thread_view *view, struct case_id id)
{
	for (size_t i = 0; i < view->cases_len; i++)
		if (uuid_eq(view->cases[i].id.id, id.id))
			return &view->cases[i];
	return NULL;
}

static int queue_refs(struct thread_view *view, struct db_result **out, struct err *err);
static int queue_participants(struct thread_view *view, struct db_result **out, struct err *err);
static int queue_bearers(struct thread_view *view, struct db_result **out, struct err *err);
static int queue_subjects(struct thread_view *view, struct db_result **out, struct err *err);
static bool refs_stayed(struct thread_view *view, const struct db_result *rows);
static void put_cases(struct thread_view *view, const struct db_result *subjects);

/* The facts of the decision: all of it read after the locks were had. */
static int load_under_lock(struct thread_view *view, bool *out_is_settled, struct err *err)
{
	struct db_result *refs CLEANUP(db_result_done) = NULL, *participants CLEANUP(db_result_done) = NULL,
						   *bearers CLEANUP(db_result_done) = NULL, *subjects CLEANUP(db_result_done) = NULL;
	if (queue_refs(view, &refs, err) < 0 || queue_participants(view, &participants, err) < 0 ||
	    queue_bearers(view, &bearers, err) < 0 || queue_subjects(view, &subjects, err) < 0 ||
	    db_flush(view->db, err) < 0)
		return err_prefix(err, "could not load what is known of the cases");
	*out_is_settled = !refs || refs_stayed(view, refs);
	if (!*out_is_settled)
		return 0;

	struct match_facts *facts = &view->facts;
	match_facts_init(facts, view->arena);
	thread_setup_facts(view->setup, facts);
	for (size_t i = 0; i < view->sent_len; i++)
		match_facts_put_outbound(facts, view->sent[i]);
	for (size_t i = 0; i < view->known_len; i++)
		match_facts_put_message(facts, view->known[i]);
	for (size_t i = 0; i < view->refs_len; i++) {
		const struct thread_ref *ref = &view->refs_list[i];
		if (!ref->is_claimed)
			match_facts_put_ref(facts, (struct match_ref){ ref->key, ref->case_id, ref->message });
	}
	put_cases(view, subjects);
	for (int row = 0; participants && row < db_rows(participants); row++)
		match_facts_put_participant(facts, (struct case_id){ db_uuid(participants, row, 0) },
		                            db_str(participants, row, 1));
	for (int row = 0; bearers && row < db_rows(bearers); row++)
		match_facts_put_message(facts, (struct match_message){ .id = { db_uuid(bearers, row, 0) },
		                                                       .identity = db_uuid(bearers, row, 1),
		                                                       .from = str_dup(view->arena, db_str(bearers, row, 2)),
		                                                       .sent_at_s = db_time(bearers, row, 3) / USEC_PER_SEC,
		                                                       .case_id = { db_uuid(bearers, row, 4) } });
	return 0;
}

static const char refs_sql[] = "SELECT id, case_id, message_id FROM message_ref WHERE id = ANY($1)";

static int queue_refs(struct thread_view *view, struct db_result **out, struct err *err)
{
	struct uuid *keys = ARENA_ARRAY(view->arena, struct uuid, view->refs_len);
	size_t count = 0;
	for (size_t i = 0; i < view->refs_len; i++)
		if (!view->refs_list[i].is_claimed)
			keys[count++] = view->refs_list[i].key;
	if (!count)
		return 0;
	struct db_args args;
	db_args_init(&args, view->arena);
	db_arg_uuids(&args, keys, count);
	return db_queue(view->db, refs_sql, &args, out, err);
}

/* An id that leads elsewhere now was moved before we had its case. */
static bool refs_stayed(struct thread_view *view, const struct db_result *rows)
{
	for (int row = 0; row < db_rows(rows); row++) {
		struct uuid key = db_uuid(rows, row, 0);
		struct thread_ref *ref = map_get(&view->refs, str_span((const char *)key.b, sizeof key.b));
		if (!uuid_eq(ref->case_id.id, db_uuid(rows, row, 1)))
			return false;
		ref->message.id = db_uuid(rows, row, 2);
	}
	return true;
}

static void put_cases(struct thread_view *view, const struct db_result *subjects)
{
	for (size_t i = 0; i < view->cases_len; i++) {
		const struct case_row *row = &view->cases[i];
		struct str *sent = ARENA_ARRAY(view->arena, struct str, SUBJECTS_MOST);
		size_t sent_len = 0;
		const struct match_tenant *tenant = NULL;
		for (size_t t = 0; t < view->setup->tenants_len; t++)
			if (uuid_eq(view->setup->tenants[t].id.id, row->tenant.id))
				tenant = &view->setup->tenants[t];
		for (int s = 0; subjects && tenant && s < db_rows(subjects) && sent_len < SUBJECTS_MOST; s++) {
			if (!uuid_eq(db_uuid(subjects, s, 0), row->id.id))
				continue;
			struct raw_headers headers;
			uint32_t defects = 0;
			struct str bytes = str_dup(view->arena, db_str(subjects, s, 1));
			raw_headers_read(view->arena, bytes, &mail_limits_default, &headers);
			struct str subject = header_text(view->arena, raw_headers_get(&headers, "Subject"), &defects);
			sent[sent_len++] = subject_base(view->arena, subject, &tenant->formats);
		}
		match_facts_put_case(&view->facts, (struct match_case){ .id = row->id,
		                                                        .tenant = row->tenant,
		                                                        .number = row->number,
		                                                        .state = row->state,
		                                                        .queue = row->queue,
		                                                        .group = row->group,
		                                                        .subject_base = row->subject_base,
		                                                        .opened_at = row->opened_at,
		                                                        .closed_at = row->closed_at,
		                                                        .sent_subjects = { sent, sent_len } });
	}
}

static const char participants_sql[] =
	"SELECT case_id, address FROM participant WHERE case_id = ANY($1) AND address = ANY($2)";
static const char bearers_sql[] = "SELECT m.id, m.identity, m.from_address, m.sent_at, c.case_id FROM message m"
								  " LEFT JOIN case_message c ON c.message_id = m.id WHERE m.id = ANY($1)";
/* Only of cases whose number stands in a subject: to know whether the words beside it are ours. */
static const char subjects_sql[] =
	"SELECT c.id, sent.head FROM unnest($1::uuid[]) AS c(id) CROSS JOIN LATERAL"
	" (SELECT substring(o.bytes FROM 1 FOR 8192) AS head FROM outbound_message o WHERE o.case_id = c.id"
	" AND o.audience = 'customer' ORDER BY o.created_at DESC LIMIT $2) AS sent";

static int queue_participants(struct thread_view *view, struct db_result **out, struct err *err)
{
	struct uuid *cases = ARENA_ARRAY(view->arena, struct uuid, view->cases_len);
	struct str *senders = ARENA_ARRAY(view->arena, struct str, view->len);
	for (size_t i = 0; i < view->cases_len; i++)
		cases[i] = view->cases[i].id.id;
	for (size_t i = 0; i < view->len; i++)
		senders[i] = view->mails[i]->keys.from.len ? view->mails[i]->keys.from : STR("");
	struct db_args args;
	db_args_init(&args, view->arena);
	db_arg_uuids(&args, cases, view->cases_len);
	db_arg_texts(&args, senders, view->len);
	return db_queue(view->db, participants_sql, &args, out, err);
}

static int queue_bearers(struct thread_view *view, struct db_result **out, struct err *err)
{
	struct uuid *messages = ARENA_ARRAY(view->arena, struct uuid, view->len);
	size_t count = 0;
	for (size_t i = 0; i < view->len; i++) {
		struct thread_ref *ref = map_get(&view->refs, str_span((const char *)view->mails[i]->keys.own_key.b, 16));
		if (ref && !ref->is_claimed && !uuid_is_null(ref->message.id))
			messages[count++] = ref->message.id;
	}
	if (!count)
		return 0;
	struct db_args args;
	db_args_init(&args, view->arena);
	db_arg_uuids(&args, messages, count);
	return db_queue(view->db, bearers_sql, &args, out, err);
}

static int queue_subjects(struct thread_view *view, struct db_result **out, struct err *err)
{
	struct uuid *cases = ARENA_ARRAY(view->arena, struct uuid, view->cases_len);
	size_t count = 0;
	for (size_t c = 0; c < view->cases_len; c++) {
		bool is_named = false;
		for (size_t i = 0; i < view->len && !is_named; i++) {
			const struct match_keys *keys = &view->mails[i]->keys;
			for (size_t n = 0; n < keys->numbers_len; n++)
				is_named |= keys->numbers[n] == view->cases[c].number &&
				            !str_eq(keys->subject_base, view->cases[c].subject_base);
		}
		if (is_named)
			cases[count++] = view->cases[c].id.id;
	}
	if (!count)
		return 0;
	struct db_args args;
	db_args_init(&args, view->arena);
	db_arg_uuids(&args, cases, count);
	db_arg_int(&args, SUBJECTS_MOST);
	return db_queue(view->db, subjects_sql, &args, out, err);
}
