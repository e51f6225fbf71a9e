/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "domain/notice_plan.h"

#include "base/banned.h"

static struct arena arena;

#define ID(n) { { { (n) } } }
static const struct user_id ann = ID(1), bob = ID(2), eve = ID(3), idle = ID(4), mute = ID(5), lost = ID(6);
static const struct message_id mail1 = ID(11), mail2 = ID(12);
static const struct outbound_id reply = ID(21), notice_mail = ID(22);

static const struct notice_user users[] = {
	{ ID(1), true, true, { "ann@demo.example", 16 } }, { ID(2), true, true, { "bob@demo.example", 16 } },
	{ ID(3), true, true, { "eve@demo.example", 16 } }, { ID(4), false, true, { "idle@demo.example", 17 } },
	{ ID(5), true, false, { "mute@demo.example", 17 } }, { ID(6), true, true, { "", 0 } },
};
static const struct notice_outbound outbounds[] = { { ID(21), true, ID(1) }, { ID(22), false, ID(1) } };

/* One scene, which each test changes in what it is about. */
struct scene {
	struct fact facts[4];
	struct notice_message messages[2];
	struct case_record record;
	struct notice_input in;
};

static struct scene *opened_scene(void)
{
	struct scene *scene = ARENA_NEW(&arena, struct scene);

	scene->facts[0] = (struct fact){ .kind = FACT_CASE_OPENED, .case_opened.state = CASE_OPEN };
	scene->facts[1] = (struct fact){ .kind = FACT_MESSAGE_ADDED,
		                         .message_added = { .message = mail1, .direction = DIRECTION_IN } };
	scene->record = (struct case_record){ .version = 1, .facts = scene->facts, .facts_len = 2,
		                              .author = { .kind = AUTHOR_SENDER } };
	scene->messages[0] = (struct notice_message){ .id = mail1, .sender = STR("c@client.example") };
	scene->messages[1] = (struct notice_message){ .id = mail2, .sender = STR("c@client.example") };
	scene->in = (struct notice_input){
		.record = &scene->record,
		.users = users,
		.users_len = ARRAY_LEN(users),
		.messages = scene->messages,
		.messages_len = 2,
		.outbounds = outbounds,
		.outbounds_len = ARRAY_LEN(outbounds),
		.has_mailbox = true,
		.is_auto_reply_on = true,
	};
	return scene;
}

static struct scene *message_scene(enum direction direction)
{
	struct scene *scene = opened_scene();

	scene->facts[0] = (struct fact){ .kind = FACT_MESSAGE_ADDED,
		                         .message_added = { .message = mail1, .direction = direction } };
	scene->record.facts_len = 1;
	scene->record.version = 7;
	scene->in.assignee = ann;
	return scene;
}

static struct notice *plan(struct scene *scene, size_t *count)
{
	struct notice *out;

	notice_plan(&arena, &scene->in, &out, count);
	return out;
}

/* What the plan says of the auto-reply: NULL none, "" sent, else what suppressed it. */
static const char *auto_reply(struct scene *scene)
{
	size_t count;
	struct notice *notices = plan(scene, &count);

	for (size_t i = 0; i < count; i++) {
		if (notices[i].audience == NOTICE_CUSTOMER) {
			assert_string_equal(notices[i].kind, "auto_reply");
			assert_int_equal(notices[i].by_mail, !notices[i].suppressed_by);
			return notices[i].suppressed_by ? notices[i].suppressed_by : "";
		}
	}
	return NULL;
}

static void assert_auto_reply(struct scene *scene, const char *expected)
{
	const char *got = auto_reply(scene);

	if (!expected)
		assert_null(got);
	else
		assert_string_equal(got ? got : "(none)", expected);
}

static void test_the_mail_that_opens_a_case_is_answered(void **state)
{
	(void)state;
	assert_auto_reply(opened_scene(), "");
}

static void test_who_is_not_answered(void **state)
{
	(void)state;
	struct scene *s;

	(s = opened_scene())->in.is_auto_reply_on = false;
	assert_auto_reply(s, "auto_reply_off");
	(s = opened_scene())->messages[0].is_automatic = true;
	assert_auto_reply(s, "automatic_mail");
	(s = opened_scene())->facts[1].message_added.is_automatic = true;
	assert_auto_reply(s, "automatic_mail");
	(s = opened_scene())->messages[0].is_own = true;
	assert_auto_reply(s, "own_address");
	(s = opened_scene())->messages[0].sender = STR("nobody");
	assert_auto_reply(s, "invalid_address");
	(s = opened_scene())->messages[0].sender = STR("no-reply@shop.example");
	assert_auto_reply(s, "unattended_address");
	(s = opened_scene())->messages[0].has_failed = true;
	assert_auto_reply(s, "sender_failed");
	(s = opened_scene())->facts[1].message_added.is_unverified = true;
	assert_auto_reply(s, "sender_failed");
	(s = opened_scene())->facts[1].message_added.is_pending = true;
	assert_auto_reply(s, "pending");
	(s = opened_scene())->messages[0].is_variant = true;
	assert_auto_reply(s, "variant");
	(s = opened_scene())->messages[0].is_suspicious = true;
	assert_auto_reply(s, "suspicious");
}

static void test_strict_answers_authenticated_or_known_senders(void **state)
{
	(void)state;
	struct scene *s = opened_scene();

	s->in.trust = NOTICE_TRUST_STRICT;
	assert_auto_reply(s, "sender_unknown");
	s->messages[0].is_known = true;
	assert_auto_reply(s, "");
	s->messages[0].is_known = false;
	s->messages[0].is_authenticated = true;
	assert_auto_reply(s, "");
}

static void test_when_there_is_nothing_to_answer(void **state)
{
	(void)state;
	struct scene *s;

	(s = opened_scene())->record.is_quiet = true;
	assert_auto_reply(s, NULL);
	(s = opened_scene())->messages[0].is_quiet = true;
	assert_auto_reply(s, NULL);
	(s = opened_scene())->in.has_mailbox = false;
	assert_auto_reply(s, NULL);
	(s = opened_scene())->in.is_auto_reply_decided = true;
	assert_auto_reply(s, NULL);
	(s = opened_scene())->facts[1].message_added.direction = DIRECTION_OUT;
	assert_auto_reply(s, NULL);
	assert_auto_reply(message_scene(DIRECTION_IN), NULL);
}

static void assert_told(struct scene *scene, struct user_id user, const char *reason, const char *role)
{
	size_t count, found = 0;
	struct notice *notices = plan(scene, &count);

	for (size_t i = 0; i < count; i++) {
		if (notices[i].audience == NOTICE_STAFF && uuid_eq(notices[i].user.id, user.id)) {
			assert_string_equal(notices[i].reason, reason ? reason : "(nothing)");
			assert_string_equal(notices[i].role, role);
			found++;
		}
	}
	assert_int_equal(found, reason ? 1 : 0);
}

static void test_the_assignee_is_told_of_the_assignment(void **state)
{
	(void)state;
	struct scene *s = message_scene(DIRECTION_IN);

	s->facts[0] = (struct fact){ .kind = FACT_ASSIGNED, .assigned = { .user = bob, .method = STR("person") } };
	assert_told(s, bob, "assigned", "assignee");
	s->record.author = (struct author){ AUTHOR_USER, ann };
	assert_told(s, bob, "assigned", "assignee");
	assert_told(s, ann, NULL, NULL);
	s->record.author = (struct author){ AUTHOR_USER, bob };
	assert_told(s, bob, NULL, NULL);
	s->facts[0].assigned.user = (struct user_id){ 0 };
	s->record.author = (struct author){ AUTHOR_SYSTEM, { { { 0 } } } };
	assert_told(s, bob, NULL, NULL);
}

static void test_watchers_are_told_of_messages_but_not_of_their_own(void **state)
{
	(void)state;
	static const struct {
		enum direction direction;
		bool is_pending;
		const char *reason;
	} kinds[] = { { DIRECTION_IN, false, "message_in" },
		      { DIRECTION_IN, true, "message_pending" },
		      { DIRECTION_OUT, false, "message_out" },
		      { DIRECTION_NOTE, false, "note" } };
	const struct user_id followers[] = { bob, ann, eve };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct scene *s = message_scene(kinds[i].direction);
		s->facts[0].message_added.is_pending = kinds[i].is_pending;
		s->in.followers = followers;
		s->in.followers_len = 3;
		s->record.author = (struct author){ AUTHOR_USER, eve };
		assert_told(s, ann, kinds[i].reason, "assignee");
		assert_told(s, bob, kinds[i].reason, "follower");
		assert_told(s, eve, NULL, NULL);
	}
}

static void test_an_assignment_with_its_message_is_one_notice(void **state)
{
	(void)state;
	struct scene *s = opened_scene();

	s->facts[2] = (struct fact){ .kind = FACT_ASSIGNED, .assigned = { .user = ann } };
	s->record.facts_len = 3;
	s->in.assignee = ann;
	assert_told(s, ann, "assigned", "assignee");
}

static void test_two_messages_of_a_record_are_one_notice_about_the_last(void **state)
{
	(void)state;
	struct scene *s = message_scene(DIRECTION_IN);
	size_t count;

	s->facts[1] = s->facts[0];
	s->facts[1].message_added.message = mail2;
	s->record.facts_len = 2;
	struct notice *notices = plan(s, &count);
	assert_int_equal(count, 1);
	assert_int_equal(notices[0].messages, 2);
	assert_true(uuid_eq(notices[0].message.id, mail2.id));
}

static void test_mail_only_to_whom_it_reaches(void **state)
{
	(void)state;
	const struct user_id followers[] = { idle, mute, lost };
	struct scene *s = message_scene(DIRECTION_IN);
	size_t count;

	s->in.followers = followers;
	s->in.followers_len = 3;
	struct notice *notices = plan(s, &count);
	assert_int_equal(count, 4);
	assert_true(notices[0].by_mail);
	assert_false(notices[1].by_mail || notices[2].by_mail || notices[3].by_mail);
	assert_null(notices[1].suppressed_by);
	assert_null(notices[2].suppressed_by);
	assert_string_equal(notices[3].suppressed_by, "no_address");
}

static void test_the_author_of_a_reply_hears_of_its_lost_copies(void **state)
{
	(void)state;
	struct scene *s = message_scene(DIRECTION_IN);

	s->facts[0] = (struct fact){ .kind = FACT_COPY_STATE_CHANGED,
		                     .copy_state_changed = { .outbound = reply, .from = STR("sending"), .to = STR("unknown") } };
	assert_told(s, ann, "copy_unknown", "author");
	s->facts[0].copy_state_changed.to = STR("failed");
	assert_told(s, ann, "copy_failed", "author");
	s->facts[0].copy_state_changed.to = STR("accepted");
	assert_told(s, ann, NULL, NULL);
	assert_false(notice_concerns(&s->record));
	s->facts[0].copy_state_changed.to = STR("failed");
	s->facts[0].copy_state_changed.outbound = notice_mail;
	assert_told(s, ann, NULL, NULL);
}

static void test_a_quiet_record_tells_nobody(void **state)
{
	(void)state;
	struct scene *s = message_scene(DIRECTION_IN);

	s->record.is_quiet = true;
	assert_told(s, ann, NULL, NULL);
	assert_false(notice_concerns(&s->record));
	s = message_scene(DIRECTION_IN);
	s->messages[0].is_quiet = true;
	assert_told(s, ann, NULL, NULL);
}

static void test_what_the_notifier_says_itself_concerns_nobody(void **state)
{
	(void)state;
	struct scene *s = message_scene(DIRECTION_IN);

	s->facts[0] = (struct fact){ .kind = FACT_NOTICE_PLANNED };
	assert_false(notice_concerns(&s->record));
	s->facts[0] = (struct fact){ .kind = FACT_NOTICE_SUPPRESSED };
	assert_false(notice_concerns(&s->record));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_mail_that_opens_a_case_is_answered),
		cmocka_unit_test(test_who_is_not_answered),
		cmocka_unit_test(test_strict_answers_authenticated_or_known_senders),
		cmocka_unit_test(test_when_there_is_nothing_to_answer),
		cmocka_unit_test(test_the_assignee_is_told_of_the_assignment),
		cmocka_unit_test(test_watchers_are_told_of_messages_but_not_of_their_own),
		cmocka_unit_test(test_an_assignment_with_its_message_is_one_notice),
		cmocka_unit_test(test_two_messages_of_a_record_are_one_notice_about_the_last),
		cmocka_unit_test(test_mail_only_to_whom_it_reaches),
		cmocka_unit_test(test_the_author_of_a_reply_hears_of_its_lost_copies),
		cmocka_unit_test(test_a_quiet_record_tells_nobody),
		cmocka_unit_test(test_what_the_notifier_says_itself_concerns_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
