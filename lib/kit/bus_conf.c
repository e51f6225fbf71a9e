/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_conf.h"

#include <stddef.h>

#include "base/banned.h"

const struct conf_setting bus_settings[] = {
	{ "MAILCASE_BUS", CONF_CHOICE, offsetof(struct bus_conf, engine), .def = "postgres", .choices = "postgres|kafka",
	  .help = "engine of the bus" },
	{ "MAILCASE_MEMBER_EXPIRY_MS", CONF_INT, offsetof(struct bus_conf, member_expiry_ms), .def = "6000", .min = 300,
	  .max = 60000, .help = "postgres bus: when a silent member leaves its group; renewed at a third" },
	{ "MAILCASE_POSITION_EXPIRY_MS", CONF_INT, offsetof(struct bus_conf, position_expiry_ms), .def = "10000", .min = 500,
	  .max = 120000, .help = "postgres bus: when a silent member's partitions are taken; renewed at a fifth" },
	{ "MAILCASE_KAFKA_BROKERS", CONF_TEXT, offsetof(struct bus_conf, brokers), .def = "127.0.0.1:9092",
	  .help = "kafka bus: host:port,host:port to begin with" },
	{ "MAILCASE_KAFKA_PREFIX", CONF_TEXT, offsetof(struct bus_conf, prefix), .def = "",
	  .help = "kafka bus: put before the names of topics and groups, where several installations share a cluster" },
	{ "MAILCASE_KAFKA_SECURITY", CONF_CHOICE, offsetof(struct bus_conf, security), .def = "plaintext",
	  .choices = "plaintext|ssl|sasl_plaintext|sasl_ssl", .help = "kafka bus: how the brokers are spoken to" },
	{ "MAILCASE_KAFKA_CA_FILE", CONF_TEXT, offsetof(struct bus_conf, ca_file), .def = "",
	  .help = "kafka bus: PEM file of who signed the brokers' certificates; empty: the system's" },
	{ "MAILCASE_KAFKA_CERT_FILE", CONF_TEXT, offsetof(struct bus_conf, cert_file), .def = "",
	  .help = "kafka bus: PEM file of our certificate, for mutual TLS" },
	{ "MAILCASE_KAFKA_KEY_FILE", CONF_TEXT, offsetof(struct bus_conf, key_file), .def = "",
	  .help = "kafka bus: PEM file of its key" },
	{ "MAILCASE_KAFKA_KEY_PASSWORD", CONF_SECRET, offsetof(struct bus_conf, key_password), .def = "",
	  .help = "kafka bus: what the key is locked with" },
	{ "MAILCASE_KAFKA_SASL", CONF_CHOICE, offsetof(struct bus_conf, sasl), .def = "plain",
	  .choices = "plain|scram-sha-256|scram-sha-512",
	  .help = "kafka bus: how we log in under sasl_*; SCRAM needs librdkafka 2.6.1" },
	{ "MAILCASE_KAFKA_USER", CONF_TEXT, offsetof(struct bus_conf, user), .def = "",
	  .help = "kafka bus: login under sasl_*" },
	{ "MAILCASE_KAFKA_PASSWORD", CONF_SECRET, offsetof(struct bus_conf, password), .def = "",
	  .help = "kafka bus: password under sasl_*" },
	{ "MAILCASE_KAFKA_SESSION_MS", CONF_INT, offsetof(struct bus_conf, session_ms), .def = "10000", .min = 1000,
	  .max = 300000, .help = "kafka bus: when a silent member leaves its group; within what the brokers allow" },
	{ "MAILCASE_KAFKA_REPLICATION", CONF_INT, offsetof(struct bus_conf, replication), .def = "-1", .min = -1, .max = 100,
	  .help = "kafka bus: copies of the topics that `casectl topics` makes; -1: as the brokers are set" },
	{ 0 },
};

struct bus_options bus_conf_options(const struct bus_conf *conf, const char *database_url, const char *name)
{
	struct bus_options options = {
		.database_url = database_url,
		.name = name,
		.member_expiry_ms = conf->member_expiry_ms,
		.position_expiry_ms = conf->position_expiry_ms,
		.kafka = {
			.brokers = conf->brokers,
			.prefix = conf->prefix,
			.security = conf->security,
			.ca_file = conf->ca_file,
			.cert_file = conf->cert_file,
			.key_file = conf->key_file,
			.key_password = conf->key_password,
			.sasl = conf->sasl,
			.user = conf->user,
			.password = conf->password,
			.session_ms = conf->session_ms,
			.replication = conf->replication,
		},
	};
	bus_engine_parse(str_of(conf->engine), &options.engine);
	return options;
}
