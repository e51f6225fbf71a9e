/* SPDX-License-Identifier: Apache-2.0 */
#include "lane.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "domain/mailbox_trouble.h"
#include "kit/metrics.h"

#include "base/banned.h"

#define JOBS_PER_CONNECTION 16
#define RECIPIENTS_MAX 100           /* of one mail at once */
#define SUCCESS_TOLD_MS INT64_C(60000) /* an ok mailbox says so again after this */

struct lane_connection {
	struct lane *lane;
	struct smtp *smtp;
	struct send_job *job;
	int64_t generation;
	bool is_logged_in;
	struct lane_connection *next;
};

struct lane {
	struct lanes *all;
	struct outbound_mailbox_id id;
	struct tenant_id tenant;
	struct arena arena; /* of the settings below */
	struct send_mailbox settings;
	int64_t generation; /* of the settings; connections of an older one are closed */
	bool is_listed, is_proven;
	struct send_job *ready, **ready_end;
	size_t ready_copies;
	struct lane_connection *connections;
	size_t connections_len, logging_in;

	int64_t failures, next_try_ms, told_ms;
	bool has_news;
	const char *state;
	char reason[300], remedy[200];
	struct lane *next;
};

struct lanes {
	struct lane_limits limits;
	const struct seal_key *key;
	struct smtp_hub *hub;
	struct lane *first;
	size_t count;
	bool is_draining;
	struct send_job *waiting, *done, **done_end;
};

static struct metric connections_metric = METRIC_GAUGE("mailcase_smtp_connections", "open SMTP connections", NULL);
static struct metric troubles_metric = METRIC_COUNTER("mailcase_smtp_troubles_total", "SMTP connections that ended in trouble", "cause");

static void on_ready(void *self, struct smtp *smtp);
static void on_go_ahead(void *self, struct smtp *smtp, struct smtp_mail *mail);
static void on_done(void *self, struct smtp *smtp, struct smtp_mail *mail);
static void on_closed(void *self, struct smtp *smtp, enum trouble_cause cause, struct str words);
static const struct smtp_handler handler = { on_ready, on_go_ahead, on_done, on_closed };

static struct lane *find_lane(struct lanes *lanes, struct outbound_mailbox_id id);
static struct lane *add_lane(struct lanes *lanes, const struct send_mailbox *mailbox);
static void use_settings(struct lane *lane, const struct send_mailbox *mailbox);
static struct send_job *job_new(struct lane *lane, const struct send_claim *claims, size_t count, int64_t now_ms);
static void serve_lane(struct lane *lane, int64_t now_ms);
static void open_connection(struct lane *lane);
static struct send_job *next_job(struct lane *lane, int64_t now_ms);
static void give_back(struct lane *lane);
static void put_done(struct lanes *lanes, struct send_job *job);
static void in_trouble(struct lane *lane, enum trouble_cause cause, struct str words);
static void is_well(struct lane *lane);
static const char *remedy_of(const struct mailbox_trouble *trouble);

struct lanes *lanes_new(const struct lane_limits *limits, const struct seal_key *key)
{
	struct lanes *lanes = xcalloc(1, sizeof *lanes);

	lanes->limits = *limits;
	lanes->key = key;
	lanes->hub = smtp_hub_new();
	lanes->done_end = &lanes->done;
	return lanes;
}

void lanes_free(struct lanes *lanes)
{
	if (!lanes)
		return;
	/* The hub tells each connection's end; lanes and jobs must still be there. */
	lanes_cut(lanes);
	smtp_hub_free(lanes->hub);
	for (struct send_job *job; (job = lanes_done(lanes, 1));)
		send_job_free(job);
	while (lanes->first) {
		struct lane *lane = lanes->first;
		lanes->first = lane->next;
		arena_done(&lane->arena);
		free(lane);
	}
	free(lanes);
}

void lanes_refresh(struct lanes *lanes, const struct send_mailbox *mailboxes, size_t count)
{
	for (struct lane *lane = lanes->first; lane; lane = lane->next)
		lane->is_listed = false;
	for (size_t i = 0; i < count; i++) {
		struct lane *lane = find_lane(lanes, mailboxes[i].id);
		if (!lane)
			lane = add_lane(lanes, &mailboxes[i]);
		else if (lane->settings.changed_us != mailboxes[i].changed_us)
			use_settings(lane, &mailboxes[i]);
		lane->is_listed = true;
	}
	/* A mailbox that is switched off keeps its lane, empty: it may come back. */
	for (struct lane *lane = lanes->first; lane; lane = lane->next) {
		if (!lane->is_listed)
			give_back(lane);
	}
}

size_t lanes_count(const struct lanes *lanes)
{
	return lanes->count;
}

size_t lanes_wanted(const struct lanes *lanes, int64_t now_ms, struct outbound_mailbox_id *out_ids, int64_t *out_wanted)
{
	size_t count = 0;

	for (const struct lane *lane = lanes->first; lane && !lanes->is_draining; lane = lane->next) {
		/* One that has not proved itself gets what it needs to do so. */
		int64_t most = lanes->limits.connections * (lane->is_proven ? JOBS_PER_CONNECTION : 1);
		if (!lane->is_listed || now_ms < lane->next_try_ms || (int64_t)lane->ready_copies > most / 2)
			continue;
		out_ids[count] = lane->id;
		out_wanted[count++] = most - (int64_t)lane->ready_copies;
	}
	return count;
}

void lanes_take(struct lanes *lanes, const struct send_claim *claims, size_t count, int64_t now_ms)
{
	bool *is_taken = xcalloc(count + 1, sizeof *is_taken);
	struct send_claim *together = xcalloc(RECIPIENTS_MAX, sizeof *together);

	/* Copies of one mail leave in one go. */
	for (size_t i = 0; i < count; i++) {
		struct lane *lane = find_lane(lanes, claims[i].mailbox);
		size_t len = 0;
		if (is_taken[i] || !lane)
			continue;
		for (size_t k = i; k < count && len < RECIPIENTS_MAX; k++) {
			if (!is_taken[k] && uuid_eq(claims[k].outbound.id, claims[i].outbound.id)) {
				together[len++] = claims[k];
				is_taken[k] = true;
			}
		}
		struct send_job *job = job_new(lane, together, len, now_ms);
		*lane->ready_end = job;
		lane->ready_end = &job->next;
		lane->ready_copies += len;
	}
	free(together);
	free(is_taken);
}

void lanes_turn(struct lanes *lanes, const int *fds, size_t fds_len, int timeout_ms)
{
	int64_t now_ms = clock_mono_ms();

	for (struct lane *lane = lanes->first; lane; lane = lane->next)
		serve_lane(lane, now_ms);
	smtp_hub_turn(lanes->hub, fds, fds_len, timeout_ms);
	metric_set(metric_label(&connections_metric, NULL), (int64_t)smtp_hub_connections(lanes->hub));
}

struct send_job *lanes_waiting(struct lanes *lanes)
{
	/* A mail whose connection broke while it waited is done and must not be found here. */
	for (struct send_job **at = &lanes->waiting; *at;) {
		if ((*at)->phase == SEND_WAITS)
			at = &(*at)->next_waiting;
		else
			*at = (*at)->next_waiting;
	}
	return lanes->waiting;
}

void lanes_started(struct lanes *lanes)
{
	struct send_job *job = lanes->waiting;

	lanes->waiting = NULL;
	while (job) {
		struct send_job *next = job->next_waiting;
		bool may_start = true;
		for (size_t i = 0; i < job->mail.recipients_len; i++)
			may_start = may_start && (job->mail.recipients[i].is_settled || job->copies[i].state == COPY_SENDING);
		if (may_start) {
			job->phase = SEND_STARTED;
			job->renewed_ms = clock_mono_ms();
			smtp_body(job->smtp);
		} else {
			smtp_drop(job->smtp);
		}
		job = next;
	}
}

struct send_job *lanes_done(struct lanes *lanes, size_t most)
{
	struct send_job *first = lanes->done, **end = &lanes->done;

	while (*end && most--)
		end = &(*end)->next;
	lanes->done = *end;
	*end = NULL;
	if (!lanes->done)
		lanes->done_end = &lanes->done;
	return first == lanes->done ? NULL : first;
}

void lanes_done_again(struct lanes *lanes, struct send_job *jobs)
{
	struct send_job **end = &jobs;

	while (*end)
		end = &(*end)->next;
	*end = lanes->done;
	if (!lanes->done)
		lanes->done_end = end == &jobs ? &lanes->done : end;
	lanes->done = jobs;
}

void send_job_free(struct send_job *job)
{
	free(job);
}

size_t lanes_under_way(const struct lanes *lanes, struct copy_id *out, size_t most)
{
	size_t count = 0;

	for (const struct lane *lane = lanes->first; lane; lane = lane->next) {
		for (const struct lane_connection *c = lane->connections; c; c = c->next) {
			if (!c->job || c->job->phase != SEND_STARTED)
				continue;
			for (size_t i = 0; i < c->job->mail.recipients_len && count < most; i++)
				out[count++] = c->job->copies[i].copy;
		}
	}
	return count;
}

size_t lanes_to_commit(const struct lanes *lanes)
{
	size_t count = 0;

	for (const struct send_job *job = lanes->done; job; job = job->next)
		count++;
	for (const struct send_job *job = lanes->waiting; job; job = job->next_waiting)
		count += job->phase == SEND_WAITS;
	return count;
}

size_t lanes_in_flight(const struct lanes *lanes)
{
	size_t count = 0;

	for (const struct lane *lane = lanes->first; lane; lane = lane->next) {
		for (const struct lane_connection *c = lane->connections; c; c = c->next)
			count += c->job && c->job->phase != SEND_WAITS;
	}
	return count;
}

void lanes_drain(struct lanes *lanes)
{
	lanes->is_draining = true;
	for (struct lane *lane = lanes->first; lane; lane = lane->next)
		give_back(lane);
}

bool lanes_are_empty(const struct lanes *lanes)
{
	for (const struct lane *lane = lanes->first; lane; lane = lane->next) {
		for (const struct lane_connection *c = lane->connections; c; c = c->next) {
			if (c->job)
				return false;
		}
	}
	return !lanes->done;
}

void lanes_cut(struct lanes *lanes)
{
	for (struct lane *lane = lanes->first; lane; lane = lane->next) {
		give_back(lane);
		for (struct lane_connection *c = lane->connections; c; c = c->next)
			smtp_cut(c->smtp);
	}
}

bool lanes_next_state(struct lanes *lanes, struct lane_state *out)
{
	for (struct lane *lane = lanes->first; lane; lane = lane->next) {
		if (!lane->has_news)
			continue;
		lane->has_news = false;
		int64_t wait_ms = lane->next_try_ms - clock_mono_ms();
		*out = (struct lane_state){
			.id = lane->id,
			.tenant = lane->tenant,
			.state = lane->state,
			.reason = str_of(lane->reason),
			.remedy = str_of(lane->remedy),
			.failures = lane->failures,
			.next_try_ms = lane->failures && wait_ms > 0 ? wait_ms : 0,
		};
		return true;
	}
	return false;
}

static struct lane *find_lane(struct lanes *lanes, struct outbound_mailbox_id id)
{
	struct lane *lane = lanes->first;

	while (lane && !uuid_eq(lane->id.id, id.id))
		lane = lane->next;
	return lane;
}

static struct lane *add_lane(struct lanes *lanes, const struct send_mailbox *mailbox)
{
	struct lane *lane = xcalloc(1, sizeof *lane);

	lane->all = lanes;
	lane->id = mailbox->id;
	lane->tenant = mailbox->tenant;
	lane->ready_end = &lane->ready;
	lane->state = "starting";
	lane->next = lanes->first;
	lanes->first = lane;
	lanes->count++;
	use_settings(lane, mailbox);
	return lane;
}

/* A changed setting is tried at once, whatever happened before. */
static void use_settings(struct lane *lane, const struct send_mailbox *mailbox)
{
	struct arena *arena = &lane->arena;

	arena_reset(arena);
	lane->settings = *mailbox;
	lane->settings.host = str_cstr(arena, str_of(mailbox->host));
	lane->settings.ca_file = str_cstr(arena, str_of(mailbox->ca_file));
	lane->settings.username = str_cstr(arena, str_of(mailbox->username));
	lane->settings.sender_domain = str_cstr(arena, str_of(mailbox->sender_domain));
	lane->settings.sealed_password = str_dup(arena, mailbox->sealed_password);
	lane->generation++;
	lane->failures = 0;
	lane->next_try_ms = 0;
	lane->is_proven = false;
}

/* One block holds the job, its copies and recipients, and all bytes. */
static struct send_job *job_new(struct lane *lane, const struct send_claim *claims, size_t count, int64_t now_ms)
{
	size_t bytes = claims[0].bytes.len + claims[0].envelope_from.len;
	size_t head = sizeof(struct send_job) + count * (sizeof(struct send_claim) + sizeof(struct smtp_recipient));

	for (size_t i = 0; i < count; i++)
		bytes += claims[i].recipient.len;
	struct send_job *job = xmalloc(head + bytes);
	char *place = (char *)job + head;
	*job = (struct send_job){ .lane = lane,
		                  .phase = SEND_READY,
		                  .claimed_ms = now_ms,
		                  .outbound = claims[0].outbound,
		                  .tenant = claims[0].tenant,
		                  .case_id = claims[0].case_id,
		                  .created_us = claims[0].created_us };
	job->copies = (struct send_claim *)(job + 1);
	job->mail.recipients = (struct smtp_recipient *)(job->copies + count);
	job->mail.recipients_len = count;
	job->mail.self = job;
	for (size_t i = 0; i < count; i++) {
		job->copies[i] = claims[i];
		memcpy(place, claims[i].recipient.at, claims[i].recipient.len);
		job->mail.recipients[i] = (struct smtp_recipient){ .address = str_span(place, claims[i].recipient.len) };
		place += claims[i].recipient.len;
	}
	if (claims[0].envelope_from.len)
		memcpy(place, claims[0].envelope_from.at, claims[0].envelope_from.len);
	job->mail.envelope_from = str_span(place, claims[0].envelope_from.len);
	place += claims[0].envelope_from.len;
	memcpy(place, claims[0].bytes.at, claims[0].bytes.len);
	job->mail.bytes = str_span(place, claims[0].bytes.len);
	return job;
}

static void serve_lane(struct lane *lane, int64_t now_ms)
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
	put_done(c->lane->all, job);
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

/* All that waits for a connection goes back to the queue, as if it had never been claimed. */
static void give_back(struct lane *lane)
{
	while (lane->ready) {
		struct send_job *job = lane->ready;
		lane->ready = job->next;
		for (size_t i = 0; i < job->mail.recipients_len; i++)
			job->mail.recipients[i].verdict = SMTP_NOT_TRIED;
		put_done(lane->all, job);
	}
	lane->ready_end = &lane->ready;
	lane->ready_copies = 0;
}

static void put_done(struct lanes *lanes, struct send_job *job)
{
	job->phase = SEND_DONE;
	job->next = NULL;
	*lanes->done_end = job;
	lanes->done_end = &job->next;
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
	give_back(lane);
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
