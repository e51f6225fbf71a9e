/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/notice_plan.h"

#include "base/vec.h"
#include "domain/recipients.h"

#include "base/banned.h"

struct plan {
	struct arena *arena;
	const struct notice_input *in;
	VEC(struct notice) notices;
};

static void plan_auto_reply(struct plan *plan);
static const char *auto_reply_barrier(const struct notice_input *in, const struct fact *added);
static void plan_staff(struct plan *plan, const struct fact *fact);
static void tell_watchers(struct plan *plan, const char *reason, struct message_id message);
static void tell(struct plan *plan, struct user_id user, const char *role, const char *reason, struct message_id message);
static bool is_assigned_here(const struct case_record *record, struct user_id user);
static const struct fact *opening_message(const struct case_record *record);
static const struct notice_message *find_message(const struct notice_input *in, struct message_id id);
static const struct notice_user *find_user(const struct notice_input *in, struct user_id id);

bool notice_concerns(const struct case_record *record)
{
	if (record->is_quiet)
		return false;
	for (size_t i = 0; i < record->facts_len; i++) {
		const struct fact *fact = &record->facts[i];
		if (fact->kind == FACT_CASE_OPENED || fact->kind == FACT_MESSAGE_ADDED || fact->kind == FACT_ASSIGNED)
			return true;
		if (fact->kind == FACT_COPY_STATE_CHANGED &&
		    (str_eq(fact->copy_state_changed.to, STR("failed")) || str_eq(fact->copy_state_changed.to, STR("unknown"))))
			return true;
	}
	return false;
}

void notice_plan(struct arena *arena, const struct notice_input *input, struct notice **out, size_t *out_count)
{
	struct plan plan = { .arena = arena, .in = input };

	if (notice_concerns(input->record)) {
		plan_auto_reply(&plan);
		for (size_t i = 0; i < input->record->facts_len; i++)
			plan_staff(&plan, &input->record->facts[i]);
	}
	*out = plan.notices.at;
	*out_count = plan.notices.len;
}

static void plan_auto_reply(struct plan *plan)
{
	const struct notice_input *in = plan->in;
	const struct fact *added = opening_message(in->record);

	if (!added || !in->has_mailbox || in->is_auto_reply_decided)
		return;
	const struct notice_message *message = find_message(in, added->message_added.message);
	if (!message || message->is_quiet)
		return;
	const char *barrier = auto_reply_barrier(in, added);
	*VEC_PUSH(plan->arena, &plan->notices) = (struct notice){
		.audience = NOTICE_CUSTOMER,
		.kind = "auto_reply",
		.reason = "case_opened",
		.role = "opener",
		.message = message->id,
		.messages = 1,
		.by_mail = !barrier,
		.suppressed_by = barrier,
	};
}

/* The mail that opened the case of this record, if one did. */
static const struct fact *opening_message(const struct case_record *record)
{
	bool is_opened = false;
	const struct fact *added = NULL;

	for (size_t i = 0; i < record->facts_len; i++) {
		const struct fact *fact = &record->facts[i];
		is_opened = is_opened || fact->kind == FACT_CASE_OPENED;
		if (!added && fact->kind == FACT_MESSAGE_ADDED && fact->message_added.direction == DIRECTION_IN)
			added = fact;
	}
	return is_opened ? added : NULL;
}

/* Who may not be answered automatically. The order is that of the better explanation. A mailbox that has it switched off
 * is recorded too: otherwise switching it on would make old records due when they are delivered again. */
static const char *auto_reply_barrier(const struct notice_input *in, const struct fact *added)
{
	const struct notice_message *message = find_message(in, added->message_added.message);

	if (!in->is_auto_reply_on)
		return "auto_reply_off";
	if (message->is_automatic || added->message_added.is_automatic)
		return "automatic_mail";
	if (message->is_own)
		return "own_address";
	if (!recipient_is_valid(message->sender))
		return "invalid_address";
	if (recipient_is_unattended(message->sender))
		return "unattended_address";
	if (message->has_failed || added->message_added.is_unverified)
		return "sender_failed";
	if (added->message_added.is_pending)
		return "pending";
	if (message->is_variant)
		return "variant";
	if (message->is_suspicious)
		return "suspicious";
	if (in->trust == NOTICE_TRUST_STRICT && !message->is_authenticated && !message->is_known)
		return "sender_unknown";
	return NULL;
}

static void plan_staff(struct plan *plan, const struct fact *fact)
{
	const struct notice_input *in = plan->in;

	if (fact->kind == FACT_ASSIGNED) {
		tell(plan, fact->assigned.user, "assignee", "assigned", (struct message_id){ 0 });
	} else if (fact->kind == FACT_MESSAGE_ADDED) {
		const struct notice_message *message = find_message(in, fact->message_added.message);
		if (message && message->is_quiet)
			return;
		if (fact->message_added.direction == DIRECTION_OUT)
			tell_watchers(plan, "message_out", fact->message_added.message);
		else if (fact->message_added.direction == DIRECTION_NOTE)
			tell_watchers(plan, "note", fact->message_added.message);
		else
			tell_watchers(plan, fact->message_added.is_pending ? "message_pending" : "message_in",
			              fact->message_added.message);
	} else if (fact->kind == FACT_COPY_STATE_CHANGED) {
		bool is_unknown = str_eq(fact->copy_state_changed.to, STR("unknown"));
		if (!is_unknown && !str_eq(fact->copy_state_changed.to, STR("failed")))
			return;
		for (size_t i = 0; i < in->outbounds_len; i++) {
			const struct notice_outbound *mail = &in->outbounds[i];
			/* Of notices and auto-replies that fail nobody is told: that would be a notice about a notice. */
			if (mail->is_reply && uuid_eq(mail->id.id, fact->copy_state_changed.outbound.id))
				tell(plan, mail->author, "author", is_unknown ? "copy_unknown" : "copy_failed", (struct message_id){ 0 });
		}
	}
}

static void tell_watchers(struct plan *plan, const char *reason, struct message_id message)
{
	const struct notice_input *in = plan->in;

	/* Who is given the case by this very record hears of it once. */
	if (!is_assigned_here(in->record, in->assignee))
		tell(plan, in->assignee, "assignee", reason, message);
	for (size_t i = 0; i < in->followers_len; i++) {
		if (!is_assigned_here(in->record, in->followers[i]))
			tell(plan, in->followers[i], "follower", reason, message);
	}
}

static void tell(struct plan *plan, struct user_id user, const char *role, const char *reason, struct message_id message)
{
	const struct case_record *record = plan->in->record;
	const struct notice_user *known = find_user(plan->in, user);

	if (uuid_is_null(user.id) || !known)
		return;
	if (record->author.kind == AUTHOR_USER && uuid_eq(record->author.user.id, user.id))
		return;
	for (size_t i = 0; i < plan->notices.len; i++) {
		struct notice *earlier = &plan->notices.at[i];
		if (uuid_eq(earlier->user.id, user.id) && strcmp(earlier->reason, reason) == 0) {
			/* Several messages of a record are one notice, about the last of them; an assignee who follows too is one. */
			if (!uuid_eq(earlier->message.id, message.id)) {
				earlier->message = message;
				earlier->messages++;
			}
			return;
		}
	}
	bool can_mail = known->is_active && known->wants_mail;
	*VEC_PUSH(plan->arena, &plan->notices) = (struct notice){
		.audience = NOTICE_STAFF,
		.kind = "notice",
		.reason = reason,
		.role = role,
		.user = user,
		.message = message,
		.messages = 1,
		.by_mail = can_mail && recipient_is_valid(known->address),
		.suppressed_by = can_mail && !recipient_is_valid(known->address) ? "no_address" : NULL,
	};
}

static bool is_assigned_here(const struct case_record *record, struct user_id user)
{
	for (size_t i = 0; i < record->facts_len; i++) {
		if (record->facts[i].kind == FACT_ASSIGNED && uuid_eq(record->facts[i].assigned.user.id, user.id))
			return true;
	}
	return false;
}

static const struct notice_message *find_message(const struct notice_input *in, struct message_id id)
{
	for (size_t i = 0; i < in->messages_len; i++) {
		if (uuid_eq(in->messages[i].id.id, id.id))
			return &in->messages[i];
	}
	return NULL;
}

static const struct notice_user *find_user(const struct notice_input *in, struct user_id id)
{
	for (size_t i = 0; i < in->users_len; i++) {
		if (uuid_eq(in->users[i].id.id, id.id))
			return &in->users[i];
	}
	return NULL;
}
