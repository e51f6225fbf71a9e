/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/case_match.h"

#include "base/vec.h"
#include "domain/match_candidates.h"
#include "domain/match_rules.h"

#include "base/banned.h"

static void decide(struct arena *arena, struct match_facts *facts, const struct match_mail *mail,
                   struct match_verdict *out);
static bool is_settled(const struct match_facts *facts, const struct match_mail *mail, struct match_verdict *out);
static void look_for_doubles(const struct match_facts *facts, const struct match_mail *mail, struct match_verdict *out);
static void join(const struct match_mail *mail, const struct match_candidate *chosen, struct match_verdict *out);
static bool is_followed(const struct match_mail *mail, const struct match_candidate *chosen,
                        const struct match_verdict *verdict);
static const struct match_candidate *find_living(const struct match_mail *mail, const struct match_candidates *found,
                                                 const struct match_verdict *verdict);
static void open_case(const struct match_facts *facts, const struct match_mail *mail, struct match_verdict *out);
static void suggest(const struct match_candidates *found, struct match_verdict *out);
static const struct match_mailbox *home_of(const struct match_facts *facts, const struct match_mail *mail);
static const struct match_queue *queue_of(const struct match_tenant *tenant, struct queue_id id);
static void remember(struct match_facts *facts, const struct match_mail *mail, const struct match_verdict *verdict);
static bool is_silent(const struct match_mail *mail, const struct match_verdict *verdict);

void case_match(struct arena *arena, struct match_facts *facts, const struct match_mail *mails, size_t count,
                struct match_verdict *out_verdicts)
{
	for (size_t i = 0; i < count; i++) {
		out_verdicts[i] = (struct match_verdict){ .message = mails[i].fresh_message };
		decide(arena, facts, &mails[i], &out_verdicts[i]);
		remember(facts, &mails[i], &out_verdicts[i]);
	}
}

static void decide(struct arena *arena, struct match_facts *facts, const struct match_mail *mail,
                   struct match_verdict *out)
{
	if (is_settled(facts, mail, out))
		return;
	look_for_doubles(facts, mail, out);

	struct match_candidates found;
	match_candidates_find(arena, facts, mail, out, &found);
	const struct match_candidate *first = match_candidates_choose(&found), *chosen = first;

	if (first && is_followed(mail, first, out))
		chosen = find_living(mail, &found, out);
	if (chosen) {
		join(mail, chosen, out);
	} else {
		open_case(facts, mail, out);
		if (first)
			out->follows = first->place->id;
		chosen = first;
	}
	suggest(&found, out);
	out->token_refused = found.token_refused;
	out->evidence = match_candidates_json(arena, mail, &found, chosen, out);
}

/* Duplicates, our own mails and personal mail are not matched at all. */
static bool is_settled(const struct match_facts *facts, const struct match_mail *mail, struct match_verdict *out)
{
	if (match_is_own_mail(facts, mail)) {
		out->outcome = MATCH_OWN_MAIL;
		return true;
	}
	const struct match_message *known = match_facts_identity(facts, mail->keys->identity);
	if (known) {
		out->message = known->id;
		out->case_id = known->case_id;
		/* What reached an agent's own mailbox first is a message of no case; when it comes to the desk as well, it
		 * still has to become one there. */
		if (!uuid_is_null(known->case_id.id) || mail->mailbox->is_personal) {
			out->outcome = MATCH_DUPLICATE;
			return true;
		}
		out->is_known_message = true;
	}
	if (mail->mailbox->is_personal) {
		out->outcome = MATCH_PERSONAL;
		return true;
	}
	return false;
}

bool match_is_own_mail(const struct match_facts *facts, const struct match_mail *mail)
{
	const struct match_outbound *sent = match_facts_header(facts, mail->tenant->id, mail->keys->header_id);
	return sent && sent->has_body_sum && digest_same(sent->body_sum.b, mail->mail->body_sum.b, sizeof sent->body_sum.b);
}

/* A Message-ID that is known with another body: from the same sender at the same time it is the same mail on another
 * way (a list's footer, rewritten links); from another sender somebody uses an id that is not his. */
static void look_for_doubles(const struct match_facts *facts, const struct match_mail *mail, struct match_verdict *out)
{
	const struct match_keys *keys = mail->keys;
	if (match_facts_header(facts, mail->tenant->id, keys->header_id))
		out->is_suspicious = true;
	const struct match_ref *ref = match_facts_ref(facts, keys->own_key);
	const struct match_message *bearer =
		ref && !uuid_is_null(ref->message.id) ? match_facts_message(facts, ref->message) : NULL;
	if (!bearer || uuid_eq(bearer->id.id, out->message.id))
		return;
	int64_t sent_at_s = mail->mail->has_date ? mail->mail->date_s : 0;
	if (!str_eq(bearer->from, keys->sender))
		out->is_suspicious = true;
	else if (bearer->sent_at_s == sent_at_s)
		out->variant_of = bearer->id;
}

static void join(const struct match_mail *mail, const struct match_candidate *chosen, struct match_verdict *out)
{
	out->outcome = MATCH_JOINED;
	out->case_id = chosen->place->id;
	out->matched_by = str_of(match_rung_name(chosen->rung));
	out->is_pending = chosen->join == JOIN_PENDING;
	out->is_external = !chosen->who.is_participant && !chosen->who.is_recipient && !chosen->who.is_staff;
	out->is_unverified = match_is_unverified(&chosen->who);
	out->state_before = out->state = chosen->place->state;
	if (out->is_pending || is_silent(mail, out))
		return;
	if (chosen->place->state == CASE_WAITING)
		out->state_reason = STR("customer_wrote");
	else if (chosen->place->state == CASE_CLOSED)
		out->state_reason = STR("reopened");
	if (out->state_reason.len)
		out->state = CASE_OPEN;
}

/* What a machine wrote, what is old, and what is only another copy is filed and changes nothing. */
static bool is_silent(const struct match_mail *mail, const struct match_verdict *verdict)
{
	return mail->mail->is_automatic || mail->is_quiet || !uuid_is_null(verdict->variant_of.id);
}

/* Late mail to a closed case, from whomever: where the queue wants a new case, a stranger's mail must not lie unseen in
 * the old one. An agent's answer to a notice stays with the case it is about. */
static bool is_followed(const struct match_mail *mail, const struct match_candidate *chosen,
                        const struct match_verdict *verdict)
{
	const struct match_case *place = chosen->place;
	if (place->state != CASE_CLOSED || chosen->who.is_staff || is_silent(mail, verdict))
		return false;
	int64_t closed_at = place->closed_at ? place->closed_at : place->opened_at;
	return match_rule_closed(queue_of(mail->tenant, place->queue), closed_at, mail->received_at_us) ==
	       CLOSED_IS_FOLLOWED;
}

/* A conversation that outlived its case goes on in the one that followed it, and its mails name both: the token of the
 * old one, the ids of the new one. Without this look each of them would open yet another case. */
static const struct match_candidate *find_living(const struct match_mail *mail, const struct match_candidates *found,
                                                 const struct match_verdict *verdict)
{
	for (size_t i = 0; i < found->len; i++) {
		const struct match_candidate *one = &found->at[i];
		bool is_named = one->rung == RUNG_TOKEN || one->rung == RUNG_IDS;
		if (is_named && one->join != JOIN_NOT && !is_followed(mail, one, verdict))
			return one;
	}
	return NULL;
}

static void open_case(const struct match_facts *facts, const struct match_mail *mail, struct match_verdict *out)
{
	const struct match_mailbox *unused;
	const struct match_standing who = { .level = mail->level, .trust = mail->mailbox->trust };
	out->outcome = MATCH_OPENED;
	out->case_id = mail->fresh_case;
	out->matched_by = STR("opened");
	out->is_unverified = match_is_unverified(&who);
	out->home = home_of(facts, mail);
	out->queue = queue_of(mail->tenant, out->home->queue);
	out->state = out->state_before = mail->is_quiet ? CASE_CLOSED : CASE_OPEN;
	/* Our own address as the opener would make us write to ourselves. */
	out->adds_opener = mail->keys->from.len > 0 && !match_facts_own(facts, mail->tenant->id, mail->keys->from, &unused);
}

/* One group of mailboxes shares its cases: the case belongs where its sender wrote to, whichever mailbox brought it
 * first. The first of our addresses in To, then Cc; else the mailbox that received it. */
static const struct match_mailbox *home_of(const struct match_facts *facts, const struct match_mail *mail)
{
	for (size_t i = 0; i < mail->keys->recipients.len; i++) {
		const struct match_mailbox *ours;
		if (match_facts_own(facts, mail->tenant->id, mail->keys->recipients.at[i], &ours) && ours &&
		    !ours->is_personal && uuid_eq(ours->group.id, mail->mailbox->group.id))
			return ours;
	}
	return mail->mailbox;
}

static const struct match_queue *queue_of(const struct match_tenant *tenant, struct queue_id id)
{
	for (size_t i = 0; i < tenant->queues_len; i++)
		if (uuid_eq(tenant->queues[i].id.id, id.id))
			return &tenant->queues[i];
	return NULL;
}

/* The strongest case that was named and is not the mail's own. Weak evidence beside a case that is certain is noise;
 * but that others had referred to this mail elsewhere ties two cases together, which a person should see. */
static void suggest(const struct match_candidates *found, struct match_verdict *out)
{
	for (size_t i = 0; i < found->len; i++) {
		const struct match_candidate *other = &found->at[i];
		bool is_its_own =
			uuid_eq(other->place->id.id, out->case_id.id) || uuid_eq(other->place->id.id, out->follows.id);
		bool is_worth_it = other->source == PLACE_OWN_ID || (out->outcome == MATCH_OPENED && other->join == JOIN_NOT);
		if (is_its_own || !is_worth_it || other->rung == RUNG_SUBJECT)
			continue;
		out->suggested = other->place->id;
		out->suggested_rung = str_of(match_rung_name(other->rung));
		out->suggested_reason = str_of(match_candidate_reason(other));
		return;
	}
}

/* The later mails of the batch find this one. */
static void remember(struct match_facts *facts, const struct match_mail *mail, const struct match_verdict *verdict)
{
	const struct match_keys *keys = mail->keys;
	if (verdict->outcome == MATCH_DUPLICATE || verdict->outcome == MATCH_OWN_MAIL)
		return;
	match_facts_put_message(facts,
	                        (struct match_message){ .id = verdict->message,
	                                                .identity = keys->identity,
	                                                .case_id = verdict->case_id,
	                                                .from = keys->sender,
	                                                .sent_at_s = mail->mail->has_date ? mail->mail->date_s : 0 });
	if (verdict->outcome == MATCH_PERSONAL)
		return;

	if (verdict->outcome == MATCH_OPENED) {
		match_facts_put_case(
			facts, (struct match_case){ .id = verdict->case_id,
		                                .tenant = mail->tenant->id,
		                                .state = verdict->state,
		                                .queue = verdict->queue ? verdict->queue->id : (struct queue_id){ { { 0 } } },
		                                .group = mail->mailbox->group,
		                                .subject_base = keys->subject_base,
		                                .opened_at = mail->received_at_us });
		if (verdict->adds_opener)
			match_facts_put_participant(facts, verdict->case_id, keys->from);
	} else {
		match_facts_case(facts, verdict->case_id)->state = verdict->state;
	}

	size_t count;
	const struct uuid *refs = match_ref_keys(facts->arena, keys, &count);
	for (size_t i = 0; i < count; i++) {
		bool is_own = uuid_eq(refs[i], keys->own_key);
		struct match_ref *ref = match_facts_ref(facts, refs[i]);
		if (!ref)
			ref = match_facts_put_ref(facts, (struct match_ref){ .key = refs[i], .case_id = verdict->case_id });
		/* Whoever bears an id decides where it leads; until then it leads where it was first mentioned. A second mail
		 * under a known id changes nothing. */
		if (is_own && uuid_is_null(ref->message.id)) {
			ref->message = verdict->message;
			ref->case_id = verdict->case_id;
		}
	}
}

void match_guess(struct arena *arena, const struct match_facts *facts, const struct match_mail *mails, size_t count,
                 struct case_id *out_cases)
{
	struct map batch;
	map_init(&batch, arena);
	for (size_t i = 0; i < count; i++) {
		const struct match_keys *keys = mails[i].keys;
		const struct case_id *guess = NULL;
		for (size_t t = 0; t < keys->tokens_len && !guess; t++) {
			const struct match_outbound *sent =
				keys->tokens[t].is_verified ? match_facts_serial(facts, mails[i].tenant->id, keys->tokens[t].serial)
											: NULL;
			guess = sent ? &sent->case_id : NULL;
		}
		size_t refs_len;
		const struct uuid *refs = match_ref_keys(arena, keys, &refs_len);
		for (size_t r = 0; r < refs_len && !guess; r++) {
			const struct match_ref *ref = match_facts_ref(facts, refs[r]);
			guess = ref ? &ref->case_id : map_get(&batch, str_span((const char *)refs[r].b, sizeof refs[r].b));
		}
		out_cases[i] = guess ? *guess : mails[i].fresh_case;
		for (size_t r = 0; r < refs_len; r++) {
			struct str key = str_span((const char *)refs[r].b, sizeof refs[r].b);
			if (!map_get(&batch, key))
				map_put(&batch, key, &out_cases[i]);
		}
	}
}
