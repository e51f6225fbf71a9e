/* SPDX-License-Identifier: Apache-2.0 */
#include "notice_text.h"

#include "base/buf.h"
#include "domain/recipients.h"
#include "mail/compose.h"

#include "base/banned.h"

static void put_what(struct buf *out, const struct notice *notice, const struct notice_words *words);
static void put_quoted(struct buf *out, struct str text);

bool notice_may_quote(struct str sender)
{
	return !recipient_is_unattended(sender);
}

struct str notice_subject(struct arena *arena, const struct notice *notice, const struct notice_words *words)
{
	if (notice->audience == NOTICE_CUSTOMER)
		return compose_subject(arena, "", words->tag, STR("We have received your message"));
	return compose_subject(arena, "", words->tag, words->case_subject);
}

struct str notice_text(struct arena *arena, const struct notice *notice, const struct notice_words *words)
{
	struct buf out;

	buf_init(&out, 64 * 1024);
	if (notice->audience == NOTICE_CUSTOMER) {
		buf_addf(&out,
		         "Hello,\n\n"
		         "we have received your message. Its number is %.*s.\n"
		         "Please keep this number in the subject when you write to us about it.\n\n"
		         "This is an automatic answer.\n",
		         STR_ARG(words->tag));
		if (words->signature.len)
			buf_addf(&out, "\n-- \n%.*s\n", STR_ARG(words->signature));
	} else {
		put_what(&out, notice, words);
		buf_addf(&out, "\nCase %lld, %.*s: %.*s\n", (long long)words->number, STR_ARG(words->state),
		         STR_ARG(words->case_subject));
		if (strcmp(notice->role, "follower") == 0)
			buf_add_text(&out, "You follow this case.\n");
		else if (strcmp(notice->role, "assignee") == 0)
			buf_add_text(&out, "This case is assigned to you.\n");
	}
	struct str text = str_dup(arena, buf_str(&out));
	buf_done(&out);
	return text;
}

static void put_what(struct buf *out, const struct notice *notice, const struct notice_words *words)
{
	const char *reason = notice->reason;

	if (strcmp(reason, "assigned") == 0) {
		buf_add_text(out, "A case has been assigned to you.\n");
		return;
	}
	if (strcmp(reason, "copy_failed") == 0 || strcmp(reason, "copy_unknown") == 0) {
		buf_add_text(out, strcmp(reason, "copy_failed") == 0 ?
		                          "Your answer could not be delivered:\n" :
		                          "It is not known whether your answer was delivered; it is not sent again by itself:\n");
		buf_add_char(out, '\n');
		buf_add_str(out, words->recipients);
		return;
	}
	if (strcmp(reason, "message_out") == 0)
		buf_addf(out, "%.*s has answered:\n", STR_ARG(words->who));
	else if (strcmp(reason, "note") == 0)
		buf_addf(out, "%.*s has written a note:\n", STR_ARG(words->who));
	else if (strcmp(reason, "message_pending") == 0)
		buf_addf(out,
		         "%.*s has written. This sender is no participant of the case, so the message waits for somebody to "
		         "confirm it:\n",
		         STR_ARG(words->who));
	else
		buf_addf(out, "%.*s has written:\n", STR_ARG(words->who));
	if (notice->messages > 1)
		buf_addf(out, "(the last of %zu new messages)\n", notice->messages);
	buf_add_char(out, '\n');
	if (words->excerpt.len)
		put_quoted(out, words->excerpt);
	else
		buf_add_text(out, "(the text is not shown here)\n");
	if (words->excerpt_is_cut)
		buf_add_text(out, "> ...\n");
}

static void put_quoted(struct buf *out, struct str text)
{
	struct str line;

	text = str_trim(text);
	while (str_next_line(&text, &line))
		buf_addf(out, "> %.*s\n", STR_ARG(line));
}
