/* SPDX-License-Identifier: Apache-2.0
 * audit_case - does the timeline of a case tell its row?
 *
 * The rows of case_event go in one by one, in order (version, ordinal); what they make of the case is kept. In the end
 * the case's own row is held against it. Nothing is remembered of a case but what a row would hold, so that a timeline
 * of any length can go through.
 */
#ifndef MAILCASE_AUDIT_CASE_H
#define MAILCASE_AUDIT_CASE_H

#include "base/vec.h"
#include "domain/fact.h"

struct audit_event {
	int64_t version, ordinal, time_us;
	enum author_kind author;
	struct tenant_id tenant;
	bool is_known; /* false: a kind of fact that this program does not know */
	struct fact fact;
};

/* A row of case_file, as far as facts make it. */
struct audit_case_row {
	struct tenant_id tenant;
	int64_t number, version, messages;
	enum case_state state;
	struct queue_id queue;
	struct team_id team;
	struct user_id assignee;
	struct mailbox_id mailbox;
	bool is_touched;
	int64_t opened_us, changed_us, closed_us; /* 0: not closed */
};

/* What is wrong. `rule` is stable. */
struct audit_flaw {
	const char *rule; /* case.version, case.ordinal, case.opening, case.chain, case.row, ... */
	bool is_loss;     /* something is missing; else two things contradict each other */
	struct str text;
};

struct audit_fold {
	struct arena *arena; /* of the flaws */
	struct audit_case_row row;
	int64_t ordinal; /* of the last event; -1 before the first */
	bool has_opened;
	VEC(struct audit_flaw) flaws;
};

/* At most so many of a case are told. */
#define AUDIT_FLAWS_MOST 20

void audit_fold_init(struct audit_fold *fold, struct arena *arena);
void audit_fold_add(struct audit_fold *fold, const struct audit_event *event);

/* The end of the timeline: hold the case's row against it. NULL: there is none. */
void audit_fold_end(struct audit_fold *fold, const struct audit_case_row *row);

#endif
