/* SPDX-License-Identifier: Apache-2.0 */
#include "thread_setup.h"

#include "base/vec.h"
#include "mail/address.h"
#include "record/token_keys.h"

#include "base/banned.h"

static const char mailboxes_sql[] =
	"SELECT id, tenant_id, group_id, queue_id, address, sender_trust, kind = 'personal', rung5, rung5_days"
	" FROM mailbox"
	" WHERE id = ANY($1) UNION"
	" SELECT id, tenant_id, group_id, queue_id, address, sender_trust, kind = 'personal', rung5, rung5_days"
	" FROM mailbox"
	" WHERE tenant_id = ANY($2) AND address = ANY($3)";
static const char queues_sql[] =
	"SELECT id, tenant_id, team_id, subject_format, closed_policy, reopen_days FROM queue WHERE tenant_id = ANY($1)"
	" ORDER BY created_at, id";
static const char senders_sql[] =
	"SELECT DISTINCT tenant_id, sender_address FROM outbound_mailbox WHERE tenant_id = ANY($1)";

static struct uuid *tenants_of(struct arena *arena, const struct thread_batch *batch, size_t *out_count);
static struct str *addresses_of(struct arena *arena, const struct thread_batch *batch, size_t *out_count);
static void read_mailboxes(struct arena *arena, const struct db_result *rows, struct thread_setup *out);
static void read_queues(struct arena *arena, const struct db_result *rows, struct match_tenant *tenant);
static void read_senders(struct arena *arena, const struct db_result *rows, struct match_tenant *tenant);
static void give(struct arena *arena, const struct thread_setup *setup, struct thread_mail *mail);

int thread_setup_load(struct db *db, struct arena *arena, const struct seal_key *seal_key, struct thread_batch *batch,
                      struct thread_setup *out, struct err *err)
{
	*out = (struct thread_setup){ 0 };
	size_t tenants_len, addresses_len, mailboxes_len = 0;
	struct uuid *tenants = tenants_of(arena, batch, &tenants_len);
	struct str *addresses = addresses_of(arena, batch, &addresses_len);
	struct uuid *mailboxes = ARENA_ARRAY(arena, struct uuid, batch->len);
	for (size_t i = 0; i < batch->len; i++)
		if (batch->mails[i].fate == FATE_MATCHED)
			mailboxes[mailboxes_len++] = batch->mails[i].received.mailbox.id;
	if (!mailboxes_len)
		return 0;

	struct db_result *found CLEANUP(db_result_done) = NULL, *queues CLEANUP(db_result_done) = NULL,
							*senders CLEANUP(db_result_done) = NULL;
	struct db_args args, by_tenant;
	db_args_init(&args, arena);
	db_arg_uuids(&args, mailboxes, mailboxes_len);
	db_arg_uuids(&args, tenants, tenants_len);
	db_arg_texts(&args, addresses, addresses_len);
	db_args_init(&by_tenant, arena);
	db_arg_uuids(&by_tenant, tenants, tenants_len);
	if (db_queue(db, mailboxes_sql, &args, &found, err) < 0 || db_queue(db, queues_sql, &by_tenant, &queues, err) < 0 ||
	    db_queue(db, senders_sql, &by_tenant, &senders, err) < 0 || db_flush(db, err) < 0)
		return err_prefix(err, "could not load mailboxes and queues");

	read_mailboxes(arena, found, out);
	out->tenants = ARENA_ARRAY(arena, struct match_tenant, tenants_len);
	out->tenants_len = tenants_len;
	for (size_t i = 0; i < tenants_len; i++) {
		out->tenants[i].id.id = tenants[i];
		if (token_keys_load(db, arena, seal_key, out->tenants[i].id, &out->tenants[i].keys, err) < 0)
			return -1;
		read_queues(arena, queues, &out->tenants[i]);
		read_senders(arena, senders, &out->tenants[i]);
	}
	for (size_t i = 0; i < batch->len; i++)
		if (batch->mails[i].fate == FATE_MATCHED)
			give(arena, out, &batch->mails[i]);
	return 0;
}

void thread_setup_facts(const struct thread_setup *setup, struct match_facts *facts)
{
	for (size_t i = 0; i < setup->mailboxes_len; i++)
		match_facts_put_own(facts, setup->mailboxes[i].tenant, setup->mailboxes[i].address, &setup->mailboxes[i]);
	for (size_t i = 0; i < setup->tenants_len; i++)
		for (size_t s = 0; s < setup->tenants[i].senders.len; s++)
			match_facts_put_own(facts, setup->tenants[i].id, setup->tenants[i].senders.at[s], NULL);
}

static void give(struct arena *arena, const struct thread_setup *setup, struct thread_mail *mail)
{
	for (size_t i = 0; i < setup->tenants_len; i++)
		if (uuid_eq(setup->tenants[i].id.id, mail->received.tenant.id))
			mail->tenant = &setup->tenants[i];
	for (size_t i = 0; i < setup->mailboxes_len; i++)
		if (uuid_eq(setup->mailboxes[i].id.id, mail->received.mailbox.id) &&
		    uuid_eq(setup->mailboxes[i].tenant.id, mail->received.tenant.id))
			mail->mailbox = &setup->mailboxes[i];
	if (!mail->tenant || !mail->mailbox) {
		mail->fate = FATE_SET_ASIDE;
		mail->reason = "no such mailbox";
		return;
	}
	match_keys_of(arena, mail->tenant, mail->mailbox, &mail->mail, &mail->keys);
}

static struct uuid *tenants_of(struct arena *arena, const struct thread_batch *batch, size_t *out_count)
{
	struct uuid *tenants = ARENA_ARRAY(arena, struct uuid, batch->len);
	size_t count = 0;
	for (size_t i = 0; i < batch->len; i++) {
		size_t at = 0;
		if (batch->mails[i].fate != FATE_MATCHED)
			continue;
		while (at < count && !uuid_eq(tenants[at], batch->mails[i].received.tenant.id))
			at++;
		if (at == count)
			tenants[count++] = batch->mails[i].received.tenant.id;
	}
	*out_count = count;
	return tenants;
}

struct address_set {
	struct arena *arena;
	struct map seen;
	VEC(struct str) list;
};

static void add_address(struct address_set *set, struct str address)
{
	if (!address.len || map_get(&set->seen, address))
		return;
	map_put(&set->seen, address, set);
	*VEC_PUSH(set->arena, &set->list) = address;
}

static void add_with_base(struct address_set *set, struct str address)
{
	struct str folded = address_fold(set->arena, address), local, domain;
	add_address(set, folded);
	ptrdiff_t plus = str_find_char(folded, '+', 0);
	if (plus <= 0 || !address_split(folded, &local, &domain) || (size_t)plus >= local.len)
		return;
	struct str name = str_slice(local, 0, (size_t)plus);
	add_address(set, str_printf(set->arena, "%.*s@%.*s", STR_ARG(name), STR_ARG(domain)));
}

/* All addresses in which one of ours can stand, folded, each once, and these without their extension. */
static struct str *addresses_of(struct arena *arena, const struct thread_batch *batch, size_t *out_count)
{
	struct address_set set = { .arena = arena };
	map_init(&set.seen, arena);
	for (size_t i = 0; i < batch->len; i++) {
		const struct mail *mail = &batch->mails[i].mail;
		if (batch->mails[i].fate != FATE_MATCHED)
			continue;
		const struct mail_addresses *const headers[] = { &mail->from, &mail->to, &mail->cc };
		for (size_t h = 0; h < ARRAY_LEN(headers); h++)
			for (size_t a = 0; a < headers[h]->len; a++)
				add_with_base(&set, headers[h]->at[a].address);
		for (size_t a = 0; a < mail->delivered_to.len; a++)
			add_with_base(&set, mail->delivered_to.at[a]);
	}
	*out_count = set.list.len;
	return set.list.at;
}

static void read_mailboxes(struct arena *arena, const struct db_result *rows, struct thread_setup *out)
{
	out->mailboxes_len = (size_t)db_rows(rows);
	out->mailboxes = ARENA_ARRAY(arena, struct match_mailbox, out->mailboxes_len);
	for (int row = 0; row < db_rows(rows); row++) {
		struct match_mailbox *mailbox = &out->mailboxes[row];
		*mailbox = (struct match_mailbox){ .id = { db_uuid(rows, row, 0) },
			                               .tenant = { db_uuid(rows, row, 1) },
			                               .group = { db_uuid(rows, row, 2) },
			                               .queue = { db_uuid(rows, row, 3) },
			                               .address = str_dup(arena, db_str(rows, row, 4)),
			                               .is_personal = db_bool(rows, row, 6),
			                               .rung5 = db_bool(rows, row, 7),
			                               .rung5_days = db_int(rows, row, 8) };
		/* What this program does not know yet is the most careful. */
		if (!sender_trust_parse(db_str(rows, row, 5), &mailbox->trust))
			mailbox->trust = TRUST_STRICT;
	}
}

static void read_queues(struct arena *arena, const struct db_result *rows, struct match_tenant *tenant)
{
	struct match_queue *queues = ARENA_ARRAY(arena, struct match_queue, (size_t)db_rows(rows));
	struct str *formats = ARENA_ARRAY(arena, struct str, (size_t)db_rows(rows));
	size_t count = 0, formats_len = 0;
	for (int row = 0; row < db_rows(rows); row++) {
		if (!uuid_eq(db_uuid(rows, row, 1), tenant->id.id))
			continue;
		struct match_queue *queue = &queues[count++];
		*queue = (struct match_queue){ .id = { db_uuid(rows, row, 0) },
			                           .team = { db_uuid(rows, row, 2) },
			                           .format = str_dup(arena, db_str(rows, row, 3)),
			                           .reopen_days = db_int(rows, row, 5) };
		if (!closed_policy_parse(db_str(rows, row, 4), &queue->closed))
			queue->closed = CLOSED_REOPEN_WITHIN;
		size_t at = 0;
		while (at < formats_len && !str_eq_nocase(formats[at], queue->format))
			at++;
		if (at == formats_len)
			formats[formats_len++] = queue->format;
	}
	tenant->queues = queues;
	tenant->queues_len = count;
	tenant->formats = (struct mail_strs){ formats, formats_len };
}

static void read_senders(struct arena *arena, const struct db_result *rows, struct match_tenant *tenant)
{
	struct str *senders = ARENA_ARRAY(arena, struct str, (size_t)db_rows(rows));
	size_t count = 0;
	for (int row = 0; row < db_rows(rows); row++)
		if (uuid_eq(db_uuid(rows, row, 0), tenant->id.id))
			senders[count++] = address_fold(arena, db_str(rows, row, 1));
	/* The folded text may be a view of the result. */
	for (size_t i = 0; i < count; i++)
		senders[i] = str_dup(arena, senders[i]);
	tenant->senders = (struct mail_strs){ senders, count };
}
