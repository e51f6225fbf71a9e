/* SPDX-License-Identifier: Apache-2.0
 * bus_conf - the settings of the bus, which every service and casectl have
 */
#ifndef MAILCASE_BUS_CONF_H
#define MAILCASE_BUS_CONF_H

#include "base/conf.h"
#include "edge/bus.h"

struct bus_conf {
	char *engine;               /* MAILCASE_BUS: postgres|kafka */
	int64_t member_expiry_ms;   /* MAILCASE_MEMBER_EXPIRY_MS: 6,000 */
	int64_t position_expiry_ms; /* MAILCASE_POSITION_EXPIRY_MS: 10,000 */
	char *brokers, *prefix, *security, *ca_file, *cert_file, *key_file, *key_password, *sasl, *user, *password;
	int64_t session_ms;  /* MAILCASE_KAFKA_SESSION_MS: 10,000 */
	int64_t replication; /* MAILCASE_KAFKA_REPLICATION: -1 */
};

/* For conf_load_tables(), beside the program's own. */
extern const struct conf_setting bus_settings[];

/* What the bus takes; `conf`, `database_url` and `name` must outlive it. */
struct bus_options bus_conf_options(const struct bus_conf *conf, const char *database_url, const char *name);

#endif
