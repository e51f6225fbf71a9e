/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/audit_case.h"

#include "domain/case_effect.h"

#include "base/banned.h"

static void check_place(struct audit_fold *fold, const struct audit_event *event);
static void check_chain(struct audit_fold *fold, const struct fact *fact);
static void apply(struct audit_fold *fold, const struct audit_event *event);
static void flaw(struct audit_fold *fold, const char *rule, bool is_loss, struct str text);
static void compare(struct audit_fold *fold, const struct audit_case_row *row);

void audit_fold_init(struct audit_fold *fold, struct arena *arena)
{
	*fold = (struct audit_fold){ .arena = arena, .ordinal = -1 };
}

void audit_fold_add(struct audit_fold *fold, const struct audit_event *event)
{
	check_place(fold, event);
	if (event->is_known) {
		check_chain(fold, &event->fact);
		apply(fold, event);
	}
	fold->row.version = event->version;
	fold->ordinal = event->ordinal;
	fold->row.changed_us = event->time_us;
}

/* Versions 1, 2, 3, ...; within each ordinals 0, 1, 2, ... */
static void check_place(struct audit_fold *fold, const struct audit_event *event)
{
	int64_t version = fold->row.version;
	bool is_next = event->version != version;

	if (is_next && event->version > version + 1)
		flaw(fold, "case.version", true,
		     event->version == version + 2
		         ? str_printf(fold->arena, "the timeline has no version %lld", (long long)version + 1)
		         : str_printf(fold->arena, "the timeline has no versions %lld to %lld", (long long)version + 1,
		                      (long long)event->version - 1));
	int64_t expected = is_next ? 0 : fold->ordinal + 1;
	if (event->ordinal > expected)
		flaw(fold, "case.ordinal", true,
		     str_printf(fold->arena, "version %lld has no fact %lld", (long long)event->version, (long long)expected));
}

/* A change says what it was before: it must be what the facts until then made of the case. */
static void check_chain(struct audit_fold *fold, const struct fact *fact)
{
	if (fact->kind == FACT_CASE_OPENED && fold->has_opened)
		flaw(fold, "case.opening", false, STR("the case was opened twice"));
	if (fact->kind != FACT_CASE_OPENED && !fold->has_opened && fold->ordinal < 0)
		flaw(fold, "case.opening", false, STR("its timeline does not begin with its opening"));
	if (fact->kind == FACT_STATE_CHANGED && fold->has_opened && fact->state_changed.from != fold->row.state)
		flaw(fold, "case.chain", false,
		     str_printf(fold->arena, "a change says that it was %s, the facts before it say %s",
		                case_state_name(fact->state_changed.from), case_state_name(fold->row.state)));
}

static void apply(struct audit_fold *fold, const struct audit_event *event)
{
	struct audit_case_row *row = &fold->row;
	struct case_effect effect = case_effect_of(event->author, &event->fact, 1);

	if (event->fact.kind == FACT_CASE_OPENED) {
		fold->has_opened = true;
		row->tenant = event->tenant;
		row->mailbox = event->fact.case_opened.mailbox;
		row->opened_us = event->time_us;
	}
	row->messages += effect.messages;
	row->is_touched |= effect.is_touched;
	if (effect.has_queue)
		row->queue = effect.queue;
	if (effect.has_assignee) {
		row->assignee = effect.assignee;
		row->team = effect.team;
	}
	if (effect.state) {
		row->state = effect.state;
		row->closed_us = effect.state == CASE_CLOSED ? event->time_us : 0;
	}
}

void audit_fold_end(struct audit_fold *fold, const struct audit_case_row *row)
{
	if (!row) {
		flaw(fold, "case.row", true, STR("there is a timeline and no case"));
		return;
	}
	if (fold->ordinal < 0) {
		flaw(fold, "case.version", true, STR("the case has no timeline"));
		return;
	}
	if (row->version != fold->row.version)
		flaw(fold, "case.version", row->version > fold->row.version,
		     str_printf(fold->arena, "its row is at version %lld, its timeline at %lld", (long long)row->version,
		                (long long)fold->row.version));
	/* What is missing has been told; what the rest makes of the case says nothing more. */
	if (fold->has_opened && !fold->flaws.len)
		compare(fold, row);
}

static void differs(struct audit_fold *fold, const char *what, struct str is, struct str should)
{
	flaw(fold, "case.row", false,
	     str_printf(fold->arena, "its row says %s %.*s, its facts say %.*s", what, STR_ARG(is), STR_ARG(should)));
}

static void differs_in_id(struct audit_fold *fold, const char *what, struct uuid is, struct uuid should)
{
	if (!uuid_eq(is, should))
		differs(fold, what, uuid_is_null(is) ? STR("none") : uuid_str(fold->arena, is),
		        uuid_is_null(should) ? STR("none") : uuid_str(fold->arena, should));
}

static void differs_in_number(struct audit_fold *fold, const char *what, int64_t is, int64_t should)
{
	if (is != should)
		differs(fold, what, str_printf(fold->arena, "%lld", (long long)is),
		        str_printf(fold->arena, "%lld", (long long)should));
}

static void compare(struct audit_fold *fold, const struct audit_case_row *row)
{
	const struct audit_case_row *told = &fold->row;

	if (row->state != told->state)
		differs(fold, "state", str_of(case_state_name(row->state)), str_of(case_state_name(told->state)));
	differs_in_id(fold, "tenant", row->tenant.id, told->tenant.id);
	differs_in_id(fold, "queue", row->queue.id, told->queue.id);
	differs_in_id(fold, "team", row->team.id, told->team.id);
	differs_in_id(fold, "assignee", row->assignee.id, told->assignee.id);
	differs_in_id(fold, "mailbox", row->mailbox.id, told->mailbox.id);
	differs_in_number(fold, "message_count", row->messages, told->messages);
	differs_in_number(fold, "is_touched", row->is_touched, told->is_touched);
	differs_in_number(fold, "opened_at (us)", row->opened_us, told->opened_us);
	differs_in_number(fold, "closed_at (us)", row->closed_us, told->closed_us);
	differs_in_number(fold, "changed_at (us)", row->changed_us, told->changed_us);
}

static void flaw(struct audit_fold *fold, const char *rule, bool is_loss, struct str text)
{
	if (fold->flaws.len < AUDIT_FLAWS_MOST)
		*VEC_PUSH(fold->arena, &fold->flaws) = (struct audit_flaw){ rule, is_loss, text };
}
