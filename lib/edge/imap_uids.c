/* SPDX-License-Identifier: Apache-2.0 */
#include "imap_uids.h"

#include "base/vec.h"
#include "edge/imap_talk.h"
#include "protocol/imap_name.h"

#include "base/banned.h"

enum command { COMMAND_EXAMINE, COMMAND_SEARCH };

struct asking {
	struct imap_talk talk;
	struct imap_uids *out;
	struct str folder;
	int64_t from;
	VEC(struct imap_range) runs;
};

static void on_ready(void *self)
{
	struct asking *asking = self;
	struct buf command;

	buf_init(&command, 64 * 1024);
	buf_add_text(&command, "EXAMINE ");
	imap_quote(&command, imap_name_encode(asking->talk.arena, asking->folder));
	imap_command(asking->talk.imap, COMMAND_EXAMINE, buf_str(&command));
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
		*VEC_PUSH(asking->talk.arena, &asking->runs) = run;
	}
}

static void on_done(void *self, int kind, const struct imap_reply *reply)
{
	struct asking *asking = self;

	if (reply->kind != IMAP_OK) {
		imap_talk_trouble(&asking->talk, kind == COMMAND_EXAMINE ? TROUBLE_NO_FOLDER : TROUBLE_REFUSED_COMMAND, reply->text);
	} else if (kind == COMMAND_EXAMINE) {
		imap_command(asking->talk.imap, COMMAND_SEARCH,
		             str_printf(asking->talk.arena, "UID SEARCH UID %lld:*", (long long)asking->from));
	} else {
		asking->out->ok = true;
		asking->talk.ended = true;
	}
}

void imap_uids(struct arena *arena, const struct imap_target *target, struct str folder, int64_t from,
               int64_t timeout_ms, struct imap_uids *out)
{
	static const struct imap_handler handler = { on_ready, on_reply, on_done, imap_talk_failed, NULL };
	struct asking asking = { .talk = { .arena = arena }, .out = out, .folder = folder, .from = from < 1 ? 1 : from };

	*out = (struct imap_uids){ 0 };
	imap_talk(&asking.talk, target, &handler, timeout_ms);
	out->trouble = asking.talk.trouble;
	out->server_words = asking.talk.server_words;
	out->count = asking.runs.len;
	out->first = ARENA_ARRAY(arena, int64_t, out->count + 1);
	out->last = ARENA_ARRAY(arena, int64_t, out->count + 1);
	for (size_t i = 0; i < out->count; i++) {
		out->first[i] = asking.runs.at[i].first;
		out->last[i] = asking.runs.at[i].last;
	}
}
