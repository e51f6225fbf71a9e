/* SPDX-License-Identifier: Apache-2.0 */
#include "record/case_record.h"

#include "domain/case_effect.h"
#include "edge/bus.h"
#include "record/outbox.h"
#include "wire/case_record_wire.h"

#include "base/banned.h"

/* A new row says from the start what its facts make of it. */
static const char insert_cases[] =
	"INSERT INTO case_file (id, tenant_id, number, version, state, subject, subject_base, queue_id, team_id, assignee_id, "
	"mailbox_id, group_id, opener_message_id, root_header_id, message_count, is_touched, is_quiet, opened_at, changed_at, "
	"closed_at) "
	"SELECT *, $18, $18, CASE WHEN u.state = 'closed' THEN $18 END FROM unnest($1::uuid[], $2::uuid[], $3::int8[], "
	"$4::int8[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::uuid[], $10::uuid[], $11::uuid[], $12::uuid[], "
	"$13::uuid[], $14::text[], $15::int8[], $16::bool[], $17::bool[]) AS u(id, tenant, number, version, state)";

/* What the facts of a record say of the row, all changes in one statement. Only what a fact names is touched. */
static const char update_cases[] =
	"UPDATE case_file c SET version = u.version, changed_at = $10, "
	"message_count = c.message_count + u.messages, "
	"is_touched = c.is_touched OR u.touched, "
	"state = COALESCE(u.state, c.state), "
	"closed_at = CASE WHEN u.state IS NULL THEN c.closed_at WHEN u.state = 'closed' THEN $10 END, "
	"queue_id = CASE WHEN u.has_queue THEN u.queue ELSE c.queue_id END, "
	"assignee_id = CASE WHEN u.has_assignee THEN u.assignee ELSE c.assignee_id END, "
	"team_id = CASE WHEN u.has_assignee THEN u.team ELSE c.team_id END "
	"FROM unnest($1::uuid[], $2::int8[], $3::int8[], $4::bool[], $5::text[], $6::bool[], $7::uuid[], $8::bool[], "
	"$9::uuid[], $11::uuid[]) AS u(id, version, messages, touched, state, has_queue, queue, has_assignee, assignee, team) "
	"WHERE c.id = u.id";

static const char insert_events[] =
	"INSERT INTO case_event (case_id, version, ordinal, tenant_id, kind, author_kind, author_id, cause, hop, data, detail, "
	"created_at) "
	"SELECT *, $12 FROM unnest($1::uuid[], $2::int8[], $3::int8[], $4::uuid[], $5::text[], $6::text[], $7::uuid[], "
	"$8::uuid[], $9::int8[], $10::jsonb[], $11::jsonb[])";

#define CASE_COLUMNS \
	"id, tenant_id, number, version, state, subject, subject_base, root_header_id, queue_id, team_id, assignee_id, " \
	"mailbox_id, group_id, opener_message_id, message_count::int8, opened_at, closed_at, is_touched, is_quiet, merged_into"

static const char lock_cases[] = "SELECT " CASE_COLUMNS " FROM case_file WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
static const char find_case[] = "SELECT " CASE_COLUMNS " FROM case_file WHERE number = $2 AND tenant_id = $1";
static const char draw_numbers[] =
	"SELECT nextval(t.number_sequence::regclass) FROM tenant t, generate_series(1, $2) WHERE t.id = $1";

static int queue_new_cases(struct db *db, struct arena *arena, const struct case_change *changes, size_t count,
                           int64_t now_us, struct err *err);
static int queue_row_updates(struct db *db, struct arena *arena, const struct case_change *changes, size_t count,
                             int64_t now_us, struct err *err);
static int queue_events(struct db *db, struct arena *arena, const struct case_change *changes, size_t count,
                        int64_t now_us, struct err *err);
static int queue_outbox(struct db *db, struct arena *arena, const struct case_change *changes, size_t count,
                        int64_t now_us, struct err *err);
static const struct fact *opening_fact(const struct case_change *change);
static void read_row(struct arena *arena, const struct db_result *rows, int row, struct case_row *out);

int case_record_apply(struct db *db, struct arena *arena, struct case_change *changes, size_t count, int64_t now_us,
                      struct err *err)
{
	if (!count)
		return 0;
	for (size_t i = 0; i < count; i++) {
		changes[i].out_ce_id = uuid_v7();
		if (uuid_is_null(changes[i].cause))
			changes[i].cause = changes[i].out_ce_id;
	}
	if (queue_new_cases(db, arena, changes, count, now_us, err) < 0 ||
	    queue_row_updates(db, arena, changes, count, now_us, err) < 0 ||
	    queue_events(db, arena, changes, count, now_us, err) < 0)
		return -1;
	return queue_outbox(db, arena, changes, count, now_us, err);
}

int case_record_lock(struct db *db, struct arena *arena, const struct case_id *ids, size_t count, struct case_row **out,
                     size_t *out_count, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;
	struct uuid *plain = ARENA_ARRAY(arena, struct uuid, count + 1);

	for (size_t i = 0; i < count; i++)
		plain[i] = ids[i].id;
	db_args_init(&args, arena);
	db_arg_uuids(&args, plain, count);
	if (db_query(db, lock_cases, &args, &rows, err) < 0)
		return err_prefix(err, "could not lock cases");
	int found = db_rows(rows);
	struct case_row *cases = ARENA_ARRAY(arena, struct case_row, (size_t)found + 1);
	for (int i = 0; i < found; i++)
		read_row(arena, rows, i, &cases[i]);
	*out = cases;
	*out_count = (size_t)found;
	return 0;
}

int case_record_find(struct db *db, struct arena *arena, struct tenant_id tenant, int64_t number, struct case_row *out,
                     struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, arena);
	db_arg_uuid(&args, tenant.id);
	db_arg_int(&args, number);
	if (db_query(db, find_case, &args, &rows, err) < 0)
		return err_prefix(err, "could not look up case %lld", (long long)number);
	if (!db_rows(rows))
		return 0;
	read_row(arena, rows, 0, out);
	return 1;
}

int case_record_numbers(struct db *db, struct arena *arena, struct tenant_id tenant, size_t count, int64_t *out,
                        struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, arena);
	db_arg_uuid(&args, tenant.id);
	db_arg_int(&args, (int64_t)count);
	if (db_query(db, draw_numbers, &args, &rows, err) < 0)
		return err_prefix(err, "could not draw case numbers");
	if ((size_t)db_rows(rows) != count)
		return err_set(err, ERR_PERM, "cannot draw case numbers: there is no such tenant");
	for (size_t i = 0; i < count; i++)
		out[i] = db_int(rows, (int)i, 0);
	return 0;
}

static int queue_new_cases(struct db *db, struct arena *arena, const struct case_change *changes, size_t count,
                           int64_t now_us, struct err *err)
{
	struct uuid *id = ARENA_ARRAY(arena, struct uuid, count), *tenant = ARENA_ARRAY(arena, struct uuid, count),
	            *queue = ARENA_ARRAY(arena, struct uuid, count), *team = ARENA_ARRAY(arena, struct uuid, count),
	            *assignee = ARENA_ARRAY(arena, struct uuid, count), *mailbox = ARENA_ARRAY(arena, struct uuid, count),
	            *group = ARENA_ARRAY(arena, struct uuid, count), *opener = ARENA_ARRAY(arena, struct uuid, count);
	struct str *state = ARENA_ARRAY(arena, struct str, count), *subject = ARENA_ARRAY(arena, struct str, count),
	           *base = ARENA_ARRAY(arena, struct str, count), *root = ARENA_ARRAY(arena, struct str, count);
	int64_t *number = ARENA_ARRAY(arena, int64_t, count), *version = ARENA_ARRAY(arena, int64_t, count),
	        *messages = ARENA_ARRAY(arena, int64_t, count);
	bool *is_quiet = ARENA_ARRAY(arena, bool, count), *is_touched = ARENA_ARRAY(arena, bool, count);
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		const struct case_change *change = &changes[i];
		const struct fact *opened = opening_fact(change);
		if (!opened)
			continue;
		struct case_effect effect = case_effect_of(change->author.kind, change->facts, change->facts_len);
		id[n] = change->case_id.id;
		tenant[n] = change->tenant.id;
		number[n] = change->number;
		version[n] = change->old_version + 1;
		state[n] = effect.state ? str_of(case_state_name(effect.state)) : STR_NULL;
		subject[n] = change->opening->subject;
		base[n] = change->opening->subject_base;
		queue[n] = effect.queue.id;
		team[n] = effect.team.id;
		assignee[n] = effect.assignee.id;
		mailbox[n] = opened->case_opened.mailbox.id;
		group[n] = change->opening->group.id;
		opener[n] = change->opening->opener.id;
		root[n] = change->opening->root_header_id;
		messages[n] = effect.messages;
		is_touched[n] = effect.is_touched;
		is_quiet[n] = change->is_quiet;
		n++;
	}
	if (!n)
		return 0;

	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuids(&args, id, n);
	db_arg_uuids(&args, tenant, n);
	db_arg_ints(&args, number, n);
	db_arg_ints(&args, version, n);
	db_arg_texts(&args, state, n);
	db_arg_texts(&args, subject, n);
	db_arg_texts(&args, base, n);
	db_arg_uuids_or_null(&args, queue, n);
	db_arg_uuids_or_null(&args, team, n);
	db_arg_uuids_or_null(&args, assignee, n);
	db_arg_uuids_or_null(&args, mailbox, n);
	db_arg_uuids(&args, group, n);
	db_arg_uuids_or_null(&args, opener, n);
	db_arg_texts(&args, root, n);
	db_arg_ints(&args, messages, n);
	db_arg_bools(&args, is_touched, n);
	db_arg_bools(&args, is_quiet, n);
	db_arg_time(&args, now_us);
	return db_queue(db, insert_cases, &args, NULL, err);
}

static int queue_row_updates(struct db *db, struct arena *arena, const struct case_change *changes, size_t count,
                             int64_t now_us, struct err *err)
{
	struct uuid *id = ARENA_ARRAY(arena, struct uuid, count), *queue = ARENA_ARRAY(arena, struct uuid, count),
	            *assignee = ARENA_ARRAY(arena, struct uuid, count), *team = ARENA_ARRAY(arena, struct uuid, count);
	int64_t *version = ARENA_ARRAY(arena, int64_t, count), *messages = ARENA_ARRAY(arena, int64_t, count);
	bool *touched = ARENA_ARRAY(arena, bool, count), *has_queue = ARENA_ARRAY(arena, bool, count),
	     *has_assignee = ARENA_ARRAY(arena, bool, count);
	struct str *state = ARENA_ARRAY(arena, struct str, count);
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		const struct case_change *change = &changes[i];
		if (opening_fact(change))
			continue;
		struct case_effect effect = case_effect_of(change->author.kind, change->facts, change->facts_len);
		id[n] = change->case_id.id;
		version[n] = change->old_version + 1;
		messages[n] = effect.messages;
		touched[n] = effect.is_touched;
		state[n] = effect.state ? str_of(case_state_name(effect.state)) : STR_NULL;
		has_queue[n] = effect.has_queue;
		queue[n] = effect.queue.id;
		has_assignee[n] = effect.has_assignee;
		assignee[n] = effect.assignee.id;
		team[n] = effect.team.id;
		n++;
	}
	if (!n)
		return 0;

	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuids(&args, id, n);
	db_arg_ints(&args, version, n);
	db_arg_ints(&args, messages, n);
	db_arg_bools(&args, touched, n);
	db_arg_texts(&args, state, n);
	db_arg_bools(&args, has_queue, n);
	db_arg_uuids_or_null(&args, queue, n);
	db_arg_bools(&args, has_assignee, n);
	db_arg_uuids_or_null(&args, assignee, n);
	db_arg_time(&args, now_us);
	db_arg_uuids_or_null(&args, team, n);
	return db_queue(db, update_cases, &args, NULL, err);
}

static int queue_events(struct db *db, struct arena *arena, const struct case_change *changes, size_t count,
                        int64_t now_us, struct err *err)
{
	size_t n = 0, total = 0;

	for (size_t i = 0; i < count; i++)
		total += changes[i].facts_len;
	if (!total)
		return err_set(err, ERR_PERM, "cannot record a change of a case: it says nothing");

	struct uuid *id = ARENA_ARRAY(arena, struct uuid, total), *tenant = ARENA_ARRAY(arena, struct uuid, total),
	            *author = ARENA_ARRAY(arena, struct uuid, total), *cause = ARENA_ARRAY(arena, struct uuid, total);
	int64_t *version = ARENA_ARRAY(arena, int64_t, total), *ordinal = ARENA_ARRAY(arena, int64_t, total),
	        *hop = ARENA_ARRAY(arena, int64_t, total);
	struct str *kind = ARENA_ARRAY(arena, struct str, total), *author_kind = ARENA_ARRAY(arena, struct str, total),
	           *data = ARENA_ARRAY(arena, struct str, total), *detail = ARENA_ARRAY(arena, struct str, total);

	for (size_t i = 0; i < count; i++) {
		const struct case_change *change = &changes[i];
		for (size_t f = 0; f < change->facts_len; f++, n++) {
			id[n] = change->case_id.id;
			version[n] = change->old_version + 1;
			ordinal[n] = (int64_t)f;
			tenant[n] = change->tenant.id;
			kind[n] = str_of(fact_kind_name(change->facts[f].kind));
			author_kind[n] = str_of(author_kind_name(change->author.kind));
			author[n] = change->author.user.id;
			cause[n] = change->cause;
			hop[n] = change->hop;
			data[n] = fact_json(arena, &change->facts[f]);
			detail[n] = change->facts[f].detail;
		}
	}

	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuids(&args, id, n);
	db_arg_ints(&args, version, n);
	db_arg_ints(&args, ordinal, n);
	db_arg_uuids(&args, tenant, n);
	db_arg_texts(&args, kind, n);
	db_arg_texts(&args, author_kind, n);
	db_arg_uuids_or_null(&args, author, n);
	db_arg_uuids(&args, cause, n);
	db_arg_ints(&args, hop, n);
	db_arg_jsons(&args, data, n);
	db_arg_jsons(&args, detail, n);
	db_arg_time(&args, now_us);
	return db_queue(db, insert_events, &args, NULL, err);
}

static int queue_outbox(struct db *db, struct arena *arena, const struct case_change *changes, size_t count,
                        int64_t now_us, struct err *err)
{
	struct outbox_row *rows = ARENA_ARRAY(arena, struct outbox_row, count);

	for (size_t i = 0; i < count; i++) {
		const struct case_change *change = &changes[i];
		struct case_record record = {
			.tenant = change->tenant,
			.case_id = change->case_id,
			.version = change->old_version + 1,
			.number = change->number,
			.time_us = now_us,
			.cause = change->cause,
			.hop = change->hop,
			.is_quiet = change->is_quiet,
			.author = change->author,
			.facts = change->facts,
			.facts_len = change->facts_len,
		};
		struct str key = uuid_str(arena, change->case_id.id);
		rows[i] = (struct outbox_row){
			.ce_id = change->out_ce_id,
			.tenant = change->tenant,
			.topic = TOPIC_CASE_EVENTS,
			.key = key,
			.type = CASE_RECORD_TYPE,
			.subject = key,
			.sequence = record.version,
			.value = case_record_encode(arena, &record),
		};
	}
	return outbox_put(db, arena, rows, count, err);
}

static const struct fact *opening_fact(const struct case_change *change)
{
	if (!change->opening)
		return NULL;
	for (size_t i = 0; i < change->facts_len; i++)
		if (change->facts[i].kind == FACT_CASE_OPENED)
			return &change->facts[i];
	return NULL;
}

static void read_row(struct arena *arena, const struct db_result *rows, int row, struct case_row *out)
{
	*out = (struct case_row){
		.id = { db_uuid(rows, row, 0) },
		.tenant = { db_uuid(rows, row, 1) },
		.number = db_int(rows, row, 2),
		.version = db_int(rows, row, 3),
		.subject = str_dup(arena, db_str(rows, row, 5)),
		.subject_base = str_dup(arena, db_str(rows, row, 6)),
		.root_header_id = str_dup(arena, db_str(rows, row, 7)),
		.queue = { db_uuid(rows, row, 8) },
		.team = { db_uuid(rows, row, 9) },
		.assignee = { db_uuid(rows, row, 10) },
		.mailbox = { db_uuid(rows, row, 11) },
		.group = { db_uuid(rows, row, 12) },
		.opener = { db_uuid(rows, row, 13) },
		.message_count = db_int(rows, row, 14),
		.opened_at = db_time(rows, row, 15),
		.closed_at = db_time(rows, row, 16),
		.is_touched = db_bool(rows, row, 17),
		.is_quiet = db_bool(rows, row, 18),
		.merged_into = { db_uuid(rows, row, 19) },
	};
	case_state_parse(db_str(rows, row, 4), &out->state);
}
