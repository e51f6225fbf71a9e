/* SPDX-License-Identifier: Apache-2.0 */
#include "service.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "kit/metrics.h"
#include "kit/ops.h"
#include "kit/relay.h"
#include "record/schema.h"

#include "base/banned.h"

#define DRAIN_SECONDS 20

static const struct conf_setting common_settings[] = {
	{ "MAILCASE_DATABASE_URL", CONF_SECRET, offsetof(struct service_conf, database_url), .required = true,
	  .help = "PostgreSQL: a libpq connection string or URL" },
	{ "MAILCASE_LOG_LEVEL", CONF_CHOICE, offsetof(struct service_conf, log_level), .def = "info",
	  .choices = "debug|info|warn|error", .help = "least level that is logged; addresses and subjects only at debug" },
	{ "MAILCASE_OPS_LISTEN", CONF_TEXT, offsetof(struct service_conf, ops_listen), .def = "",
	  .help = "host:port of /livez, /readyz and /metrics; port 0 takes a free one; empty: none" },
	{ "MAILCASE_SEAL_KEY_FILE", CONF_TEXT, offsetof(struct service_conf, seal_key_file), .def = "",
	  .help = "file with the key of the sealed credentials" },
	{ "MAILCASE_BATCH_MAX", CONF_INT, offsetof(struct service_conf, batch_max), .def = "200", .min = 1, .max = 1000,
	  .help = "records taken per turn" },
	{ "MAILCASE_RELAY", CONF_BOOL, offsetof(struct service_conf, relay), .def = "on",
	  .help = "take part in moving the outbox to the bus" },
	{ "MAILCASE_RELAY_LEASE_MS", CONF_INT, offsetof(struct service_conf, relay_lease_ms), .def = "5000", .min = 200,
	  .max = 60000, .help = "how long a relay that is gone holds up the outbox; renewed at a fifth; not below 2000 on kafka" },
	{ 0 },
};
static const struct conf_setting no_settings[] = { { 0 } };

static struct metric ready_gauge = METRIC_GAUGE("mailcase_ready", "1 where /readyz says yes", NULL);
static struct health health;
static atomic_bool is_stopping;
static int stop_fd = -1;

static int parse_arguments(int argc, char **argv, const struct service_def *def);
static void print_help(const struct service_def *def, FILE *out);
static int run(const struct service_def *def, struct service *service);
static void name_instance(struct service *service);
static void prepare_process(void);

int service_main(int argc, char **argv, const struct service_def *def)
{
	int status = parse_arguments(argc, argv, def);
	if (status >= 0)
		return status;
	struct service service = { .name = def->name, .relay_wake_fd = -1, .stop_fd = -1 };
	service.own_conf = xcalloc(1, def->own_conf_size ? def->own_conf_size : 1);
	const struct conf_setting *const tables[] = { common_settings, bus_settings, def->settings ? def->settings : no_settings };
	void *const configs[] = { &service.conf, &service.bus_conf, service.own_conf };
	status = 2;
	if (conf_load_tables(tables, configs, ARRAY_LEN(tables), stderr) == 0) {
		enum log_level level = LOG_INFO;
		log_level_parse(str_of(service.conf.log_level), &level);
		log_init(def->name, level);
		prepare_process();
		name_instance(&service);
		status = run(def, &service);
	}
	conf_done_tables(tables, configs, ARRAY_LEN(tables));
	free(service.own_conf);
	return status;
}

/* -1: go on; else the exit status. */
static int parse_arguments(int argc, char **argv, const struct service_def *def)
{
	static const struct option options[] = { { "help", no_argument, NULL, 'h' },
		                                     { "version", no_argument, NULL, 'v' },
		                                     { "settings", optional_argument, NULL, 's' },
		                                     { 0 } };
	bool wants_settings = false, is_markdown = false;
	int option;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			print_help(def, stdout);
			return 0;
		case 'v':
			printf("%s (mailcase) %s\n", def->name, MAILCASE_VERSION);
			return 0;
		case 's':
			wants_settings = true;
			is_markdown = optarg && strcmp(optarg, "markdown") == 0;
			if (!optarg || is_markdown)
				break;
			/* fall through */
		default:
			fprintf(stderr, "%s --help tells more\n", def->name);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "%s takes no arguments; %s --help tells more\n", def->name, def->name);
		return 2;
	}
	if (!wants_settings)
		return -1;
	const struct conf_setting *const tables[] = { common_settings, bus_settings, def->settings ? def->settings : no_settings };
	conf_print_tables(tables, ARRAY_LEN(tables), def->name, is_markdown, stdout);
	return 0;
}

static void print_help(const struct service_def *def, FILE *out)
{
	fprintf(out,
	        "%s - %s\n\n"
	        "Usage: %s [--help | --version | --settings[=markdown]]\n\n"
	        "It runs until SIGTERM or SIGINT, finishes the turn in hand and exits with status 0. Settings come from the\n"
	        "environment: %s --settings lists them. Logs are JSON lines on standard output.\n",
	        def->name, def->summary, def->name, def->name);
	if (def->examples)
		fprintf(out, "\nExamples:\n%s", def->examples);
}

static int run(const struct service_def *def, struct service *service)
{
	struct err err = { 0 };
	struct relay *relay = NULL;
	int failed = 0;
	service->stop_fd = stop_fd;
	service->relay_wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	service->bus_options = bus_conf_options(&service->bus_conf, service->conf.database_url, service->instance);
	service_alive(service);
	log_info("service.started", LOG_TEXT("version", MAILCASE_VERSION), LOG_TEXT("instance", service->instance),
	         LOG_TEXT("bus", service->bus_conf.engine), LOG_END);
	struct ops *ops = ops_start(service->conf.ops_listen, &health, &err);
	if (!ops && err.kind)
		failed = -1;
	if (!failed && service->conf.relay) {
		relay = relay_start(&service->bus_options, service->instance, service->conf.relay_lease_ms,
		                    service->relay_wake_fd, &err);
		failed = relay ? 0 : -1;
	}
	if (!failed)
		failed = def->run(service, &err);
	service_ready(service, false, "stopping");
	relay_stop(relay);
	ops_stop(ops);
	close(service->relay_wake_fd);
	if (failed)
		log_error("service.failed", LOG_TEXT("kind", err_kind_name(err.kind)), LOG_ERR(&err), LOG_END);
	else
		log_info("service.stopped", LOG_END);
	return failed ? 1 : 0;
}

static void name_instance(struct service *service)
{
	char host[40] = "";
	uint32_t random;
	gethostname(host, sizeof host - 1);
	random_bytes(&random, sizeof random);
	snprintf(service->instance, sizeof service->instance, "%s:%d:%08x", host, (int)getpid(), random);
}

/* Signal handlers: only what is safe there. */
static void on_stop(int number)
{
	(void)number;
	int why = errno;
	uint64_t one = 1;
	atomic_store(&is_stopping, true);
	(void)!write(stop_fd, &one, sizeof one);
	alarm(DRAIN_SECONDS);
	errno = why;
}

static void on_alarm(int number)
{
	static const char line[] = "{\"level\":\"error\",\"event\":\"service.overdue\",\"error\":\"could not stop in time: "
	                           "unconfirmed work comes back after the restart\"}\n";
	(void)number;
	(void)!write(STDOUT_FILENO, line, sizeof line - 1);
	_exit(1);
}

static void prepare_process(void)
{
	stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (stop_fd < 0) {
		perror("could not make an eventfd");
		exit(1);
	}
	struct sigaction action = { .sa_handler = on_stop, .sa_flags = SA_RESTART };
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	action.sa_handler = on_alarm;
	sigaction(SIGALRM, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
	/* Memory holds mail and passwords: neither a core file nor another process of the user may have it. */
	struct rlimit none = { 0, 0 };
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

bool service_stopping(void)
{
	return atomic_load_explicit(&is_stopping, memory_order_relaxed);
}

void service_alive(struct service *service)
{
	(void)service;
	atomic_store_explicit(&health.alive_mono_ms, clock_mono_ms(), memory_order_relaxed);
}

void service_ready(struct service *service, bool is_ready, const char *why)
{
	(void)service;
	atomic_store_explicit(&health.why_not, why, memory_order_relaxed);
	atomic_store_explicit(&health.is_ready, is_ready, memory_order_relaxed);
	metric_set(metric_label(&ready_gauge, NULL), is_ready);
}

void service_wake_relay(struct service *service)
{
	uint64_t one = 1;
	(void)!write(service->relay_wake_fd, &one, sizeof one);
}

void service_wait(struct service *service, int64_t ms)
{
	struct pollfd fd = { .fd = service->stop_fd, .events = POLLIN };
	poll(&fd, 1, (int)ms);
}

struct db *service_open_db(struct service *service, const char *role, struct err *err)
{
	char name[64];
	struct backoff backoff;
	snprintf(name, sizeof name, "%s %s", service->name, role);
	backoff_init(&backoff, 200, 5000);
	while (!service_stopping()) {
		service_alive(service);
		struct db *db = db_open(service->conf.database_url, name, err);
		if (db && schema_check(db, err) == 0)
			return db;
		db_close(db);
		if (err->kind != ERR_TEMP)
			return NULL;
		service_ready(service, false, "database or its schema");
		int64_t wait_ms = backoff_next_ms(&backoff);
		log_warn("db.waiting", LOG_ERR(err), LOG_INT("wait_ms", wait_ms), LOG_END);
		service_wait(service, wait_ms);
	}
	err->kind = ERR_NONE;
	return NULL;
}
