/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/mail_received.h"
#include "wire/mailbox_event.h"

static void a_record_comes_back_as_it_went(void **state)
{
	struct arena arena;
	struct mail_received in = { .size = 4096, .received_at_us = 1700000000123456, .is_quiet = true,
		                    .hint = "0123456789abcdef" };
	struct mail_received out;
	struct err err;

	(void)state;
	arena_init(&arena);
	in.intake.id = uuid_v7();
	in.tenant.id = uuid_v7();
	in.mailbox.id = uuid_v7();
	in.folder.id = uuid_v7();
	in.blob.id = uuid_v7();
	in.sha256 = sha256_of(STR("mail"));
	struct str bytes = mail_received_encode(&arena, &in);
	assert_int_equal(mail_received_decode(&arena, bytes, &out, &err), 0);
	assert_memory_equal(&in.intake, &out.intake, sizeof in.intake);
	assert_memory_equal(&in.tenant, &out.tenant, sizeof in.tenant);
	assert_memory_equal(&in.mailbox, &out.mailbox, sizeof in.mailbox);
	assert_memory_equal(&in.folder, &out.folder, sizeof in.folder);
	assert_memory_equal(&in.blob, &out.blob, sizeof in.blob);
	assert_memory_equal(&in.sha256, &out.sha256, sizeof in.sha256);
	assert_int_equal(out.size, 4096);
	assert_int_equal(out.received_at_us, 1700000000123456);
	assert_true(out.is_quiet);
	assert_string_equal(out.hint, in.hint);

	in.hint[3] = 'X';
	assert_int_equal(mail_received_decode(&arena, mail_received_encode(&arena, &in), &out, &err), -1);
	assert_int_equal(err.kind, ERR_PERM);
	arena_done(&arena);
}

static void strange_bytes_are_refused_for_good(void **state)
{
	static const struct str strange[] = {
		{ "", 0 },
		{ "\xff\xff\xff", 3 },
		{ "\x0a\x03" "abc", 5 },
		{ "\x52\x00", 2 }, /* an empty MailStored, no ids */
	};
	struct arena arena;

	(void)state;
	arena_init(&arena);
	for (size_t i = 0; i < ARRAY_LEN(strange); i++) {
		struct mail_received out;
		struct mailbox_event event;
		struct err err = { 0 };
		assert_int_equal(mail_received_decode(&arena, strange[i], &out, &err), -1);
		assert_int_equal(err.kind, ERR_PERM);
		assert_int_equal(mailbox_event_decode(&arena, strange[i], &event, &err), -1);
		assert_int_equal(err.kind, ERR_PERM);
	}
	arena_done(&arena);
}

static void a_state_change_comes_back_as_it_went(void **state)
{
	struct arena arena;
	struct mailbox_event in = { .version = 7, .at_us = 5, .from = MAILBOX_OK, .to = MAILBOX_AUTH_FAILED,
		                    .cause = STR("wrong_password"), .failures = 3, .next_try_at_us = 9 };
	struct mailbox_event out;
	struct err err;
	enum mailbox_state parsed;

	(void)state;
	arena_init(&arena);
	in.tenant.id = uuid_v7();
	in.mailbox.id = uuid_v7();
	assert_int_equal(mailbox_event_decode(&arena, mailbox_event_encode(&arena, &in), &out, &err), 0);
	assert_true(uuid_eq(in.mailbox.id, out.mailbox.id));
	assert_int_equal(out.version, 7);
	assert_int_equal(out.from, MAILBOX_OK);
	assert_int_equal(out.to, MAILBOX_AUTH_FAILED);
	assert_true(str_eq(out.cause, in.cause));
	assert_int_equal(out.next_try_at_us, 9);
	assert_true(mailbox_state_parse(str_of(mailbox_state_name(MAILBOX_OFF)), &parsed));
	assert_int_equal(parsed, MAILBOX_OFF);
	assert_false(mailbox_state_parse(STR("asleep"), &parsed));
	arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_comes_back_as_it_went),
		cmocka_unit_test(strange_bytes_are_refused_for_good),
		cmocka_unit_test(a_state_change_comes_back_as_it_went),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
