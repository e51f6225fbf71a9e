/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/automatic.h"

#include "base/vec.h"
#include "mail/address.h"
#include "mail/msgid.h"

#include "base/banned.h"

static enum mail_kind judge_kind(const struct raw_headers *headers, const struct mail_report *report,
                                 const struct mail *mail);
static enum mail_kind kind_of_delivery_status(struct str status);
static bool is_from_mail_system(const struct mail *mail);
static bool is_auto_reply(const struct raw_headers *headers, const struct mail *mail);
static bool is_list(const struct raw_headers *headers, const struct mail *mail);
static bool is_auto_submitted(const struct mail *mail);
static bool is_bulk(struct str precedence);
static void find_inner_ids(struct arena *arena, const struct mail_report *report, struct mail *mail);

static bool starts_with_any(struct str s, const char *const *prefixes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (str_starts_nocase(s, str_of(prefixes[i])))
			return true;
	return false;
}

static bool holds_any(struct str s, const char *const *needles, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (str_find_nocase(s, str_of(needles[i]), 0) >= 0)
			return true;
	return false;
}

void automatic_judge(struct arena *arena, const struct raw_headers *headers, const struct mail_report *report,
                     struct mail *mail)
{
	mail->kind = judge_kind(headers, report, mail);
	mail->is_automatic = mail->kind != MAIL_NORMAL || is_auto_submitted(mail) || mail->has_empty_return_path ||
	                     mail->list_id.len > 0 || is_bulk(mail->precedence) || report->is_report;
	if (mail->kind == MAIL_BOUNCE || mail->kind == MAIL_DELIVERY_REPORT || mail->kind == MAIL_COMPLAINT ||
	    mail->is_automatic)
		find_inner_ids(arena, report, mail);
}

/* The first that fits counts. */
static enum mail_kind judge_kind(const struct raw_headers *headers, const struct mail_report *report,
                                 const struct mail *mail)
{
	if (report->has_feedback || str_eq(report->type, STR("feedback-report")))
		return MAIL_COMPLAINT;
	if (report->delivery_status.len)
		return kind_of_delivery_status(report->delivery_status);
	if (report->disposition.len || str_eq(report->type, STR("disposition-notification")))
		return MAIL_DELIVERY_REPORT;
	if (raw_headers_get(headers, "X-Failed-Recipients").len || str_eq(report->type, STR("delivery-status")))
		return MAIL_BOUNCE;
	static const char *const received_words[] = { "delivered successfully",
		                                          "successfully delivered",
		                                          "successful mail delivery",
		                                          "return receipt",
		                                          "read receipt",
		                                          "relayed:",
		                                          "delivered:" };
	static const char *const failed_words[] = {
		"undeliver",
		"not delivered",
		"delivery fail",
		"failure notice",
		"delivery status",
		"returned mail",
		"delivery has failed",
		"mail delivery",
		"could not be delivered",
		"delivery problem",
		"delivery error",
		"delivery delay",
		"nondeliverable",
		"returned to sender",
		"non-deliver",
		"warning: could not send",
		"unzustellbar",
		"non remis",
		"no se puede entregar",
		"rejected",
		"undelivered",
		"mail failure",
		"delivery notification",
		"message status",
		"mail system error",
		"delivery report",
		"delayed",
		"failed mail",
		"unable to deliver",
		"cannot be sent",
		"bounce",
		"failure delivery",
		"user unknown",
		"mail could not",
		"notification",
		"error sending",
		"failed delivery",
	};
	if (is_from_mail_system(mail)) {
		if (holds_any(mail->subject, received_words, ARRAY_LEN(received_words)))
			return MAIL_DELIVERY_REPORT;
		/* A mail system that sends other people's mail on or answers says so. */
		if (!is_auto_reply(headers, mail) || holds_any(mail->subject, failed_words, ARRAY_LEN(failed_words)))
			if (holds_any(mail->subject, failed_words, ARRAY_LEN(failed_words)) || report->returned.len ||
			    mail->has_empty_return_path)
				return MAIL_BOUNCE;
	}
	if (is_auto_reply(headers, mail))
		return MAIL_AUTO_REPLY;
	return is_list(headers, mail) ? MAIL_LIST : MAIL_NORMAL;
}

/* The fields of each recipient; one that failed or waits makes it a bounce. */
static enum mail_kind kind_of_delivery_status(struct str status)
{
	struct str rest = status, line;
	bool failed = false, delivered = false;
	while (str_next_line(&rest, &line)) {
		ptrdiff_t colon = str_find_char(line, ':', 0);
		if (colon < 0)
			continue;
		struct str name = str_trim(str_slice(line, 0, (size_t)colon));
		struct str value = str_trim(str_slice(line, (size_t)colon + 1, line.len));
		if (str_eq_nocase(name, STR("Action"))) {
			failed |= str_starts_nocase(value, STR("fail")) || str_starts_nocase(value, STR("delay"));
			delivered |= str_starts_nocase(value, STR("deliver")) || str_starts_nocase(value, STR("relay")) ||
			             str_starts_nocase(value, STR("expand"));
		} else if (str_eq_nocase(name, STR("Status"))) {
			failed |= value.len && (value.at[0] == '4' || value.at[0] == '5');
			delivered |= value.len && value.at[0] == '2';
		}
	}
	return !failed && delivered ? MAIL_DELIVERY_REPORT : MAIL_BOUNCE;
}

static bool is_from_mail_system(const struct mail *mail)
{
	static const char *const locals[] = { "mailer-daemon",   "postmaster", "mailerdaemon", "mail-daemon",
		                                  "mailer_daemon",   "mdaemon",    "mailsystem",   "mail-system",
		                                  "no-reply-mailer", "smtp",       "mmdf",         "uucp",
		                                  "double-bounce" };
	static const char *const names[] = { "mail delivery",        "mailer-daemon",      "mail system",
		                                 "mail administrator",   "postmaster",         "delivery subsystem",
		                                 "system administrator", "systemadministrator" };
	struct str local, domain, address = mail->from.len ? mail->from.at[0].address : mail->return_path;
	if (!address_split(address, &local, &domain))
		local = address;
	if (starts_with_any(local, locals, ARRAY_LEN(locals)))
		return true;
	return mail->from.len && holds_any(mail->from.at[0].name, names, ARRAY_LEN(names));
}

static bool is_auto_submitted(const struct mail *mail)
{
	return mail->auto_submitted.len && !str_starts_nocase(mail->auto_submitted, STR("no"));
}

static bool is_auto_reply(const struct raw_headers *headers, const struct mail *mail)
{
	static const char *const fields[] = { "X-Autoreply",         "X-Autorespond",   "X-AutoReply-From",
		                                  "X-Mail-Autoreply",    "X-Autogenerated", "X-Auto-Response",
		                                  "X-POST-MessageClass", "X-Cron-Env" };
	static const char *const subjects[] = {
		"automatic reply",
		"auto reply",
		"auto-reply",
		"autoreply",
		"autoresponse",
		"auto response",
		"out of office",
		"out of the office",
		"abwesenheit",
		"automatische antwort",
		"réponse automatique",
		"respuesta automática",
		"risposta automatica",
		"autosvar",
		"automatisch antwoord",
		"odpowiedź automatyczna",
		"automatická odpověď",
		"autorespuesta",
		"resposta automática",
		"abwesend",
		"absence du bureau",
		"fuori ufficio",
		"frånvaro",
		"vacation:",
		"i am out of the office",
		"auto:",
		"[auto-reply]",
		"automaattinen vastaus",
		"自動返信",
		"自动回复",
		"自動回覆",
	};
	if (is_auto_submitted(mail))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (raw_headers_get(headers, fields[i]).at && !str_eq_nocase(raw_headers_get(headers, fields[i]), STR("no")))
			return true;
	if (str_starts_nocase(mail->precedence, STR("auto")))
		return true;
	return starts_with_any(mail->subject, subjects, ARRAY_LEN(subjects));
}

static bool is_bulk(struct str precedence)
{
	return str_eq_nocase(precedence, STR("bulk")) || str_eq_nocase(precedence, STR("list")) ||
	       str_eq_nocase(precedence, STR("junk"));
}

static bool is_list(const struct raw_headers *headers, const struct mail *mail)
{
	static const char *const fields[] = { "List-Post",      "List-Unsubscribe", "List-Help",
		                                  "X-Mailing-List", "Mailing-List",     "X-Loop-List" };
	if (mail->list_id.len || is_bulk(mail->precedence))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (raw_headers_get(headers, fields[i]).at)
			return true;
	return false;
}

struct id_vec {
	struct str *at;
	size_t len, room;
};

static void add_ids(struct arena *arena, struct str value, struct id_vec *ids)
{
	uint32_t ignored = 0;
	struct mail_strs more = msgid_list(arena, value, mail_limits_default.references, &ignored);
	for (size_t i = 0; i < more.len && ids->len < mail_limits_default.references; i++)
		*VEC_PUSH(arena, ids) = more.at[i];
}

/* From the mail that came back or its header; where an old mail system quotes it in the text, from there. */
static void find_inner_ids(struct arena *arena, const struct mail_report *report, struct mail *mail)
{
	struct id_vec ids = { 0 };
	static const char *const fields[] = { "Message-ID", "In-Reply-To", "References" };
	struct str returned = report->returned;
	if (!returned.len && mail->kind == MAIL_BOUNCE) {
		ptrdiff_t at = str_find_nocase(mail->text, STR("\nMessage-ID:"), 0);
		if (at >= 0) {
			/* The header it stands in: back to the empty line before it. */
			size_t start = (size_t)at;
			while (start > 1 && !(mail->text.at[start - 1] == '\n' && mail->text.at[start - 2] == '\n'))
				start--;
			returned = str_slice(mail->text, start < 2 ? 0 : start, mail->text.len);
		}
	}
	if (!returned.len)
		return;
	struct raw_headers inner;
	raw_headers_read(arena, returned, &mail_limits_default, &inner);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		add_ids(arena, raw_headers_get(&inner, fields[i]), &ids);
	mail->inner_ids = (struct mail_strs){ ids.at, ids.len };
}
