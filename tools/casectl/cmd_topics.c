/* SPDX-License-Identifier: Apache-2.0
 * cmd_topics - the topics of the bus and the groups that read them
 */
#include "ctl.h"
#include "edge/bus.h"

#include "base/banned.h"

static int topics(struct ctl *ctl)
{
	int partitions = (int)ctl_int(ctl, "partitions", ctl->conf.partitions);

	struct bus_options options = ctl_bus(ctl);

	if (ctl_given(ctl, "replication"))
		options.kafka.replication = ctl_int(ctl, "replication", -1);
	if (bus_install(&options, ctl->db, partitions, &ctl->err) < 0)
		return ctl_failed(ctl);
	if (ctl->as_json) {
		json_t *object CLEANUP(json_done) = json_object();
		json_put_str(object, "engine", str_of(bus_engine_name(options.engine)));
		json_put_int(object, "partitions", partitions);
		json_print_line(stdout, object);
	} else
		printf("the topics are there (%s), new ones with %d partitions, and our groups are registered\n",
		       bus_engine_name(options.engine), partitions);
	return CTL_DONE;
}

static const struct option_def topics_options[] = {
	{ "partitions", OPTION_INT, "N", "of each new topic (default MAILCASE_PARTITIONS)", .min = 1, .max = 1000 },
	{ "replication", OPTION_INT, "N", "kafka: copies of each new topic (default MAILCASE_KAFKA_REPLICATION)", .min = 1,
	  .max = 100 },
	{ 0 },
};
static const struct verb topics_verbs[] = {
	{ .name = "",
	  .operands = "",
	  .needs = NEED_SCHEMA,
	  .summary = "make the topics and register our groups; can be repeated",
	  .examples = "  casectl topics\n  casectl topics --partitions 24",
	  .options = topics_options,
	  .run = topics },
	{ 0 },
};
const struct noun noun_topics = { "topics", "make the topics and register our groups", topics_verbs };
