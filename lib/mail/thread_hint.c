/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/thread_hint.h"

#include "mail/model.h"
#include "mail/msgid.h"
#include "mail/raw_header.h"

#include "base/banned.h"

/* References may be long, its first id is near its start. */
enum { VALUE_MOST = 4096 };

static bool first_id(struct arena *arena, struct str value, struct str *out);

char *thread_hint(struct str raw, struct sha256 whole, char out[THREAD_HINT_LEN + 1])
{
	struct str references = STR_NULL, in_reply_to = STR_NULL, own = STR_NULL;
	struct raw_walk walk;
	struct raw_field field;
	uint32_t ignored = 0;
	raw_walk_init(&walk, str_slice(raw, 0, mail_limits_default.header_block), &ignored);
	for (size_t count = 0; count < mail_limits_default.headers && raw_walk_next(&walk, &field); count++) {
		if (!references.at && str_eq_nocase(field.name, STR("References")))
			references = str_slice(field.value, 0, VALUE_MOST);
		else if (!in_reply_to.at && str_eq_nocase(field.name, STR("In-Reply-To")))
			in_reply_to = str_slice(field.value, 0, VALUE_MOST);
		else if (!own.at && str_eq_nocase(field.name, STR("Message-ID")))
			own = str_slice(field.value, 0, VALUE_MOST);
	}

	struct arena arena;
	arena_init(&arena);
	struct str id;
	struct sha256 sum = whole;
	if (first_id(&arena, references, &id) || first_id(&arena, in_reply_to, &id) || first_id(&arena, own, &id))
		sum = sha256_of(id);
	struct str hex = str_hex(&arena, sum.b, THREAD_HINT_LEN / 2);
	memcpy(out, hex.at, THREAD_HINT_LEN);
	out[THREAD_HINT_LEN] = 0;
	arena_done(&arena);
	return out;
}

static bool first_id(struct arena *arena, struct str value, struct str *out)
{
	uint32_t ignored = 0;
	struct mail_strs ids = msgid_list(arena, value, 1, &ignored);
	if (ids.len)
		*out = msgid_normal(arena, ids.at[0]);
	return ids.len > 0 && out->len > 0;
}
