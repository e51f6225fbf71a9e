/* SPDX-License-Identifier: Apache-2.0
 * threader - attach each received mail to a case, or open one
 *
 * READS     topic mail.received (keyed by thread hint); blob; tables of tenants, queues, mailboxes, token keys
 * WRITES    message, attachment, message_ref, case_message, participant, case_file, case_event, intake, quarantine;
 *           topic case.events (keyed by case)
 * SETTINGS  those of every service; MAILCASE_SEAL_KEY_FILE is required (token keys)
 * METRICS   mailcase_threader_mails_total{outcome}, _matched_total{rung}, _parsed_total{verdict},
 *           _claims_repeated_total, _decided_seconds (from intake to decision)
 * LOGS      mail.decided, mail.quarantined, parser.forbidden
 * FAILURES  database or broker away: the turn is retried with back-off, nothing is confirmed
 *           a mail that kills or stalls its parser child: quarantined, the others go on
 *           a record that can never be handled: dead letter, its ledger row is dead, in the same transaction
 *           another threader has the same ids in hand: waits for it, looks again, at worst starts the turn again
 * SEE       docs/design.md sections 4 to 6; lib/domain/case_match.h
 */
#include "base/log.h"
#include "edge/parser_child.h"
#include "edge/seal.h"
#include "kit/metrics.h"
#include "kit/service.h"
#include "kit/turn.h"
#include "thread_apply.h"
#include "thread_facts.h"
#include "thread_setup.h"
#include "understand.h"

#include "base/banned.h"

struct threader {
	struct parser_pool *pool;
	struct seal_key seal_key;
};

/* What prepare leaves for apply. */
struct prepared {
	struct thread_batch batch;
	struct thread_setup setup;
};

static struct metric mails_total = METRIC_COUNTER("mailcase_threader_mails_total", "mails decided", "outcome");
static struct metric matched_total =
	METRIC_COUNTER("mailcase_threader_matched_total", "what decided about a mail's case", "rung");
static struct metric decided_seconds =
	METRIC_HISTOGRAM("mailcase_threader_decided_seconds", "from the intake of a mail to its case", NULL);

static int run(struct service *service, struct err *err);
static int prepare(struct turn *turn, struct err *err);
static int apply(struct turn *turn, struct err *err);
static void committed(struct turn *turn);
static int set_aside(struct turn *turn, const struct bus_record *record, const char *reason, struct err *err);

int main(int argc, char **argv)
{
	parser_child_main_if_asked(argc, argv);
	static const struct service_def def = {
		.name = "threader",
		.summary = "attach each received mail to a case, or open one",
		.examples = "  MAILCASE_DATABASE_URL=postgresql://... MAILCASE_SEAL_KEY_FILE=seal.key threader\n"
					"  threader --settings\n",
		.run = run,
	};
	return service_main(argc, argv, &def);
}

static int run(struct service *service, struct err *err)
{
	static const char *const topics[] = { TOPIC_MAIL_RECEIVED, NULL };
	struct threader self = { 0 };
	if (seal_key_load(service->conf.seal_key_file, &self.seal_key, err) < 0)
		return err_prefix(err, "MAILCASE_SEAL_KEY_FILE");
	self.pool = parser_pool_new();
	const struct turn_handler handler = {
		.group = "threader",
		.topics = topics,
		.idle_ms = 1000,
		.self = &self,
		.prepare = prepare,
		.apply = apply,
		.committed = committed,
		.set_aside = set_aside,
	};
	int result = turn_loop(service, &handler, err);
	parser_pool_free(self.pool);
	seal_key_wipe(&self.seal_key);
	return result;
}

static int prepare(struct turn *turn, struct err *err)
{
	struct threader *self = turn->self;
	struct prepared *prepared = ARENA_NEW(&turn->arena, struct prepared);
	turn->batch = prepared;
	if (understand(turn->db, &turn->arena, self->pool, turn->records, turn->count, &prepared->batch, err) < 0)
		return -1;
	return thread_setup_load(turn->db, &turn->arena, &self->seal_key, &prepared->batch, &prepared->setup, err);
}

static int apply(struct turn *turn, struct err *err)
{
	struct prepared *prepared = turn->batch;
	struct thread_batch *batch = &prepared->batch;
	struct thread_view view;
	bool is_settled;

	if (thread_facts_load(turn->db, &turn->arena, batch, &prepared->setup, &view, &is_settled, err) < 0)
		return -1;
	if (!is_settled)
		return turn_again(err);

	struct match_verdict *verdicts = ARENA_ARRAY(&turn->arena, struct match_verdict, view.len);
	case_match(&turn->arena, &view.facts, view.inputs, view.len, verdicts);
	for (size_t i = 0; i < view.len; i++)
		view.mails[i]->verdict = &verdicts[i];

	if (thread_apply(&view, &turn->filled_outbox, err) < 0)
		return -1;
	for (size_t i = 0; i < batch->len; i++)
		if (batch->mails[i].fate == FATE_SET_ASIDE &&
		    turn_set_aside(turn, batch->mails[i].record, batch->mails[i].reason, err) < 0)
			return -1;
	return 0;
}

static int set_aside(struct turn *turn, const struct bus_record *record, const char *reason, struct err *err)
{
	/* The record itself may be unreadable; what it is about stands beside it. */
	struct intake_id intake;
	if (!uuid_parse(record->subject, &intake.id))
		return 0;
	return thread_apply_dead(turn->db, &turn->arena, intake, reason, err);
}

static void committed(struct turn *turn)
{
	static const char *const outcomes[] = { [MATCH_OPENED] = "opened",
		                                    [MATCH_JOINED] = "joined",
		                                    [MATCH_DUPLICATE] = "duplicate",
		                                    [MATCH_PERSONAL] = "personal",
		                                    [MATCH_OWN_MAIL] = "own_mail" };
	static const char *const rungs[] = { "opened", "token", "ids", "thread_index", "number", "subject" };
	struct prepared *prepared = turn->batch;

	for (size_t i = 0; i < prepared->batch.len; i++) {
		const struct thread_mail *mail = &prepared->batch.mails[i];
		const struct match_verdict *v = mail->verdict;
		if (mail->fate == FATE_QUARANTINED) {
			metric_add(metric_label(&mails_total, "quarantined"), 1);
			log_warn("mail.quarantined", LOG_UUID("intake", mail->received.intake.id),
			         LOG_TEXT("verdict", parse_verdict_name(mail->parse_verdict)), LOG_END);
		}
		if (mail->fate != FATE_MATCHED || !v)
			continue;
		metric_add(metric_label(&mails_total, v->is_pending ? "pending" : outcomes[v->outcome]), 1);
		for (size_t r = 0; r < ARRAY_LEN(rungs); r++)
			if (str_eq(v->matched_by, str_of(rungs[r])))
				metric_add(metric_label(&matched_total, rungs[r]), 1);
		metric_observe_us(metric_label(&decided_seconds, NULL), prepared->batch.now_us - mail->received.received_at_us);
		log_info("mail.decided", LOG_UUID("intake", mail->received.intake.id),
		         LOG_TEXT("outcome", outcomes[v->outcome]), LOG_UUID("message", v->message.id),
		         LOG_UUID("case", v->case_id.id), LOG_STR("matched_by", v->matched_by),
		         LOG_BOOL("pending", v->is_pending), LOG_END);
	}
}
