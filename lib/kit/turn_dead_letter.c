/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/turn_private.h"

#include "base/log.h"
#include "kit/metrics.h"
#include "record/dead_letter.h"

#include "base/banned.h"

static struct metric dead_letters_total =
	METRIC_COUNTER("mailcase_dead_letters_total", "records set aside, by group", "group");
static struct metric replays_total = METRIC_COUNTER("mailcase_replays_total", "dead letters taken again", "outcome");

static int bury(struct turn *turn, const struct bus_record *record, const char *reason, bool tell_handler,
                struct err *err);
static int put(struct turn *turn, const struct bus_record *record, const char *reason, bool tell_handler,
               struct err *err);
static void log_record(enum log_level level, const char *event, struct turn *turn, const struct bus_record *record,
                       const char *reason);

int turn_set_aside(struct turn *turn, const struct bus_record *record, const char *reason, struct err *err)
{
	return put(turn, record, reason, true, err);
}

int turn_bury(struct turn *turn, const struct bus_record *record, const char *reason, struct err *err)
{
	int failed = bury(turn, record, reason, true, err);
	if (failed && err->kind == ERR_PERM) {
		/* What the handler wanted to say along with it cannot be said: the row is the more important of the two. */
		log_record(LOG_ERROR, "record.set_aside_failed", turn, record, err->text);
		failed = bury(turn, record, reason, false, err);
	}
	return failed;
}

static int bury(struct turn *turn, const struct bus_record *record, const char *reason, bool tell_handler,
                struct err *err)
{
	arena_reset(&turn->arena);
	turn->filled_outbox = false;
	turn_verdicts_reset(turn);
	if (db_begin(turn->db, err) < 0 || put(turn, record, reason, tell_handler, err) < 0 ||
	    db_commit(turn->db, err) < 0) {
		db_rollback(turn->db);
		return -1;
	}
	turn_committed(turn);
	return 0;
}

static int put(struct turn *turn, const struct bus_record *record, const char *reason, bool tell_handler,
               struct err *err)
{
	struct turn_private *priv = turn->priv;
	const char *kept = arena_printf(&turn->arena, "%s", reason);
	int failed = priv->replayed
	                 ? dead_letter_settle(turn->db, &turn->arena, *priv->replayed, kept, err)
	                 : dead_letter_put(turn->db, &turn->arena, priv->handler->group, record, kept, err);
	if (failed || (tell_handler && priv->handler->set_aside && priv->handler->set_aside(turn, record, kept, err) < 0))
		return -1;
	*VEC_PUSH(&turn->arena, &priv->verdicts) = (struct verdict){ *record, kept };
	return 0;
}

void turn_verdicts_reset(struct turn *turn)
{
	turn->priv->verdicts.at = NULL;
	turn->priv->verdicts.len = turn->priv->verdicts.room = 0;
}

void turn_committed(struct turn *turn)
{
	struct turn_private *priv = turn->priv;
	for (size_t i = 0; i < priv->verdicts.len; i++) {
		metric_add(metric_label(&dead_letters_total, priv->handler->group), 1);
		log_record(LOG_WARN, "record.set_aside", turn, &priv->verdicts.at[i].record, priv->verdicts.at[i].reason);
	}
	if (turn->filled_outbox)
		service_wake_relay(turn->service);
}

int turn_replay(struct turn *turn, struct err *err)
{
	struct turn_private *priv = turn->priv;
	const struct turn_handler *handler = priv->handler;
	struct uuid id;
	arena_reset(&priv->batch_arena);
	struct bus_record *record = ARENA_NEW(&priv->batch_arena, struct bus_record);
	int found = dead_letter_take(turn->db, &priv->batch_arena, handler->group, &id, record, err);
	if (found <= 0)
		return found;
	arena_reset(&turn->arena);
	turn->records = record;
	turn->count = 1;
	turn->is_replay = true;
	turn->batch = NULL;
	int failed = handler->prepare ? handler->prepare(turn, err) : 0;
	if (!failed)
		failed = turn_apply(turn, &id, err);
	bool is_dead_again = !failed && priv->verdicts.len;
	if (failed && err->kind != ERR_TEMP) {
		/* FATAL too: else it would end the next process as well. */
		bool is_fatal = err->kind == ERR_FATAL;
		char reason[sizeof err->text];
		snprintf(reason, sizeof reason, "%s", err->text);
		priv->replayed = &id;
		if (turn_bury(turn, record, reason, err) == 0)
			failed = 0;
		is_dead_again = true;
		if (is_fatal)
			failed = err_set(err, ERR_FATAL, "%s", reason);
	}
	priv->replayed = NULL;
	turn->is_replay = false;
	metric_add(metric_label(&replays_total, failed ? "failed" : is_dead_again ? "dead_again" : "handled"), 1);
	if (failed)
		return -1;
	if (!is_dead_again)
		log_record(LOG_INFO, "record.replayed", turn, record, "");
	return 1;
}

static void log_record(enum log_level level, const char *event, struct turn *turn, const struct bus_record *record,
                       const char *reason)
{
	log_write(level, event, LOG_TEXT("group", turn->priv->handler->group), LOG_STR("topic", record->topic),
	          LOG_INT("partition", record->partition), LOG_INT("offset", record->offset), LOG_UUID("ce_id", record->ce_id),
	          LOG_STR("type", record->type), LOG_TEXT("reason", reason), LOG_END);
}
