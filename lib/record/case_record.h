/* SPDX-License-Identifier: Apache-2.0
 * case_record - the core invariant, written once: version, timeline, case row and outbox move together
 *
 * Whoever changes a case locks its row (FOR NO KEY UPDATE, cases in id order), gathers the facts that become true in
 * this transaction, and calls case_record_apply() once. It derives the case row from the facts, so that a consumer who
 * applies the same facts from zero has the same state:
 *	case_opened: inserts the row · message_added: message_count, is_touched (out, note by a user) · assigned: assignee, team
 *	(by a person: is_touched no) · queue_changed · state_changed: state, closed_at
 */
#ifndef MAILCASE_CASE_RECORD_H
#define MAILCASE_CASE_RECORD_H

#include "domain/fact.h"
#include "edge/db.h"

/* What a new case has besides its facts. */
struct case_opening {
	struct str subject, subject_base;
	struct group_id group;
	struct message_id opener;
	struct str root_header_id;
};

struct case_change {
	struct tenant_id tenant;
	struct case_id case_id;
	int64_t number;      /* of the case */
	int64_t old_version; /* of the locked row; 0: a new case */
	const struct case_opening *opening; /* new cases only */
	struct author author;
	struct uuid cause; /* null: this record is the root */
	uint32_t hop;
	bool is_quiet;
	const struct fact *facts;
	size_t facts_len;
	struct uuid out_ce_id; /* filled: the record's id */
};

/* Queue it all into the open transaction, for all changes at once: case rows, timeline rows, outbox rows, in the given
 * order (sort by case id). `now_us` is the time of the record. A flush or commit must follow. */
int case_record_apply(struct db *db, struct arena *arena, struct case_change *changes, size_t count, int64_t now_us,
                      struct err *err) MUST_CHECK;

/* A case row, read under its lock. */
struct case_row {
	struct tenant_id tenant;
	struct case_id id;
	int64_t number, version;
	enum case_state state;
	struct str subject, subject_base, root_header_id;
	struct queue_id queue;
	struct team_id team;
	struct user_id assignee;
	struct mailbox_id mailbox;
	struct group_id group;
	struct message_id opener;
	int64_t message_count, opened_at, closed_at;
	bool is_touched, is_quiet;
	struct case_id merged_into;
};

/* Lock (in id order) and read; cases that do not exist are left out. Rows are in id order. */
int case_record_lock(struct db *db, struct arena *arena, const struct case_id *ids, size_t count, struct case_row **out,
                     size_t *out_count, struct err *err) MUST_CHECK;

/* 1 found, 0 absent. Not locked. */
int case_record_find(struct db *db, struct arena *arena, struct tenant_id tenant, int64_t number, struct case_row *out,
                     struct err *err) MUST_CHECK;

/* Draw `count` case numbers of a tenant (its sequence; gaps allowed). */
int case_record_numbers(struct db *db, struct arena *arena, struct tenant_id tenant, size_t count, int64_t *out,
                        struct err *err) MUST_CHECK;

#endif
