/* SPDX-License-Identifier: Apache-2.0
 * cmd_events - what is on the bus, from its oldest record to now, as the contract shows it
 */
#include "base/clock.h"
#include "ctl.h"
#include "edge/bus.h"
#include "wire/event_json.h"

#include "base/banned.h"

#define AT_ONCE 500

/* The short name of a topic is its middle: mail.received, case.events, mailbox.events. */
static const char *topic_of(const char *given)
{
	static const struct {
		const char *name, *topic;
	} topics[] = {
		{ "mail.received", TOPIC_MAIL_RECEIVED },
		{ "case.events", TOPIC_CASE_EVENTS },
		{ "mailbox.events", TOPIC_MAILBOX_EVENTS },
	};

	for (size_t i = 0; i < ARRAY_LEN(topics); i++)
		if (str_eq(str_of(given), str_of(topics[i].name)) || str_eq(str_of(given), str_of(topics[i].topic)))
			return topics[i].topic;
	return NULL;
}

static void print_event(struct ctl *ctl, const struct bus_record *record)
{
	char time[CLOCK_TEXT_LEN + 1];
	json_t *object CLEANUP(json_done) = json_object(), *data = NULL;
	struct err err = { 0 };

	json_put_str(object, "topic", record->topic);
	json_put_int(object, "partition", record->partition);
	json_put_int(object, "offset", record->offset);
	json_put_str(object, "key", record->key);
	json_put_uuid(object, "ce_id", record->ce_id);
	json_put_str(object, "ce_type", record->type);
	json_put_str(object, "ce_subject", record->subject);
	json_put_str(object, "ce_time", str_of(clock_rfc3339(record->time_us, time)));
	json_put_uuid(object, "ce_tenant", record->tenant.id);
	if (record->sequence)
		json_put_int(object, "ce_sequence", record->sequence);
	/* Others may write to a topic of theirs that is ours too: shown as what it is. */
	if (event_json(&ctl->arena, record->topic, record->value, &data, &err) == 0)
		json_object_set_new(object, "data", data);
	else
		json_put_str(object, "error", str_of(err.text));
	json_print_line(stdout, object);
}

static int events(struct ctl *ctl)
{
	struct bus_options options = ctl_bus(ctl);
	const char *given = ctl_text(ctl, "topic"), *subject = ctl_text(ctl, "subject"), *topic = topic_of(given ? given : "case.events");
	struct arena arena CLEANUP(arena_done);
	struct bus_record *records;
	size_t count;
	int failed;

	arena_init(&arena);
	if (!topic)
		return ctl_usage("there is no topic %s: mail.received, case.events or mailbox.events", given);
	struct bus_reader *reader = bus_reader_open(&options, topic, &ctl->err);
	if (!reader)
		return ctl_failed(ctl);
	do {
		arena_reset(&arena);
		failed = bus_reader_next(reader, &arena, AT_ONCE, &records, &count, &ctl->err);
		for (size_t i = 0; !failed && i < count; i++)
			if (!subject || str_eq(records[i].subject, str_of(subject)))
				print_event(ctl, &records[i]);
	} while (!failed && count);
	bus_reader_close(reader);
	return failed ? ctl_failed(ctl) : CTL_DONE;
}

static const struct option_def events_options[] = {
	{ "topic", OPTION_TEXT, "TOPIC", "mail.received, case.events (default) or mailbox.events" },
	{ "subject", OPTION_TEXT, "ID", "of this case (mail, mailbox) only" },
	{ 0 },
};
static const struct verb events_verbs[] = {
	{ .name = "",
	  .operands = "",
	  .needs = NEED_SCHEMA,
	  .summary = "the records of a topic from the oldest to now, in order per key, one JSON object a line",
	  .examples = "  casectl events\n  casectl events --topic mail.received",
	  .options = events_options,
	  .run = events },
	{ 0 },
};
const struct noun noun_events = { "events", "what is on the bus, as JSON", events_verbs };
