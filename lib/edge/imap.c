/* SPDX-License-Identifier: Apache-2.0
 *
 * The dialogue after the login: commands out, replies in, over curl_easy_send and curl_easy_recv.
 */
#include "imap.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "imap_private.h"

#include "base/banned.h"

/* One connection's share of a loop turn, so that a fast one does not starve the others. */
#define READ_CHUNK ((size_t)128 * 1024)
#define TURN_BYTES ((size_t)1024 * 1024)
#define OUT_MAX ((size_t)1024 * 1024)

static void socket_ready(struct loop_watch *watch, uint32_t events);
static void read_more(struct loop_timer *timer);
static void read_replies(struct imap *imap);
static void take_reply(struct imap *imap, const struct imap_reply *reply);
static void silence(struct loop_timer *timer);
static void send_bytes(struct imap *imap, struct str bytes);
static void write_out(struct imap *imap);
static void watch_socket(struct imap *imap);
static void expect_answer(struct imap *imap);

bool imap_tls_parse(struct str name, enum imap_tls *out)
{
	static const char *const names[] = { "implicit", "starttls", "clear" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_eq(name, str_of(names[i]))) {
			*out = (enum imap_tls)i;
			return true;
		}
	}
	return false;
}

struct imap *imap_open(struct imap_hub *hub, const struct imap_target *target, const struct imap_handler *handler,
                       const struct imap_sink *sink, uint64_t literal_max, void *self)
{
	struct imap *imap = xcalloc(1, sizeof *imap);
	struct imap_limits limits = IMAP_LIMITS_DEFAULT;

	limits.literal_max = literal_max;
	imap->hub = hub;
	imap->handler = handler;
	imap->self = self;
	imap->target = *target;
	imap->egress = (struct egress){ .policy = target->egress, .is_clear = target->tls == IMAP_TLS_CLEAR,
		                        .clear_forced = target->insecure };
	imap->waiting_end = &imap->waiting;
	imap->watch = (struct loop_watch){ .fd = -1, .ready = socket_ready, .self = imap };
	imap->deadline = (struct loop_timer){ .fire = silence, .self = imap };
	imap->more = (struct loop_timer){ .fire = read_more, .self = imap };
	imap_parser_init(&imap->parser, &limits, sink);
	buf_init(&imap->out, OUT_MAX);
	buf_init(&imap->words, 1000);
	if (imap_hub_add(imap) < 0)
		loop_timer_at(hub->loop, &imap->deadline, 0);
	return imap;
}

void imap_close(struct imap *imap)
{
	if (!imap || imap->is_closed)
		return;
	if (imap->is_ready && !imap->has_failed) {
		size_t sent;
		(void)curl_easy_send(imap->easy, "Z LOGOUT\r\n", imap->is_idling ? 0 : 10, &sent);
	}
	imap->is_closed = true;
	loop_watch(imap->hub->loop, &imap->watch, 0);
	loop_timer_stop(imap->hub->loop, &imap->deadline);
	loop_timer_stop(imap->hub->loop, &imap->more);
	imap_hub_remove(imap);
	imap->next_dead = imap->hub->graveyard;
	imap->hub->graveyard = imap;
}

void imap_hub_reap(struct imap_hub *hub)
{
	while (hub->graveyard) {
		struct imap *imap = hub->graveyard;
		hub->graveyard = imap->next_dead;
		while (imap->waiting) {
			struct imap_waiting *waiting = imap->waiting;
			imap->waiting = waiting->next;
			free(waiting);
		}
		imap_parser_done(&imap->parser);
		buf_done(&imap->out);
		buf_done(&imap->words);
		free(imap);
	}
}

void imap_take_over(struct imap *imap)
{
	curl_socket_t fd = CURL_SOCKET_BAD;

	curl_easy_getinfo(imap->easy, CURLINFO_ACTIVESOCKET, &fd);
	if (fd == CURL_SOCKET_BAD) {
		imap_fail(imap, TROUBLE_CLOSED, STR("the connection broke at login"));
		return;
	}
	imap->watch.fd = fd;
	imap->is_ready = true;
	watch_socket(imap);
	buf_done(&imap->words);
	imap->handler->ready(imap->self);
}

void imap_fail(struct imap *imap, enum trouble_cause cause, struct str words)
{
	if (imap->is_closed || imap->has_failed)
		return;
	imap->has_failed = true;
	loop_watch(imap->hub->loop, &imap->watch, 0);
	loop_timer_stop(imap->hub->loop, &imap->deadline);
	loop_timer_stop(imap->hub->loop, &imap->more);
	imap->handler->failed(imap->self, cause, words);
}

void imap_trace(struct imap *imap, bool from_server, struct str line)
{
	if (imap->handler->trace)
		imap->handler->trace(imap->self, from_server, line);
}

void imap_command(struct imap *imap, int kind, struct str command)
{
	struct imap_waiting *waiting = xcalloc(1, sizeof *waiting);
	struct buf line;

	if (imap->is_idling)
		imap_idle_end(imap);
	snprintf(waiting->tag, sizeof waiting->tag, "M%u", ++imap->tags);
	waiting->kind = kind;
	*imap->waiting_end = waiting;
	imap->waiting_end = &waiting->next;
	imap->waiting_count++;
	imap_trace(imap, false, command);
	buf_init(&line, OUT_MAX);
	buf_addf(&line, "%s ", waiting->tag);
	buf_add_str(&line, command);
	buf_add_text(&line, "\r\n");
	send_bytes(imap, buf_str(&line));
	buf_done(&line);
	expect_answer(imap);
}

void imap_idle(struct imap *imap, int kind)
{
	imap_command(imap, kind, STR("IDLE"));
	imap->is_idling = true;
}

void imap_idle_end(struct imap *imap)
{
	if (!imap->is_idling || imap->has_failed)
		return;
	imap->is_idling = false;
	send_bytes(imap, STR("DONE\r\n"));
	expect_answer(imap);
}

uint32_t imap_capabilities(const struct imap *imap)
{
	return imap->capabilities;
}

size_t imap_commands_waiting(const struct imap *imap)
{
	return imap->waiting_count;
}

static void socket_ready(struct loop_watch *watch, uint32_t events)
{
	struct imap *imap = watch->self;

	if (events & EPOLLOUT)
		write_out(imap);
	if (!imap->has_failed && !imap->is_closed && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_replies(imap);
}

static void read_more(struct loop_timer *timer)
{
	read_replies(timer->self);
}

/* Read until the socket has no more: over TLS the library may hold bytes that epoll does not see. */
static void read_replies(struct imap *imap)
{
	static char bytes[READ_CHUNK];
	size_t total = 0;

	while (!imap->is_closed && !imap->has_failed) {
		size_t len = 0;
		if (total >= TURN_BYTES) {
			loop_timer_at(imap->hub->loop, &imap->more, 0);
			return;
		}
		CURLcode code = curl_easy_recv(imap->easy, bytes, sizeof bytes, &len);
		if (code == CURLE_AGAIN)
			return;
		if (code != CURLE_OK || len == 0) {
			imap_fail(imap, TROUBLE_CLOSED, STR("the server closed the connection"));
			return;
		}
		total += len;
		expect_answer(imap);
		struct str input = str_span(bytes, len);
		struct imap_reply reply;
		struct err err = { 0 };
		int rc = 0;
		while (!imap->is_closed && !imap->has_failed && (rc = imap_parser_feed(&imap->parser, &input, &reply, &err)) == 1)
			take_reply(imap, &reply);
		if (rc < 0 && !imap->is_closed)
			imap_fail(imap, TROUBLE_PROTOCOL, str_of(err.text));
	}
}

static void trace_reply(struct imap *imap, const struct imap_reply *reply)
{
	if (imap->handler->trace && reply->kind != IMAP_FETCH)
		imap_trace(imap, true, buf_str(&imap->parser.text));
}

static void take_reply(struct imap *imap, const struct imap_reply *reply)
{
	trace_reply(imap, reply);
	if (reply->kind == IMAP_CAPABILITY)
		imap->capabilities = imap_capability_bits(reply->text);
	if (str_eq_nocase(reply->code, STR("CAPABILITY")))
		imap->capabilities = imap_capability_bits(reply->code_args);
	if (reply->kind == IMAP_BYE) {
		imap_fail(imap, TROUBLE_BYE, reply->text);
		return;
	}
	if (reply->tag.len == 0) {
		imap->handler->reply(imap->self, reply);
		return;
	}
	/* Servers may finish commands in another order than they were sent. */
	for (struct imap_waiting **link = &imap->waiting; *link; link = &(*link)->next) {
		struct imap_waiting *waiting = *link;
		if (!str_eq(reply->tag, str_of(waiting->tag)))
			continue;
		*link = waiting->next;
		if (!waiting->next)
			imap->waiting_end = link;
		imap->waiting_count--;
		int kind = waiting->kind;
		free(waiting);
		if (imap->is_idling && imap->waiting_count == 0)
			imap->is_idling = false; /* refused, or ended by the server */
		expect_answer(imap);
		imap->handler->done(imap->self, kind, reply);
		return;
	}
	imap_fail(imap, TROUBLE_PROTOCOL, STR("the server answered a command that was not sent"));
}

static void silence(struct loop_timer *timer)
{
	imap_fail(timer->self, TROUBLE_TIMEOUT, STR("the server stopped answering"));
}

/* The silence deadline runs while a command waits, but not while idling. */
static void expect_answer(struct imap *imap)
{
	if (imap->has_failed || imap->is_closed)
		return;
	if (imap->waiting_count > 0 && !imap->is_idling)
		loop_timer_at(imap->hub->loop, &imap->deadline, clock_mono_ms() + imap->target.silence_ms);
	else
		loop_timer_stop(imap->hub->loop, &imap->deadline);
}

static void send_bytes(struct imap *imap, struct str bytes)
{
	if (imap->has_failed || imap->is_closed)
		return;
	buf_add_str(&imap->out, bytes);
	write_out(imap);
}

/* Trouble in here is told by the deadline's timer: the caller may be in the middle of something. */
static void write_out(struct imap *imap)
{
	while (imap->out.len > 0) {
		size_t sent = 0;
		CURLcode code = curl_easy_send(imap->easy, imap->out.at, imap->out.len, &sent);
		if (code == CURLE_AGAIN)
			break;
		if (code != CURLE_OK) {
			buf_reset(&imap->out);
			loop_timer_at(imap->hub->loop, &imap->more, 0); /* reading tells what is wrong */
			break;
		}
		buf_consume(&imap->out, sent);
	}
	if (imap->out.len == 0)
		buf_done(&imap->out);
	watch_socket(imap);
}

static void watch_socket(struct imap *imap)
{
	loop_watch(imap->hub->loop, &imap->watch, EPOLLIN | (imap->out.len > 0 ? EPOLLOUT : 0u));
}
