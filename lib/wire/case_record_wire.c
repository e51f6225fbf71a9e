/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/case_record_wire.h"

#include "mailcase/v1/case_record.pb-c.h"
#include "wire/pb.h"

#include "base/banned.h"

static void fact_encode(struct arena *arena, const struct fact *fact, Mailcase__V1__Fact *out);
static bool fact_decode(const Mailcase__V1__Fact *in, struct fact *out, bool *out_bad);
static enum case_state known_state(Mailcase__V1__CaseState state);

/* One body of the oneof: allocate, init, hang in. */
#define BODY(TYPE_, type_, field_, CASE_) \
	Mailcase__V1__##TYPE_ *body = arena_alloc(arena, sizeof *body); \
	mailcase__v1__##type_##__init(body); \
	out->body_case = MAILCASE__V1__FACT__BODY_##CASE_; \
	out->field_ = body

struct str case_record_encode(struct arena *arena, const struct case_record *record)
{
	Mailcase__V1__CaseRecord pb = MAILCASE__V1__CASE_RECORD__INIT;
	Mailcase__V1__Fact *facts = ARENA_ARRAY(arena, Mailcase__V1__Fact, record->facts_len + 1);
	Mailcase__V1__Fact **list = ARENA_ARRAY(arena, Mailcase__V1__Fact *, record->facts_len + 1);

	for (size_t i = 0; i < record->facts_len; i++) {
		mailcase__v1__fact__init(&facts[i]);
		fact_encode(arena, &record->facts[i], &facts[i]);
		list[i] = &facts[i];
	}
	pb.tenant_id = pb_optional_uuid_text(arena, record->tenant.id);
	pb.case_id = pb_optional_uuid_text(arena, record->case_id.id);
	pb.version = record->version;
	pb.number = record->number;
	pb.time_unix_us = record->time_us;
	pb.cause = pb_optional_uuid_text(arena, record->cause);
	pb.hop = record->hop;
	pb.quiet = record->is_quiet;
	pb.author_kind = (Mailcase__V1__AuthorKind)record->author.kind;
	pb.author_user_id = pb_optional_uuid_text(arena, record->author.user.id);
	pb.n_facts = record->facts_len;
	pb.facts = list;

	return pb_pack(arena, &pb.base);
}

int case_record_decode(struct arena *arena, struct str bytes, struct case_record *out, struct err *err)
{
	ProtobufCAllocator allocator = pb_allocator(arena);
	const Mailcase__V1__CaseRecord *pb =
		mailcase__v1__case_record__unpack(&allocator, bytes.len, (const uint8_t *)bytes.at);

	if (!pb)
		return err_set(err, ERR_PERM, "cannot decode case record: its %zu bytes are no CaseRecord", bytes.len);
	*out = (struct case_record){
		.version = pb->version,
		.number = pb->number,
		.time_us = pb->time_unix_us,
		.hop = pb->hop,
		.is_quiet = pb->quiet,
	};
	if (!pb_optional_uuid(pb->tenant_id, &out->tenant.id) || !pb_optional_uuid(pb->case_id, &out->case_id.id) ||
	    !pb_optional_uuid(pb->cause, &out->cause) || uuid_is_null(out->tenant.id) || uuid_is_null(out->case_id.id) ||
	    !pb_optional_uuid(pb->author_user_id, &out->author.user.id))
		return err_set(err, ERR_PERM, "cannot decode case record: an id in it is no UUID");
	if (pb->author_kind <= MAILCASE__V1__AUTHOR_KIND__AUTHOR_KIND_SENDER)
		out->author.kind = (enum author_kind)pb->author_kind;

	struct fact *facts = ARENA_ARRAY(arena, struct fact, pb->n_facts + 1);
	for (size_t i = 0; i < pb->n_facts; i++) {
		bool is_bad = false;
		if (fact_decode(pb->facts[i], &facts[out->facts_len], &is_bad))
			out->facts_len++;
		if (is_bad)
			return err_set(err, ERR_PERM, "cannot decode case record: an id of fact %zu is no UUID", i + 1);
	}
	out->facts = facts;
	return 0;
}

static void fact_encode(struct arena *arena, const struct fact *fact, Mailcase__V1__Fact *out)
{
	switch (fact->kind) {
	case FACT_CASE_OPENED: {
		BODY(CaseOpened, case_opened, case_opened, CASE_OPENED);
		body->queue_id = pb_optional_uuid_text(arena, fact->case_opened.queue.id);
		body->team_id = pb_optional_uuid_text(arena, fact->case_opened.team.id);
		body->mailbox_id = pb_optional_uuid_text(arena, fact->case_opened.mailbox.id);
		body->follows_case_id = pb_optional_uuid_text(arena, fact->case_opened.follows.id);
		body->state = (Mailcase__V1__CaseState)fact->case_opened.state;
		break;
	}
	case FACT_MESSAGE_ADDED: {
		BODY(MessageAdded, message_added, message_added, MESSAGE_ADDED);
		body->message_id = pb_optional_uuid_text(arena, fact->message_added.message.id);
		body->direction = (Mailcase__V1__Direction)fact->message_added.direction;
		body->pending = fact->message_added.is_pending;
		body->automatic = fact->message_added.is_automatic;
		body->external = fact->message_added.is_external;
		body->unverified = fact->message_added.is_unverified;
		body->matched_by = pb_text(arena, fact->message_added.matched_by);
		body->size = fact->message_added.size;
		body->attachments = fact->message_added.attachments;
		break;
	}
	case FACT_MESSAGE_CONFIRMED: {
		BODY(MessageConfirmed, message_confirmed, message_confirmed, MESSAGE_CONFIRMED);
		body->message_id = pb_optional_uuid_text(arena, fact->message_confirmed.message.id);
		break;
	}
	case FACT_PARTICIPANT_ADDED: {
		BODY(ParticipantAdded, participant_added, participant_added, PARTICIPANT_ADDED);
		body->message_id = pb_optional_uuid_text(arena, fact->participant_added.message.id);
		body->role = pb_text(arena, fact->participant_added.role);
		break;
	}
	case FACT_ASSIGNED: {
		BODY(Assigned, assigned, assigned, ASSIGNED);
		body->user_id = pb_optional_uuid_text(arena, fact->assigned.user.id);
		body->team_id = pb_optional_uuid_text(arena, fact->assigned.team.id);
		body->previous_user_id = pb_optional_uuid_text(arena, fact->assigned.previous.id);
		body->method = pb_text(arena, fact->assigned.method);
		break;
	}
	case FACT_QUEUE_CHANGED: {
		BODY(QueueChanged, queue_changed, queue_changed, QUEUE_CHANGED);
		body->from_queue_id = pb_optional_uuid_text(arena, fact->queue_changed.from.id);
		body->to_queue_id = pb_optional_uuid_text(arena, fact->queue_changed.to.id);
		break;
	}
	case FACT_STATE_CHANGED: {
		BODY(StateChanged, state_changed, state_changed, STATE_CHANGED);
		body->from = (Mailcase__V1__CaseState)fact->state_changed.from;
		body->to = (Mailcase__V1__CaseState)fact->state_changed.to;
		body->reason = pb_text(arena, fact->state_changed.reason);
		break;
	}
	case FACT_FOLLOWED: {
		BODY(Followed, followed, followed, FOLLOWED);
		body->user_id = pb_optional_uuid_text(arena, fact->followed.user.id);
		body->following = fact->followed.is_following;
		break;
	}
	case FACT_NOTICE_PLANNED: {
		BODY(NoticePlanned, notice_planned, notice_planned, NOTICE_PLANNED);
		body->outbound_id = pb_optional_uuid_text(arena, fact->notice_planned.outbound.id);
		body->audience = pb_text(arena, fact->notice_planned.audience);
		body->kind = pb_text(arena, fact->notice_planned.kind);
		body->reason = pb_text(arena, fact->notice_planned.reason);
		body->user_id = pb_optional_uuid_text(arena, fact->notice_planned.user.id);
		break;
	}
	case FACT_NOTICE_SUPPRESSED: {
		BODY(NoticeSuppressed, notice_suppressed, notice_suppressed, NOTICE_SUPPRESSED);
		body->audience = pb_text(arena, fact->notice_suppressed.audience);
		body->kind = pb_text(arena, fact->notice_suppressed.kind);
		body->reason = pb_text(arena, fact->notice_suppressed.reason);
		body->suppressed_by = pb_text(arena, fact->notice_suppressed.suppressed_by);
		body->user_id = pb_optional_uuid_text(arena, fact->notice_suppressed.user.id);
		break;
	}
	case FACT_COPY_STATE_CHANGED: {
		BODY(CopyStateChanged, copy_state_changed, copy_state_changed, COPY_STATE_CHANGED);
		body->outbound_id = pb_optional_uuid_text(arena, fact->copy_state_changed.outbound.id);
		body->copy_id = pb_optional_uuid_text(arena, fact->copy_state_changed.copy.id);
		body->from = pb_text(arena, fact->copy_state_changed.from);
		body->to = pb_text(arena, fact->copy_state_changed.to);
		body->reply_code = fact->copy_state_changed.reply_code;
		break;
	}
	case FACT_TOKEN_REFUSED: {
		BODY(TokenRefused, token_refused, token_refused, TOKEN_REFUSED);
		body->message_id = pb_optional_uuid_text(arena, fact->token_refused.message.id);
		body->reason = pb_text(arena, fact->token_refused.reason);
		break;
	}
	case FACT_MATCH_SUGGESTED: {
		BODY(MatchSuggested, match_suggested, match_suggested, MATCH_SUGGESTED);
		body->message_id = pb_optional_uuid_text(arena, fact->match_suggested.message.id);
		body->other_case_id = pb_optional_uuid_text(arena, fact->match_suggested.other.id);
		body->rung = pb_text(arena, fact->match_suggested.rung);
		body->reason = pb_text(arena, fact->match_suggested.reason);
		break;
	}
	case FACT_KINDS:
		break;
	}
}

/* False for a fact of a later version of the contract, which is skipped; *out_bad for an id that is none. */
static bool fact_decode(const Mailcase__V1__Fact *in, struct fact *out, bool *out_bad)
{
	bool ids = true;

	*out = (struct fact){ 0 };
	switch (in->body_case) {
	case MAILCASE__V1__FACT__BODY_CASE_OPENED:
		out->kind = FACT_CASE_OPENED;
		ids = pb_optional_uuid(in->case_opened->queue_id, &out->case_opened.queue.id) &&
		      pb_optional_uuid(in->case_opened->team_id, &out->case_opened.team.id) &&
		      pb_optional_uuid(in->case_opened->mailbox_id, &out->case_opened.mailbox.id) &&
		      pb_optional_uuid(in->case_opened->follows_case_id, &out->case_opened.follows.id);
		out->case_opened.state = known_state(in->case_opened->state);
		break;
	case MAILCASE__V1__FACT__BODY_MESSAGE_ADDED:
		out->kind = FACT_MESSAGE_ADDED;
		ids = pb_optional_uuid(in->message_added->message_id, &out->message_added.message.id);
		if (in->message_added->direction <= MAILCASE__V1__DIRECTION__DIRECTION_NOTE)
			out->message_added.direction = (enum direction)in->message_added->direction;
		out->message_added.is_pending = in->message_added->pending;
		out->message_added.is_automatic = in->message_added->automatic;
		out->message_added.is_external = in->message_added->external;
		out->message_added.is_unverified = in->message_added->unverified;
		out->message_added.matched_by = str_of(in->message_added->matched_by);
		out->message_added.size = in->message_added->size;
		out->message_added.attachments = in->message_added->attachments;
		break;
	case MAILCASE__V1__FACT__BODY_MESSAGE_CONFIRMED:
		out->kind = FACT_MESSAGE_CONFIRMED;
		ids = pb_optional_uuid(in->message_confirmed->message_id, &out->message_confirmed.message.id);
		break;
	case MAILCASE__V1__FACT__BODY_PARTICIPANT_ADDED:
		out->kind = FACT_PARTICIPANT_ADDED;
		ids = pb_optional_uuid(in->participant_added->message_id, &out->participant_added.message.id);
		out->participant_added.role = str_of(in->participant_added->role);
		break;
	case MAILCASE__V1__FACT__BODY_ASSIGNED:
		out->kind = FACT_ASSIGNED;
		ids = pb_optional_uuid(in->assigned->user_id, &out->assigned.user.id) &&
		      pb_optional_uuid(in->assigned->team_id, &out->assigned.team.id) &&
		      pb_optional_uuid(in->assigned->previous_user_id, &out->assigned.previous.id);
		out->assigned.method = str_of(in->assigned->method);
		break;
	case MAILCASE__V1__FACT__BODY_QUEUE_CHANGED:
		out->kind = FACT_QUEUE_CHANGED;
		ids = pb_optional_uuid(in->queue_changed->from_queue_id, &out->queue_changed.from.id) &&
		      pb_optional_uuid(in->queue_changed->to_queue_id, &out->queue_changed.to.id);
		break;
	case MAILCASE__V1__FACT__BODY_STATE_CHANGED:
		out->kind = FACT_STATE_CHANGED;
		out->state_changed.from = known_state(in->state_changed->from);
		out->state_changed.to = known_state(in->state_changed->to);
		out->state_changed.reason = str_of(in->state_changed->reason);
		break;
	case MAILCASE__V1__FACT__BODY_FOLLOWED:
		out->kind = FACT_FOLLOWED;
		ids = pb_optional_uuid(in->followed->user_id, &out->followed.user.id);
		out->followed.is_following = in->followed->following;
		break;
	case MAILCASE__V1__FACT__BODY_NOTICE_PLANNED:
		out->kind = FACT_NOTICE_PLANNED;
		ids = pb_optional_uuid(in->notice_planned->outbound_id, &out->notice_planned.outbound.id) &&
		      pb_optional_uuid(in->notice_planned->user_id, &out->notice_planned.user.id);
		out->notice_planned.audience = str_of(in->notice_planned->audience);
		out->notice_planned.kind = str_of(in->notice_planned->kind);
		out->notice_planned.reason = str_of(in->notice_planned->reason);
		break;
	case MAILCASE__V1__FACT__BODY_NOTICE_SUPPRESSED:
		out->kind = FACT_NOTICE_SUPPRESSED;
		ids = pb_optional_uuid(in->notice_suppressed->user_id, &out->notice_suppressed.user.id);
		out->notice_suppressed.audience = str_of(in->notice_suppressed->audience);
		out->notice_suppressed.kind = str_of(in->notice_suppressed->kind);
		out->notice_suppressed.reason = str_of(in->notice_suppressed->reason);
		out->notice_suppressed.suppressed_by = str_of(in->notice_suppressed->suppressed_by);
		break;
	case MAILCASE__V1__FACT__BODY_COPY_STATE_CHANGED:
		out->kind = FACT_COPY_STATE_CHANGED;
		ids = pb_optional_uuid(in->copy_state_changed->outbound_id, &out->copy_state_changed.outbound.id) &&
		      pb_optional_uuid(in->copy_state_changed->copy_id, &out->copy_state_changed.copy.id);
		out->copy_state_changed.from = str_of(in->copy_state_changed->from);
		out->copy_state_changed.to = str_of(in->copy_state_changed->to);
		out->copy_state_changed.reply_code = in->copy_state_changed->reply_code;
		break;
	case MAILCASE__V1__FACT__BODY_TOKEN_REFUSED:
		out->kind = FACT_TOKEN_REFUSED;
		ids = pb_optional_uuid(in->token_refused->message_id, &out->token_refused.message.id);
		out->token_refused.reason = str_of(in->token_refused->reason);
		break;
	case MAILCASE__V1__FACT__BODY_MATCH_SUGGESTED:
		out->kind = FACT_MATCH_SUGGESTED;
		ids = pb_optional_uuid(in->match_suggested->message_id, &out->match_suggested.message.id) &&
		      pb_optional_uuid(in->match_suggested->other_case_id, &out->match_suggested.other.id);
		out->match_suggested.rung = str_of(in->match_suggested->rung);
		out->match_suggested.reason = str_of(in->match_suggested->reason);
		break;
	default:
		return false;
	}
	*out_bad = !ids;
	return ids;
}

/* A state of a later version of the contract reads as none. */
static enum case_state known_state(Mailcase__V1__CaseState state)
{
	return state <= MAILCASE__V1__CASE_STATE__CASE_STATE_MERGED ? (enum case_state)state : CASE_NO_STATE;
}
