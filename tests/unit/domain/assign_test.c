/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"
#include "domain/assign.h"

#include "base/banned.h"

#define MEMBERS 4

/* Members A to D, told apart by the last byte of their id. */
static struct user_id who(char letter)
{
	struct user_id user;

	memset(&user, 0, sizeof user);
	user.id.b[15] = (uint8_t)letter;
	return user;
}

static char picked(const struct assign_choice *choice)
{
	return choice->user.id.b[15] ? (char)choice->user.id.b[15] : '-';
}

struct state {
	const char *absent, *full, *off;
	int64_t unclosed[MEMBERS], last_turn[MEMBERS];
};

static const struct {
	const char *name;
	enum assign_distribution distribution;
	char direct;
	struct state state;
	const char *picks; /* one a case */
	const char *method;
} cases[] = {
	{ "round robin takes turns", ASSIGN_ROUND_ROBIN, 0, { 0 }, "ABCDABCD", "round_robin" },
	{ "who has waited longest goes first", ASSIGN_ROUND_ROBIN, 0, { .last_turn = { 5, 3, 6, 4 } }, "BDACB", "round_robin" },
	{ "the absent are passed over", ASSIGN_ROUND_ROBIN, 0, { .absent = "BD" }, "ACAC", "round_robin" },
	{ "who is switched off gets nothing", ASSIGN_ROUND_ROBIN, 0, { .off = "ABC" }, "DD", "round_robin" },
	{ "round robin does not look at the load", ASSIGN_ROUND_ROBIN, 0, { .unclosed = { 90, 0, 0, 0 } }, "ABCD", "round_robin" },
	{ "whose capacity is reached is passed over", ASSIGN_ROUND_ROBIN, 0, { .full = "A", .unclosed = { 9, 0, 0, 0 } }, "BCDB",
	  "round_robin" },
	{ "capacity counts what this batch gave", ASSIGN_ROUND_ROBIN, 0, { .full = "ABCD", .unclosed = { 0, 1, 1, 1 } }, "A-",
	  NULL },
	{ "the least busy is first", ASSIGN_LEAST_BUSY, 0, { .unclosed = { 3, 1, 2, 3 } }, "BCBADCB", "least_busy" },
	{ "equally busy: who has waited longest", ASSIGN_LEAST_BUSY, 0, { .unclosed = { 1, 1, 1, 1 }, .last_turn = { 2, 3, 1, 4 } },
	  "CABD", "least_busy" },
	{ "direct is one user whatever the load", ASSIGN_DIRECT, 'C', { .unclosed = { 0, 0, 50, 0 } }, "CCC", "direct" },
	{ "direct, and away: nobody", ASSIGN_DIRECT, 'C', { .absent = "C" }, "-", ASSIGN_NOBODY },
	{ "direct, and nobody is named: nobody", ASSIGN_DIRECT, 0, { 0 }, "-", ASSIGN_NOBODY },
	{ "all away: nobody", ASSIGN_LEAST_BUSY, 0, { .absent = "ABCD" }, "--", ASSIGN_NOBODY },
};

static struct assign_team team_of(struct assign_member members[MEMBERS], enum assign_distribution distribution, char direct,
                                  const struct state *state)
{
	for (int i = 0; i < MEMBERS; i++) {
		char letter = (char)('A' + i);
		bool is_full = state->full && strchr(state->full, letter);
		members[i] = (struct assign_member){
			.user = who(letter),
			.is_member = true,
			.is_active = !(state->off && strchr(state->off, letter)),
			.is_absent = state->absent && strchr(state->absent, letter),
			.has_capacity = is_full,
			.capacity = is_full ? 1 : 0,
			.unclosed = state->unclosed[i],
			.last_turn = state->last_turn[i],
		};
	}
	struct assign_team team = { .distribution = distribution, .next_turn = 100, .members = members, .members_len = MEMBERS };
	if (direct)
		team.direct = who(direct);
	return team;
}

static void test_picks(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct assign_member members[MEMBERS];
		struct assign_team team = team_of(members, cases[i].distribution, cases[i].direct, &cases[i].state);
		for (size_t k = 0; cases[i].picks[k]; k++) {
			struct assign_choice choice;
			assign_pick(&arena, &team, &choice);
			if (picked(&choice) != cases[i].picks[k])
				fail_msg("%s: case %zu went to %c, not %c", cases[i].name, k, picked(&choice), cases[i].picks[k]);
			if (cases[i].method)
				assert_string_equal(choice.method, cases[i].method);
		}
	}
	arena_done(&arena);
}

/* Whatever happens in between, among those who were available all the time shares differ by at most one. */
static void test_shares_differ_by_at_most_one(void **state)
{
	struct arena arena;
	unsigned random = 1;

	(void)state;
	arena_init(&arena);
	for (int round = 0; round < 200; round++) {
		struct assign_member members[MEMBERS];
		struct state start = { 0 };
		int64_t share[MEMBERS] = { 0 };
		for (int i = 0; i < MEMBERS; i++)
			start.unclosed[i] = (int64_t)((random = random * 1103515245 + 12345) >> 16) % 20;
		struct assign_team team = team_of(members, ASSIGN_ROUND_ROBIN, 0, &start);
		for (int k = 0; k < 101; k++) {
			struct assign_choice choice;
			/* D comes and goes. */
			members[3].is_absent = ((random = random * 1103515245 + 12345) >> 16) % 2;
			assign_pick(&arena, &team, &choice);
			share[picked(&choice) - 'A']++;
		}
		for (int i = 0; i < 3; i++)
			for (int j = 0; j < 3; j++)
				assert_true(share[i] - share[j] <= 1);
		arena_reset(&arena);
	}
	arena_done(&arena);
}

static void test_inputs_are_what_the_choice_rested_on(void **state)
{
	struct arena arena;
	struct assign_member members[MEMBERS];
	struct assign_choice choice;
	struct state start = { .absent = "B", .last_turn = { 7, 0, 0, 0 } };

	(void)state;
	arena_init(&arena);
	struct assign_team team = team_of(members, ASSIGN_ROUND_ROBIN, 0, &start);
	assign_pick(&arena, &team, &choice);
	json_t *inputs = json_parse(choice.inputs, 10000, NULL);
	const json_t *list = json_object_get(inputs, "members");
	assert_int_equal(json_array_size(list), MEMBERS);
	assert_true(str_eq(json_str(json_array_get(list, 1), "available"), STR("absent")));
	/* Before the turn, not after it. */
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 2), "last_turn")), 0);
	assert_int_equal(members[2].last_turn, 100);
	assert_int_equal(team.next_turn, 101);
	json_done(&inputs);
	arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_picks),
		cmocka_unit_test(test_shares_differ_by_at_most_one),
		cmocka_unit_test(test_inputs_are_what_the_choice_rested_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
