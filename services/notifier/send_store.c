/* SPDX-License-Identifier: Apache-2.0 */
#include "send_store.h"

#include "base/clock.h"
#include "record/case_record.h"

#include "base/banned.h"

#define SWEEP_MOST "32"

static const char select_mailboxes[] =
	"SELECT o.id, o.tenant_id, o.changed_at, o.host, o.port, o.tls, o.ca_file, o.username, o.sender_address, o.insecure, "
	"c.sealed, c.updated_at FROM outbound_mailbox o LEFT JOIN credential c ON c.id = o.credential_id WHERE o.is_active ORDER BY o.id";

/* FOR UPDATE SKIP LOCKED under = ANY(ARRAY(...)): an IN (SELECT ... LIMIT) may be run again and take more. */
static const char claim_copies[] =
	"UPDATE outbound_copy c SET owner = $3, epoch = c.epoch + 1, expires = now() + $4 * interval '1 millisecond' "
	"FROM outbound_message m WHERE m.id = c.outbound_id AND c.id = ANY(ARRAY("
	"SELECT p.id FROM unnest($1::uuid[], $2::int8[]) AS w(mailbox, wanted) CROSS JOIN LATERAL ("
	"SELECT d.id FROM outbound_copy d WHERE d.outbound_mailbox_id = w.mailbox AND d.state IN ('queued', 'deferred') "
	"AND d.next_attempt_at <= now() AND (d.expires IS NULL OR d.expires < now()) "
	"ORDER BY d.next_attempt_at LIMIT w.wanted FOR UPDATE SKIP LOCKED) p)) "
	"RETURNING c.id, c.epoch, c.state, c.attempts::int8, c.recipient, c.outbound_id, c.outbound_mailbox_id, c.tenant_id, "
	"m.case_id, m.envelope_from, m.bytes, m.created_at";

/* Only the owner of this epoch writes; `unknown` takes a late yes and nothing else. */
static const char update_outcomes[] =
	"UPDATE outbound_copy c SET state = u.state, reply_code = u.code, reply_text = u.text, attempts = u.attempts, "
	"next_attempt_at = now() + u.retry * interval '1 microsecond', expires = NULL, changed_at = now() "
	"FROM (SELECT x.*, o.state AS old FROM unnest($1::uuid[], $2::int8[], $3::text[], $4::int8[], $5::text[], $6::int8[], "
	"$7::int8[]) AS x(id, epoch, state, code, text, attempts, retry) JOIN outbound_copy o ON o.id = x.id "
	"ORDER BY o.id FOR NO KEY UPDATE OF o) u "
	"WHERE c.id = u.id AND c.epoch = u.epoch AND c.owner = $8 AND (c.state IN ('queued', 'deferred', 'sending') "
	"OR (c.state = 'unknown' AND u.state = 'accepted')) RETURNING c.id, u.old";

/* The statement may run twice (a commit whose answer was lost): `sending` of the same owner and epoch is ours. */
static const char start_copies[] =
	"UPDATE outbound_copy c SET state = 'sending', attempts = u.attempts, changed_at = now(), "
	"expires = now() + $5 * interval '1 millisecond' FROM unnest($1::uuid[], $2::int8[], $3::int8[]) AS u(id, epoch, attempts) "
	"WHERE c.id = u.id AND c.epoch = u.epoch AND c.owner = $4 AND c.state IN ('queued', 'deferred', 'sending') "
	"AND c.expires > now() RETURNING c.id";

static const char release_copies[] =
	"UPDATE outbound_copy c SET owner = NULL, expires = NULL FROM unnest($1::uuid[], $2::int8[]) AS u(id, epoch) "
	"WHERE c.id = u.id AND c.epoch = u.epoch AND c.owner = $3 AND c.state IN ('queued', 'deferred')";

static const char renew_copies[] =
	"UPDATE outbound_copy SET expires = now() + $3 * interval '1 millisecond' "
	"WHERE id = ANY($1) AND owner = $2 AND state = 'sending'";

static const char find_expired[] =
	"SELECT c.id, m.case_id FROM outbound_copy c JOIN outbound_message m ON m.id = c.outbound_id "
	"WHERE c.state = 'sending' AND c.expires < now() ORDER BY c.expires LIMIT " SWEEP_MOST;

static const char expire_copies[] =
	"UPDATE outbound_copy c SET state = 'unknown', changed_at = now(), "
	"reply_text = 'the sender went away after the mail was under way' FROM outbound_message m "
	"WHERE c.id = ANY($1) AND c.state = 'sending' AND c.expires < now() AND m.id = c.outbound_id "
	"RETURNING c.id, c.outbound_id, m.case_id, c.tenant_id";

static const char put_state[] =
	"INSERT INTO outbound_mailbox_state (outbound_mailbox_id, tenant_id, state, reason, remedy, failures, last_success_at, "
	"next_try_at) SELECT o.id, $2, $3, $4, $5, $6::int8, CASE WHEN $3 = 'ok' THEN now() END, "
	"CASE WHEN $7::int8 > 0 THEN now() + $7::int8 * interval '1 millisecond' END FROM outbound_mailbox o WHERE o.id = $1 "
	"ON CONFLICT (outbound_mailbox_id) DO UPDATE SET state = EXCLUDED.state, reason = EXCLUDED.reason, "
	"remedy = EXCLUDED.remedy, failures = EXCLUDED.failures, next_try_at = EXCLUDED.next_try_at, "
	"since = CASE WHEN outbound_mailbox_state.state = EXCLUDED.state THEN outbound_mailbox_state.since ELSE now() END, "
	"last_success_at = COALESCE(EXCLUDED.last_success_at, outbound_mailbox_state.last_success_at)";

static int queue_outcomes(struct db *db, struct arena *arena, const char *owner, const struct send_outcome *outcomes,
                          size_t count, struct db_result **out, struct err *err);
static int queue_starts(struct db *db, struct arena *arena, const char *owner, int64_t lease_ms,
                        const struct send_start *starts, size_t count, struct db_result **out, struct err *err);
static int apply_facts(struct db *db, struct arena *arena, const struct case_row *cases, size_t cases_len,
                       const struct send_outcome *outcomes, const struct str *old, size_t count, bool *out_any,
                       struct err *err);
static int lock_cases(struct db *db, struct arena *arena, const struct uuid *ids, size_t count, struct case_row **out,
                      size_t *out_count, struct err *err);

int send_store_mailboxes(struct db *db, struct arena *arena, struct send_mailbox **out, size_t *out_count, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;

	if (db_query(db, select_mailboxes, NULL, &rows, err) < 0)
		return err_prefix(err, "could not read the outbound mailboxes");
	int count = db_rows(rows);
	struct send_mailbox *mailboxes = ARENA_ARRAY(arena, struct send_mailbox, (size_t)count + 1);
	for (int i = 0; i < count; i++) {
		struct send_mailbox *mailbox = &mailboxes[i];
		struct str sender = db_str(rows, i, 8);
		ptrdiff_t at = str_find_char(sender, '@', 0);
		int64_t settings_us = db_time(rows, i, 2), password_us = db_time(rows, i, 11);
		*mailbox = (struct send_mailbox){
			.id = { db_uuid(rows, i, 0) },
			.tenant = { db_uuid(rows, i, 1) },
			.changed_us = settings_us > password_us ? settings_us : password_us,
			.host = str_cstr(arena, db_str(rows, i, 3)),
			.port = (int)db_int(rows, i, 4),
			.ca_file = str_cstr(arena, db_str(rows, i, 6)),
			.username = str_cstr(arena, db_str(rows, i, 7)),
			.sender_domain = str_cstr(arena, str_slice(sender, (size_t)(at + 1), sender.len)),
			.insecure = db_bool(rows, i, 9),
			.sealed_password = str_dup(arena, db_str(rows, i, 10)),
		};
		if (!smtp_tls_parse(db_str(rows, i, 5), &mailbox->tls))
			return err_set(err, ERR_FATAL, "cannot read the outbound mailboxes: unknown kind of TLS");
	}
	*out = mailboxes;
	*out_count = (size_t)count;
	return 0;
}

int send_store_claim(struct db *db, struct arena *arena, const char *owner, int64_t lease_ms,
                     const struct outbound_mailbox_id *mailboxes, const int64_t *wanted, size_t count, struct send_claim **out,
                     size_t *out_count, struct db_result **out_rows, struct err *err)
{
	struct uuid *ids = ARENA_ARRAY(arena, struct uuid, count + 1);
	struct db_result *rows = NULL;
	struct db_args args;

	for (size_t i = 0; i < count; i++)
		ids[i] = mailboxes[i].id;
	db_args_init(&args, arena);
	db_arg_uuids(&args, ids, count);
	db_arg_ints(&args, wanted, count);
	db_arg_text(&args, str_of(owner));
	db_arg_int(&args, lease_ms);
	if (db_query(db, claim_copies, &args, &rows, err) < 0)
		return err_prefix(err, "could not claim copies");
	int len = db_rows(rows);
	struct send_claim *claims = ARENA_ARRAY(arena, struct send_claim, (size_t)len + 1);
	for (int i = 0; i < len; i++) {
		claims[i] = (struct send_claim){
			.copy = { db_uuid(rows, i, 0) },
			.epoch = db_int(rows, i, 1),
			.attempts = db_int(rows, i, 3),
			.recipient = db_str(rows, i, 4),
			.outbound = { db_uuid(rows, i, 5) },
			.mailbox = { db_uuid(rows, i, 6) },
			.tenant = { db_uuid(rows, i, 7) },
			.case_id = { db_uuid(rows, i, 8) },
			.envelope_from = db_str(rows, i, 9),
			.bytes = db_str(rows, i, 10),
			.created_us = db_time(rows, i, 11),
		};
		(void)copy_state_parse(db_str(rows, i, 2), &claims[i].state);
	}
	*out = claims;
	*out_count = (size_t)len;
	*out_rows = rows;
	return 0;
}

int send_store_commit(struct db *db, struct arena *arena, const char *owner, int64_t lease_ms,
                      const struct send_outcome *outcomes, size_t outcomes_len, struct send_start *starts, size_t starts_len,
                      bool *out_filled_outbox, struct err *err)
{
	struct db_result *moved CLEANUP(db_result_done) = NULL, *started CLEANUP(db_result_done) = NULL;
	struct uuid *case_ids = ARENA_ARRAY(arena, struct uuid, outcomes_len + 1);
	struct case_row *cases = NULL;
	size_t cases_len = 0, with_facts = 0;

	*out_filled_outbox = false;
	for (size_t i = 0; i < outcomes_len; i++) {
		if (!outcomes[i].is_released)
			case_ids[with_facts++] = outcomes[i].case_id.id;
	}
	if (db_begin(db, err) < 0)
		return -1;
	if (with_facts && lock_cases(db, arena, case_ids, with_facts, &cases, &cases_len, err) < 0)
		return -1;
	if (queue_outcomes(db, arena, owner, outcomes, outcomes_len, &moved, err) < 0 ||
	    queue_starts(db, arena, owner, lease_ms, starts, starts_len, &started, err) < 0)
		return -1;
	if (with_facts) {
		struct str *old = ARENA_ARRAY(arena, struct str, outcomes_len);
		if (db_flush(db, err) < 0)
			return -1;
		for (size_t i = 0; i < outcomes_len; i++) {
			for (int row = 0; !outcomes[i].is_released && !old[i].at && row < db_rows(moved); row++) {
				if (uuid_eq(db_uuid(moved, row, 0), outcomes[i].copy.id))
					old[i] = db_str(moved, row, 1);
			}
		}
		if (apply_facts(db, arena, cases, cases_len, outcomes, old, outcomes_len, out_filled_outbox, err) < 0)
			return -1;
	}
	if (db_commit(db, err) < 0)
		return -1;
	if (!started)
		return 0;
	for (size_t i = 0; i < starts_len; i++) {
		starts[i].may_start = false;
		for (int row = 0; row < db_rows(started); row++)
			starts[i].may_start = starts[i].may_start || uuid_eq(starts[i].copy.id, db_uuid(started, row, 0));
	}
	return 0;
}

static int queue_outcomes(struct db *db, struct arena *arena, const char *owner, const struct send_outcome *outcomes,
                          size_t count, struct db_result **out, struct err *err)
{
	struct uuid *id = ARENA_ARRAY(arena, struct uuid, count + 1), *released = ARENA_ARRAY(arena, struct uuid, count + 1);
	int64_t *epoch = ARENA_ARRAY(arena, int64_t, count + 1), *code = ARENA_ARRAY(arena, int64_t, count + 1),
	        *attempts = ARENA_ARRAY(arena, int64_t, count + 1), *retry = ARENA_ARRAY(arena, int64_t, count + 1),
	        *released_epoch = ARENA_ARRAY(arena, int64_t, count + 1);
	struct str *state = ARENA_ARRAY(arena, struct str, count + 1), *text = ARENA_ARRAY(arena, struct str, count + 1);
	size_t n = 0, released_len = 0;
	struct db_args args;

	for (size_t i = 0; i < count; i++) {
		if (outcomes[i].is_released) {
			released[released_len] = outcomes[i].copy.id;
			released_epoch[released_len++] = outcomes[i].epoch;
			continue;
		}
		id[n] = outcomes[i].copy.id;
		epoch[n] = outcomes[i].epoch;
		state[n] = str_of(copy_state_name(outcomes[i].state));
		code[n] = outcomes[i].reply_code;
		text[n] = outcomes[i].reply_text.at ? outcomes[i].reply_text : STR("");
		attempts[n] = outcomes[i].attempts;
		retry[n] = outcomes[i].retry_us;
		n++;
	}
	if (released_len) {
		db_args_init(&args, arena);
		db_arg_uuids(&args, released, released_len);
		db_arg_ints(&args, released_epoch, released_len);
		db_arg_text(&args, str_of(owner));
		if (db_queue(db, release_copies, &args, NULL, err) < 0)
			return -1;
	}
	if (!n)
		return 0;
	db_args_init(&args, arena);
	db_arg_uuids(&args, id, n);
	db_arg_ints(&args, epoch, n);
	db_arg_texts(&args, state, n);
	db_arg_ints(&args, code, n);
	db_arg_texts(&args, text, n);
	db_arg_ints(&args, attempts, n);
	db_arg_ints(&args, retry, n);
	db_arg_text(&args, str_of(owner));
	return db_queue(db, update_outcomes, &args, out, err);
}

static int queue_starts(struct db *db, struct arena *arena, const char *owner, int64_t lease_ms,
                        const struct send_start *starts, size_t count, struct db_result **out, struct err *err)
{
	struct uuid *id = ARENA_ARRAY(arena, struct uuid, count + 1);
	int64_t *epoch = ARENA_ARRAY(arena, int64_t, count + 1), *attempts = ARENA_ARRAY(arena, int64_t, count + 1);
	struct db_args args;

	if (!count)
		return 0;
	for (size_t i = 0; i < count; i++) {
		id[i] = starts[i].copy.id;
		epoch[i] = starts[i].epoch;
		attempts[i] = starts[i].attempts;
	}
	db_args_init(&args, arena);
	db_arg_uuids(&args, id, count);
	db_arg_ints(&args, epoch, count);
	db_arg_ints(&args, attempts, count);
	db_arg_text(&args, str_of(owner));
	db_arg_int(&args, lease_ms);
	return db_queue(db, start_copies, &args, out, err);
}

/* One change a case, with a fact for each of its copies that moved: old[i] is the state that outcome i's copy was in, or
 * NULL where it did not move. */
static int apply_facts(struct db *db, struct arena *arena, const struct case_row *cases, size_t cases_len,
                       const struct send_outcome *outcomes, const struct str *old, size_t count, bool *out_any,
                       struct err *err)
{
	struct case_change *changes = ARENA_ARRAY(arena, struct case_change, cases_len + 1);
	size_t changes_len = 0;

	for (size_t c = 0; c < cases_len; c++) {
		struct fact *facts = ARENA_ARRAY(arena, struct fact, count + 1);
		size_t facts_len = 0;
		for (size_t i = 0; i < count; i++) {
			if (!old[i].at || !uuid_eq(outcomes[i].case_id.id, cases[c].id.id))
				continue;
			facts[facts_len++] = (struct fact){
				.kind = FACT_COPY_STATE_CHANGED,
				.copy_state_changed = { .outbound = outcomes[i].outbound,
				                        .copy = outcomes[i].copy,
				                        .from = old[i],
				                        .to = str_of(copy_state_name(outcomes[i].state)),
				                        .reply_code = outcomes[i].reply_code },
			};
		}
		if (facts_len)
			changes[changes_len++] = (struct case_change){
				.tenant = cases[c].tenant,
				.case_id = cases[c].id,
				.number = cases[c].number,
				.old_version = cases[c].version,
				.author = { .kind = AUTHOR_SYSTEM },
				.facts = facts,
				.facts_len = facts_len,
			};
	}
	*out_any = changes_len > 0;
	return case_record_apply(db, arena, changes, changes_len, clock_wall_us(), err);
}

static int lock_cases(struct db *db, struct arena *arena, const struct uuid *ids, size_t count, struct case_row **out,
                      size_t *out_count, struct err *err)
{
	struct case_id *cases = ARENA_ARRAY(arena, struct case_id, count);

	for (size_t i = 0; i < count; i++)
		cases[i].id = ids[i];
	return case_record_lock(db, arena, cases, count, out, out_count, err);
}

int send_store_renew(struct db *db, struct arena *arena, const char *owner, int64_t lease_ms, const struct copy_id *copies,
                     size_t count, struct err *err)
{
	struct uuid *ids = ARENA_ARRAY(arena, struct uuid, count + 1);
	struct db_args args;

	for (size_t i = 0; i < count; i++)
		ids[i] = copies[i].id;
	db_args_init(&args, arena);
	db_arg_uuids(&args, ids, count);
	db_arg_text(&args, str_of(owner));
	db_arg_int(&args, lease_ms);
	return db_exec(db, renew_copies, &args, NULL, err);
}

int send_store_sweep(struct db *db, struct arena *arena, size_t *out_count, struct err *err)
{
	struct db_result *found CLEANUP(db_result_done) = NULL, *expired CLEANUP(db_result_done) = NULL;
	struct case_row *cases;
	size_t cases_len;
	struct db_args args;
	bool any;

	*out_count = 0;
	if (db_query(db, find_expired, NULL, &found, err) < 0)
		return err_prefix(err, "could not look for lost copies");
	size_t count = (size_t)db_rows(found);
	if (!count)
		return 0;
	struct uuid *ids = ARENA_ARRAY(arena, struct uuid, count), *case_ids = ARENA_ARRAY(arena, struct uuid, count);
	for (size_t i = 0; i < count; i++) {
		ids[i] = db_uuid(found, (int)i, 0);
		case_ids[i] = db_uuid(found, (int)i, 1);
	}
	db_args_init(&args, arena);
	db_arg_uuids(&args, ids, count);
	if (db_begin(db, err) < 0 || lock_cases(db, arena, case_ids, count, &cases, &cases_len, err) < 0 ||
	    db_query(db, expire_copies, &args, &expired, err) < 0)
		return -1;
	count = (size_t)db_rows(expired);
	struct send_outcome *outcomes = ARENA_ARRAY(arena, struct send_outcome, count + 1);
	struct str *old = ARENA_ARRAY(arena, struct str, count + 1);
	for (size_t i = 0; i < count; i++) {
		outcomes[i] = (struct send_outcome){
			.copy = { db_uuid(expired, (int)i, 0) },
			.outbound = { db_uuid(expired, (int)i, 1) },
			.case_id = { db_uuid(expired, (int)i, 2) },
			.state = COPY_UNKNOWN,
		};
		old[i] = STR("sending");
	}
	if (apply_facts(db, arena, cases, cases_len, outcomes, old, count, &any, err) < 0 || db_commit(db, err) < 0)
		return -1;
	*out_count = count;
	return 0;
}

int send_store_state(struct db *db, struct arena *arena, const struct outbound_mailbox_id *id, struct tenant_id tenant,
                     const char *state, struct str reason, struct str remedy, int64_t failures, int64_t next_try_ms,
                     struct err *err)
{
	struct db_args args;

	db_args_init(&args, arena);
	db_arg_uuid(&args, id->id);
	db_arg_uuid(&args, tenant.id);
	db_arg_text(&args, str_of(state));
	db_arg_text(&args, reason);
	db_arg_text(&args, remedy);
	db_arg_int(&args, failures);
	db_arg_int(&args, next_try_ms);
	return db_exec(db, put_state, &args, NULL, err);
}
