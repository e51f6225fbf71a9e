/* SPDX-License-Identifier: Apache-2.0 */
#include "imap_talk.h"

#include "base/clock.h"

#include "base/banned.h"

#define LITERAL_MOST ((uint64_t)1 << 20)

static bool no_body(void *self, uint64_t size, bool is_nil)
{
	(void)self;
	(void)size;
	(void)is_nil;
	return false;
}

void imap_talk(struct imap_talk *talk, const struct imap_target *target, const struct imap_handler *handler,
               int64_t timeout_ms)
{
	static const struct imap_sink sink = { .begin = no_body };
	struct loop *loop = loop_new();
	struct imap_hub *hub = imap_hub_new(loop);
	int64_t until_ms = clock_mono_ms() + timeout_ms;

	talk->imap = imap_open(hub, target, handler, &sink, LITERAL_MOST, talk);
	while (!talk->ended) {
		int64_t left_ms = until_ms - clock_mono_ms();
		if (left_ms <= 0)
			imap_talk_trouble(talk, TROUBLE_TIMEOUT, STR("no answer in time"));
		else
			loop_turn(loop, left_ms);
	}
	imap_close(talk->imap);
	imap_hub_free(hub);
	loop_free(loop);
}

void imap_talk_trouble(struct imap_talk *talk, enum trouble_cause cause, struct str words)
{
	if (talk->ended)
		return;
	talk->ended = true;
	talk->trouble = mailbox_trouble_of(cause, words);
	talk->server_words = str_scrub(talk->arena, str_dup(talk->arena, str_trim(words)));
}

void imap_talk_failed(void *self, enum trouble_cause cause, struct str words)
{
	imap_talk_trouble(self, cause, words);
}
