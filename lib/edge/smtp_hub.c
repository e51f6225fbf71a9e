/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/err.h"
#include "edge/smtp_private.h"

#include "base/banned.h"

#define DATA_MAX ((size_t)256 << 20)
#define TURN_MOST_MS 1000 /* deadlines are looked at this often */

static void reap_logins(struct smtp_hub *hub);
static void check_deadline(struct smtp *smtp, int64_t now_ms);
static void forget_gone(struct smtp_hub *hub);

struct smtp_hub *smtp_hub_new(void)
{
	struct smtp_hub *hub = xcalloc(1, sizeof *hub);

	hub->multi = curl_multi_init();
	if (!hub->multi)
		die_no_memory(1);
	curl_multi_setopt(hub->multi, CURLMOPT_MAXCONNECTS, (long)SMTP_HUB_MAX);
	return hub;
}

void smtp_hub_free(struct smtp_hub *hub)
{
	if (!hub)
		return;
	for (size_t i = 0; i < hub->len; i++)
		hub->at[i]->state = SMTP_GONE;
	forget_gone(hub);
	curl_multi_cleanup(hub->multi);
	free(hub);
}

size_t smtp_hub_connections(const struct smtp_hub *hub)
{
	return hub->len;
}

void smtp_hub_turn(struct smtp_hub *hub, const int *fds, size_t fds_len, int timeout_ms)
{
	struct curl_waitfd waits[SMTP_HUB_MAX + 8];
	bool is_readable[SMTP_HUB_MAX] = { false };
	size_t count = hub->len, waits_len = 0;
	int running;

	for (size_t i = 0; i < count; i++) {
		struct smtp *smtp = hub->at[i];
		waits[waits_len++] = (struct curl_waitfd){
			.fd = smtp->state == SMTP_LOGGING_IN ? CURL_SOCKET_BAD : smtp->fd,
			.events = (short)(CURL_WAIT_POLLIN | (smtp->wants_write ? CURL_WAIT_POLLOUT : 0)),
		};
	}
	for (size_t i = 0; i < fds_len && i < 8; i++)
		waits[waits_len++] = (struct curl_waitfd){ .fd = fds[i], .events = CURL_WAIT_POLLIN };
	if (count && timeout_ms > TURN_MOST_MS)
		timeout_ms = TURN_MOST_MS;
	curl_multi_poll(hub->multi, waits, (unsigned)waits_len, timeout_ms, NULL);
	for (size_t i = 0; i < count; i++)
		is_readable[i] = waits[i].revents != 0;

	curl_multi_perform(hub->multi, &running);
	reap_logins(hub);
	int64_t now_ms = clock_mono_ms();
	/* What handlers open meanwhile is appended, and served in the next turn. */
	for (size_t i = 0; i < count; i++) {
		if (is_readable[i] && hub->at[i]->state != SMTP_LOGGING_IN && hub->at[i]->state != SMTP_GONE)
			smtp_serve(hub->at[i]);
		check_deadline(hub->at[i], now_ms);
	}
	forget_gone(hub);
}

struct smtp *smtp_open(struct smtp_hub *hub, const struct smtp_target *target, const struct smtp_handler *handler, void *self)
{
	struct smtp *smtp = xcalloc(1, sizeof *smtp);

	*smtp = (struct smtp){
		.hub = hub,
		.handler = handler,
		.self = self,
		.fd = CURL_SOCKET_BAD,
		.login_timeout_ms = target->login_timeout_ms,
		.reply_timeout_ms = target->reply_timeout_ms,
		.dot_timeout_ms = target->dot_timeout_ms,
		/* libcurl has its own time-out for this; ours is behind it. */
		.deadline_ms = clock_mono_ms() + target->login_timeout_ms + 5000,
	};
	buf_init(&smtp->out, DATA_MAX);
	smtp_reply_init(&smtp->parser);
	smtp->easy = smtp_login_begin(&smtp->login, target);
	curl_easy_setopt(smtp->easy, CURLOPT_PRIVATE, smtp);
	hub->at[hub->len++] = smtp;
	curl_multi_add_handle(hub->multi, smtp->easy);
	return smtp;
}

static void reap_logins(struct smtp_hub *hub)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(hub->multi, &left))) {
		struct smtp *smtp = NULL;
		struct str words;
		if (message->msg != CURLMSG_DONE)
			continue;
		CURLcode code = message->data.result;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&smtp);
		enum trouble_cause cause = smtp_login_result(&smtp->login, smtp->easy, code, &words);
		if (cause != TROUBLE_NONE) {
			smtp_lose(smtp, cause, words);
			continue;
		}
		curl_easy_getinfo(smtp->easy, CURLINFO_ACTIVESOCKET, &smtp->fd);
		smtp_become_ready(smtp);
		/* Until the first read or write libcurl counts the connection as idle and might close it for its age. */
		if (smtp->state == SMTP_IDLE)
			smtp_read(smtp);
	}
}

static void check_deadline(struct smtp *smtp, int64_t now_ms)
{
	/* Idle is the owner's business, and so is how long it thinks. */
	if (smtp->state == SMTP_IDLE || smtp->state == SMTP_WAITING || smtp->state == SMTP_GONE || now_ms < smtp->deadline_ms)
		return;
	smtp_lose(smtp, smtp->state == SMTP_QUITTING ? TROUBLE_NONE : TROUBLE_TIMEOUT, STR("the server did not answer in time"));
}

static void forget_gone(struct smtp_hub *hub)
{
	size_t kept = 0, count = hub->len;
	struct smtp *gone[SMTP_HUB_MAX];
	size_t gone_len = 0;

	for (size_t i = 0; i < count; i++) {
		if (hub->at[i]->state == SMTP_GONE)
			gone[gone_len++] = hub->at[i];
		else
			hub->at[kept++] = hub->at[i];
	}
	hub->len = kept;
	for (size_t i = 0; i < gone_len; i++) {
		struct smtp *smtp = gone[i];
		curl_multi_remove_handle(hub->multi, smtp->easy);
		curl_easy_cleanup(smtp->easy);
		smtp->handler->closed(smtp->self, smtp, smtp->gone_cause, str_of(smtp->gone_words));
		buf_done(&smtp->out);
		free(smtp);
	}
}
