/* SPDX-License-Identifier: Apache-2.0 */
#include "thread_changes.h"

#include <stdlib.h>

#include "base/vec.h"

#include "base/banned.h"

enum { SUBJECT_MOST = 2000 };

typedef VEC(struct fact) fact_list;

static struct case_change *change_of(struct thread_changes *changes, struct case_id id);
static void list_cases(struct thread_view *view, struct thread_changes *out);
static void describe(struct thread_view *view, const struct thread_mail *mail, struct case_change *change,
                     fact_list *facts);
static void describe_opening(struct thread_view *view, const struct thread_mail *mail, struct case_change *change,
                             fact_list *facts);
static int draw_numbers(struct thread_view *view, struct thread_changes *changes, struct err *err);

int thread_changes_gather(struct thread_view *view, struct thread_changes *out, struct err *err)
{
	*out = (struct thread_changes){ 0 };
	list_cases(view, out);
	fact_list *facts = ARENA_ARRAY(view->arena, fact_list, out->len);
	for (size_t i = 0; i < view->len; i++) {
		const struct match_verdict *v = view->mails[i]->verdict;
		if (v->outcome != MATCH_OPENED && v->outcome != MATCH_JOINED)
			continue;
		struct case_change *change = change_of(out, v->case_id);
		describe(view, view->mails[i], change, &facts[change - out->at]);
	}
	for (size_t i = 0; i < out->len; i++) {
		out->at[i].facts = facts[i].at;
		out->at[i].facts_len = facts[i].len;
	}
	return draw_numbers(view, out, err);
}

int64_t thread_changes_position(struct thread_changes *changes, struct case_id id)
{
	return changes->next_position[change_of(changes, id) - changes->at]++;
}

static int by_case(const void *a, const void *b)
{
	return uuid_cmp(((const struct case_change *)a)->case_id.id, ((const struct case_change *)b)->case_id.id);
}

static void list_cases(struct thread_view *view, struct thread_changes *out)
{
	out->at = ARENA_ARRAY(view->arena, struct case_change, view->len);
	for (size_t i = 0; i < view->len; i++) {
		const struct match_verdict *v = view->mails[i]->verdict;
		if (v->outcome == MATCH_OPENED || v->outcome == MATCH_JOINED)
			out->at[out->len++] = (struct case_change){ .case_id = v->case_id };
	}
	if (out->len)
		qsort(out->at, out->len, sizeof *out->at, by_case);
	size_t kept = 0;
	for (size_t i = 0; i < out->len; i++)
		if (!kept || !uuid_eq(out->at[kept - 1].case_id.id, out->at[i].case_id.id))
			out->at[kept++] = out->at[i];
	out->len = kept;
	out->next_position = ARENA_ARRAY(view->arena, int64_t, kept);
	for (size_t i = 0; i < kept; i++) {
		const struct case_row *row = thread_view_case(view, out->at[i].case_id);
		out->at[i].number = row ? row->number : 0;
		out->at[i].old_version = row ? row->version : 0;
		out->at[i].is_quiet = true;
		out->next_position[i] = row ? row->message_count + 1 : 1;
	}
}

static struct case_change *change_of(struct thread_changes *changes, struct case_id id)
{
	const struct case_change key = { .case_id = id };
	return bsearch(&key, changes->at, changes->len, sizeof *changes->at, by_case);
}

/* A record is quiet only if all of its mails are: a loud one is told even beside an old one. */
static void describe(struct thread_view *view, const struct thread_mail *mail, struct case_change *change,
                     fact_list *facts)
{
	const struct match_verdict *v = mail->verdict;
	struct arena *arena = view->arena;
	if (uuid_is_null(change->cause)) {
		change->tenant = mail->tenant->id;
		change->author.kind = AUTHOR_SENDER;
		change->cause = mail->record->ce_id;
		change->hop = 1;
	}
	change->is_quiet = change->is_quiet && mail->received.is_quiet;
	if (v->outcome == MATCH_OPENED)
		describe_opening(view, mail, change, facts);

	struct fact *added = VEC_PUSH(arena, facts);
	added->kind = FACT_MESSAGE_ADDED;
	added->message_added.message = v->message;
	added->message_added.direction = DIRECTION_IN;
	added->message_added.is_pending = v->is_pending;
	added->message_added.is_automatic = mail->mail.is_automatic;
	added->message_added.is_external = v->is_external;
	added->message_added.is_unverified = v->is_unverified;
	added->message_added.matched_by = v->matched_by;
	added->message_added.size = mail->received.size;
	added->message_added.attachments = (uint32_t)mail->mail.parts_len;

	if (v->adds_opener) {
		struct fact *participant = VEC_PUSH(arena, facts);
		participant->kind = FACT_PARTICIPANT_ADDED;
		participant->participant_added.message = v->message;
		participant->participant_added.role = STR("opener");
	}
	if (v->state != v->state_before) {
		struct fact *moved = VEC_PUSH(arena, facts);
		moved->kind = FACT_STATE_CHANGED;
		moved->state_changed.from = v->state_before;
		moved->state_changed.to = v->state;
		moved->state_changed.reason = v->state_reason;
	}
	if (v->token_refused.len) {
		struct fact *refused = VEC_PUSH(arena, facts);
		refused->kind = FACT_TOKEN_REFUSED;
		refused->token_refused.message = v->message;
		refused->token_refused.reason = v->token_refused;
	}
	if (!uuid_is_null(v->suggested.id)) {
		struct fact *suggested = VEC_PUSH(arena, facts);
		suggested->kind = FACT_MATCH_SUGGESTED;
		suggested->match_suggested.message = v->message;
		suggested->match_suggested.other = v->suggested;
		suggested->match_suggested.rung = v->suggested_rung;
		suggested->match_suggested.reason = v->suggested_reason;
	}
}

static void describe_opening(struct thread_view *view, const struct thread_mail *mail, struct case_change *change,
                             fact_list *facts)
{
	const struct match_verdict *v = mail->verdict;
	struct case_opening *opening = ARENA_NEW(view->arena, struct case_opening);
	*opening = (struct case_opening){ .subject = str_cut_utf8(mail->mail.subject, SUBJECT_MOST),
		                              .subject_base = mail->keys.subject_base,
		                              .group = mail->mailbox->group,
		                              .opener = v->message,
		                              .root_header_id = mail->mail.message_id };
	change->opening = opening;
	struct fact *opened = VEC_PUSH(view->arena, facts);
	opened->kind = FACT_CASE_OPENED;
	if (v->queue) {
		opened->case_opened.queue = v->queue->id;
		opened->case_opened.team = v->queue->team;
	}
	opened->case_opened.mailbox = v->home->id;
	opened->case_opened.follows = v->follows;
	opened->case_opened.state = v->state;
}

/* In the order of arrival, so that the earlier mail has the smaller number. */
static int draw_numbers(struct thread_view *view, struct thread_changes *changes, struct err *err)
{
	for (size_t t = 0; t < view->setup->tenants_len; t++) {
		struct tenant_id tenant = view->setup->tenants[t].id;
		int64_t *numbers = ARENA_ARRAY(view->arena, int64_t, view->len);
		size_t wanted = 0, used = 0;
		for (size_t i = 0; i < view->len; i++)
			wanted +=
				view->mails[i]->verdict->outcome == MATCH_OPENED && uuid_eq(view->mails[i]->tenant->id.id, tenant.id);
		if (!wanted)
			continue;
		if (case_record_numbers(view->db, view->arena, tenant, wanted, numbers, err) < 0)
			return -1;
		for (size_t i = 0; i < view->len; i++)
			if (view->mails[i]->verdict->outcome == MATCH_OPENED && uuid_eq(view->mails[i]->tenant->id.id, tenant.id))
				change_of(changes, view->mails[i]->verdict->case_id)->number = numbers[used++];
	}
	return 0;
}
