/* SPDX-License-Identifier: Apache-2.0
 * fetcher - bring each new mail of the inbound mailboxes into the database, once
 *
 * READS     IMAP servers; tables mailbox, mailbox_folder, credential, server_action; leases of kind mailbox and fetcher
 * WRITES    tables intake, blob, quarantine, mailbox_folder (cursor), mailbox_state, server_action, fetcher_report; topics
 *           mail.received (keyed by thread hint) and mailbox.events (keyed by mailbox)
 * SETTINGS  see the table below; MAILCASE_SEAL_KEY_FILE opens the passwords
 * FAILURES  a server away, slow, or refusing: that mailbox waits, says why in mailbox_state, and tries again by itself;
 *           others notice nothing
 *           the database away: nothing is confirmed anywhere; fetching goes on where it was
 *           killed: another fetcher takes the mailboxes within 20 s, from the stored cursors
 * SEE       docs/design.md#fetching, mailbox_roll.h, mailbox_session.h, domain/fetch_plan.h
 */
#include "fetcher.h"

#include <stddef.h>

#include "base/clock.h"
#include "base/log.h"
#include "mailbox_roll.h"

#include "base/banned.h"

#define STORE_CONNECTIONS 2
#define TURN_MS 1000
#define STOP_MS 5000

static const struct conf_setting settings[] = {
	{ "MAILCASE_EGRESS", CONF_CHOICE, offsetof(struct fetcher_conf, egress), .def = "any", .choices = "any|public",
	  .help = "public: no mailbox may lead to loopback or private addresses; link-local ones are never allowed" },
	{ "MAILCASE_ACTION_DELAY_S", CONF_INT, offsetof(struct fetcher_conf, action_delay_s), .def = "5", .min = 0,
	  .max = 86400, .help = "seconds after intake before a mail is marked seen on the server" },
	{ "MAILCASE_SAFETY_SYNC_S", CONF_INT, offsetof(struct fetcher_conf, safety_sync_s), .def = "300", .min = 1,
	  .max = 1500, .help = "seconds between looks while the server is trusted to push (IDLE)" },
	{ "MAILCASE_LOGIN_TIMEOUT_MS", CONF_INT, offsetof(struct fetcher_conf, login_timeout_ms), .def = "30000", .min = 100,
	  .max = 300000, .help = "most for connecting, TLS and login together" },
	{ "MAILCASE_SILENCE_MS", CONF_INT, offsetof(struct fetcher_conf, silence_ms), .def = "60000", .min = 100,
	  .max = 600000, .help = "a server that says nothing for so long while a command waits is given up" },
	{ "MAILCASE_RETRY_MOST_MS", CONF_INT, offsetof(struct fetcher_conf, wait_most_ms), .def = "3600000", .min = 10,
	  .max = 3600000, .help = "no wait between two attempts is longer" },
	{ "MAILCASE_MAILBOX_LEASE_MS", CONF_INT, offsetof(struct fetcher_conf, lease_ms), .def = "20000", .min = 1000,
	  .max = 300000, .help = "how long a fetcher that is gone keeps its mailboxes; renewed at a quarter" },
	{ "MAILCASE_LATE_S", CONF_INT, offsetof(struct fetcher_conf, late_s), .def = "30", .min = 1, .max = 3600,
	  .help = "a mailbox whose new mail takes longer to be stored is late: it asks for more fetchers" },
	{ "MAILCASE_FETCH_BYTES", CONF_INT, offsetof(struct fetcher_conf, fetch_bytes), .def = "268435456", .min = 1048576,
	  .max = INT64_C(1) << 40, .help = "most bytes of mail in memory at once" },
	{ 0 },
};

static int open_connections(struct service *service, struct db **out, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		out[i] = service_open_db(service, i == 0 ? "roll" : "store", err);
		if (!out[i]) {
			while (i > 0)
				db_close(out[--i]);
			return -1;
		}
	}
	return db_listen(out[0], "mailcase_mailbox", err);
}

static void wake(struct loop_watch *watch, uint32_t events)
{
	(void)watch;
	(void)events; /* the loop sees service_stopping() */
}

/* Finish what is being stored, then let go of the mailboxes. */
static void wind_down(struct fetcher *fetcher, struct mailbox_roll *roll)
{
	int64_t until_ms = clock_mono_ms() + STOP_MS;

	mailbox_roll_stop(roll);
	while ((!mailbox_roll_released(roll) || !db_jobs_idle(fetcher->jobs)) && clock_mono_ms() < until_ms)
		loop_turn(fetcher->loop, 50);
}

static void run_loop(struct service *service, struct fetcher *fetcher, struct mailbox_roll *roll)
{
	struct loop_watch stop = { .fd = service->stop_fd, .ready = wake };

	loop_watch(fetcher->loop, &stop, EPOLLIN);
	while (!service_stopping()) {
		loop_turn(fetcher->loop, TURN_MS);
		mailbox_roll_check(roll);
		imap_hub_reap(fetcher->hub);
		bool healthy = db_jobs_healthy(fetcher->jobs) && mailbox_roll_healthy(roll);
		service_ready(service, healthy, healthy ? NULL : "database");
		service_alive(service);
	}
	loop_watch(fetcher->loop, &stop, 0);
	wind_down(fetcher, roll);
}

static int run(struct service *service, struct err *err)
{
	struct fetcher fetcher = { .service = service, .conf = service->own_conf };
	struct db *connections[1 + STORE_CONNECTIONS];

	egress_policy_parse(fetcher.conf->egress, &fetcher.egress);
	if (service->conf.seal_key_file[0]) {
		if (seal_key_load(service->conf.seal_key_file, &fetcher.key, err) < 0)
			return -1;
		fetcher.has_key = true;
	}
	if (open_connections(service, connections, ARRAY_LEN(connections), err) < 0)
		return err->kind == ERR_NONE ? 0 : -1;
	fetcher.loop = loop_new();
	fetcher.hub = imap_hub_new(fetcher.loop);
	fetcher.jobs = db_jobs_new(fetcher.loop, connections + 1, STORE_CONNECTIONS, NULL, NULL);
	struct mailbox_roll *roll = mailbox_roll_new(&fetcher, connections[0]);
	run_loop(service, &fetcher, roll);
	imap_hub_free(fetcher.hub);
	mailbox_roll_free(roll);
	db_jobs_free(fetcher.jobs);
	loop_free(fetcher.loop);
	seal_key_wipe(&fetcher.key);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct service_def def = {
		.name = "fetcher",
		.summary = "brings the mail of the inbound mailboxes into the database",
		.examples = "  MAILCASE_DATABASE_URL=postgresql:///mailcase MAILCASE_SEAL_KEY_FILE=/etc/mailcase/seal.key fetcher\n",
		.settings = settings,
		.own_conf_size = sizeof(struct fetcher_conf),
		.run = run,
	};

	return service_main(argc, argv, &def);
}
