/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/fact.h"

#include "base/cleanup.h"

#include "base/banned.h"

static const char *const fact_kinds[FACT_KINDS] = {
	[FACT_CASE_OPENED] = "case_opened",
	[FACT_MESSAGE_ADDED] = "message_added",
	[FACT_MESSAGE_CONFIRMED] = "message_confirmed",
	[FACT_PARTICIPANT_ADDED] = "participant_added",
	[FACT_ASSIGNED] = "assigned",
	[FACT_QUEUE_CHANGED] = "queue_changed",
	[FACT_STATE_CHANGED] = "state_changed",
	[FACT_FOLLOWED] = "followed",
	[FACT_NOTICE_PLANNED] = "notice_planned",
	[FACT_NOTICE_SUPPRESSED] = "notice_suppressed",
	[FACT_COPY_STATE_CHANGED] = "copy_state_changed",
	[FACT_TOKEN_REFUSED] = "token_refused",
	[FACT_MATCH_SUGGESTED] = "match_suggested",
};

/* The first name of each stands for none of the rest. */
static const char *const states[] = { "", "open", "waiting", "closed", "merged" };
static const char *const directions[] = { "", "in", "out", "note" };
static const char *const authors[] = { "", "system", "user", "sender" };

/* The index of `name` in names[from..count), or -1. */
static int find_name(const char *const *names, int from, int count, struct str name);

const char *fact_kind_name(enum fact_kind kind)
{
	return kind < FACT_KINDS ? fact_kinds[kind] : NULL;
}

bool fact_kind_parse(struct str name, enum fact_kind *out)
{
	int found = find_name(fact_kinds, 0, FACT_KINDS, name);
	if (found < 0)
		return false;
	*out = (enum fact_kind)found;
	return true;
}

const char *case_state_name(enum case_state state)
{
	return states[state];
}

bool case_state_parse(struct str name, enum case_state *out)
{
	int found = find_name(states, 1, ARRAY_LEN(states), name);
	if (found < 0)
		return false;
	*out = (enum case_state)found;
	return true;
}

const char *direction_name(enum direction direction)
{
	return directions[direction];
}

bool direction_parse(struct str name, enum direction *out)
{
	int found = find_name(directions, 1, ARRAY_LEN(directions), name);
	if (found < 0)
		return false;
	*out = (enum direction)found;
	return true;
}

const char *author_kind_name(enum author_kind kind)
{
	return authors[kind];
}

static int find_name(const char *const *names, int from, int count, struct str name)
{
	for (int i = from; i < count; i++)
		if (str_eq(name, str_of(names[i])))
			return i;
	return -1;
}
