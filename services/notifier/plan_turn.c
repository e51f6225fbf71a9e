/* SPDX-License-Identifier: Apache-2.0 */
#include "plan_turn.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "kit/metrics.h"
#include "notice_budget.h"
#include "notice_mail.h"
#include "notice_store.h"
#include "record/case_record.h"
#include "wire/case_record_wire.h"

#include "base/banned.h"

#define FORGET_MS INT64_C(3600000)

/* One record of the batch that somebody may hear of. */
struct unit {
	struct case_record record;
	struct case_row *row;
	struct notice *notices;
	size_t notices_len;
	struct fact *facts;
	size_t facts_len;
	bool is_applied;
};

struct batch {
	struct turn *turn;
	struct plan_turn *self;
	struct arena *arena;
	struct unit *units;
	size_t units_len;
	struct case_row *rows;
	size_t rows_len;
	struct map by_case;
	struct notice_facts facts;
	int64_t now_us;
};

static struct metric notices_metric = METRIC_COUNTER("mailcase_notices_total", "mails that the notifier made", "kind");
static struct metric suppressed_metric = METRIC_COUNTER("mailcase_notices_suppressed_total", "mails that were not made, and why",
                                                        "by");

static int decode(struct batch *batch, struct err *err);
static int lock_cases(struct batch *batch, struct err *err);
static int load(struct batch *batch, struct err *err);
static void plan(struct batch *batch);
static void plan_unit(struct batch *batch, struct unit *unit);
static int keep_new_notices(struct batch *batch, struct err *err);
static int spend_budgets(struct batch *batch, struct err *err);
static int write_mails(struct batch *batch, struct err *err);
static int apply_facts(struct batch *batch, struct err *err);
static struct fact fact_of(const struct notice *notice, const struct notice_mail *mail);

int plan_turn_apply(struct turn *turn, struct err *err)
{
	struct batch batch = { .turn = turn, .self = turn->self, .arena = &turn->arena, .now_us = clock_wall_us() };

	batch.self->made_mails = false;
	if (decode(&batch, err) < 0)
		return -1;
	if (!batch.units_len)
		return 0;
	if (lock_cases(&batch, err) < 0 || load(&batch, err) < 0)
		return -1;
	plan(&batch);
	if (keep_new_notices(&batch, err) < 0 || spend_budgets(&batch, err) < 0 || write_mails(&batch, err) < 0)
		return -1;
	return apply_facts(&batch, err);
}

void plan_turn_committed(struct turn *turn)
{
	struct plan_turn *self = turn->self;

	if (self->made_mails)
		sender_wake(self->sender);
}

int plan_turn_idle(struct turn *turn, struct err *err)
{
	struct plan_turn *self = turn->self;
	int64_t now_ms = clock_mono_ms();

	if (now_ms < self->forget_ms)
		return 0;
	self->forget_ms = now_ms + FORGET_MS;
	return notice_store_forget_buckets(turn->db, err);
}

/* Most records are none of our business (among them all that this program causes): they cost their decoding. */
static int decode(struct batch *batch, struct err *err)
{
	struct turn *turn = batch->turn;
	struct map seen;
	static int is_seen;

	map_init(&seen, batch->arena);
	batch->units = ARENA_ARRAY(batch->arena, struct unit, turn->count + 1);
	for (size_t i = 0; i < turn->count; i++) {
		struct unit *unit = &batch->units[batch->units_len];
		struct err why = { 0 };
		if (case_record_decode(batch->arena, turn->records[i].value, &unit->record, &why) < 0) {
			if (turn_set_aside(turn, &turn->records[i], why.text, err) < 0)
				return -1;
			continue;
		}
		if (!notice_concerns(&unit->record))
			continue;
		char id[UUID_TEXT_LEN + 1];
		struct str key = str_printf(batch->arena, "%s/%lld", uuid_text(unit->record.case_id.id, id),
		                            (long long)unit->record.version);
		if (map_get(&seen, key))
			continue;
		map_put(&seen, key, &is_seen);
		batch->units_len++;
	}
	return 0;
}

static struct str id_key(const struct uuid *id)
{
	return str_span((const char *)id->b, sizeof id->b);
}

static int lock_cases(struct batch *batch, struct err *err)
{
	struct case_id *ids = ARENA_ARRAY(batch->arena, struct case_id, batch->units_len);
	size_t kept = 0;

	for (size_t i = 0; i < batch->units_len; i++)
		ids[i] = batch->units[i].record.case_id;
	if (case_record_lock(batch->turn->db, batch->arena, ids, batch->units_len, &batch->rows, &batch->rows_len, err) < 0)
		return -1;
	map_init(&batch->by_case, batch->arena);
	for (size_t i = 0; i < batch->rows_len; i++)
		map_put(&batch->by_case, id_key(&batch->rows[i].id.id), &batch->rows[i]);
	/* A case that is gone (erased) has nobody to tell; a record under another tenant's name is none of ours. */
	for (size_t i = 0; i < batch->units_len; i++) {
		struct unit *unit = &batch->units[i];
		struct case_row *row = map_get(&batch->by_case, id_key(&unit->record.case_id.id));
		if (!row || !uuid_eq(row->tenant.id, unit->record.tenant.id))
			continue;
		batch->units[kept] = *unit;
		batch->units[kept++].row = row;
	}
	batch->units_len = kept;
	return 0;
}

static int load(struct batch *batch, struct err *err)
{
	size_t facts = 0, messages_len = 0, outbounds_len = 0, users_len = 0, mailboxes_len = 0, queues_len = 0;

	for (size_t i = 0; i < batch->units_len; i++)
		facts += batch->units[i].record.facts_len;
	struct uuid *messages = ARENA_ARRAY(batch->arena, struct uuid, facts + 1),
	            *outbounds = ARENA_ARRAY(batch->arena, struct uuid, facts + 1),
	            *users = ARENA_ARRAY(batch->arena, struct uuid, facts + 1),
	            *mailboxes = ARENA_ARRAY(batch->arena, struct uuid, batch->rows_len + 1),
	            *queues = ARENA_ARRAY(batch->arena, struct uuid, batch->rows_len + 1),
	            *cases = ARENA_ARRAY(batch->arena, struct uuid, batch->rows_len + 1);
	for (size_t i = 0; i < batch->units_len; i++) {
		for (size_t k = 0; k < batch->units[i].record.facts_len; k++) {
			const struct fact *fact = &batch->units[i].record.facts[k];
			if (fact->kind == FACT_MESSAGE_ADDED)
				messages[messages_len++] = fact->message_added.message.id;
			else if (fact->kind == FACT_COPY_STATE_CHANGED)
				outbounds[outbounds_len++] = fact->copy_state_changed.outbound.id;
			else if (fact->kind == FACT_ASSIGNED)
				users[users_len++] = fact->assigned.user.id;
		}
	}
	for (size_t i = 0; i < batch->rows_len; i++) {
		cases[i] = batch->rows[i].id.id;
		if (!uuid_is_null(batch->rows[i].mailbox.id))
			mailboxes[mailboxes_len++] = batch->rows[i].mailbox.id;
		if (!uuid_is_null(batch->rows[i].queue.id))
			queues[queues_len++] = batch->rows[i].queue.id;
	}
	struct notice_wanted wanted = {
		.cases = cases,         .cases_len = batch->rows_len,   .messages = messages,   .messages_len = messages_len,
		.mailboxes = mailboxes, .mailboxes_len = mailboxes_len, .queues = queues,       .queues_len = queues_len,
		.outbounds = outbounds, .outbounds_len = outbounds_len, .users = users,         .users_len = users_len,
	};
	return notice_store_load(batch->turn->db, batch->arena, &wanted, &batch->facts, err);
}

static void plan(struct batch *batch)
{
	for (size_t i = 0; i < batch->units_len; i++)
		plan_unit(batch, &batch->units[i]);
}

/* The assignee and the followers are those of the record's version: the timeline up to it tells. */
static void plan_unit(struct batch *batch, struct unit *unit)
{
	const struct notice_facts *facts = &batch->facts;
	struct user_id *followers = ARENA_ARRAY(batch->arena, struct user_id, facts->events_len + 1);
	struct notice_input input = {
		.record = &unit->record,
		.followers = followers,
		.users = facts->users,
		.users_len = facts->users_len,
		.messages = facts->messages,
		.messages_len = facts->messages_len,
		.outbounds = facts->outbounds,
		.outbounds_len = facts->outbounds_len,
	};

	for (size_t i = 0; i < facts->events_len; i++) {
		const struct notice_event *event = &facts->events[i];
		if (!uuid_eq(event->case_id.id, unit->row->id.id))
			continue;
		if (event->is_auto_reply)
			input.is_auto_reply_decided = true;
		if (event->version > unit->record.version)
			continue;
		if (event->kind == FACT_ASSIGNED) {
			input.assignee = event->user;
		} else if (event->kind == FACT_FOLLOWED) {
			size_t kept = 0;
			for (size_t k = 0; k < input.followers_len; k++) {
				if (!uuid_eq(followers[k].id, event->user.id))
					followers[kept++] = followers[k];
			}
			if (event->is_following)
				followers[kept++] = event->user;
			input.followers_len = kept;
		}
	}
	for (size_t i = 0; i < facts->mailboxes_len; i++) {
		if (!uuid_eq(facts->mailboxes[i].id.id, unit->row->mailbox.id))
			continue;
		input.has_mailbox = true;
		input.is_auto_reply_on = facts->mailboxes[i].is_auto_reply_on;
		input.trust = facts->mailboxes[i].trust;
	}
	notice_plan(batch->arena, &input, &unit->notices, &unit->notices_len);
}

/* A staff notice that is in the system already was planned by an earlier delivery of this record, with its mail. */
static int keep_new_notices(struct batch *batch, struct err *err)
{
	size_t most = 0, count = 0, at = 0;

	for (size_t i = 0; i < batch->units_len; i++)
		most += batch->units[i].notices_len;
	struct notification_new *rows = ARENA_ARRAY(batch->arena, struct notification_new, most + 1);
	for (size_t i = 0; i < batch->units_len; i++) {
		const struct unit *unit = &batch->units[i];
		for (size_t k = 0; k < unit->notices_len; k++) {
			if (unit->notices[k].audience == NOTICE_STAFF)
				rows[count++] = (struct notification_new){ .tenant = unit->row->tenant,
					                                   .user = unit->notices[k].user,
					                                   .case_id = unit->row->id,
					                                   .version = unit->record.version,
					                                   .kind = unit->notices[k].reason };
		}
	}
	if (notice_store_notify(batch->turn->db, batch->arena, rows, count, batch->now_us, err) < 0)
		return -1;
	for (size_t i = 0; i < batch->units_len; i++) {
		struct unit *unit = &batch->units[i];
		size_t kept = 0;
		for (size_t k = 0; k < unit->notices_len; k++) {
			if (unit->notices[k].audience != NOTICE_STAFF || rows[at++].is_new)
				unit->notices[kept++] = unit->notices[k];
		}
		unit->notices_len = kept;
	}
	return 0;
}

static struct str sender_of(const struct batch *batch, struct message_id id)
{
	for (size_t i = 0; i < batch->facts.messages_len; i++) {
		if (uuid_eq(batch->facts.messages[i].id.id, id.id))
			return batch->facts.messages[i].sender;
	}
	return STR("");
}

static int spend_budgets(struct batch *batch, struct err *err)
{
	size_t most = 0, count = 0;

	for (size_t i = 0; i < batch->units_len; i++)
		most += batch->units[i].notices_len;
	struct notice_spending *spendings = ARENA_ARRAY(batch->arena, struct notice_spending, most + 1);
	for (size_t i = 0; i < batch->units_len; i++) {
		struct unit *unit = &batch->units[i];
		for (size_t k = 0; k < unit->notices_len; k++) {
			struct notice *notice = &unit->notices[k];
			if (notice->audience == NOTICE_CUSTOMER && notice->by_mail)
				spendings[count++] = (struct notice_spending){ notice, unit->row->tenant, unit->row->mailbox,
					                                       sender_of(batch, notice->message) };
		}
	}
	return notice_budget_spend(batch->turn->db, batch->arena, &batch->self->budgets, spendings, count, batch->now_us, err);
}

static int write_mails(struct batch *batch, struct err *err)
{
	size_t most = 0, mails_len = 0;

	for (size_t i = 0; i < batch->units_len; i++)
		most += batch->units[i].notices_len;
	struct notice_mail *mails = ARENA_ARRAY(batch->arena, struct notice_mail, most + 1);
	for (size_t i = 0; i < batch->units_len; i++) {
		struct unit *unit = &batch->units[i];
		for (size_t k = 0; k < unit->notices_len; k++)
			mails[mails_len++] = (struct notice_mail){ .record = &unit->record,
				                                   .row = unit->row,
				                                   .notice = &unit->notices[k] };
	}
	if (notice_mail_write(batch->turn->db, batch->arena, &batch->self->tokens, &batch->self->seal_key, &batch->facts, mails,
	                      mails_len, batch->now_us, err) < 0)
		return -1;
	mails_len = 0;
	for (size_t i = 0; i < batch->units_len; i++) {
		struct unit *unit = &batch->units[i];
		unit->facts = ARENA_ARRAY(batch->arena, struct fact, unit->notices_len + 1);
		for (size_t k = 0; k < unit->notices_len; k++) {
			const struct notice_mail *mail = &mails[mails_len++];
			if (mail->is_made || unit->notices[k].suppressed_by)
				unit->facts[unit->facts_len++] = fact_of(&unit->notices[k], mail);
			batch->self->made_mails = batch->self->made_mails || mail->is_made;
		}
	}
	return 0;
}

static struct fact fact_of(const struct notice *notice, const struct notice_mail *mail)
{
	struct str audience = notice->audience == NOTICE_CUSTOMER ? STR("customer") : STR("staff");

	if (mail->is_made) {
		metric_add(metric_label(&notices_metric, notice->kind), 1);
		return (struct fact){ .kind = FACT_NOTICE_PLANNED,
			              .detail = mail->detail,
			              .notice_planned = { .outbound = mail->outbound,
			                                  .audience = audience,
			                                  .kind = str_of(notice->kind),
			                                  .reason = str_of(notice->reason),
			                                  .user = notice->user } };
	}
	metric_add(metric_label(&suppressed_metric, notice->suppressed_by), 1);
	return (struct fact){ .kind = FACT_NOTICE_SUPPRESSED,
		              .detail = mail->detail,
		              .notice_suppressed = { .audience = audience,
		                                     .kind = str_of(notice->kind),
		                                     .reason = str_of(notice->reason),
		                                     .suppressed_by = str_of(notice->suppressed_by),
		                                     .user = notice->user } };
}

/* One record a (case, cause): what two records of one chain made due is one step of the case. Records of different
 * chains follow each other, in rounds, since a statement moves a case once. */
static int apply_facts(struct batch *batch, struct err *err)
{
	struct case_change *changes = ARENA_ARRAY(batch->arena, struct case_change, batch->rows_len + 1);

	for (;;) {
		size_t count = 0;
		for (size_t r = 0; r < batch->rows_len; r++) {
			struct case_row *row = &batch->rows[r];
			struct case_change *change = NULL;
			for (size_t i = 0; i < batch->units_len; i++) {
				struct unit *unit = &batch->units[i];
				if (unit->row != row || unit->is_applied || !unit->facts_len)
					continue;
				if (!change) {
					change = &changes[count++];
					*change = (struct case_change){ .tenant = row->tenant,
						                        .case_id = row->id,
						                        .number = row->number,
						                        .old_version = row->version++,
						                        .author = { .kind = AUTHOR_SYSTEM },
						                        .cause = unit->record.cause,
						                        .hop = unit->record.hop + 1,
						                        .facts = unit->facts,
						                        .facts_len = unit->facts_len };
				} else if (uuid_eq(change->cause, unit->record.cause)) {
					struct fact *all = ARENA_ARRAY(batch->arena, struct fact, change->facts_len + unit->facts_len);
					memcpy(all, change->facts, change->facts_len * sizeof *all);
					memcpy(all + change->facts_len, unit->facts, unit->facts_len * sizeof *all);
					change->facts = all;
					change->facts_len += unit->facts_len;
					if (unit->record.hop + 1 > change->hop)
						change->hop = unit->record.hop + 1;
				} else {
					break;
				}
				unit->is_applied = true;
			}
		}
		if (!count)
			return 0;
		if (case_record_apply(batch->turn->db, batch->arena, changes, count, batch->now_us, err) < 0)
			return -1;
		batch->turn->filled_outbox = true;
	}
}
