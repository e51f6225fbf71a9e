/* SPDX-License-Identifier: Apache-2.0
 * Every case is a sentence. Who the cases, mails and people are stands in match_world.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "match_world.inc"

#include "base/err.h"

#include "base/banned.h"

enum { NEW = 0, FULL = 0, PENDING = 1, EXTERNAL = 2, UNVERIFIED = 4 };

struct expectation {
	int case_number; /* NEW: opened */
	int marks;       /* PENDING | EXTERNAL | UNVERIFIED */
	const char *by;
	const char *state; /* "waiting>open", or NULL: unchanged */
	int follows, suggests;
	const char *refused;
};

static const struct {
	const char *sentence;
	struct letter letter;
	struct expectation expect;
} sentences[] = {
#include "case_match_sentences.inc"
};

static void check(const char *sentence, const struct match_verdict *v, const struct expectation *e)
{
	char state[40] = "";
	if (v->state != v->state_before)
		snprintf(state, sizeof state, "%s>%s", case_state_name(v->state_before), case_state_name(v->state));
	bool is_new = v->outcome == MATCH_OPENED;
	bool right_case = e->case_number
	                      ? v->outcome == MATCH_JOINED && uuid_eq(v->case_id.id, world_case(e->case_number).id)
	                      : is_new && uuid_eq(v->case_id.id, world_case(FRESH).id);
	int marks = (v->is_pending ? PENDING : 0) | (v->is_external ? EXTERNAL : 0) | (v->is_unverified ? UNVERIFIED : 0);
	bool right_follows = e->follows ? uuid_eq(v->follows.id, world_case(e->follows).id) : uuid_is_null(v->follows.id);
	bool right_suggests =
		e->suggests ? uuid_eq(v->suggested.id, world_case(e->suggests).id) : uuid_is_null(v->suggested.id);
	if (!right_case || marks != e->marks || !str_eq(v->matched_by, str_of(e->by ? e->by : "opened")) ||
	    !str_eq(str_of(state), str_of(e->state ? e->state : "")) || !right_follows || !right_suggests ||
	    !str_eq(v->token_refused, str_of(e->refused ? e->refused : "")))
		fail_msg("%s: outcome %d case %02x%02x marks %d by %.*s state %s follows %d suggests %d refused %.*s\n%.*s",
		         sentence, v->outcome, v->case_id.id.b[1], v->case_id.id.b[2], marks, STR_ARG(v->matched_by), state,
		         v->follows.id.b[2], v->suggested.id.b[2], STR_ARG(v->token_refused), STR_ARG(v->evidence));
}

static void test_sentence(void **state)
{
	size_t at = (size_t)(uintptr_t)*state;
	struct world world;
	world_init(&world);
	struct match_verdict verdict;
	case_match(&world.arena, &world.facts, world_mails(&world, &sentences[at].letter, 1, FRESH), 1, &verdict);
	check(sentences[at].sentence, &verdict, &sentences[at].expect);
	assert_true(verdict.evidence.len > 0 && verdict.evidence.at[0] == '{');
	world_done(&world);
}

#include "case_match_batches.inc"

int main(void)
{
	static const struct CMUnitTest batches[] = { BATCH_TESTS };
	struct CMUnitTest *tests = xcalloc(ARRAY_LEN(sentences), sizeof *tests);
	for (size_t i = 0; i < ARRAY_LEN(sentences); i++)
		tests[i] = (struct CMUnitTest){ sentences[i].sentence, test_sentence, NULL, NULL, (void *)(uintptr_t)i };
	int failed = _cmocka_run_group_tests("sentences", tests, ARRAY_LEN(sentences), NULL, NULL);
	free(tests);
	return failed + cmocka_run_group_tests(batches, NULL, NULL);
}
