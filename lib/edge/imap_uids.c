/* SPDX-License-Identifier: Apache-2.0 */
#include "imap_uids.h"

#include "base/clock.h"
#include "base/vec.h"
#include "protocol/imap_name.h"

#include "base/banned.h"

enum command { COMMAND_EXAMINE, COMMAND_SEARCH };

struct asking {
	struct arena *arena;
	struct imap_uids *out;
	struct imap *imap;
	struct str folder;
	int64_t from;
	VEC(struct imap_range) runs;
	bool ended;
};

static void trouble(struct asking *asking, enum trouble_cause cause, struct str words)
{
	if (asking->ended)
		return;
	asking->ended = true;
	asking->out->trouble = mailbox_trouble_of(cause, words);
	asking->out->server_words = str_scrub(asking->arena, str_dup(asking->arena, str_trim(words)));
}

static void on_ready(void *self)
{
	struct asking *asking = self;
	struct buf command;

	buf_init(&command, 64 * 1024);
	buf_add_text(&command, "EXAMINE ");
	imap_quote(&command, imap_name_encode(asking->arena, asking->folder));
	imap_command(asking->imap, COMMAND_EXAMINE, buf_str(&command));
	buf_done(&command);
}

static void on_reply(void *self, const struct imap_reply *reply)
{
	struct asking *asking = self;

	if (reply->kind == IMAP_OK && str_eq_nocase(reply->code, STR("UIDVALIDITY")))
		(void)str_to_i64(str_trim(reply->code_args), 1, UINT32_MAX, &asking->out->uidvalidity);
	for (size_t i = 0; reply->kind == IMAP_SEARCH && i < reply->range_count; i++) {
		struct imap_range run = reply->ranges[i];
		if (run.last < asking->from)
			continue; /* n:* always holds the last mail */
		if (run.first < asking->from)
			run.first = (uint32_t)asking->from;
		*VEC_PUSH(asking->arena, &asking->runs) = run;
	}
}

static void on_done(void *self, int kind, const struct imap_reply *reply)
{
	struct asking *asking = self;

	if (reply->kind != IMAP_OK) {
		trouble(asking, kind == COMMAND_EXAMINE ? TROUBLE_NO_FOLDER : TROUBLE_REFUSED_COMMAND, reply->text);
	} else if (kind == COMMAND_EXAMINE) {
		imap_command(asking->imap, COMMAND_SEARCH,
		             str_printf(asking->arena, "UID SEARCH UID %lld:*", (long long)asking->from));
	} else {
		asking->out->ok = true;
		asking->ended = true;
	}
}

static void on_failed(void *self, enum trouble_cause cause, struct str words)
{
	trouble(self, cause, words);
}

static bool no_body(void *self, uint64_t size, bool is_nil)
{
	(void)self;
	(void)size;
	(void)is_nil;
	return false;
}

void imap_uids(struct arena *arena, const struct imap_target *target, struct str folder, int64_t from,
               int64_t timeout_ms, struct imap_uids *out)
{
	static const struct imap_handler handler = { on_ready, on_reply, on_done, on_failed, NULL };
	static const struct imap_sink sink = { .begin = no_body };
	struct loop *loop = loop_new();
	struct imap_hub *hub = imap_hub_new(loop);
	struct asking asking = { .arena = arena, .out = out, .folder = folder, .from = from < 1 ? 1 : from };
	int64_t until_ms = clock_mono_ms() + timeout_ms;

	*out = (struct imap_uids){ 0 };
	asking.imap = imap_open(hub, target, &handler, &sink, 1 << 20, &asking);
	while (!asking.ended) {
		int64_t left_ms = until_ms - clock_mono_ms();
		if (left_ms <= 0)
			trouble(&asking, TROUBLE_TIMEOUT, STR("no answer in time"));
		else
			loop_turn(loop, left_ms);
	}
	imap_close(asking.imap);
	imap_hub_free(hub);
	loop_free(loop);
	out->count = asking.runs.len;
	out->first = ARENA_ARRAY(arena, int64_t, out->count + 1);
	out->last = ARENA_ARRAY(arena, int64_t, out->count + 1);
	for (size_t i = 0; i < out->count; i++) {
		out->first[i] = asking.runs.at[i].first;
		out->last[i] = asking.runs.at[i].last;
	}
}
