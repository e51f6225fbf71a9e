/* SPDX-License-Identifier: Apache-2.0 */
#include "base/backoff.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "domain/mailbox_trouble.h"
#include "kit/metrics.h"
#include "lane_private.h"

#include "base/banned.h"

#define SUCCESS_TOLD_MS INT64_C(60000) /* an ok mailbox says so again after this */

static struct metric troubles_metric = METRIC_COUNTER("mailcase_smtp_troubles_total", "SMTP connections that ended in trouble", "cause");

static void on_ready(void *self, struct smtp *smtp);
static void on_go_ahead(void *self, struct smtp *smtp, struct smtp_mail *mail);
static void on_done(void *self, struct smtp *smtp, struct smtp_mail *mail);
static void on_closed(void *self, struct smtp *smtp, enum trouble_cause cause, struct str words);
static const struct smtp_handler handler = { on_ready, on_go_ahead, on_done, on_closed };

static void open_connection(struct lane *lane);
static struct send_job *next_job(struct lane *lane, int64_t now_ms);
static void in_trouble(struct lane *lane, enum trouble_cause cause, struct str words);
static void is_well(struct lane *lane);
static const char *remedy_of(const struct mailbox_trouble *trouble);

void lane_serve(struct lane *lane, int64_t now_ms)
{
	struct lanes *all = lane->all;

	for (struct lane_connection *c = lane->connections; c; c = c->next) {
		if (!smtp_is_idle(c->smtp))
			continue;
		bool is_worn = c->generation != lane->generation || (int64_t)smtp_mails(c->smtp) >= all->limits.mails;
		bool is_unused = !lane->ready && now_ms - smtp_idle_since_ms(c->smtp) >= all->limits.idle_ms;
		if (all->is_draining || !lane->is_listed || is_worn || is_unused)
			smtp_quit(c->smtp);
		else
			on_ready(c, c->smtp);
	}
	/* Until a login has succeeded one connection tries: four wrong passwords at once lock an account. */
	while (lane->ready && lane->is_listed && now_ms >= lane->next_try_ms &&
	       (int64_t)lane->connections_len < all->limits.connections && smtp_hub_connections(all->hub) < SMTP_HUB_MAX &&
	       lane->logging_in < (lane->is_proven ? lane->ready_copies : 1))
		open_connection(lane);
}

static void open_connection(struct lane *lane)
{
	const struct send_mailbox *s = &lane->settings;
	struct lanes *all = lane->all;
	struct arena secrets;
	struct str password = STR("");
	struct err err = { 0 };

	arena_init(&secrets);
	if (s->username[0] && (!s->sealed_password.len || seal_open(&secrets, all->key, s->sealed_password, &password, &err) < 0)) {
		in_trouble(lane, TROUBLE_NO_CREDENTIAL, str_of(err.text));
		arena_done(&secrets);
		return;
	}
	char *password_text = str_cstr(&secrets, password);
	struct lane_connection *c = xcalloc(1, sizeof *c);
	c->lane = lane;
	c->generation = lane->generation;
	c->next = lane->connections;
	lane->connections = c;
	lane->connections_len++;
	lane->logging_in++;
	c->smtp = smtp_open(all->hub,
	                    &(struct smtp_target){ .host = s->host,
	                                           .port = s->port,
	                                           .tls = s->tls,
	                                           .ca_file = s->ca_file,
	                                           .insecure = s->insecure,
	                                           .username = s->username,
	                                           .password = password_text,
	                                           .helo = all->limits.helo,
	                                           .egress = all->limits.egress,
	                                           .login_timeout_ms = all->limits.login_timeout_ms,
	                                           .reply_timeout_ms = all->limits.reply_timeout_ms,
	                                           .dot_timeout_ms = all->limits.dot_timeout_ms },
	                    &handler, c);
	struct str copy = str_of(password_text);
	seal_forget(&copy);
	seal_forget(&password);
	arena_done(&secrets);
}

static void on_ready(void *self, struct smtp *smtp)
{
	struct lane_connection *c = self;
	struct lane *lane = c->lane;

	if (!c->is_logged_in) {
		c->is_logged_in = true;
		lane->logging_in--;
		lane->is_proven = true;
		is_well(lane);
	}
	if (lane->all->is_draining || c->generation != lane->generation || (int64_t)smtp_mails(smtp) >= lane->all->limits.mails)
		return;
	struct send_job *job = next_job(lane, clock_mono_ms());
	if (!job)
		return;
	job->phase = SEND_ON_WIRE;
	job->smtp = smtp;
	c->job = job;
	smtp_send(smtp, &job->mail);
}

static void on_go_ahead(void *self, struct smtp *smtp, struct smtp_mail *mail)
{
	struct lane_connection *c = self;
	struct send_job *job = mail->self;

	(void)smtp;
	job->phase = SEND_WAITS;
	job->next_waiting = c->lane->all->waiting;
	c->lane->all->waiting = job;
}

static void on_done(void *self, struct smtp *smtp, struct smtp_mail *mail)
{
	struct lane_connection *c = self;
	struct send_job *job = mail->self;

	(void)smtp;
	c->job = NULL;
	job->smtp = NULL;
	for (size_t i = 0; i < mail->recipients_len; i++) {
		if (mail->recipients[i].verdict == SMTP_ACCEPTED) {
			is_well(c->lane);
			break;
		}
	}
	lane_put_done(c->lane->all, job);
}

static void on_closed(void *self, struct smtp *smtp, enum trouble_cause cause, struct str words)
{
	struct lane_connection *c = self;
	struct lane *lane = c->lane;

	(void)smtp;
	for (struct lane_connection **at = &lane->connections; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	lane->connections_len--;
	if (!c->is_logged_in)
		lane->logging_in--;
	/* What an old setting ran into says nothing about the new one. */
	if (cause != TROUBLE_NONE && c->generation == lane->generation)
		in_trouble(lane, cause, words);
	free(c);
}

/* A claim that is about to expire is another's soon: it is left alone. */
static struct send_job *next_job(struct lane *lane, int64_t now_ms)
{
	while (lane->ready) {
		struct send_job *job = lane->ready;
		lane->ready = job->next;
		if (!lane->ready)
			lane->ready_end = &lane->ready;
		lane->ready_copies -= job->mail.recipients_len;
		job->next = NULL;
		if (now_ms - job->claimed_ms < lane->all->limits.lease_ms / 2)
			return job;
		send_job_free(job);
	}
	return NULL;
}

static void in_trouble(struct lane *lane, enum trouble_cause cause, struct str words)
{
	struct mailbox_trouble trouble = mailbox_trouble_of(cause, words);
	double random;
	uint32_t bits;

	random_bytes(&bits, sizeof bits);
	random = (double)bits / 4294967296.0;
	int64_t wait_ms = trouble.wait_asked_ms ? trouble.wait_asked_ms :
	                                          backoff_delay_ms((unsigned)lane->failures, trouble.wait_first_ms,
	                                                           trouble.wait_most_ms, random);
	lane->failures++;
	lane->is_proven = false;
	lane->next_try_ms = clock_mono_ms() + wait_ms;
	lane->state = trouble.state == TROUBLE_AUTH_FAILS ? "auth_failed" : "backing_off";
	snprintf(lane->reason, sizeof lane->reason, "%s%s%.*s", trouble.problem, words.len ? ": " : "",
	         STR_ARG(str_slice(words, 0, 200)));
	snprintf(lane->remedy, sizeof lane->remedy, "%s", remedy_of(&trouble));
	lane->has_news = true;
	metric_add(metric_label(&troubles_metric, trouble.name), 1);
	log_warn("smtp.trouble", LOG_UUID("outbound_mailbox", lane->id.id), LOG_TEXT("cause", trouble.name),
	         LOG_TEXT("reason", lane->reason), LOG_TEXT("remedy", lane->remedy), LOG_INT("failures", lane->failures),
	         LOG_INT("wait_ms", wait_ms), LOG_END);
	lane_give_back(lane);
}

static void is_well(struct lane *lane)
{
	int64_t now_ms = clock_mono_ms();
	bool was_well = strcmp(lane->state, "ok") == 0;

	if (!was_well)
		log_info("smtp.ok", LOG_UUID("outbound_mailbox", lane->id.id), LOG_END);
	if (!was_well || now_ms - lane->told_ms >= SUCCESS_TOLD_MS) {
		lane->has_news = true;
		lane->told_ms = now_ms;
	}
	lane->failures = 0;
	lane->next_try_ms = 0;
	lane->state = "ok";
	lane->reason[0] = lane->remedy[0] = '\0';
}

/* The remedies that name IMAP's ports and habits, in terms of SMTP. */
static const char *remedy_of(const struct mailbox_trouble *trouble)
{
	switch (trouble->cause) {
	case TROUBLE_TLS_ON_PLAIN:
		return "use starttls there, or the server's TLS port (465)";
	case TROUBLE_NO_STARTTLS:
		return "use the server's TLS port (implicit, 465)";
	case TROUBLE_CA_FILE:
	case TROUBLE_CERT_UNKNOWN_CA:
		return "set the outbound mailbox's CA file to the authority's certificate";
	case TROUBLE_LOGIN_DISABLED:
		return "set user name and password, and use TLS (implicit or starttls)";
	case TROUBLE_PROTOCOL:
		return "check host and port: what answers there is no SMTP server";
	default:
		return trouble->remedy;
	}
}
