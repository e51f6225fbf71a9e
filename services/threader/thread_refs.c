/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/vec.h"
#include "thread_claim.h"

#include "base/banned.h"

enum { SECONDS_OF_DAY = 86400 };

static bool has_refs(const struct thread_view *view, size_t at);

static struct str key_of(const struct uuid *key)
{
	return str_span((const char *)key->b, sizeof key->b);
}

/* Which mails bring ids: those that will have a place in a case. */
static bool has_refs(const struct thread_view *view, size_t at)
{
	const struct thread_mail *mail = view->mails[at];
	if (mail->is_own_mail || mail->mailbox->is_personal)
		return false;
	for (size_t i = 0; i < view->known_len; i++)
		if (uuid_eq(view->known[i].identity, mail->keys.identity) && !uuid_is_null(view->known[i].case_id.id))
			return false;
	return true;
}

static int by_key(const void *a, const void *b)
{
	return uuid_cmp(((const struct thread_ref *)a)->key, ((const struct thread_ref *)b)->key);
}

void thread_list_refs(struct thread_view *view)
{
	VEC(struct thread_ref) list = { 0 };
	for (size_t i = 0; i < view->len; i++) {
		size_t count;
		const struct uuid *keys = match_ref_keys(view->arena, &view->mails[i]->keys, &count);
		for (size_t k = 0; k < count && has_refs(view, i); k++)
			*VEC_PUSH(view->arena, &list) = (struct thread_ref){ .key = keys[k], .tenant = view->mails[i]->tenant->id };
	}
	if (list.len)
		qsort(list.at, list.len, sizeof *list.at, by_key);
	size_t kept = 0;
	for (size_t i = 0; i < list.len; i++)
		if (!kept || !uuid_eq(list.at[kept - 1].key, list.at[i].key))
			list.at[kept++] = list.at[i];
	view->refs_list = list.at;
	view->refs_len = kept;
	map_init(&view->refs, view->arena);
	for (size_t i = 0; i < kept; i++)
		map_put(&view->refs, key_of(&list.at[i].key), &list.at[i]);
}

static const char refs_sql[] = "SELECT id, case_id, message_id FROM message_ref WHERE id = ANY($1)";
static const char numbers_sql[] = "SELECT c.id FROM unnest($1::uuid[], $2::int8[]) AS u(tenant, number)"
								  " JOIN case_file c ON c.number = u.number AND c.tenant_id = u.tenant";
/* A few of the newest are enough: the newest decides. */
static const char alike_sql[] =
	"SELECT found.id FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[])"
	" AS u(tenant, grp, base, earliest, sender) CROSS JOIN LATERAL (SELECT c.id FROM case_file c"
	" JOIN participant p ON p.case_id = c.id AND p.address = u.sender"
	" WHERE md5(c.subject_base) = md5(u.base) AND c.opened_at >= u.earliest AND c.subject_base = u.base"
	" AND c.group_id = u.grp AND c.tenant_id = u.tenant ORDER BY c.opened_at DESC LIMIT 3) found";

struct case_set {
	struct arena *arena;
	struct map seen;
	VEC(struct case_id) list;
};

static void add_case(struct case_set *set, struct uuid id)
{
	if (uuid_is_null(id) || map_get(&set->seen, key_of(&id)))
		return;
	struct case_id *kept = ARENA_NEW(set->arena, struct case_id);
	kept->id = id;
	map_put(&set->seen, key_of(&kept->id), kept);
	*VEC_PUSH(set->arena, &set->list) = *kept;
}

static int queue_numbers(struct thread_view *view, struct db_result **out, struct err *err)
{
	VEC(struct uuid) tenants = { 0 };
	VEC(int64_t) numbers = { 0 };
	for (size_t i = 0; i < view->len; i++) {
		for (size_t n = 0; n < view->mails[i]->keys.numbers_len && has_refs(view, i); n++) {
			*VEC_PUSH(view->arena, &tenants) = view->mails[i]->tenant->id.id;
			*VEC_PUSH(view->arena, &numbers) = view->mails[i]->keys.numbers[n];
		}
	}
	if (!numbers.len)
		return 0;
	struct db_args args;
	db_args_init(&args, view->arena);
	db_arg_uuids(&args, tenants.at, tenants.len);
	db_arg_ints(&args, numbers.at, numbers.len);
	return db_queue(view->db, numbers_sql, &args, out, err);
}

static int queue_alike(struct thread_view *view, struct db_result **out, struct err *err)
{
	struct uuid *tenants = ARENA_ARRAY(view->arena, struct uuid, view->len),
				*groups = ARENA_ARRAY(view->arena, struct uuid, view->len);
	struct str *bases = ARENA_ARRAY(view->arena, struct str, view->len),
			   *senders = ARENA_ARRAY(view->arena, struct str, view->len);
	int64_t *earliest = ARENA_ARRAY(view->arena, int64_t, view->len);
	size_t count = 0;
	for (size_t i = 0; i < view->len; i++) {
		const struct thread_mail *mail = view->mails[i];
		if (!mail->mailbox->rung5 || !mail->keys.is_reply || !mail->keys.subject_base.len || !mail->keys.from.len ||
		    !has_refs(view, i))
			continue;
		tenants[count] = mail->tenant->id.id;
		groups[count] = mail->mailbox->group.id;
		bases[count] = mail->keys.subject_base;
		senders[count] = mail->keys.from;
		earliest[count++] = mail->received.received_at_us - mail->mailbox->rung5_days * SECONDS_OF_DAY * USEC_PER_SEC;
	}
	if (!count)
		return 0;
	struct db_args args;
	db_args_init(&args, view->arena);
	db_arg_uuids(&args, tenants, count);
	db_arg_uuids(&args, groups, count);
	db_arg_texts(&args, bases, count);
	db_arg_times_or_null(&args, earliest, count);
	db_arg_texts(&args, senders, count);
	return db_queue(view->db, alike_sql, &args, out, err);
}

/* What the ids, tokens, numbers and subjects lead to as far as can be seen without a lock. */
int thread_guess_cases(struct thread_view *view, struct case_id **out, size_t *out_count, struct err *err)
{
	struct db_result *refs CLEANUP(db_result_done) = NULL, *numbers CLEANUP(db_result_done) = NULL,
						   *alike CLEANUP(db_result_done) = NULL;
	struct uuid *keys = ARENA_ARRAY(view->arena, struct uuid, view->refs_len);
	for (size_t i = 0; i < view->refs_len; i++)
		keys[i] = view->refs_list[i].key;
	struct db_args args;
	db_args_init(&args, view->arena);
	db_arg_uuids(&args, keys, view->refs_len);
	if (db_queue(view->db, refs_sql, &args, &refs, err) < 0 || queue_numbers(view, &numbers, err) < 0 ||
	    queue_alike(view, &alike, err) < 0 || db_flush(view->db, err) < 0)
		return err_prefix(err, "could not look up ids");

	struct case_set set = { .arena = view->arena };
	map_init(&set.seen, view->arena);
	for (int row = 0; row < db_rows(refs); row++) {
		struct uuid key = db_uuid(refs, row, 0);
		struct thread_ref *ref = map_get(&view->refs, key_of(&key));
		ref->case_id.id = db_uuid(refs, row, 1);
		ref->message.id = db_uuid(refs, row, 2);
		add_case(&set, ref->case_id.id);
	}
	for (int row = 0; numbers && row < db_rows(numbers); row++)
		add_case(&set, db_uuid(numbers, row, 0));
	for (int row = 0; alike && row < db_rows(alike); row++)
		add_case(&set, db_uuid(alike, row, 0));
	for (size_t i = 0; i < view->sent_len; i++)
		add_case(&set, view->sent[i].case_id.id);
	*out = set.list.at;
	*out_count = set.list.len;
	return 0;
}

/* Sorted, so that two turns cannot wait for each other; waits for a rival that has the same ids in hand. */
static const char claim_sql[] =
	"INSERT INTO message_ref (id, tenant_id, case_id, message_id, created_at)"
	" SELECT u.id, u.tenant, u.case_id, u.message, $5"
	" FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[]) AS u(id, tenant, case_id, message)"
	" ORDER BY u.id ON CONFLICT (id) DO NOTHING";

int thread_claim_refs(struct thread_view *view, const struct case_id *cases, size_t count, bool *out_is_settled,
                      struct err *err)
{
	struct match_facts guess;
	match_facts_init(&guess, view->arena);
	for (size_t i = 0; i < view->refs_len; i++)
		if (!uuid_is_null(view->refs_list[i].case_id.id))
			match_facts_put_ref(
				&guess, (struct match_ref){ .key = view->refs_list[i].key, .case_id = view->refs_list[i].case_id });
	for (size_t i = 0; i < view->sent_len; i++)
		match_facts_put_outbound(&guess, view->sent[i]);
	struct case_id *tentative = ARENA_ARRAY(view->arena, struct case_id, view->len);
	match_guess(view->arena, &guess, view->inputs, view->len, tentative);

	for (size_t i = 0; i < view->len; i++) {
		const struct thread_mail *mail = view->mails[i];
		size_t keys_len;
		const struct uuid *keys = match_ref_keys(view->arena, &mail->keys, &keys_len);
		for (size_t k = 0; k < keys_len && has_refs(view, i); k++) {
			struct thread_ref *ref = map_get(&view->refs, key_of(&keys[k]));
			bool is_unseen = uuid_is_null(ref->case_id.id);
			if (is_unseen) {
				ref->case_id = tentative[i];
				ref->is_claimed = true;
			}
			if (ref->is_claimed && uuid_is_null(ref->message.id) && uuid_eq(ref->key, mail->keys.own_key))
				ref->message = mail->fresh_message;
		}
	}
	struct uuid *uuids = ARENA_ARRAY(view->arena, struct uuid, view->refs_len * 4);
	struct uuid *id = uuids, *tenant = id + view->refs_len, *case_id = tenant + view->refs_len,
				*message = case_id + view->refs_len;
	size_t claims = 0;
	for (size_t i = 0; i < view->refs_len; i++) {
		const struct thread_ref *ref = &view->refs_list[i];
		if (!ref->is_claimed)
			continue;
		id[claims] = ref->key;
		tenant[claims] = ref->tenant.id;
		case_id[claims] = ref->case_id.id;
		message[claims++] = ref->message.id;
	}
	struct db_args args;
	db_args_init(&args, view->arena);
	db_arg_uuids(&args, id, claims);
	db_arg_uuids(&args, tenant, claims);
	db_arg_uuids(&args, case_id, claims);
	db_arg_uuids_or_null(&args, message, claims);
	db_arg_time(&args, view->batch->now_us);
	struct db_result *inserted CLEANUP(db_result_done) = NULL;
	if (db_queue(view->db, "SAVEPOINT claim", NULL, NULL, err) < 0 ||
	    db_queue(view->db, claim_sql, &args, &inserted, err) < 0 ||
	    case_record_lock(view->db, view->arena, cases, count, &view->cases, &view->cases_len, err) < 0)
		return err_prefix(err, "could not claim ids");
	*out_is_settled = db_affected(inserted) == (int64_t)claims;
	return 0;
}
