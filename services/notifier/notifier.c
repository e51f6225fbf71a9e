/* SPDX-License-Identifier: Apache-2.0
 * notifier - who hears of it, and the mail that tells him
 *
 * READS     case.events (group notifier); tables outbound_message and outbound_copy that are due
 * WRITES    tables notification, outbound_message, outbound_copy, outbound_mailbox_state, budget, case_event; topic
 *           case.events (notice_planned, notice_suppressed, copy_state_changed)
 * SENDS     mail by SMTP, through the outbound mailboxes of the tenants
 * SETTINGS  see the table below; MAILCASE_BATCH_MAX; MAILCASE_SEAL_KEY_FILE
 * FAILURES  database away: nothing is confirmed, no body is begun; what a server answers meanwhile is kept and recorded
 *           an SMTP server away: its mailbox backs off, its mail stays queued; see `casectl outbound-mailbox show`
 *           killed: at most one mail a connection is `unknown`, the author of a reply is told; nothing is sent twice
 * SEE       docs/design.md#sending, plan_turn.h, sender.h
 */
#include <ctype.h>
#include <unistd.h>

#include "base/log.h"
#include "kit/service.h"
#include "plan_turn.h"

#include "base/banned.h"

struct notifier_conf {
	int64_t connections, connection_mails, idle_s, lease_s, login_timeout_s, reply_timeout_s, dot_timeout_s, drain_s;
	char *helo, *egress;
	int64_t address_burst, address_per_hour, domain_burst, domain_per_hour, mailbox_burst, mailbox_per_minute;
};

#define NOTIFIER(field) offsetof(struct notifier_conf, field)

static const struct conf_setting settings[] = {
	{ "MAILCASE_SMTP_CONNECTIONS", CONF_INT, NOTIFIER(connections), .def = "4", .min = 1, .max = 50,
	  .help = "most connections to the server of one outbound mailbox" },
	{ "MAILCASE_SMTP_CONNECTION_MAILS", CONF_INT, NOTIFIER(connection_mails), .def = "500", .min = 1, .max = 1000000,
	  .help = "mails over one connection before it is closed" },
	{ "MAILCASE_SMTP_IDLE_S", CONF_INT, NOTIFIER(idle_s), .def = "10", .min = 0, .max = 300,
	  .help = "an unused connection is closed after this many seconds" },
	{ "MAILCASE_SMTP_LOGIN_TIMEOUT_S", CONF_INT, NOTIFIER(login_timeout_s), .def = "30", .min = 1, .max = 600,
	  .help = "seconds for connecting, TLS and login together" },
	{ "MAILCASE_SMTP_REPLY_TIMEOUT_S", CONF_INT, NOTIFIER(reply_timeout_s), .def = "120", .min = 1, .max = 3600,
	  .help = "seconds for each reply before the mail's body, and for a standstill within it" },
	{ "MAILCASE_SMTP_DOT_TIMEOUT_S", CONF_INT, NOTIFIER(dot_timeout_s), .def = "600", .min = 1, .max = 3600,
	  .help = "seconds for the reply to the end of a mail; after them it is unknown whether it was taken" },
	{ "MAILCASE_SMTP_HELO", CONF_TEXT, NOTIFIER(helo), .def = "", .help = "name given to SMTP servers; empty: the host's name" },
	{ "MAILCASE_EGRESS", CONF_CHOICE, NOTIFIER(egress), .def = "any", .choices = "any|public",
	  .help = "addresses that may be connected to: public refuses loopback and private networks" },
	{ "MAILCASE_SEND_LEASE_S", CONF_INT, NOTIFIER(lease_s), .def = "60", .min = 2, .max = 3600,
	  .help = "a claimed copy is another sender's after this many seconds without a sign of life" },
	{ "MAILCASE_SEND_DRAIN_S", CONF_INT, NOTIFIER(drain_s), .def = "15", .min = 0, .max = 600,
	  .help = "seconds that mails under way are given when the program stops" },
	{ "MAILCASE_AUTO_REPLY_ADDRESS_BURST", CONF_INT, NOTIFIER(address_burst), .def = "20", .min = 1, .max = 1000000,
	  .help = "auto-replies to one address at once" },
	{ "MAILCASE_AUTO_REPLY_ADDRESS_PER_HOUR", CONF_INT, NOTIFIER(address_per_hour), .def = "6", .min = 1, .max = 1000000,
	  .help = "auto-replies to one address in the long run" },
	{ "MAILCASE_AUTO_REPLY_DOMAIN_BURST", CONF_INT, NOTIFIER(domain_burst), .def = "500", .min = 1, .max = 100000000,
	  .help = "auto-replies to one domain at once (not those that serve the public)" },
	{ "MAILCASE_AUTO_REPLY_DOMAIN_PER_HOUR", CONF_INT, NOTIFIER(domain_per_hour), .def = "300", .min = 1, .max = 100000000,
	  .help = "auto-replies to one domain in the long run" },
	{ "MAILCASE_AUTO_REPLY_MAILBOX_BURST", CONF_INT, NOTIFIER(mailbox_burst), .def = "5000", .min = 1, .max = 100000000,
	  .help = "auto-replies of one mailbox at once" },
	{ "MAILCASE_AUTO_REPLY_MAILBOX_PER_MINUTE", CONF_INT, NOTIFIER(mailbox_per_minute), .def = "600", .min = 1,
	  .max = 100000000, .help = "auto-replies of one mailbox in the long run" },
	{ 0 },
};

static int run(struct service *service, struct err *err);
static void find_helo(const char *wanted, char *out, size_t size);

int main(int argc, char **argv)
{
	static const struct service_def def = {
		.name = "notifier",
		.summary = "tells people of what became true of a case, and sends the mail that waits",
		.examples = "  MAILCASE_DATABASE_URL=postgresql:///mailcase MAILCASE_SEAL_KEY_FILE=seal.key notifier\n"
			    "  notifier --settings\n",
		.settings = settings,
		.own_conf_size = sizeof(struct notifier_conf),
		.run = run,
	};

	return service_main(argc, argv, &def);
}

static int run(struct service *service, struct err *err)
{
	static const char *const topics[] = { TOPIC_CASE_EVENTS, NULL };
	const struct notifier_conf *conf = service->own_conf;
	char helo[256];
	struct plan_turn plan = {
		.budgets = { { [BUDGET_ADDRESS] = { (double)conf->address_burst, (double)conf->address_per_hour },
		               [BUDGET_DOMAIN] = { (double)conf->domain_burst, (double)conf->domain_per_hour },
		               [BUDGET_MAILBOX] = { (double)conf->mailbox_burst, (double)conf->mailbox_per_minute * 60 } } },
	};
	struct sender_options options = {
		.service = service,
		.drain_ms = conf->drain_s * 1000,
		.lanes = { .connections = conf->connections,
		           .mails = conf->connection_mails,
		           .idle_ms = conf->idle_s * 1000,
		           .lease_ms = conf->lease_s * 1000,
		           .login_timeout_ms = conf->login_timeout_s * 1000,
		           .reply_timeout_ms = conf->reply_timeout_s * 1000,
		           .dot_timeout_ms = conf->dot_timeout_s * 1000,
		           .helo = helo },
	};

	find_helo(conf->helo, helo, sizeof helo);
	if (seal_key_load(service->conf.seal_key_file, &plan.seal_key, err) < 0)
		return -1;
	options.seal_key = plan.seal_key;
	(void)egress_policy_parse(conf->egress, &options.lanes.egress);
	plan.sender = sender_start(&options, err);
	if (!plan.sender)
		return -1;
	struct turn_handler handler = {
		.group = "notifier",
		.topics = topics,
		.idle_ms = 1000,
		.self = &plan,
		.apply = plan_turn_apply,
		.committed = plan_turn_committed,
		.idle = plan_turn_idle,
	};
	int result = turn_loop(service, &handler, err);
	sender_join(plan.sender);
	token_cache_free(plan.tokens);
	seal_key_wipe(&plan.seal_key);
	return result;
}

/* It becomes part of a URL and of a command: letters, digits, dots and hyphens. */
static void find_helo(const char *wanted, char *out, size_t size)
{
	if (wanted[0])
		snprintf(out, size, "%s", wanted);
	else if (gethostname(out, size) != 0)
		out[0] = '\0';
	out[size - 1] = '\0';
	for (const char *at = out; *at; at++) {
		if (!isalnum((unsigned char)*at) && *at != '.' && *at != '-')
			out[0] = '\0';
	}
	if (!out[0])
		snprintf(out, size, "localhost");
}
