/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "domain/audit_case.h"

#include "base/banned.h"

#define TENANT { { { 1 } } }
#define QUEUE { { { 2 } } }
#define TEAM { { { 3 } } }
#define ANN { { { 4 } } }
#define BOB { { { 5 } } }
#define MAILBOX { { { 6 } } }

#define OPENED \
	{ .kind = FACT_CASE_OPENED, .case_opened = { .queue = QUEUE, .team = TEAM, .mailbox = MAILBOX, .state = CASE_OPEN } }
#define MAIL { .kind = FACT_MESSAGE_ADDED, .message_added = { .direction = DIRECTION_IN } }
#define REPLY { .kind = FACT_MESSAGE_ADDED, .message_added = { .direction = DIRECTION_OUT } }
#define TO_ANN { .kind = FACT_ASSIGNED, .assigned = { .user = ANN, .team = TEAM } }
#define MOVES(from_, to_) { .kind = FACT_STATE_CHANGED, .state_changed = { .from = from_, .to = to_ } }

#define EVENT(version_, ordinal_, author_, ...) \
	{ .version = version_, .ordinal = ordinal_, .time_us = 1000 * version_, .author = author_, .tenant = TENANT, \
	  .is_known = true, .fact = __VA_ARGS__ }

/* Opened by a mail, given to Ann, answered by her. */
#define STORY \
	EVENT(1, 0, AUTHOR_SENDER, OPENED), EVENT(1, 1, AUTHOR_SENDER, MAIL), EVENT(2, 0, AUTHOR_SYSTEM, TO_ANN), \
		EVENT(3, 0, AUTHOR_USER, REPLY), EVENT(3, 1, AUTHOR_USER, MOVES(CASE_OPEN, CASE_WAITING))

#define ROW \
	.tenant = TENANT, .number = 7, .version = 3, .messages = 2, .state = CASE_WAITING, .queue = QUEUE, .team = TEAM, \
	.assignee = ANN, .mailbox = MAILBOX, .is_touched = true, .opened_us = 1000, .changed_us = 3000

/* A row is the right one but for what is named after it. */
#pragma GCC diagnostic ignored "-Woverride-init"

static const struct {
	const char *name;
	struct audit_event events[8];
	bool has_no_row;
	struct audit_case_row row;
	const char *rule; /* of the first flaw; NULL: none */
	const char *words; /* in it */
} cases[] = {
	{ "a timeline and the row that it makes", { STORY }, .row = { ROW } },
	{ "a version is missing", { EVENT(1, 0, AUTHOR_SENDER, OPENED), EVENT(3, 0, AUTHOR_SYSTEM, TO_ANN) }, .row = { ROW },
	  .rule = "case.version", .words = "no version 2" },
	{ "several versions are missing", { EVENT(1, 0, AUTHOR_SENDER, OPENED), EVENT(5, 0, AUTHOR_SYSTEM, TO_ANN) },
	  .row = { ROW }, .rule = "case.version", .words = "no versions 2 to 4" },
	{ "the first version is missing", { EVENT(2, 0, AUTHOR_SYSTEM, TO_ANN) }, .row = { ROW }, .rule = "case.version",
	  .words = "no version 1" },
	{ "the last version is missing", { STORY }, .row = { ROW, .version = 4 }, .rule = "case.version",
	  .words = "at version 4" },
	{ "the row fell behind", { STORY }, .row = { ROW, .version = 2 }, .rule = "case.version", .words = "at version 2" },
	{ "a fact within a version is missing",
	  { EVENT(1, 0, AUTHOR_SENDER, OPENED), EVENT(1, 2, AUTHOR_SENDER, MAIL) }, .row = { ROW }, .rule = "case.ordinal",
	  .words = "version 1 has no fact 1" },
	{ "a version without its first fact", { EVENT(1, 0, AUTHOR_SENDER, OPENED), EVENT(2, 1, AUTHOR_SENDER, MAIL) },
	  .row = { ROW }, .rule = "case.ordinal", .words = "version 2 has no fact 0" },
	{ "no row", { STORY }, .has_no_row = true, .rule = "case.row", .words = "no case" },
	{ "no timeline", { { 0 } }, .row = { ROW }, .rule = "case.version", .words = "no timeline" },
	{ "not opened", { EVENT(1, 0, AUTHOR_SENDER, MAIL) }, .row = { ROW }, .rule = "case.opening" },
	{ "opened twice", { EVENT(1, 0, AUTHOR_SENDER, OPENED), EVENT(2, 0, AUTHOR_SENDER, OPENED) },
	  .row = { ROW }, .rule = "case.opening", .words = "twice" },
	{ "another owner", { STORY }, .row = { ROW, .assignee = BOB }, .rule = "case.row", .words = "assignee" },
	{ "another state", { STORY }, .row = { ROW, .state = CASE_OPEN }, .rule = "case.row", .words = "state" },
	{ "another queue", { STORY }, .row = { ROW, .queue = BOB }, .rule = "case.row", .words = "queue" },
	{ "another count of messages", { STORY }, .row = { ROW, .messages = 3 }, .rule = "case.row",
	  .words = "message_count 3" },
	{ "no person has touched it", { STORY }, .row = { ROW, .is_touched = false }, .rule = "case.row",
	  .words = "is_touched" },
	{ "another tenant", { STORY }, .row = { ROW, .tenant = BOB }, .rule = "case.row", .words = "tenant" },
	{ "a state that does not follow from the one before",
	  { STORY, EVENT(4, 0, AUTHOR_USER, MOVES(CASE_OPEN, CASE_CLOSED)) },
	  .row = { ROW, .version = 4, .state = CASE_CLOSED, .closed_us = 4000, .changed_us = 4000 }, .rule = "case.chain",
	  .words = "says that it was open" },
	{ "closed, with the time of its closing",
	  { STORY, EVENT(4, 0, AUTHOR_USER, MOVES(CASE_WAITING, CASE_CLOSED)) },
	  .row = { ROW, .version = 4, .state = CASE_CLOSED, .closed_us = 4000, .changed_us = 4000 } },
	{ "closed at another time",
	  { STORY, EVENT(4, 0, AUTHOR_USER, MOVES(CASE_WAITING, CASE_CLOSED)) },
	  .row = { ROW, .version = 4, .state = CASE_CLOSED, .closed_us = 1, .changed_us = 4000 }, .rule = "case.row",
	  .words = "closed_at" },
	{ "facts of a later release say nothing here", { STORY, { .version = 4, .time_us = 4000, .tenant = TENANT } },
	  .row = { ROW, .version = 4, .changed_us = 4000 } },
};

static void test_each_flaw_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena CLEANUP(arena_done);
		struct audit_fold fold;
		arena_init(&arena);
		audit_fold_init(&fold, &arena);
		for (const struct audit_event *event = cases[i].events; event->version; event++)
			audit_fold_add(&fold, event);
		audit_fold_end(&fold, cases[i].has_no_row ? NULL : &cases[i].row);
		if (!cases[i].rule && fold.flaws.len)
			fail_msg("%s: %.*s", cases[i].name, STR_ARG(fold.flaws.at[0].text));
		if (!cases[i].rule)
			continue;
		if (!fold.flaws.len)
			fail_msg("%s: nothing was found", cases[i].name);
		if (strcmp(fold.flaws.at[0].rule, cases[i].rule) != 0 ||
		    (cases[i].words && str_find(fold.flaws.at[0].text, str_of(cases[i].words), 0) < 0))
			fail_msg("%s: %s, %.*s", cases[i].name, fold.flaws.at[0].rule, STR_ARG(fold.flaws.at[0].text));
	}
}

static void test_a_case_that_is_all_wrong_is_told_in_a_few_words(void **state)
{
	(void)state;
	struct arena arena CLEANUP(arena_done);
	struct audit_fold fold;
	arena_init(&arena);
	audit_fold_init(&fold, &arena);
	for (int64_t version = 2; version < 1000; version += 2)
		audit_fold_add(&fold, &(struct audit_event){ .version = version });
	audit_fold_end(&fold, NULL);
	assert_int_equal(fold.flaws.len, AUDIT_FLAWS_MOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_flaw_is_named),
		cmocka_unit_test(test_a_case_that_is_all_wrong_is_told_in_a_few_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
