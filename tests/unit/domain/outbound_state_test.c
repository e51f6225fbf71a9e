/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "domain/outbound_state.h"

#include "base/banned.h"

#define NONE (-1)

static const struct {
	const char *name;
	enum copy_state from;
	enum copy_event event;
	int to;
} cases[] = {
	{ "a queued copy starts", COPY_QUEUED, COPY_STARTS, COPY_SENDING },
	{ "a deferred copy starts again", COPY_DEFERRED, COPY_STARTS, COPY_SENDING },
	{ "a copy that is sending does not start twice", COPY_SENDING, COPY_STARTS, NONE },
	{ "a recipient refused before the body", COPY_QUEUED, COPY_WAS_REFUSED, COPY_FAILED },
	{ "a recipient refused for now", COPY_QUEUED, COPY_WAS_DEFERRED, COPY_DEFERRED },
	{ "nothing is accepted that was not sending", COPY_QUEUED, COPY_WAS_ACCEPTED, NONE },
	{ "nothing is unknown that was not sending", COPY_QUEUED, COPY_LOST_TRACK, NONE },
	{ "2xx to the dot", COPY_SENDING, COPY_WAS_ACCEPTED, COPY_ACCEPTED },
	{ "4xx to the dot", COPY_SENDING, COPY_WAS_DEFERRED, COPY_DEFERRED },
	{ "5xx to the dot", COPY_SENDING, COPY_WAS_REFUSED, COPY_FAILED },
	{ "no answer to the dot", COPY_SENDING, COPY_LOST_TRACK, COPY_UNKNOWN },
	{ "a late 250 makes unknown accepted", COPY_UNKNOWN, COPY_WAS_ACCEPTED, COPY_ACCEPTED },
	{ "a late 4xx does not make unknown due again", COPY_UNKNOWN, COPY_WAS_DEFERRED, NONE },
	{ "unknown is never started", COPY_UNKNOWN, COPY_STARTS, NONE },
	{ "unknown ends by a delivery report", COPY_UNKNOWN, COPY_CAME_BACK, COPY_BOUNCED },
	{ "accepted comes back", COPY_ACCEPTED, COPY_CAME_BACK, COPY_BOUNCED },
	{ "accepted is never started", COPY_ACCEPTED, COPY_STARTS, NONE },
	{ "failed stays", COPY_FAILED, COPY_WAS_ACCEPTED, NONE },
	{ "deferred for too long", COPY_DEFERRED, COPY_GAVE_UP, COPY_FAILED },
};

static void test_transitions(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum copy_state to = COPY_STATES;
		bool moved = outbound_state_next(cases[i].from, cases[i].event, &to);
		if (moved != (cases[i].to != NONE) || (moved && to != (enum copy_state)cases[i].to))
			fail_msg("%s", cases[i].name);
	}
}

/* Whatever happens in whatever order: once accepted or unknown, a copy is never due again. */
static void test_no_path_leads_back_to_the_queue(void **state)
{
	(void)state;
	bool reached[COPY_STATES][COPY_STATES] = { { false } };

	for (int from = 0; from < COPY_STATES; from++)
		reached[from][from] = true;
	for (int round = 0; round < COPY_STATES; round++) {
		for (int from = 0; from < COPY_STATES; from++) {
			for (int via = 0; via < COPY_STATES; via++) {
				for (int event = 0; event < COPY_EVENTS; event++) {
					enum copy_state to;
					if (reached[from][via] && outbound_state_next((enum copy_state)via, (enum copy_event)event, &to))
						reached[from][to] = true;
				}
			}
		}
	}
	for (int from = 0; from < COPY_STATES; from++) {
		if (!copy_state_is_final((enum copy_state)from))
			continue;
		assert_false(reached[from][COPY_QUEUED]);
		assert_false(reached[from][COPY_DEFERRED]);
		assert_false(reached[from][COPY_SENDING]);
	}
}

static void test_names(void **state)
{
	(void)state;
	for (int i = 0; i < COPY_STATES; i++) {
		enum copy_state back;
		assert_true(copy_state_parse(str_of(copy_state_name((enum copy_state)i)), &back));
		assert_int_equal(back, i);
	}
	enum copy_state none;
	assert_false(copy_state_parse(STR("sent"), &none));
}

static void test_codes(void **state)
{
	(void)state;
	assert_int_equal(outbound_reply_event(250), COPY_WAS_ACCEPTED);
	assert_int_equal(outbound_reply_event(251), COPY_WAS_ACCEPTED);
	assert_int_equal(outbound_reply_event(421), COPY_WAS_DEFERRED);
	assert_int_equal(outbound_reply_event(452), COPY_WAS_DEFERRED);
	assert_int_equal(outbound_reply_event(554), COPY_WAS_REFUSED);
	assert_int_equal(outbound_reply_event(354), COPY_WAS_DEFERRED);
}

static void test_ladder(void **state)
{
	(void)state;
	int64_t minute = 60 * USEC_PER_SEC;

	assert_int_equal(outbound_retry_us(1, 0.5), minute);
	assert_int_equal(outbound_retry_us(0, 0.5), minute);
	assert_int_equal(outbound_retry_us(3, 0.5), 10 * minute);
	assert_int_equal(outbound_retry_us(1000000, 0.5), 240 * minute);
	for (int64_t attempts = 1; attempts < 12; attempts++) {
		assert_true(outbound_retry_us(attempts, 0) < outbound_retry_us(attempts, 0.999));
		assert_true(outbound_retry_us(attempts + 1, 0.5) >= outbound_retry_us(attempts, 0.5));
	}
	assert_false(outbound_gives_up(0, OUTBOUND_GIVE_UP_US - 1));
	assert_true(outbound_gives_up(0, OUTBOUND_GIVE_UP_US));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transitions), cmocka_unit_test(test_no_path_leads_back_to_the_queue),
		cmocka_unit_test(test_names),       cmocka_unit_test(test_codes),
		cmocka_unit_test(test_ladder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
