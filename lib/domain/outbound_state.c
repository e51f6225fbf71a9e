/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/outbound_state.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include "base/banned.h"

static const char *const names[COPY_STATES] = { "queued", "sending", "accepted", "deferred", "failed", "unknown", "bounced" };

const char *copy_state_name(enum copy_state state)
{
	return names[state];
}

bool copy_state_parse(struct str name, enum copy_state *out)
{
	for (int i = 0; i < COPY_STATES; i++) {
		if (str_eq(name, str_of(names[i]))) {
			*out = (enum copy_state)i;
			return true;
		}
	}
	return false;
}

bool copy_state_is_final(enum copy_state state)
{
	return state == COPY_ACCEPTED || state == COPY_FAILED || state == COPY_UNKNOWN || state == COPY_BOUNCED;
}

#define NONE (-1)

/* Rows: from; columns: the event. MAIL and RCPT are refused before anything was started, so a queued copy may be
 * deferred or failed as well; the dot is only written by one that is sending. */
static const int transitions[COPY_STATES][COPY_EVENTS] = {
	/*                starts        accepted       deferred       refused      gave up      lost track    came back */
	[COPY_QUEUED] = { COPY_SENDING, NONE, COPY_DEFERRED, COPY_FAILED, COPY_FAILED, NONE, NONE },
	[COPY_SENDING] = { NONE, COPY_ACCEPTED, COPY_DEFERRED, COPY_FAILED, COPY_FAILED, COPY_UNKNOWN, NONE },
	[COPY_ACCEPTED] = { NONE, NONE, NONE, NONE, NONE, NONE, COPY_BOUNCED },
	[COPY_DEFERRED] = { COPY_SENDING, NONE, COPY_DEFERRED, COPY_FAILED, COPY_FAILED, NONE, NONE },
	[COPY_FAILED] = { NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[COPY_UNKNOWN] = { NONE, COPY_ACCEPTED, NONE, NONE, NONE, NONE, COPY_BOUNCED },
	[COPY_BOUNCED] = { NONE, NONE, NONE, NONE, NONE, NONE, NONE },
};

bool outbound_state_next(enum copy_state from, enum copy_event event, enum copy_state *out)
{
	int next = transitions[from][event];

	if (next == NONE)
		return false;
	*out = (enum copy_state)next;
	return true;
}

enum copy_event outbound_reply_event(int code)
{
	if (code >= 200 && code < 300)
		return COPY_WAS_ACCEPTED;
	return code >= 500 && code < 600 ? COPY_WAS_REFUSED : COPY_WAS_DEFERRED;
}

/* Greylisting passes within minutes, a full mailbox within hours. A fifth either way keeps crowds apart. */
int64_t outbound_retry_us(int64_t attempts, double random)
{
	static const int64_t minutes[] = { 1, 5, 10, 20, 40, 60, 120, 240 };
	size_t step = attempts < 1 ? 0 : (size_t)attempts - 1;

	if (step >= ARRAY_LEN(minutes))
		step = ARRAY_LEN(minutes) - 1;
	return (int64_t)((double)(minutes[step] * 60 * USEC_PER_SEC) * (0.8 + 0.4 * random));
}

bool outbound_gives_up(int64_t created_us, int64_t now_us)
{
	return now_us - created_us >= OUTBOUND_GIVE_UP_US;
}
