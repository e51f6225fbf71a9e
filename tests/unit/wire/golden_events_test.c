/* SPDX-License-Identifier: Apache-2.0
 * The published bytes: contracts/golden holds each event as our encoders write it, and its JSON view beside it. Another
 * language reads the same files in tests/service/contract. tests/contract holds what an older and a newer contract send us.
 *
 *	golden_events_test             compare
 *	golden_events_test --accept    rewrite contracts/golden; read the difference
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>

#include "base/json.h"
#include "wire/case_record_wire.h"
#include "wire/event_json.h"
#include "wire/mail_received.h"
#include "wire/mailbox_event.h"

#include "../arena_fixture.h"

#include "base/banned.h"

#define GOLDEN "contracts/golden"
#define NEWER "tests/contract/newer"
#define OLDER "tests/contract/older"

enum { FILE_MOST = 64 << 10, FACTS_MOST = 4 };

/* The words of the fields; ids are 019f0000-0000-7000-8000-0000000000NN with the numbers below. */
enum { TENANT = 1, MAILBOX, FOLDER, INTAKE, BLOB, CASE, CAUSE, QUEUE, TEAM, ANNA, BEN, MESSAGE, OTHER_CASE, OUTBOUND, COPY, OTHER_QUEUE };

#define TIME_US INT64_C(1791000000123456)
#define ID(n) { id_of(n) }


static struct uuid id_of(unsigned n)
{
	return (struct uuid){ { 0x01, 0x9f, 0, 0, 0, 0, 0x70, 0, 0x80, [15] = (uint8_t)n } };
}

/* ---- the events ------------------------------------------------------------------------------------------------- */

static struct str mail_stored(bool is_quiet)
{
	struct mail_received record = {
		.intake = ID(INTAKE), .tenant = ID(TENANT), .mailbox = ID(MAILBOX), .folder = ID(FOLDER), .blob = ID(BLOB),
		.sha256 = sha256_of(STR("a mail")), .size = 4096, .received_at_us = TIME_US, .is_quiet = is_quiet,
		.hint = "0123456789abcdef",
	};

	return mail_received_encode(&arena, &record);
}

static struct str mailbox_state(enum mailbox_state from, enum mailbox_state to)
{
	struct mailbox_event event = { .tenant = ID(TENANT), .mailbox = ID(MAILBOX), .version = 7, .at_us = TIME_US,
		                           .from = from, .to = to, .cause = STR("") };

	if (to == MAILBOX_BACKING_OFF || to == MAILBOX_AUTH_FAILED) {
		event.cause = to == MAILBOX_AUTH_FAILED ? STR("wrong_password") : STR("closed");
		event.failures = 3;
		event.next_try_at_us = TIME_US + 30000000;
	}
	return mailbox_event_encode(&arena, &event);
}

static struct fact fact_of(enum fact_kind kind)
{
	struct fact fact = { .kind = kind };

	switch (kind) {
	case FACT_CASE_OPENED:
		fact.case_opened.queue.id = id_of(QUEUE);
		fact.case_opened.team.id = id_of(TEAM);
		fact.case_opened.mailbox.id = id_of(MAILBOX);
		fact.case_opened.follows.id = id_of(OTHER_CASE);
		fact.case_opened.state = CASE_OPEN;
		break;
	case FACT_MESSAGE_ADDED:
		fact.message_added.message.id = id_of(MESSAGE);
		fact.message_added.direction = DIRECTION_IN;
		fact.message_added.is_pending = fact.message_added.is_automatic = true;
		fact.message_added.is_external = fact.message_added.is_unverified = true;
		fact.message_added.matched_by = STR("ids");
		fact.message_added.size = 4096;
		fact.message_added.attachments = 2;
		break;
	case FACT_MESSAGE_CONFIRMED:
		fact.message_confirmed.message.id = id_of(MESSAGE);
		break;
	case FACT_PARTICIPANT_ADDED:
		fact.participant_added.message.id = id_of(MESSAGE);
		fact.participant_added.role = STR("opener");
		break;
	case FACT_ASSIGNED:
		fact.assigned.user.id = id_of(ANNA);
		fact.assigned.team.id = id_of(TEAM);
		fact.assigned.previous.id = id_of(BEN);
		fact.assigned.method = STR("round_robin");
		break;
	case FACT_QUEUE_CHANGED:
		fact.queue_changed.from.id = id_of(QUEUE);
		fact.queue_changed.to.id = id_of(OTHER_QUEUE);
		break;
	case FACT_STATE_CHANGED:
		fact.state_changed.from = CASE_WAITING;
		fact.state_changed.to = CASE_OPEN;
		fact.state_changed.reason = STR("customer_wrote");
		break;
	case FACT_FOLLOWED:
		fact.followed.user.id = id_of(ANNA);
		fact.followed.is_following = true;
		break;
	case FACT_NOTICE_PLANNED:
		fact.notice_planned.outbound.id = id_of(OUTBOUND);
		fact.notice_planned.audience = STR("staff");
		fact.notice_planned.kind = STR("notice");
		fact.notice_planned.reason = STR("assigned");
		fact.notice_planned.user.id = id_of(ANNA);
		break;
	case FACT_NOTICE_SUPPRESSED:
		fact.notice_suppressed.audience = STR("customer");
		fact.notice_suppressed.kind = STR("auto_reply");
		fact.notice_suppressed.reason = STR("case_opened");
		fact.notice_suppressed.suppressed_by = STR("budget_address");
		fact.notice_suppressed.user.id = id_of(ANNA);
		break;
	case FACT_COPY_STATE_CHANGED:
		fact.copy_state_changed.outbound.id = id_of(OUTBOUND);
		fact.copy_state_changed.copy.id = id_of(COPY);
		fact.copy_state_changed.from = STR("sending");
		fact.copy_state_changed.to = STR("accepted");
		fact.copy_state_changed.reply_code = 250;
		break;
	case FACT_TOKEN_REFUSED:
		fact.token_refused.message.id = id_of(MESSAGE);
		fact.token_refused.reason = STR("bad_signature");
		break;
	case FACT_MATCH_SUGGESTED:
		fact.match_suggested.message.id = id_of(MESSAGE);
		fact.match_suggested.other.id = id_of(OTHER_CASE);
		fact.match_suggested.rung = STR("number");
		fact.match_suggested.reason = STR("number_of_a_stranger");
		break;
	case FACT_KINDS:
		break;
	}
	return fact;
}

static struct case_record record_of(const struct fact *facts, size_t count)
{
	return (struct case_record){ .tenant = ID(TENANT), .case_id = ID(CASE), .version = 1, .number = 235,
		                         .time_us = TIME_US, .cause = id_of(CAUSE), .author = { .kind = AUTHOR_SENDER },
		                         .facts = facts, .facts_len = count };
}

/* Version 7, by a user, quiet, at the second hop: every field of the record is set. */
static struct str one_fact(enum fact_kind kind)
{
	struct fact fact = fact_of(kind);
	struct case_record record = record_of(&fact, 1);

	record.version = 7;
	record.hop = 2;
	record.is_quiet = true;
	record.author = (struct author){ .kind = AUTHOR_USER, .user = ID(ANNA) };
	return case_record_encode(&arena, &record);
}

/* What the first mail of a conversation makes. */
static struct str opening(void)
{
	struct fact facts[] = { fact_of(FACT_CASE_OPENED), fact_of(FACT_MESSAGE_ADDED), fact_of(FACT_PARTICIPANT_ADDED) };
	struct case_record record = record_of(facts, ARRAY_LEN(facts));

	facts[0].case_opened.follows.id = (struct uuid){ { 0 } };
	facts[1].message_added.is_pending = facts[1].message_added.is_automatic = false;
	facts[1].message_added.is_external = false;
	facts[1].message_added.matched_by = STR("opened");
	return case_record_encode(&arena, &record);
}

/* All fields of the fact are empty or 0: the fact is there all the same. */
static struct str assigned_to_nobody(void)
{
	struct fact fact = { .kind = FACT_ASSIGNED };
	struct case_record record = record_of(&fact, 1);

	record.version = 2;
	record.author.kind = AUTHOR_SYSTEM;
	return case_record_encode(&arena, &record);
}

/* Numbers that a double does not hold: the JSON view has them as text. */
static struct str large_numbers(void)
{
	struct fact fact = fact_of(FACT_MESSAGE_ADDED);
	struct case_record record = record_of(&fact, 1);

	record.version = INT64_MAX;
	record.number = (INT64_C(1) << 53) + 1;
	record.hop = UINT32_MAX;
	fact.message_added.size = INT64_C(50) << 20;
	fact.message_added.attachments = UINT32_MAX;
	return case_record_encode(&arena, &record);
}

struct golden {
	char name[80];
	const char *type;
	struct str bytes;
};

/* In the arena. */
static size_t all_golden(struct golden **out)
{
	struct golden *list = ARENA_ARRAY(&arena, struct golden, FACT_KINDS + 10);
	size_t n = 0;

	list[n++] = (struct golden){ "mail-received.stored", MAIL_RECEIVED_TYPE, mail_stored(false) };
	list[n++] = (struct golden){ "mail-received.stored-quiet", MAIL_RECEIVED_TYPE, mail_stored(true) };
	list[n++] = (struct golden){ "mailbox-event.state-changed-ok", MAILBOX_STATE_CHANGED_TYPE,
		                         mailbox_state(MAILBOX_STARTING, MAILBOX_OK) };
	list[n++] = (struct golden){ "mailbox-event.state-changed-backing-off", MAILBOX_STATE_CHANGED_TYPE,
		                         mailbox_state(MAILBOX_OK, MAILBOX_BACKING_OFF) };
	list[n++] = (struct golden){ "mailbox-event.state-changed-auth-failed", MAILBOX_STATE_CHANGED_TYPE,
		                         mailbox_state(MAILBOX_BACKING_OFF, MAILBOX_AUTH_FAILED) };
	list[n++] = (struct golden){ "mailbox-event.state-changed-off", MAILBOX_STATE_CHANGED_TYPE,
		                         mailbox_state(MAILBOX_AUTH_FAILED, MAILBOX_OFF) };
	for (int kind = 0; kind < FACT_KINDS; kind++, n++) {
		list[n] = (struct golden){ .type = CASE_RECORD_TYPE, .bytes = one_fact((enum fact_kind)kind) };
		snprintf(list[n].name, sizeof list[n].name, "case-record.%s", fact_kind_name((enum fact_kind)kind));
		for (char *c = list[n].name; *c; c++)
			if (*c == '_')
				*c = '-';
	}
	list[n++] = (struct golden){ "case-record.opening", CASE_RECORD_TYPE, opening() };
	list[n++] = (struct golden){ "case-record.assigned-to-nobody", CASE_RECORD_TYPE, assigned_to_nobody() };
	list[n++] = (struct golden){ "case-record.large-numbers", CASE_RECORD_TYPE, large_numbers() };
	*out = list;
	return n;
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static const char *path_of(const char *folder, const char *name, const char *ending)
{
	return arena_printf(&arena, "%s/%s.%s", folder, name, ending);
}

static struct str read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	char *bytes = arena_alloc(&arena, FILE_MOST);

	if (!file)
		fail_msg("%s is missing: `make contract-accept` writes it", path);
	size_t len = fread(bytes, 1, FILE_MOST, file);
	fclose(file);
	return str_span(bytes, len);
}

static void write_file(const char *path, struct str bytes)
{
	FILE *file = fopen(path, "wb");

	if (!file || fwrite(bytes.at, 1, bytes.len, file) != bytes.len || fclose(file) != 0)
		fail_msg("cannot write %s", path);
}

static json_t *json_of(const char *type, struct str bytes)
{
	struct err err = { 0 };
	json_t *json = NULL;

	if (event_json(&arena, str_of(type), bytes, &json, &err) < 0)
		fail_msg("%s", err.text);
	return json;
}

static int accept_all(void)
{
	struct golden *list;
	size_t count = all_golden(&list);

	for (size_t i = 0; i < count; i++) {
		json_t *json CLEANUP(json_done) = json_of(list[i].type, list[i].bytes);
		char *text = json_dumps(json, JSON_INDENT(2));

		write_file(path_of(GOLDEN, list[i].name, "bin"), list[i].bytes);
		write_file(path_of(GOLDEN, list[i].name, "json"), str_printf(&arena, "%s\n", text));
		free(text);
	}
	printf("%zu events written to %s\n", count, GOLDEN);
	return 0;
}

/* ---- the tests -------------------------------------------------------------------------------------------------- */

static void what_we_write_is_what_was_published(void **state)
{
	struct golden *list;
	size_t count = all_golden(&list);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		struct str published = read_file(path_of(GOLDEN, list[i].name, "bin"));
		if (!str_eq(published, list[i].bytes))
			fail_msg("%s: the encoder writes other bytes than contracts/golden has", list[i].name);
	}
}

static void the_json_view_is_what_was_published(void **state)
{
	struct golden *list;
	size_t count = all_golden(&list);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const char *why = "";
		json_t *want CLEANUP(json_done) =
			json_parse(read_file(path_of(GOLDEN, list[i].name, "json")), FILE_MOST, &why);
		json_t *got CLEANUP(json_done) = json_of(list[i].type, list[i].bytes);
		if (!want)
			fail_msg("%s.json: %s", list[i].name, why);
		if (!json_equal(want, got))
			fail_msg("%s: the JSON view is %.*s", list[i].name, STR_ARG(json_dump(&arena, got)));
	}
}

/* Decoded and encoded again: the same bytes. */
static void what_was_published_is_read_whole(void **state)
{
	struct golden *list;
	size_t count = all_golden(&list);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		struct str bytes = read_file(path_of(GOLDEN, list[i].name, "bin")), again = STR_NULL;
		struct err err = { 0 };
		if (str_starts(str_of(list[i].name), STR("mail-received."))) {
			struct mail_received record;
			if (mail_received_decode(&arena, bytes, &record, &err) == 0)
				again = mail_received_encode(&arena, &record);
		} else if (str_starts(str_of(list[i].name), STR("mailbox-event."))) {
			struct mailbox_event event;
			if (mailbox_event_decode(&arena, bytes, &event, &err) == 0)
				again = mailbox_event_encode(&arena, &event);
		} else {
			struct case_record record;
			if (case_record_decode(&arena, bytes, &record, &err) == 0)
				again = case_record_encode(&arena, &record);
		}
		if (!str_eq(bytes, again))
			fail_msg("%s does not come back as it went: %s", list[i].name, err.text);
	}
}

static void nothing_else_lies_there(void **state)
{
	struct golden *list;
	size_t count = all_golden(&list), files = 0;
	DIR *folder = opendir(GOLDEN);

	(void)state;
	assert_non_null(folder);
	for (const struct dirent *entry; (entry = readdir(folder));)
		files += str_ends(str_of(entry->d_name), STR(".bin")) || str_ends(str_of(entry->d_name), STR(".json"));
	closedir(folder);
	assert_int_equal(files, 2 * count);
}

static void what_a_newer_contract_says_of_a_case_is_read_as_far_as_it_is_known(void **state)
{
	struct str bytes = read_file(path_of(NEWER, "case-record", "bin"));
	struct case_record record;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(case_record_decode(&arena, bytes, &record, &err), 0);
	assert_int_equal(record.version, 3);
	assert_int_equal(record.author.kind, AUTHOR_NONE);
	/* Two of the five are unknown, one of them without a body at all. */
	assert_int_equal(record.facts_len, 3);
	assert_int_equal(record.facts[0].kind, FACT_CASE_OPENED);
	assert_int_equal(record.facts[0].case_opened.state, CASE_NO_STATE);
	assert_true(uuid_eq(record.facts[0].case_opened.queue.id, id_of(QUEUE)));
	assert_int_equal(record.facts[1].kind, FACT_MESSAGE_ADDED);
	assert_int_equal(record.facts[1].message_added.direction, DIRECTION_NONE);
	assert_int_equal(record.facts[1].message_added.size, 4096);
	assert_int_equal(record.facts[2].kind, FACT_STATE_CHANGED);
	assert_int_equal(record.facts[2].state_changed.from, CASE_NO_STATE);
	assert_int_equal(record.facts[2].state_changed.to, CASE_OPEN);
	assert_true(str_eq(record.facts[2].state_changed.reason, STR("the_moon_rose")));

	/* The view shows the number of a value without a name, and an unknown fact as an empty one. */
	json_t *view CLEANUP(json_done) = json_of(CASE_RECORD_TYPE, bytes);
	const json_t *facts = json_object_get(view, "facts");
	assert_int_equal(json_integer_value(json_object_get(view, "authorKind")), 90);
	assert_int_equal(json_array_size(facts), 5);
	assert_int_equal(json_object_size(json_array_get(facts, 0)), 0);
}

/* A new state is none that we know; a new kind of event is refused, so that it is set aside and not misread. */
static void what_a_newer_contract_says_of_mails_and_mailboxes_is_not_misread(void **state)
{
	struct mail_received mail;
	struct mailbox_event event;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(mail_received_decode(&arena, read_file(path_of(NEWER, "mail-received", "bin")), &mail, &err), 0);
	assert_true(uuid_eq(mail.intake.id, id_of(INTAKE)));
	assert_int_equal(mailbox_event_decode(&arena, read_file(path_of(NEWER, "mailbox-event", "bin")), &event, &err), 0);
	assert_int_equal(event.from, MAILBOX_OK);
	assert_int_equal(event.to, MAILBOX_OTHER);
	assert_string_equal(mailbox_state_name(event.to), "");

	assert_int_equal(mail_received_decode(&arena, read_file(path_of(NEWER, "mail-received.other-body", "bin")), &mail, &err), -1);
	assert_int_equal(err.kind, ERR_PERM);
	assert_int_equal(mailbox_event_decode(&arena, read_file(path_of(NEWER, "mailbox-event.other-body", "bin")), &event, &err), -1);
	assert_int_equal(err.kind, ERR_PERM);
}

static void what_an_older_contract_said_is_read(void **state)
{
	struct case_record record;
	struct mail_received mail;
	struct mailbox_event event;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(case_record_decode(&arena, read_file(path_of(OLDER, "case-record", "bin")), &record, &err), 0);
	assert_int_equal(record.number, 235);
	assert_int_equal(record.author.kind, AUTHOR_NONE);
	assert_true(uuid_is_null(record.cause));
	assert_int_equal(record.facts_len, 3);
	assert_int_equal(record.facts[2].state_changed.to, CASE_CLOSED);
	assert_int_equal(mail_received_decode(&arena, read_file(path_of(OLDER, "mail-received", "bin")), &mail, &err), 0);
	assert_false(mail.is_quiet);
	assert_int_equal(mailbox_event_decode(&arena, read_file(path_of(OLDER, "mailbox-event", "bin")), &event, &err), 0);
	assert_int_equal(event.to, MAILBOX_OFF);
	assert_int_equal(event.next_try_at_us, 0);
}

static void a_strange_type_has_no_view(void **state)
{
	struct err err = { 0 };
	json_t *json = NULL;

	(void)state;
	assert_int_equal(event_json(&arena, STR("mailcase.weather.v1"), STR(""), &json, &err), -1);
	assert_int_equal(err.kind, ERR_PERM);
	assert_int_equal(event_json(&arena, STR("mailcase.case.record.v1"), STR("\xff\xff"), &json, &err), -1);
	assert_int_equal(err.kind, ERR_PERM);
	assert_null(json);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_we_write_is_what_was_published, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(the_json_view_is_what_was_published, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(what_was_published_is_read_whole, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(nothing_else_lies_there, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(what_a_newer_contract_says_of_a_case_is_read_as_far_as_it_is_known, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(what_a_newer_contract_says_of_mails_and_mailboxes_is_not_misread, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(what_an_older_contract_said_is_read, take_arena, drop_arena),
		cmocka_unit_test_setup_teardown(a_strange_type_has_no_view, take_arena, drop_arena),
	};

	if (argc == 2 && str_eq(str_of(argv[1]), STR("--accept"))) {
		arena_init(&arena);
		int status = accept_all();
		arena_done(&arena);
		return status;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
