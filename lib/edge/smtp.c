/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/smtp.h"

#include "base/clock.h"
#include "edge/smtp_private.h"
#include "protocol/smtp_data.h"

#include "base/banned.h"

#define READ_SIZE 16384
#define QUIT_MS 2000

static void flush_out(struct smtp *smtp);
static void on_reply(struct smtp *smtp, const struct smtp_reply *reply);
static void on_envelope_reply(struct smtp *smtp, const struct smtp_reply *reply);
static void on_data_reply(struct smtp *smtp, const struct smtp_reply *reply);
static void next_command(enum command *command, size_t *rcpt, size_t rcpts);
static void write_commands(struct smtp *smtp);
static void settle(struct smtp_recipient *recipient, enum smtp_verdict verdict, int code, struct str words);
static void settle_rest(struct smtp *smtp, enum smtp_verdict verdict, int code, struct str words);
static enum smtp_verdict verdict_of(int code);
static void finish_mail(struct smtp *smtp);

bool smtp_tls_parse(struct str name, enum smtp_tls *out)
{
	static const char *const names[] = { "implicit", "starttls", "clear" };

	for (int i = 0; i < 3; i++) {
		if (str_eq(name, str_of(names[i]))) {
			*out = (enum smtp_tls)i;
			return true;
		}
	}
	return false;
}

void smtp_send(struct smtp *smtp, struct smtp_mail *mail)
{
	smtp->mail = mail;
	smtp->mails++;
	smtp->taken = 0;
	smtp->had_reply = false;
	smtp->state = SMTP_ENVELOPE;
	smtp->sent = smtp->awaited = smtp->needs_reset ? COMMAND_RSET : COMMAND_MAIL;
	smtp->sent_rcpt = smtp->awaited_rcpt = 0;
	smtp->needs_reset = false;
	smtp->deadline_ms = clock_mono_ms() + smtp->reply_timeout_ms;
	for (size_t i = 0; i < mail->recipients_len; i++) {
		mail->recipients[i].is_settled = false;
		mail->recipients[i].code = 0;
	}
	write_commands(smtp);
}

void smtp_body(struct smtp *smtp)
{
	if (smtp->state != SMTP_WAITING)
		return;
	smtp->state = SMTP_BODY;
	smtp->deadline_ms = clock_mono_ms() + smtp->reply_timeout_ms;
	buf_reset(&smtp->out);
	smtp->out_done = 0;
	smtp_data_write(&smtp->out, smtp->mail->bytes);
	flush_out(smtp);
}

void smtp_drop(struct smtp *smtp)
{
	if (smtp->state == SMTP_WAITING)
		smtp_lose(smtp, TROUBLE_NONE, STR("given up before the body"));
}

void smtp_cut(struct smtp *smtp)
{
	smtp_lose(smtp, TROUBLE_NONE, STR("cut off: this program stops"));
}

void smtp_quit(struct smtp *smtp)
{
	if (smtp->state != SMTP_IDLE)
		return;
	smtp->state = SMTP_QUITTING;
	smtp->deadline_ms = clock_mono_ms() + QUIT_MS;
	buf_add_text(&smtp->out, "QUIT\r\n");
	flush_out(smtp);
}

bool smtp_is_idle(const struct smtp *smtp)
{
	return smtp->state == SMTP_IDLE;
}

int64_t smtp_idle_since_ms(const struct smtp *smtp)
{
	return smtp->idle_since_ms;
}

size_t smtp_mails(const struct smtp *smtp)
{
	return smtp->mails;
}

void smtp_become_ready(struct smtp *smtp)
{
	smtp->state = SMTP_IDLE;
	smtp->idle_since_ms = clock_mono_ms();
	smtp->handler->ready(smtp->self, smtp);
}

void smtp_serve(struct smtp *smtp)
{
	if (smtp->wants_write)
		flush_out(smtp);
	if (smtp->state != SMTP_GONE)
		smtp_read(smtp);
}

static void flush_out(struct smtp *smtp)
{
	smtp->wants_write = false;
	while (smtp->out_done < smtp->out.len) {
		size_t written = 0;
		CURLcode code = curl_easy_send(smtp->easy, smtp->out.at + smtp->out_done, smtp->out.len - smtp->out_done, &written);
		if (code == CURLE_AGAIN) {
			smtp->wants_write = true;
			return;
		}
		if (code != CURLE_OK) {
			/* In the body: nothing of the piece that failed counts as sent, and the dot is the last of all pieces, so
			 * the server has half a mail at most. */
			smtp_lose(smtp, TROUBLE_CLOSED, STR("connection lost while writing"));
			return;
		}
		smtp->out_done += written;
		if (smtp->state == SMTP_BODY)
			smtp->deadline_ms = clock_mono_ms() + smtp->reply_timeout_ms;
	}
	buf_reset(&smtp->out);
	smtp->out_done = 0;
	if (smtp->state == SMTP_BODY) {
		smtp->state = SMTP_DOT;
		smtp->deadline_ms = clock_mono_ms() + smtp->dot_timeout_ms;
	}
}

void smtp_read(struct smtp *smtp)
{
	char bytes[READ_SIZE];

	while (smtp->state != SMTP_GONE) {
		size_t len = 0;
		CURLcode code = curl_easy_recv(smtp->easy, bytes, sizeof bytes, &len);
		if (code == CURLE_AGAIN)
			return;
		if (code != CURLE_OK || len == 0) {
			/* A server may close a connection that has idled just when we use it again. */
			bool is_stale = smtp->state == SMTP_ENVELOPE && !smtp->had_reply && smtp->mails > 1;
			bool is_nobodys_fault = smtp->state == SMTP_IDLE || smtp->state == SMTP_QUITTING || is_stale;
			smtp_lose(smtp, is_nobodys_fault ? TROUBLE_NONE : TROUBLE_CLOSED, STR("the server closed the connection"));
			return;
		}
		struct str rest = str_span(bytes, len);
		while (rest.len && smtp->state != SMTP_GONE) {
			const struct smtp_reply *reply;
			enum smtp_feed fed = smtp_reply_feed(&smtp->parser, &rest, &reply);
			if (fed == SMTP_FEED_BAD)
				smtp_lose(smtp, TROUBLE_PROTOCOL, STR("the server's answer is no SMTP reply"));
			else if (fed == SMTP_FEED_REPLY)
				on_reply(smtp, reply);
		}
	}
}

static void on_reply(struct smtp *smtp, const struct smtp_reply *reply)
{
	struct str words = str_span(reply->text, reply->text_len);

	smtp->had_reply = true;
	switch (smtp->state) {
	case SMTP_ENVELOPE:
		on_envelope_reply(smtp, reply);
		break;
	case SMTP_BODY:
		/* The server breaks off. One that says yes to half a mail cannot be understood. */
		settle_rest(smtp, reply->code < 400 ? SMTP_UNKNOWN : verdict_of(reply->code), reply->code, words);
		smtp_lose(smtp, TROUBLE_CLOSED, words);
		break;
	case SMTP_DOT:
		settle_rest(smtp, verdict_of(reply->code), reply->code, words);
		finish_mail(smtp);
		break;
	case SMTP_LONE_DOT:
		finish_mail(smtp);
		break;
	case SMTP_IDLE:
		smtp_lose(smtp, TROUBLE_NONE, words);
		break;
	case SMTP_WAITING:
		smtp_lose(smtp, reply->code == 421 ? TROUBLE_BYE : TROUBLE_PROTOCOL, words);
		break;
	case SMTP_QUITTING:
		smtp_lose(smtp, TROUBLE_NONE, words);
		break;
	case SMTP_LOGGING_IN:
	case SMTP_GONE:
		break;
	}
}

static void on_envelope_reply(struct smtp *smtp, const struct smtp_reply *reply)
{
	struct str words = str_span(reply->text, reply->text_len);
	enum smtp_verdict verdict = verdict_of(reply->code);

	if (verdict == SMTP_UNKNOWN)
		verdict = SMTP_DEFERRED; /* an odd code before the body: nothing was taken */
	smtp->deadline_ms = clock_mono_ms() + smtp->reply_timeout_ms;
	/* 421 ends the session, 530 wants a login: about this connection, not about this mail. */
	if (reply->code == 421 || reply->code == 530) {
		settle_rest(smtp, SMTP_NOT_TRIED, reply->code, words);
		smtp_lose(smtp, reply->code == 421 ? TROUBLE_BYE : TROUBLE_LOGIN_DISABLED, words);
		return;
	}
	switch (smtp->awaited) {
	case COMMAND_RSET:
		break;
	case COMMAND_MAIL:
		if (verdict != SMTP_ACCEPTED)
			settle_rest(smtp, verdict, reply->code, words);
		break;
	case COMMAND_RCPT:
		/* After a refused MAIL these say "no": the first reason stands. */
		if (verdict != SMTP_ACCEPTED)
			settle(&smtp->mail->recipients[smtp->awaited_rcpt], verdict, reply->code, words);
		else if (!smtp->mail->recipients[smtp->awaited_rcpt].is_settled)
			smtp->taken++;
		break;
	case COMMAND_DATA:
	case COMMAND_END:
		on_data_reply(smtp, reply);
		return;
	}
	next_command(&smtp->awaited, &smtp->awaited_rcpt, smtp->mail->recipients_len);
	/* One by one, DATA is not asked for a mail that nobody gets. */
	if (smtp->awaited == COMMAND_DATA && smtp->sent == COMMAND_DATA && smtp->taken == 0) {
		smtp->needs_reset = true;
		finish_mail(smtp);
		return;
	}
	write_commands(smtp);
}

static void on_data_reply(struct smtp *smtp, const struct smtp_reply *reply)
{
	struct str words = str_span(reply->text, reply->text_len);

	if (reply->code == 354 && smtp->taken) {
		smtp->state = SMTP_WAITING;
		smtp->handler->go_ahead(smtp->self, smtp, smtp->mail);
	} else if (reply->code == 354) {
		smtp->state = SMTP_LONE_DOT;
		smtp->needs_reset = true;
		buf_add_text(&smtp->out, ".\r\n");
		flush_out(smtp);
	} else {
		settle_rest(smtp, reply->code < 400 ? SMTP_DEFERRED : verdict_of(reply->code), reply->code, words);
		smtp->needs_reset = true;
		finish_mail(smtp);
	}
}

static void next_command(enum command *command, size_t *rcpt, size_t rcpts)
{
	if (*command == COMMAND_RCPT && *rcpt + 1 < rcpts)
		(*rcpt)++;
	else
		(*command)++;
}

static void write_commands(struct smtp *smtp)
{
	bool has_pipelining = smtp->login.capabilities.has_pipelining;

	while (smtp->sent != COMMAND_END) {
		bool is_next = smtp->sent == smtp->awaited && smtp->sent_rcpt == smtp->awaited_rcpt;
		if (!has_pipelining && !is_next)
			break;
		if (smtp->sent == COMMAND_RSET)
			buf_add_text(&smtp->out, "RSET\r\n");
		else if (smtp->sent == COMMAND_MAIL)
			buf_addf(&smtp->out, "MAIL FROM:<%.*s>\r\n", STR_ARG(smtp->mail->envelope_from));
		else if (smtp->sent == COMMAND_RCPT)
			buf_addf(&smtp->out, "RCPT TO:<%.*s>\r\n", STR_ARG(smtp->mail->recipients[smtp->sent_rcpt].address));
		else
			buf_add_text(&smtp->out, "DATA\r\n");
		next_command(&smtp->sent, &smtp->sent_rcpt, smtp->mail->recipients_len);
	}
	flush_out(smtp);
}

static void settle(struct smtp_recipient *recipient, enum smtp_verdict verdict, int code, struct str words)
{
	if (recipient->is_settled)
		return;
	recipient->is_settled = true;
	recipient->verdict = verdict;
	recipient->code = code;
	snprintf(recipient->words, sizeof recipient->words, "%.*s", STR_ARG(words));
}

static void settle_rest(struct smtp *smtp, enum smtp_verdict verdict, int code, struct str words)
{
	for (size_t i = 0; i < smtp->mail->recipients_len; i++)
		settle(&smtp->mail->recipients[i], verdict, code, words);
}

static enum smtp_verdict verdict_of(int code)
{
	if (code >= 200 && code < 300)
		return SMTP_ACCEPTED;
	if (code >= 500)
		return SMTP_REFUSED;
	return code >= 400 ? SMTP_DEFERRED : SMTP_UNKNOWN;
}

static void finish_mail(struct smtp *smtp)
{
	struct smtp_mail *mail = smtp->mail;

	smtp->mail = NULL;
	smtp->handler->done(smtp->self, smtp, mail);
	smtp_become_ready(smtp);
}

/* The end of a connection, whatever it was at. `closed` is told at the end of the turn, so that a handler that is on the
 * stack never sees its connection freed. */
void smtp_lose(struct smtp *smtp, enum trouble_cause cause, struct str words)
{
	if (smtp->state == SMTP_GONE)
		return;
	enum smtp_state was = smtp->state;
	struct smtp_mail *mail = smtp->mail;
	smtp->state = SMTP_GONE;
	smtp->wants_write = false;
	smtp->gone_cause = cause;
	snprintf(smtp->gone_words, sizeof smtp->gone_words, "%.*s", STR_ARG(words));
	if (!mail)
		return;
	enum smtp_verdict verdict = SMTP_DEFERRED;
	if (was == SMTP_DOT)
		verdict = SMTP_UNKNOWN;
	else if (was == SMTP_ENVELOPE && !smtp->had_reply)
		verdict = SMTP_NOT_TRIED;
	settle_rest(smtp, verdict, 0, words);
	smtp->mail = NULL;
	smtp->handler->done(smtp->self, smtp, mail);
}

