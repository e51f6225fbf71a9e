/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/case_record_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"

#include "base/banned.h"

static struct uuid id_of(unsigned n)
{
	struct uuid id = { { 0 } };

	id.b[0] = 0xab;
	id.b[15] = (uint8_t)n;
	return id;
}

/* One fact of every kind, with every field set. */
static const struct fact *all_facts(void)
{
	static struct fact facts[FACT_KINDS];

	for (int kind = 0; kind < FACT_KINDS; kind++)
		facts[kind] = (struct fact){ .kind = (enum fact_kind)kind };
	facts[FACT_CASE_OPENED].case_opened.queue.id = id_of(1);
	facts[FACT_CASE_OPENED].case_opened.team.id = id_of(2);
	facts[FACT_CASE_OPENED].case_opened.mailbox.id = id_of(3);
	facts[FACT_CASE_OPENED].case_opened.follows.id = id_of(4);
	facts[FACT_CASE_OPENED].case_opened.state = CASE_OPEN;
	facts[FACT_MESSAGE_ADDED].message_added.message.id = id_of(5);
	facts[FACT_MESSAGE_ADDED].message_added.direction = DIRECTION_NOTE;
	facts[FACT_MESSAGE_ADDED].message_added.is_pending = true;
	facts[FACT_MESSAGE_ADDED].message_added.is_external = true;
	facts[FACT_MESSAGE_ADDED].message_added.matched_by = STR("ids");
	facts[FACT_MESSAGE_ADDED].message_added.size = INT64_C(50) << 20;
	facts[FACT_MESSAGE_ADDED].message_added.attachments = 3;
	facts[FACT_MESSAGE_CONFIRMED].message_confirmed.message.id = id_of(6);
	facts[FACT_PARTICIPANT_ADDED].participant_added.role = STR("opener");
	facts[FACT_ASSIGNED].assigned.user.id = id_of(7);
	facts[FACT_ASSIGNED].assigned.team.id = id_of(8);
	facts[FACT_ASSIGNED].assigned.method = STR("round_robin");
	facts[FACT_QUEUE_CHANGED].queue_changed.to.id = id_of(9);
	facts[FACT_STATE_CHANGED].state_changed.from = CASE_WAITING;
	facts[FACT_STATE_CHANGED].state_changed.to = CASE_OPEN;
	facts[FACT_STATE_CHANGED].state_changed.reason = STR("customer_wrote");
	facts[FACT_FOLLOWED].followed.user.id = id_of(10);
	facts[FACT_FOLLOWED].followed.is_following = true;
	facts[FACT_NOTICE_PLANNED].notice_planned.outbound.id = id_of(11);
	facts[FACT_NOTICE_PLANNED].notice_planned.audience = STR("customer");
	facts[FACT_NOTICE_SUPPRESSED].notice_suppressed.suppressed_by = STR("budget_address");
	facts[FACT_COPY_STATE_CHANGED].copy_state_changed.copy.id = id_of(12);
	facts[FACT_COPY_STATE_CHANGED].copy_state_changed.to = STR("accepted");
	facts[FACT_COPY_STATE_CHANGED].copy_state_changed.reply_code = 250;
	facts[FACT_TOKEN_REFUSED].token_refused.reason = STR("bad_signature");
	facts[FACT_MATCH_SUGGESTED].match_suggested.other.id = id_of(13);
	facts[FACT_MATCH_SUGGESTED].match_suggested.rung = STR("number");
	return facts;
}

static struct case_record sample(void)
{
	return (struct case_record){
		.tenant = { id_of(100) },
		.case_id = { id_of(101) },
		.version = 7,
		.number = 235,
		.time_us = INT64_C(1760000000123456),
		.cause = id_of(102),
		.hop = 2,
		.is_quiet = true,
		.author = { .kind = AUTHOR_USER, .user = { id_of(103) } },
		.facts = all_facts(),
		.facts_len = FACT_KINDS,
	};
}

static void what_is_encoded_decodes_to_the_same(void **state)
{
	(void)state;
	struct arena arena;
	arena_init(&arena);
	struct case_record in = sample(), out;
	struct err err = { 0 };

	assert_int_equal(case_record_decode(&arena, case_record_encode(&arena, &in), &out, &err), 0);
	assert_true(uuid_eq(in.tenant.id, out.tenant.id) && uuid_eq(in.case_id.id, out.case_id.id));
	assert_true(in.version == out.version && in.number == out.number && in.time_us == out.time_us);
	assert_true(uuid_eq(in.cause, out.cause) && in.hop == out.hop && out.is_quiet);
	assert_int_equal(out.author.kind, AUTHOR_USER);
	assert_true(uuid_eq(in.author.user.id, out.author.user.id));
	assert_int_equal(out.facts_len, FACT_KINDS);
	/* The JSON view names every field, so that equal views are equal facts. */
	for (size_t i = 0; i < out.facts_len; i++) {
		struct str want = fact_json(&arena, &in.facts[i]), got = fact_json(&arena, &out.facts[i]);
		assert_int_equal(out.facts[i].kind, in.facts[i].kind);
		assert_true(str_eq(want, got));
		assert_true(want.len > 2);
	}
	arena_done(&arena);
}

static void junk_is_refused_for_ever(void **state)
{
	(void)state;
	struct arena arena;
	arena_init(&arena);
	struct case_record good = sample(), out;
	struct str bytes = case_record_encode(&arena, &good);
	char *broken = arena_copy(&arena, bytes.at, bytes.len);
	struct err err = { 0 };

	broken[5] = 'z'; /* inside the tenant's id */
	assert_int_equal(case_record_decode(&arena, str_span(broken, bytes.len), &out, &err), -1);
	assert_int_equal(err.kind, ERR_PERM);
	assert_int_equal(case_record_decode(&arena, str_slice(bytes, 0, bytes.len - 3), &out, &err), -1);
	assert_int_equal(err.kind, ERR_PERM);
	assert_int_equal(case_record_decode(&arena, STR(""), &out, &err), -1);
	assert_int_equal(err.kind, ERR_PERM);
	arena_done(&arena);
}

static void a_fact_of_a_later_contract_is_skipped(void **state)
{
	(void)state;
	struct arena arena;
	arena_init(&arena);
	struct case_record in = sample(), out;
	struct err err = { 0 };

	in.facts_len = 1;
	struct str known = case_record_encode(&arena, &in);
	/* facts = 11 (length-delimited): a Fact whose only field is number 99, an empty message. */
	static const char later[] = { 0x5a, 0x03, (char)0x9a, 0x06, 0x00 };
	struct str bytes = str_printf(&arena, "%*s", (int)(known.len + sizeof later), "");
	char *mixed = arena_copy(&arena, bytes.at, bytes.len);
	memcpy(mixed, known.at, known.len);
	memcpy(mixed + known.len, later, sizeof later);
	assert_int_equal(case_record_decode(&arena, str_span(mixed, bytes.len), &out, &err), 0);
	assert_int_equal(out.facts_len, 1);
	arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encoded_decodes_to_the_same),
		cmocka_unit_test(junk_is_refused_for_ever),
		cmocka_unit_test(a_fact_of_a_later_contract_is_skipped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
