/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/match_candidates.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/vec.h"
#include "mail/address.h"

#include "base/banned.h"

enum { CANDIDATES_MOST = 50, SECONDS_OF_DAY = 86400 };

struct search {
	struct arena *arena;
	const struct match_facts *facts;
	const struct match_mail *mail;
	const struct match_verdict *doubles;
	VEC(struct match_candidate) found;
	struct str token_refused;
};

static void find_twin(struct search *s);
static void find_tokens(struct search *s);
static void find_ids(struct search *s);
static void find_referred(struct search *s);
static void find_thread_index(struct search *s);
static void find_numbers(struct search *s);
static void find_subject(struct search *s);
static struct match_candidate *add(struct search *s, enum match_rung rung, enum match_place source,
                                   struct case_id case_id, const struct match_outbound *answered);
static void refuse_token(struct search *s, const struct match_token *token, const char *reason);
static bool was_sent_to(const struct match_outbound *sent, struct str address);
static bool is_subject_known(const struct match_case *place, struct str subject_base);

void match_candidates_find(struct arena *arena, const struct match_facts *facts, const struct match_mail *mail,
                           const struct match_verdict *doubles, struct match_candidates *out)
{
	struct search s = { .arena = arena, .facts = facts, .mail = mail, .doubles = doubles };
	find_twin(&s);
	find_tokens(&s);
	size_t before_ids = s.found.len;
	find_ids(&s);
	find_referred(&s);
	if (s.found.len == before_ids)
		find_thread_index(&s);
	find_numbers(&s);
	find_subject(&s);
	*out = (struct match_candidates){ s.found.at, s.found.len, s.token_refused };
}

const struct match_candidate *match_candidates_choose(const struct match_candidates *found)
{
	for (size_t i = 0; i < found->len; i++)
		if (found->at[i].join != JOIN_NOT)
			return &found->at[i];
	return NULL;
}

/* A variant goes where its twin is, whatever else it says: they are the same mail. */
static void find_twin(struct search *s)
{
	if (uuid_is_null(s->doubles->variant_of.id))
		return;
	const struct match_message *twin = match_facts_message(s->facts, s->doubles->variant_of);
	struct match_candidate *candidate = twin ? add(s, RUNG_IDS, PLACE_OWN_ID, twin->case_id, NULL) : NULL;
	if (candidate)
		candidate->join = match_rule_evidence(&candidate->who);
}

/* A token that verifies leads to the case of the mail that bore it. One that does not is no token: it is read no
 * further and nothing is guessed from it; what else the mail holds counts by its own right. */
static void find_tokens(struct search *s)
{
	for (size_t i = 0; i < s->mail->keys->tokens_len; i++) {
		const struct match_token *token = &s->mail->keys->tokens[i];
		if (!token->is_verified) {
			refuse_token(s, token, "bad_signature");
			continue;
		}
		const struct match_outbound *sent = match_facts_serial(s->facts, s->mail->tenant->id, token->serial);
		if (!sent) {
			refuse_token(s, token, "unknown_mail");
			continue;
		}
		struct match_candidate *candidate = add(s, RUNG_TOKEN, token->place, sent->case_id, sent);
		if (candidate)
			candidate->join = match_rule_evidence(&candidate->who);
	}
}

/* Forty letters in a text are not worth a word; in one of our own addresses, or before one of our own domains, they
 * were meant as a token. An id of ours that is stored verbatim matches as an id, however old its key. */
static void refuse_token(struct search *s, const struct match_token *token, const char *reason)
{
	const struct match_mailbox *unused;
	const struct match_tenant *tenant = s->mail->tenant;
	bool is_ours = token->base.len && match_facts_own(s->facts, tenant->id, token->base, &unused);
	if (!token->base.len && token->domain.len) {
		struct str id = str_printf(s->arena, "%.*s@%.*s", STR_ARG(token->text), STR_ARG(token->domain));
		for (size_t i = 0; i < tenant->senders.len; i++) {
			struct str local, domain;
			is_ours |= address_split(tenant->senders.at[i], &local, &domain) && str_eq_nocase(domain, token->domain);
		}
		if (match_facts_header(s->facts, tenant->id, id))
			is_ours = false;
	}
	if (is_ours && !s->token_refused.len)
		s->token_refused = str_of(reason);
}

static void find_ids(struct search *s)
{
	for (size_t i = 0; i < s->mail->keys->ids_len; i++) {
		const struct match_id *id = &s->mail->keys->ids[i];
		const struct match_ref *ref = match_facts_ref(s->facts, id->key);
		const struct match_outbound *sent = match_facts_header(s->facts, s->mail->tenant->id, id->text);
		if (!ref && !sent)
			continue;
		struct match_candidate *candidate = add(s, RUNG_IDS, id->place, ref ? ref->case_id : sent->case_id, sent);
		if (candidate)
			candidate->join = match_rule_evidence(&candidate->who);
	}
}

/* Others have mentioned this mail before it came: it may be their parent. A mail under an id that another bears already
 * gets nothing from it. */
static void find_referred(struct search *s)
{
	const struct match_ref *ref = match_facts_ref(s->facts, s->mail->keys->own_key);
	if (!ref || !uuid_is_null(ref->message.id))
		return;
	struct match_candidate *candidate = add(s, RUNG_IDS, PLACE_OWN_ID, ref->case_id, NULL);
	if (candidate)
		candidate->join = match_rule_referred(&candidate->who);
}

static void find_thread_index(struct search *s)
{
	if (uuid_is_null(s->mail->keys->thread_key))
		return;
	const struct match_ref *ref = match_facts_ref(s->facts, s->mail->keys->thread_key);
	struct match_candidate *candidate = ref ? add(s, RUNG_THREAD_INDEX, PLACE_THREAD_INDEX, ref->case_id, NULL) : NULL;
	if (candidate)
		candidate->join = match_rule_evidence(&candidate->who);
}

static void find_numbers(struct search *s)
{
	for (size_t i = 0; i < s->mail->keys->numbers_len; i++) {
		const struct match_case *place = match_facts_number(s->facts, s->mail->tenant->id, s->mail->keys->numbers[i]);
		struct match_candidate *candidate = place ? add(s, RUNG_NUMBER, PLACE_SUBJECT, place->id, NULL) : NULL;
		if (!candidate)
			continue;
		candidate->is_subject_known = is_subject_known(candidate->place, s->mail->keys->subject_base);
		candidate->join = match_rule_number(&candidate->who, candidate->is_subject_known);
	}
}

/* Only an answer ("Re:") asks to be filed with what it answers: the same person's next mail of the same name is a new
 * matter. Of several alike the one that was opened last is meant. */
static void find_subject(struct search *s)
{
	const struct match_mailbox *mailbox = s->mail->mailbox;
	const struct match_keys *keys = s->mail->keys;
	if (!mailbox->rung5 || !keys->is_reply)
		return;
	int64_t earliest = s->mail->received_at_us - mailbox->rung5_days * SECONDS_OF_DAY * USEC_PER_SEC;
	const struct match_case *newest = NULL;
	for (const struct match_case *place = match_facts_alike(s->facts, mailbox->group, keys->subject_base); place;
	     place = place->next_alike) {
		if (place->opened_at < earliest || !match_facts_participant(s->facts, place->id, keys->from))
			continue;
		if (!newest || place->opened_at > newest->opened_at)
			newest = place;
	}
	struct match_candidate *candidate = newest ? add(s, RUNG_SUBJECT, PLACE_SUBJECT, newest->id, NULL) : NULL;
	if (candidate)
		candidate->join = match_rule_subject(&candidate->who);
}

static struct match_candidate *add(struct search *s, enum match_rung rung, enum match_place source,
                                   struct case_id case_id, const struct match_outbound *answered)
{
	const struct match_mail *mail = s->mail;
	const struct match_case *place = match_facts_case(s->facts, case_id);
	if (!place || !uuid_eq(place->tenant.id, mail->tenant->id.id) || s->found.len >= CANDIDATES_MOST)
		return NULL;
	/* The nearest piece of evidence of a kind speaks for its case; the others say the same. */
	for (size_t i = 0; i < s->found.len; i++)
		if (s->found.at[i].rung == rung && s->found.at[i].place == place)
			return NULL;
	/* What nobody authenticated can bear our own address: it is a participant of nothing. */
	const struct match_mailbox *unused;
	struct str from = mail->keys->from;
	bool is_ours = match_facts_own(s->facts, mail->tenant->id, from, &unused);
	struct match_candidate *candidate = VEC_PUSH(s->arena, &s->found);
	*candidate = (struct match_candidate){ .rung = rung, .source = source, .place = place, .answered = answered };
	candidate->who = (struct match_standing){
		.is_participant = !is_ours && match_facts_participant(s->facts, case_id, from),
		.is_recipient = !is_ours && answered && !answered->is_staff && was_sent_to(answered, from),
		.is_staff = answered && answered->is_staff && was_sent_to(answered, from),
		.level = mail->level,
		.trust = mail->mailbox->trust,
	};
	return candidate;
}

static bool was_sent_to(const struct match_outbound *sent, struct str address)
{
	for (size_t i = 0; address.len && i < sent->recipients.len; i++)
		if (address_same(sent->recipients.at[i], address))
			return true;
	return false;
}

static bool is_subject_known(const struct match_case *place, struct str subject_base)
{
	if (!subject_base.len)
		return false;
	if (str_eq(place->subject_base, subject_base))
		return true;
	for (size_t i = 0; i < place->sent_subjects.len; i++)
		if (str_eq(place->sent_subjects.at[i], subject_base))
			return true;
	return false;
}

const char *match_rung_name(enum match_rung rung)
{
	static const char *const names[] = { "token", "ids", "thread_index", "number", "subject" };
	return names[rung];
}

const char *match_candidate_reason(const struct match_candidate *candidate)
{
	const struct match_standing *who = &candidate->who;
	if (match_is_unverified(who))
		return "sender_unverified";
	if (who->is_staff)
		return "staff_token";
	if (candidate->join == JOIN_NOT && candidate->source == PLACE_OWN_ID)
		return "referred_to_by_others";
	if (who->is_participant)
		return candidate->join == JOIN_FULL ? "participant" : "participant_not_authenticated";
	if (who->is_recipient)
		return "recipient_of_answered_mail";
	if (candidate->rung == RUNG_NUMBER && candidate->join == JOIN_NOT)
		return "number_of_a_stranger";
	return "sender_is_no_participant";
}

/* {"decided_by", "why", "trust", "level", "candidates": [{"rung", "place", "case", "join", "why"}]}. Nothing of it is
 * text of the mail's. */
struct str match_candidates_json(struct arena *arena, const struct match_mail *mail,
                                 const struct match_candidates *found, const struct match_candidate *chosen,
                                 const struct match_verdict *verdict)
{
	static const char *const joins[] = { "no", "pending", "full" };
	if (!found->len && !verdict->is_suspicious && !found->token_refused.len)
		return str_printf(arena, "{\"decided_by\":\"opened\",\"trust\":\"%s\",\"level\":\"%s\"}",
		                  sender_trust_name(mail->mailbox->trust), sender_level_name(mail->level));
	json_t *object CLEANUP(json_done) = json_object();
	json_put_str(object, "decided_by", verdict->matched_by);
	if (chosen)
		json_put_str(object, "why", str_of(match_candidate_reason(chosen)));
	json_put_str(object, "trust", str_of(sender_trust_name(mail->mailbox->trust)));
	json_put_str(object, "level", str_of(sender_level_name(mail->level)));
	if (found->token_refused.len)
		json_put_str(object, "token_refused", found->token_refused);
	if (verdict->is_suspicious)
		json_put_bool(object, "suspicious", true);
	json_t *list = json_array();
	for (size_t i = 0; i < found->len; i++) {
		const struct match_candidate *one = &found->at[i];
		json_t *item = json_object();
		json_put_str(item, "rung", str_of(match_rung_name(one->rung)));
		json_put_str(item, "place", str_of(match_place_name(one->source)));
		json_put_uuid(item, "case", one->place->id.id);
		json_put_str(item, "join", str_of(joins[one->join]));
		json_put_str(item, "why", str_of(match_candidate_reason(one)));
		json_array_append_new(list, item);
	}
	json_put(object, "candidates", list);
	return json_dump(arena, object);
}
