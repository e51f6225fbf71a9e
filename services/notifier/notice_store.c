/* SPDX-License-Identifier: Apache-2.0 */
#include "notice_store.h"

#include "base/map.h"
#include "base/vec.h"

#include "base/banned.h"

static const char select_events[] =
	"SELECT case_id, version, kind, CAST(data->>'user_id' AS uuid), CAST(data->>'following' AS boolean), data->>'kind' "
	"FROM case_event WHERE case_id = ANY($1) AND kind IN ('assigned', 'followed', 'notice_planned', 'notice_suppressed') "
	"ORDER BY case_id, version, ordinal";

/* Whether the sender is known is asked only where the mailbox is strict about it: known is whom an agent has answered,
 * which nobody can bring about by writing to us. */
static const char select_messages[] =
	"SELECT m.id, m.is_automatic, m.is_quiet, m.variant_of IS NOT NULL, m.is_suspicious, m.sender_level, m.from_address, "
	"m.from_name, m.message_id, m.author_user_id, m.direction, "
	"EXISTS (SELECT FROM mailbox x WHERE x.tenant_id = m.tenant_id AND x.address = m.from_address) "
	"OR EXISTS (SELECT FROM outbound_mailbox x WHERE x.tenant_id = m.tenant_id "
	"AND m.from_address IN (lower(x.sender_address), lower(x.bcc_archive))), "
	"b.sender_trust = 'strict' AND EXISTS (SELECT FROM outbound_copy c JOIN outbound_message o ON o.id = c.outbound_id "
	"WHERE c.recipient = m.from_address AND o.tenant_id = m.tenant_id AND o.kind = 'reply') "
	"FROM message m LEFT JOIN mailbox b ON b.id = m.mailbox_id WHERE m.id = ANY($1)";

static const char select_mailboxes[] = "SELECT id, address, auto_reply, sender_trust FROM mailbox WHERE id = ANY($1)";
static const char select_queues[] = "SELECT id, subject_format FROM queue WHERE id = ANY($1)";
static const char select_outbounds[] =
	"SELECT o.id, o.kind, m.author_user_id FROM outbound_message o LEFT JOIN message m ON m.id = o.message_id "
	"WHERE o.id = ANY($1)";
static const char select_users[] =
	"SELECT u.id, u.is_active, u.mail_notices, u.name, u.login, COALESCE((SELECT a.address FROM user_address a "
	"WHERE a.user_id = u.id ORDER BY a.position, a.address LIMIT 1), '') FROM app_user u WHERE u.id = ANY($1)";

static const char select_bodies[] = "SELECT id, body, body_is_cut FROM message WHERE id = ANY($1)";
static const char select_copies[] =
	"SELECT recipient, reply_code, reply_text FROM outbound_copy WHERE outbound_id = $1 AND state = $2 ORDER BY recipient";

static const char insert_notifications[] =
	"INSERT INTO notification (id, tenant_id, user_id, case_id, case_version, kind, created_at) "
	"SELECT *, $7 FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::int8[], $6::text[]) "
	"ON CONFLICT (case_id, case_version, kind, user_id) DO NOTHING RETURNING id";

static const char lock_buckets[] = "SELECT key, tokens, updated_at FROM budget WHERE key = ANY($1) ORDER BY key FOR UPDATE";
static const char update_buckets[] =
	"UPDATE budget b SET tokens = u.micro / 1e6::float8, updated_at = u.updated_at "
	"FROM unnest($1::text[], $2::int8[], $3::timestamptz[]) AS u(key, micro, updated_at) WHERE b.key = u.key";
/* Two turns may both have found no row for a key. The second is refused it and runs again: it has decided on a full bucket,
 * and what it decided may be more than the first has left. */
static const char insert_buckets[] =
	"INSERT INTO budget (key, tokens, updated_at, tenant_id) "
	"SELECT key, micro / 1e6::float8, updated_at, tenant "
	"FROM unnest($1::text[], $2::int8[], $3::timestamptz[], $4::uuid[]) AS u(key, micro, updated_at, tenant) "
	"ORDER BY key";
static const char forget_buckets[] = "DELETE FROM budget WHERE updated_at < now() - interval '1 day'";

static void read_events(struct arena *arena, const struct db_result *rows, struct notice_facts *out);
static void read_messages(struct arena *arena, const struct db_result *rows, struct notice_facts *out);
static void read_settings(struct arena *arena, const struct db_result *mailboxes, const struct db_result *queues,
                          const struct db_result *outbounds, struct notice_facts *out);
static int load_users(struct db *db, struct arena *arena, const struct notice_wanted *wanted, struct notice_facts *out,
                      struct err *err);
static int queue_by_ids(struct db *db, struct arena *arena, const char *sql, const struct uuid *ids, size_t count,
                        struct db_result **out, struct err *err);

int notice_store_load(struct db *db, struct arena *arena, const struct notice_wanted *wanted, struct notice_facts *out,
                      struct err *err)
{
	struct db_result *events CLEANUP(db_result_done) = NULL, *messages CLEANUP(db_result_done) = NULL,
	                 *mailboxes CLEANUP(db_result_done) = NULL, *queues CLEANUP(db_result_done) = NULL,
	                 *outbounds CLEANUP(db_result_done) = NULL;

	*out = (struct notice_facts){ 0 };
	if (queue_by_ids(db, arena, select_events, wanted->cases, wanted->cases_len, &events, err) < 0 ||
	    queue_by_ids(db, arena, select_messages, wanted->messages, wanted->messages_len, &messages, err) < 0 ||
	    queue_by_ids(db, arena, select_mailboxes, wanted->mailboxes, wanted->mailboxes_len, &mailboxes, err) < 0 ||
	    queue_by_ids(db, arena, select_queues, wanted->queues, wanted->queues_len, &queues, err) < 0 ||
	    queue_by_ids(db, arena, select_outbounds, wanted->outbounds, wanted->outbounds_len, &outbounds, err) < 0 ||
	    db_flush(db, err) < 0)
		return err_prefix(err, "could not load what notices rest on");
	read_events(arena, events, out);
	read_messages(arena, messages, out);
	read_settings(arena, mailboxes, queues, outbounds, out);
	return load_users(db, arena, wanted, out, err);
}

static int queue_by_ids(struct db *db, struct arena *arena, const char *sql, const struct uuid *ids, size_t count,
                        struct db_result **out, struct err *err)
{
	struct db_args args;

	if (!count)
		return 0;
	db_args_init(&args, arena);
	db_arg_uuids(&args, ids, count);
	return db_queue(db, sql, &args, out, err);
}

static int rows_of(const struct db_result *rows)
{
	return rows ? db_rows(rows) : 0;
}

static void read_events(struct arena *arena, const struct db_result *rows, struct notice_facts *out)
{
	int count = rows_of(rows);

	out->events = ARENA_ARRAY(arena, struct notice_event, (size_t)count + 1);
	for (int i = 0; i < count; i++) {
		struct notice_event *event = &out->events[out->events_len++];
		*event = (struct notice_event){
			.case_id = { db_uuid(rows, i, 0) },
			.version = db_int(rows, i, 1),
			.user = { db_uuid(rows, i, 3) },
			.is_following = db_bool(rows, i, 4),
			.is_auto_reply = str_eq(db_str(rows, i, 5), STR("auto_reply")),
		};
		if (!fact_kind_parse(db_str(rows, i, 2), &event->kind))
			out->events_len--;
	}
}

static void read_messages(struct arena *arena, const struct db_result *rows, struct notice_facts *out)
{
	int count = rows_of(rows);

	out->messages = ARENA_ARRAY(arena, struct notice_message, (size_t)count + 1);
	out->origins = ARENA_ARRAY(arena, struct notice_origin, (size_t)count + 1);
	out->messages_len = (size_t)count;
	for (int i = 0; i < count; i++) {
		struct str level = db_str(rows, i, 5);
		out->messages[i] = (struct notice_message){
			.id = { db_uuid(rows, i, 0) },
			.is_automatic = db_bool(rows, i, 1),
			.is_quiet = db_bool(rows, i, 2),
			.is_variant = db_bool(rows, i, 3),
			.is_suspicious = db_bool(rows, i, 4),
			.is_authenticated = str_eq(level, STR("authenticated")),
			.has_failed = str_eq(level, STR("failed")),
			.sender = str_dup(arena, db_str(rows, i, 6)),
			.is_own = db_bool(rows, i, 11),
			.is_known = db_bool(rows, i, 12),
		};
		out->origins[i] = (struct notice_origin){
			.from_name = str_dup(arena, db_str(rows, i, 7)),
			.header_id = str_dup(arena, db_str(rows, i, 8)),
			.author = { db_uuid(rows, i, 9) },
		};
		(void)direction_parse(db_str(rows, i, 10), &out->origins[i].direction);
	}
}

static void read_settings(struct arena *arena, const struct db_result *mailboxes, const struct db_result *queues,
                          const struct db_result *outbounds, struct notice_facts *out)
{
	out->mailboxes_len = (size_t)rows_of(mailboxes);
	out->mailboxes = ARENA_ARRAY(arena, struct notice_mailbox, out->mailboxes_len + 1);
	for (int i = 0; i < rows_of(mailboxes); i++) {
		struct str trust = db_str(mailboxes, i, 3);
		out->mailboxes[i] = (struct notice_mailbox){
			.id = { db_uuid(mailboxes, i, 0) },
			.address = str_dup(arena, db_str(mailboxes, i, 1)),
			.is_auto_reply_on = db_bool(mailboxes, i, 2),
			.trust = str_eq(trust, STR("strict"))   ? NOTICE_TRUST_STRICT :
			         str_eq(trust, STR("internal")) ? NOTICE_TRUST_INTERNAL :
			                                          NOTICE_TRUST_STANDARD,
		};
	}
	out->queues_len = (size_t)rows_of(queues);
	out->queues = ARENA_ARRAY(arena, struct notice_queue, out->queues_len + 1);
	for (int i = 0; i < rows_of(queues); i++)
		out->queues[i] = (struct notice_queue){ { db_uuid(queues, i, 0) }, str_dup(arena, db_str(queues, i, 1)) };
	out->outbounds_len = (size_t)rows_of(outbounds);
	out->outbounds = ARENA_ARRAY(arena, struct notice_outbound, out->outbounds_len + 1);
	for (int i = 0; i < rows_of(outbounds); i++)
		out->outbounds[i] = (struct notice_outbound){ .id = { db_uuid(outbounds, i, 0) },
			                                      .is_reply = str_eq(db_str(outbounds, i, 1), STR("reply")),
			                                      .author = { db_uuid(outbounds, i, 2) } };
}

static int load_users(struct db *db, struct arena *arena, const struct notice_wanted *wanted, struct notice_facts *out,
                      struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	VEC(struct uuid) ids = { 0 };
	static int seen;
	struct map known;
	struct db_args args;
	size_t candidates = wanted->users_len + out->events_len + out->messages_len + out->outbounds_len;

	map_init(&known, arena);
	for (size_t i = 0; i < candidates; i++) {
		size_t at = i;
		const struct uuid *id;
		if (at < wanted->users_len)
			id = &wanted->users[at];
		else if ((at -= wanted->users_len) < out->events_len)
			id = &out->events[at].user.id;
		else if ((at -= out->events_len) < out->messages_len)
			id = &out->origins[at].author.id;
		else
			id = &out->outbounds[at - out->messages_len].author.id;
		struct str key = str_span((const char *)id->b, sizeof id->b);
		if (uuid_is_null(*id) || map_get(&known, key))
			continue;
		map_put(&known, key, &seen);
		*VEC_PUSH(arena, &ids) = *id;
	}
	if (!ids.len)
		return 0;
	db_args_init(&args, arena);
	db_arg_uuids(&args, ids.at, ids.len);
	if (db_query(db, select_users, &args, &rows, err) < 0)
		return err_prefix(err, "could not load users");
	out->users_len = (size_t)db_rows(rows);
	out->users = ARENA_ARRAY(arena, struct notice_user, out->users_len + 1);
	out->user_names = ARENA_ARRAY(arena, struct str, out->users_len + 1);
	for (int i = 0; i < db_rows(rows); i++) {
		struct str name = db_str(rows, i, 3);
		out->users[i] = (struct notice_user){ .id = { db_uuid(rows, i, 0) },
			                              .is_active = db_bool(rows, i, 1),
			                              .wants_mail = db_bool(rows, i, 2),
			                              .address = str_dup(arena, db_str(rows, i, 5)) };
		out->user_names[i] = str_dup(arena, name.len ? name : db_str(rows, i, 4));
	}
	return 0;
}

int notice_store_bodies(struct db *db, struct arena *arena, const struct uuid *messages, size_t count,
                        struct notice_body **out, size_t *out_count, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, arena);
	db_arg_uuids(&args, messages, count);
	if (db_query(db, select_bodies, &args, &rows, err) < 0)
		return err_prefix(err, "could not load texts of messages");
	int len = db_rows(rows);
	*out = ARENA_ARRAY(arena, struct notice_body, (size_t)len + 1);
	for (int i = 0; i < len; i++)
		(*out)[i] = (struct notice_body){ { db_uuid(rows, i, 0) }, str_dup(arena, db_str(rows, i, 1)), db_bool(rows, i, 2) };
	*out_count = (size_t)len;
	return 0;
}

int notice_store_copies(struct db *db, struct arena *arena, struct outbound_id outbound, const char *state, struct str *out,
                        struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;
	struct str text = STR("");

	db_args_init(&args, arena);
	db_arg_uuid(&args, outbound.id);
	db_arg_text(&args, str_of(state));
	if (db_query(db, select_copies, &args, &rows, err) < 0)
		return err_prefix(err, "could not load copies");
	for (int i = 0; i < db_rows(rows); i++)
		text = str_printf(arena, "%.*s%.*s: %lld %.*s\n", STR_ARG(text), STR_ARG(db_str(rows, i, 0)),
		                  (long long)db_int(rows, i, 1), STR_ARG(db_str(rows, i, 2)));
	*out = text;
	return 0;
}

int notice_store_notify(struct db *db, struct arena *arena, struct notification_new *rows, size_t count, int64_t now_us,
                        struct err *err)
{
	struct db_result *made CLEANUP(db_result_done) = NULL;
	struct uuid *id = ARENA_ARRAY(arena, struct uuid, count + 1), *tenant = ARENA_ARRAY(arena, struct uuid, count + 1),
	            *user = ARENA_ARRAY(arena, struct uuid, count + 1), *cases = ARENA_ARRAY(arena, struct uuid, count + 1);
	int64_t *version = ARENA_ARRAY(arena, int64_t, count + 1);
	struct str *kind = ARENA_ARRAY(arena, struct str, count + 1);
	struct db_args args;

	if (!count)
		return 0;
	for (size_t i = 0; i < count; i++) {
		id[i] = uuid_v7();
		tenant[i] = rows[i].tenant.id;
		user[i] = rows[i].user.id;
		cases[i] = rows[i].case_id.id;
		version[i] = rows[i].version;
		kind[i] = str_of(rows[i].kind);
	}
	db_args_init(&args, arena);
	db_arg_uuids(&args, id, count);
	db_arg_uuids(&args, tenant, count);
	db_arg_uuids(&args, user, count);
	db_arg_uuids(&args, cases, count);
	db_arg_ints(&args, version, count);
	db_arg_texts(&args, kind, count);
	db_arg_time(&args, now_us);
	if (db_query(db, insert_notifications, &args, &made, err) < 0)
		return err_prefix(err, "could not write notifications");
	for (size_t i = 0; i < count; i++) {
		rows[i].is_new = false;
		for (int k = 0; k < db_rows(made) && !rows[i].is_new; k++)
			rows[i].is_new = uuid_eq(id[i], db_uuid(made, k, 0));
	}
	return 0;
}

int notice_store_buckets(struct db *db, struct arena *arena, const struct budget_limits *limits, struct budget_bucket *buckets,
                         size_t count, int64_t now_us, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct str *keys = ARENA_ARRAY(arena, struct str, count + 1);
	struct db_args args;
	struct map found;

	for (size_t i = 0; i < count; i++)
		keys[i] = buckets[i].key;
	db_args_init(&args, arena);
	db_arg_texts(&args, keys, count);
	if (db_query(db, lock_buckets, &args, &rows, err) < 0)
		return err_prefix(err, "could not lock budgets");
	map_init(&found, arena);
	for (size_t i = 0; i < count; i++) {
		struct tenant_id tenant = buckets[i].tenant;
		buckets[i] = budget_full(limits, buckets[i].scope, buckets[i].key, now_us);
		buckets[i].tenant = tenant;
		map_put(&found, buckets[i].key, &buckets[i]);
	}
	for (int i = 0; i < db_rows(rows); i++) {
		struct budget_bucket *bucket = map_get(&found, db_str(rows, i, 0));
		bucket->tokens = db_real(rows, i, 1);
		bucket->updated_us = db_time(rows, i, 2);
		bucket->was_there = true;
	}
	return 0;
}

int notice_store_spend(struct db *db, struct arena *arena, const struct budget_bucket *buckets, size_t count, struct err *err)
{
	struct str *keys = ARENA_ARRAY(arena, struct str, count + 1);
	int64_t *micro = ARENA_ARRAY(arena, int64_t, count + 1); /* millionths of a token */
	int64_t *updated = ARENA_ARRAY(arena, int64_t, count + 1);
	struct uuid *tenants = ARENA_ARRAY(arena, struct uuid, count + 1);

	for (int was_there = 0; was_there < 2; was_there++) {
		struct db_args args;
		size_t n = 0;
		for (size_t i = 0; i < count; i++) {
			if (!buckets[i].spent || buckets[i].was_there != (bool)was_there)
				continue;
			keys[n] = buckets[i].key;
			micro[n] = (int64_t)(buckets[i].tokens * 1e6);
			updated[n] = buckets[i].updated_us;
			tenants[n++] = buckets[i].tenant.id;
		}
		if (!n)
			continue;
		db_args_init(&args, arena);
		db_arg_texts(&args, keys, n);
		db_arg_ints(&args, micro, n);
		db_arg_times_or_null(&args, updated, n);
		if (!was_there)
			db_arg_uuids(&args, tenants, n);
		if (db_queue(db, was_there ? update_buckets : insert_buckets, &args, NULL, err) < 0)
			return -1;
	}
	return 0;
}

int notice_store_forget_buckets(struct db *db, struct err *err)
{
	return db_exec(db, forget_buckets, NULL, NULL, err);
}
