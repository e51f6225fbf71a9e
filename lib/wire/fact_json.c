/* SPDX-License-Identifier: Apache-2.0
 * The JSON view of a fact: what the timeline keeps. Names are the contract's; empty ids and words are left out.
 */
#include "base/json.h"
#include "wire/case_record_wire.h"

#include "base/banned.h"

static void put_id(json_t *object, const char *key, struct uuid id);
static void put_word(json_t *object, const char *key, struct str word);
static void put_flag(json_t *object, const char *key, bool flag);

struct str fact_json(struct arena *arena, const struct fact *fact)
{
	json_t *o CLEANUP(json_done) = json_object();

	switch (fact->kind) {
	case FACT_CASE_OPENED:
		put_id(o, "queue_id", fact->case_opened.queue.id);
		put_id(o, "team_id", fact->case_opened.team.id);
		put_id(o, "mailbox_id", fact->case_opened.mailbox.id);
		put_id(o, "follows_case_id", fact->case_opened.follows.id);
		put_word(o, "state", str_of(case_state_name(fact->case_opened.state)));
		break;
	case FACT_MESSAGE_ADDED:
		put_id(o, "message_id", fact->message_added.message.id);
		put_word(o, "direction", str_of(direction_name(fact->message_added.direction)));
		put_flag(o, "pending", fact->message_added.is_pending);
		put_flag(o, "automatic", fact->message_added.is_automatic);
		put_flag(o, "external", fact->message_added.is_external);
		put_flag(o, "unverified", fact->message_added.is_unverified);
		put_word(o, "matched_by", fact->message_added.matched_by);
		json_put_int(o, "size", fact->message_added.size);
		json_put_int(o, "attachments", fact->message_added.attachments);
		break;
	case FACT_MESSAGE_CONFIRMED:
		put_id(o, "message_id", fact->message_confirmed.message.id);
		break;
	case FACT_PARTICIPANT_ADDED:
		put_id(o, "message_id", fact->participant_added.message.id);
		put_word(o, "role", fact->participant_added.role);
		break;
	case FACT_ASSIGNED:
		put_id(o, "user_id", fact->assigned.user.id);
		put_id(o, "team_id", fact->assigned.team.id);
		put_id(o, "previous_user_id", fact->assigned.previous.id);
		put_word(o, "method", fact->assigned.method);
		break;
	case FACT_QUEUE_CHANGED:
		put_id(o, "from_queue_id", fact->queue_changed.from.id);
		put_id(o, "to_queue_id", fact->queue_changed.to.id);
		break;
	case FACT_STATE_CHANGED:
		put_word(o, "from", str_of(case_state_name(fact->state_changed.from)));
		put_word(o, "to", str_of(case_state_name(fact->state_changed.to)));
		put_word(o, "reason", fact->state_changed.reason);
		break;
	case FACT_FOLLOWED:
		put_id(o, "user_id", fact->followed.user.id);
		json_put_bool(o, "following", fact->followed.is_following);
		break;
	case FACT_NOTICE_PLANNED:
		put_id(o, "outbound_id", fact->notice_planned.outbound.id);
		put_word(o, "audience", fact->notice_planned.audience);
		put_word(o, "kind", fact->notice_planned.kind);
		put_word(o, "reason", fact->notice_planned.reason);
		put_id(o, "user_id", fact->notice_planned.user.id);
		break;
	case FACT_NOTICE_SUPPRESSED:
		put_word(o, "audience", fact->notice_suppressed.audience);
		put_word(o, "kind", fact->notice_suppressed.kind);
		put_word(o, "reason", fact->notice_suppressed.reason);
		put_word(o, "suppressed_by", fact->notice_suppressed.suppressed_by);
		put_id(o, "user_id", fact->notice_suppressed.user.id);
		break;
	case FACT_COPY_STATE_CHANGED:
		put_id(o, "outbound_id", fact->copy_state_changed.outbound.id);
		put_id(o, "copy_id", fact->copy_state_changed.copy.id);
		put_word(o, "from", fact->copy_state_changed.from);
		put_word(o, "to", fact->copy_state_changed.to);
		json_put_int(o, "reply_code", fact->copy_state_changed.reply_code);
		break;
	case FACT_TOKEN_REFUSED:
		put_id(o, "message_id", fact->token_refused.message.id);
		put_word(o, "reason", fact->token_refused.reason);
		break;
	case FACT_MATCH_SUGGESTED:
		put_id(o, "message_id", fact->match_suggested.message.id);
		put_id(o, "other_case_id", fact->match_suggested.other.id);
		put_word(o, "rung", fact->match_suggested.rung);
		put_word(o, "reason", fact->match_suggested.reason);
		break;
	case FACT_KINDS:
		break;
	}
	return json_dump(arena, o);
}

static void put_id(json_t *object, const char *key, struct uuid id)
{
	if (!uuid_is_null(id))
		json_put_uuid(object, key, id);
}

static void put_word(json_t *object, const char *key, struct str word)
{
	if (word.len)
		json_put_str(object, key, word);
}

static void put_flag(json_t *object, const char *key, bool flag)
{
	if (flag)
		json_put_bool(object, key, true);
}
