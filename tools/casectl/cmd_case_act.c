/* SPDX-License-Identifier: Apache-2.0
 * cmd_case_act - acts on cases; what they do is lib/desk's
 */
#include "base/clock.h"
#include "cmd_case.h"
#include "desk/desk_assign.h"
#include "desk/desk_case_new.h"
#include "desk/desk_close.h"
#include "desk/desk_confirm.h"
#include "desk/desk_follow.h"
#include "desk/desk_note.h"
#include "desk/desk_reply.h"
#include "record/token_keys.h"

#include "base/banned.h"

static int start(struct ctl *ctl, struct desk *out);
static int start_with_keys(struct ctl *ctl, struct token_keys *keys, struct desk *out);
static int addresses(struct ctl *ctl, const char *option, struct mail_strs *out);
static int chosen_outbound(struct ctl *ctl, struct outbound_mailbox_id *out);
static int report(struct ctl *ctl, int64_t number, const char *key, struct uuid value, const char *text);
static int follow(struct ctl *ctl, bool is_following);

int case_number(struct ctl *ctl, int64_t *out)
{
	const char *text = ctl->operands[0];

	/* As it stands in subjects is fine too. */
	struct str digits = str_of(text);
	if (str_starts(digits, STR("#")))
		digits = str_slice(digits, 1, digits.len);
	if (!str_to_i64(digits, 1, INT64_MAX, out))
		return ctl_usage("%s is no case number", text);
	return CTL_DONE;
}

int case_reply(struct ctl *ctl)
{
	struct desk desk;
	struct token_keys keys;
	struct desk_reply request = { .reopen = ctl_given(ctl, "reopen"), .only_named = ctl_given(ctl, "only-named") };
	struct desk_reply_done done;
	int status = case_number(ctl, &request.number);

	if (status == CTL_DONE)
		status = addresses(ctl, "to", &request.to);
	if (status == CTL_DONE)
		status = addresses(ctl, "cc", &request.cc);
	if (status == CTL_DONE)
		status = chosen_outbound(ctl, &request.outbound);
	if (status == CTL_DONE)
		status = ctl_body(ctl, &request.text);
	if (status == CTL_DONE)
		status = start_with_keys(ctl, &keys, &desk);
	if (status == CTL_DONE)
		status = ctl_desk(ctl, desk_reply(&desk, &request, &done, &ctl->err));
	if (status != CTL_DONE)
		return status;
	if (!ctl->as_json) {
		printf("the answer to case %lld is on its way to %zu %s\n", (long long)request.number, done.recipients_len,
		       done.recipients_len == 1 ? "address" : "addresses");
		return CTL_DONE;
	}
	json_t *object CLEANUP(json_done) = json_object();
	json_put_int(object, "case", request.number);
	json_put_uuid(object, "id", done.message.id);
	json_put_uuid(object, "outbound", done.outbound.id);
	json_put_str(object, "message_id", done.header_id);
	json_put_int(object, "recipients", (int64_t)done.recipients_len);
	json_print_line(stdout, object);
	return CTL_DONE;
}

int case_note(struct ctl *ctl)
{
	struct desk desk;
	struct desk_note request = { 0 };
	struct desk_note_done done;
	int status = case_number(ctl, &request.number);

	if (status == CTL_DONE)
		status = ctl_body(ctl, &request.text);
	if (status == CTL_DONE)
		status = start(ctl, &desk);
	if (status == CTL_DONE)
		status = ctl_desk(ctl, desk_note(&desk, &request, &done, &ctl->err));
	return status == CTL_DONE ? report(ctl, request.number, "id", done.message.id, "the note is there") : status;
}

int case_assign(struct ctl *ctl)
{
	struct desk desk;
	struct desk_assign request = { 0 };
	struct desk_assign_done done;
	const char *user = ctl_text(ctl, "to"), *team = ctl_text(ctl, "team");
	int status = case_number(ctl, &request.number);

	if (status == CTL_DONE && !user == !ctl_given(ctl, "nobody"))
		return ctl_usage("say either --to LOGIN or --nobody");
	if (status == CTL_DONE && user)
		status = ctl_user(ctl, user, &request.user);
	if (status == CTL_DONE && team)
		status = ctl_team(ctl, team, &request.team);
	if (status == CTL_DONE)
		status = start(ctl, &desk);
	if (status == CTL_DONE)
		status = ctl_desk(ctl, desk_assign(&desk, &request, &done, &ctl->err));
	return status == CTL_DONE ? report(ctl, request.number, "assignee", request.user.id,
	                                   done.changed ? "the case is assigned" : "it was so already") :
	                            status;
}

int case_close(struct ctl *ctl)
{
	struct desk desk;
	struct desk_close_done done;
	int64_t number;
	int status = case_number(ctl, &number);

	if (status == CTL_DONE)
		status = start(ctl, &desk);
	if (status == CTL_DONE)
		status = ctl_desk(ctl, desk_close(&desk, number, &done, &ctl->err));
	return status == CTL_DONE ? report(ctl, number, "id", done.case_id.id,
	                                   done.changed ? "the case is closed" : "it was closed already") :
	                            status;
}

int case_follow(struct ctl *ctl)
{
	return follow(ctl, true);
}

int case_unfollow(struct ctl *ctl)
{
	return follow(ctl, false);
}

static int follow(struct ctl *ctl, bool is_following)
{
	struct desk desk;
	struct desk_follow request = { .user = ctl->author.user, .is_following = is_following };
	struct desk_follow_done done;
	const char *user = ctl_text(ctl, "user");
	int status = case_number(ctl, &request.number);

	if (status == CTL_DONE && user)
		status = ctl_user(ctl, user, &request.user);
	if (status == CTL_DONE)
		status = start(ctl, &desk);
	if (status == CTL_DONE)
		status = ctl_desk(ctl, desk_follow(&desk, &request, &done, &ctl->err));
	return status == CTL_DONE ? report(ctl, request.number, "user", request.user.id,
	                                   !done.changed  ? "it was so already"
	                                   : is_following ? "followed"
	                                                  : "no longer followed")
	                          : status;
}

int case_confirm(struct ctl *ctl)
{
	struct desk desk;
	struct desk_confirm request = { 0 };
	struct desk_confirm_done done;
	const char *message = ctl_text(ctl, "message");
	int status = case_number(ctl, &request.number);

	if (status == CTL_DONE && message && !uuid_parse(str_of(message), &request.message.id))
		return ctl_usage("--message %s: the id of a message, as `casectl case show` prints it, is expected", message);
	if (status == CTL_DONE)
		status = start(ctl, &desk);
	if (status == CTL_DONE)
		status = ctl_desk(ctl, desk_confirm(&desk, &request, &done, &ctl->err));
	return status == CTL_DONE
	           ? report(ctl, request.number, "id", done.message.id,
	                    done.added_participant ? "the message is in full, its sender takes part from now on"
	                                           : "the message is in full")
	           : status;
}

int case_new(struct ctl *ctl)
{
	struct desk desk;
	struct token_keys keys;
	struct desk_case_new request = { .subject = str_of(ctl_text(ctl, "subject")) };
	struct desk_case_new_done done;
	struct mail_strs to = { 0 };
	const char *assignee = ctl_text(ctl, "assign");

	if (!str_trim(request.subject).len)
		return ctl_usage("--subject: one line of text is expected, and this is empty");
	int status = ctl_queue(ctl, ctl_text(ctl, "queue"), &request.queue);
	if (status == CTL_DONE)
		status = addresses(ctl, "to", &to);
	if (status == CTL_DONE && assignee)
		status = ctl_user(ctl, assignee, &request.assignee);
	if (status == CTL_DONE)
		status = chosen_outbound(ctl, &request.outbound);
	if (status == CTL_DONE)
		status = ctl_body(ctl, &request.text);
	if (status == CTL_DONE)
		status = start_with_keys(ctl, &keys, &desk);
	if (status != CTL_DONE)
		return status;
	request.to = (struct mail_addresses){ ARENA_ARRAY(&ctl->arena, struct mail_address, to.len + 1), to.len };
	for (size_t i = 0; i < to.len; i++)
		request.to.at[i] = (struct mail_address){ STR(""), to.at[i] };
	status = ctl_desk(ctl, desk_case_new(&desk, &request, &done, &ctl->err));
	return status == CTL_DONE ? report(ctl, done.number, "id", done.case_id.id,
	                                   to.len ? "opened; the first mail is on its way" : "opened, with a note") :
	                            status;
}

static int start(struct ctl *ctl, struct desk *out)
{
	*out = (struct desk){ .db = ctl->db, .arena = &ctl->arena, .tenant = ctl->tenant, .author = ctl->author,
		              .now_us = clock_wall_us() };
	return CTL_DONE;
}

static int start_with_keys(struct ctl *ctl, struct token_keys *keys, struct desk *out)
{
	if (token_keys_load(ctl->db, &ctl->arena, &ctl->seal_key, ctl->tenant, keys, &ctl->err) < 0)
		return ctl_failed(ctl);
	start(ctl, out);
	out->keys = keys;
	return CTL_DONE;
}

static int addresses(struct ctl *ctl, const char *option, struct mail_strs *out)
{
	const char *const *given;
	size_t count = ctl_list(ctl, option, &given);

	*out = (struct mail_strs){ ARENA_ARRAY(&ctl->arena, struct str, count + 1), count };
	for (size_t i = 0; i < count; i++) {
		int status = ctl_address(ctl, given[i], &out->at[i]);
		if (status != CTL_DONE)
			return status;
	}
	return CTL_DONE;
}

static int chosen_outbound(struct ctl *ctl, struct outbound_mailbox_id *out)
{
	const char *name = ctl_text(ctl, "outbound");

	return name ? ctl_outbound_mailbox(ctl, name, out) : CTL_DONE;
}

static int report(struct ctl *ctl, int64_t number, const char *key, struct uuid value, const char *text)
{
	if (ctl->as_json) {
		json_t *object CLEANUP(json_done) = json_object();
		json_put_int(object, "case", number);
		json_put_uuid(object, key, value);
		json_print_line(stdout, object);
	} else
		printf("case %lld: %s\n", (long long)number, text);
	return CTL_DONE;
}
