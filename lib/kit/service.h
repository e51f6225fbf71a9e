/* SPDX-License-Identifier: Apache-2.0
 * service - the skeleton that all programs share
 *
 * service_main() parses --help, --version, --settings, loads the settings (all mistakes at once), sets the log, the
 * signals, no core dumps, starts the ops thread (probes and metrics) and the relay thread, runs the program's loop, and
 * takes everything down in reverse. Exit status: 0 stopped by a signal, 1 failed (or not down within 20 s after the
 * signal), 2 wrong settings or usage.
 */
#ifndef MAILCASE_SERVICE_H
#define MAILCASE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/conf.h"
#include "base/err.h"
#include "kit/bus_conf.h"

/* Settings that every service has. */
struct service_conf {
	char *database_url;  /* MAILCASE_DATABASE_URL, secret */
	char *log_level;     /* MAILCASE_LOG_LEVEL */
	char *ops_listen;    /* MAILCASE_OPS_LISTEN: host:port of /livez /readyz /metrics; "" none */
	char *seal_key_file; /* MAILCASE_SEAL_KEY_FILE */
	int64_t batch_max;         /* MAILCASE_BATCH_MAX: records taken per turn, 200 */
	int64_t relay_lease_ms;    /* MAILCASE_RELAY_LEASE_MS: 5,000 */
	bool relay;                /* MAILCASE_RELAY: take part in relaying, on */
};

struct service {
	const char *name;
	struct service_conf conf;
	struct bus_conf bus_conf;
	void *own_conf;            /* the program's own settings struct */
	char instance[64];         /* unique per process: owner of leases, member of groups */
	struct bus_options bus_options; /* ready for bus_consumer_open() */
	int relay_wake_fd;         /* eventfd: write 1 after a commit that filled the outbox */
	int stop_fd;               /* eventfd: readable once the service should stop */
};

struct service_def {
	const char *name;
	const char *summary;  /* one line for --help */
	const char *examples; /* for --help */
	const struct conf_setting *settings; /* may be NULL */
	size_t own_conf_size;
	int (*run)(struct service *service, struct err *err); /* until service_stopping(); 0 or -1 */
};

#define MAILCASE_VERSION "0.1.0"

int service_main(int argc, char **argv, const struct service_def *def);

/* A connection of the calling thread, named after the service and `role`. Waits while the database or its schema is not
 * there yet. NULL with ERR_NONE when the service is to stop, with FATAL when it cannot work. */
struct db *service_open_db(struct service *service, const char *role, struct err *err);

/* SIGTERM or SIGINT has come: finish the turn in hand and return. Safe from any thread. */
bool service_stopping(void);

/* The loop turned (feeds /livez). */
void service_alive(struct service *service);

/* Whether database and bus answer (feeds /readyz); `why` is a short constant or NULL. */
void service_ready(struct service *service, bool is_ready, const char *why);

/* After a commit that put rows into the outbox. */
void service_wake_relay(struct service *service);

/* Wait up to `ms`, or until the service should stop. */
void service_wait(struct service *service, int64_t ms);

#endif
