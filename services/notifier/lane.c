/* SPDX-License-Identifier: Apache-2.0 */
#include "lane_private.h"

#include "base/clock.h"
#include "kit/metrics.h"

#include "base/banned.h"

#define JOBS_PER_CONNECTION 16
#define RECIPIENTS_MAX 100 /* of one mail at once */

static struct metric connections_metric = METRIC_GAUGE("mailcase_smtp_connections", "open SMTP connections", NULL);

static struct lane *find_lane(struct lanes *lanes, struct outbound_mailbox_id id);
static struct lane *add_lane(struct lanes *lanes, const struct send_mailbox *mailbox);
static void use_settings(struct lane *lane, const struct send_mailbox *mailbox);
static struct send_job *job_new(struct lane *lane, const struct send_claim *claims, size_t count, int64_t now_ms);

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
			lane_give_back(lane);
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
		lane_serve(lane, now_ms);
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
		lane_give_back(lane);
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
		lane_give_back(lane);
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

/* All that waits for a connection goes back to the queue, as if it had never been claimed. */
void lane_give_back(struct lane *lane)
{
	while (lane->ready) {
		struct send_job *job = lane->ready;
		lane->ready = job->next;
		for (size_t i = 0; i < job->mail.recipients_len; i++)
			job->mail.recipients[i].verdict = SMTP_NOT_TRIED;
		lane_put_done(lane->all, job);
	}
	lane->ready_end = &lane->ready;
	lane->ready_copies = 0;
}

void lane_put_done(struct lanes *lanes, struct send_job *job)
{
	job->phase = SEND_DONE;
	job->next = NULL;
	*lanes->done_end = job;
	lanes->done_end = &job->next;
}

