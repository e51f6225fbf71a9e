/* SPDX-License-Identifier: Apache-2.0 */
#include "imap_probe.h"

#include "base/clock.h"
#include "base/vec.h"
#include "edge/imap_talk.h"
#include "protocol/imap_name.h"

#include "base/banned.h"

#define FOLDERS_MAX 10000
#define DIALOGUE_MAX ((size_t)64 * 1024)

enum command { COMMAND_CAPABILITY, COMMAND_LIST };

struct probing {
	struct imap_talk talk;
	struct imap_probe *out;
	const struct imap_target *target;
	VEC(struct imap_folder) folders;
	struct buf dialogue;
	int64_t began_ms;
};

static void on_ready(void *self)
{
	struct probing *probing = self;

	probing->out->login_ms = clock_mono_ms() - probing->began_ms;
	imap_command(probing->talk.imap, COMMAND_CAPABILITY, STR("CAPABILITY"));
	imap_command(probing->talk.imap, COMMAND_LIST, STR("LIST \"\" \"*\""));
}

static void on_reply(void *self, const struct imap_reply *reply)
{
	struct probing *probing = self;

	if (reply->kind != IMAP_LIST || probing->folders.len == FOLDERS_MAX)
		return;
	struct imap_folder *folder = VEC_PUSH(probing->talk.arena, &probing->folders);
	struct str name;
	bool is_utf7 = imap_name_decode(probing->talk.arena, reply->list.name, &name);
	folder->name = is_utf7 ? name : str_scrub(probing->talk.arena, str_dup(probing->talk.arena, reply->list.name));
	folder->use = str_of(reply->list.use);
	folder->can_select = !reply->list.no_select;
}

static void on_done(void *self, int kind, const struct imap_reply *reply)
{
	struct probing *probing = self;

	if (kind != COMMAND_LIST)
		return;
	if (reply->kind != IMAP_OK) {
		imap_talk_trouble(&probing->talk, TROUBLE_REFUSED_COMMAND, reply->text);
		return;
	}
	uint32_t capabilities = imap_capabilities(probing->talk.imap);
	probing->out->has_idle = capabilities & IMAP_CAP_IDLE;
	probing->out->has_move = capabilities & IMAP_CAP_MOVE;
	probing->out->has_uidplus = capabilities & IMAP_CAP_UIDPLUS;
	probing->out->ok = true;
	probing->talk.ended = true;
}

/* The server may repeat the user name: it is struck out. */
static void on_trace(void *self, bool from_server, struct str line)
{
	struct probing *probing = self;
	struct str user = str_of(probing->target->username);

	if (probing->dialogue.len > DIALOGUE_MAX / 2)
		return;
	line = str_slice(line, 0, 1000);
	buf_add_text(&probing->dialogue, from_server ? "S: " : "C: ");
	for (size_t at = 0; at < line.len;) {
		ptrdiff_t hit = user.len > 0 ? str_find_nocase(line, user, at) : -1;
		buf_add_str(&probing->dialogue, str_slice(line, at, hit < 0 ? line.len : (size_t)hit));
		if (hit < 0)
			break;
		buf_add_text(&probing->dialogue, "(user)");
		at = (size_t)hit + user.len;
	}
	buf_add_char(&probing->dialogue, '\n');
}

void imap_probe(struct arena *arena, const struct imap_target *target, int64_t timeout_ms, struct imap_probe *out)
{
	static const struct imap_handler handler = { on_ready, on_reply, on_done, imap_talk_failed, on_trace };
	struct probing probing = { .talk = { .arena = arena }, .out = out, .target = target, .began_ms = clock_mono_ms() };

	*out = (struct imap_probe){ 0 };
	buf_init(&probing.dialogue, DIALOGUE_MAX);
	imap_talk(&probing.talk, target, &handler, timeout_ms);
	out->trouble = probing.talk.trouble;
	out->server_words = probing.talk.server_words;
	out->folders = probing.folders.at;
	out->folder_count = probing.folders.len;
	out->dialogue = str_scrub(arena, str_dup(arena, buf_str(&probing.dialogue)));
	buf_done(&probing.dialogue);
}
