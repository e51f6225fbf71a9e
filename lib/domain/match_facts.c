/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/match_facts.h"

#include "base/banned.h"

static struct str key_of(const struct uuid *id);
static struct str joint_key(struct arena *arena, struct uuid id, struct str text);
static struct str number_key(struct arena *arena, struct uuid id, int64_t number);
static void *get_joint(const struct map *map, struct uuid id, struct str text);
static void *get_number(const struct map *map, struct uuid id, int64_t number);

void match_facts_init(struct match_facts *facts, struct arena *arena)
{
	*facts = (struct match_facts){ .arena = arena };
	struct map *const maps[] = { &facts->refs,         &facts->cases,    &facts->numbers, &facts->alike,
		                         &facts->identities,   &facts->messages, &facts->serials, &facts->headers,
		                         &facts->participants, &facts->own };
	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		map_init(maps[i], arena);
}

#define COPY(facts, type, value) ((type *)(void *)arena_copy((facts)->arena, &(value), sizeof(value)))

struct match_ref *match_facts_put_ref(struct match_facts *facts, struct match_ref ref)
{
	struct match_ref *kept = COPY(facts, struct match_ref, ref);
	map_put(&facts->refs, key_of(&kept->key), kept);
	return kept;
}

struct match_case *match_facts_put_case(struct match_facts *facts, struct match_case row)
{
	struct match_case *kept = COPY(facts, struct match_case, row);
	map_put(&facts->cases, key_of(&kept->id.id), kept);
	if (kept->number)
		map_put(&facts->numbers, number_key(facts->arena, kept->tenant.id, kept->number), kept);
	if (kept->subject_base.len) {
		kept->next_alike = get_joint(&facts->alike, kept->group.id, kept->subject_base);
		map_put(&facts->alike, joint_key(facts->arena, kept->group.id, kept->subject_base), kept);
	}
	return kept;
}

struct match_message *match_facts_put_message(struct match_facts *facts, struct match_message row)
{
	struct match_message *kept = COPY(facts, struct match_message, row);
	map_put(&facts->identities, key_of(&kept->identity), kept);
	map_put(&facts->messages, key_of(&kept->id.id), kept);
	return kept;
}

struct match_outbound *match_facts_put_outbound(struct match_facts *facts, struct match_outbound row)
{
	struct match_outbound *kept = COPY(facts, struct match_outbound, row);
	map_put(&facts->serials, number_key(facts->arena, kept->tenant.id, kept->serial), kept);
	map_put(&facts->headers, joint_key(facts->arena, kept->tenant.id, kept->header_id), kept);
	return kept;
}

void match_facts_put_participant(struct match_facts *facts, struct case_id case_id, struct str address)
{
	struct str key = joint_key(facts->arena, case_id.id, address);
	map_put(&facts->participants, key, facts);
}

void match_facts_put_own(struct match_facts *facts, struct tenant_id tenant, struct str address,
                         const struct match_mailbox *mailbox)
{
	const struct match_mailbox *known;
	if (!mailbox && match_facts_own(facts, tenant, address, &known))
		return;
	/* The null id says "sent from, no mailbox": a map has no room for NULL. */
	const struct match_mailbox row = mailbox ? *mailbox : (struct match_mailbox){ .tenant = tenant };
	struct match_mailbox *kept = COPY(facts, struct match_mailbox, row);
	map_put(&facts->own, joint_key(facts->arena, tenant.id, address), kept);
}

struct match_ref *match_facts_ref(const struct match_facts *facts, struct uuid key)
{
	return map_get(&facts->refs, key_of(&key));
}

struct match_case *match_facts_case(const struct match_facts *facts, struct case_id id)
{
	return map_get(&facts->cases, key_of(&id.id));
}

struct match_case *match_facts_number(const struct match_facts *facts, struct tenant_id tenant, int64_t number)
{
	return get_number(&facts->numbers, tenant.id, number);
}

struct match_case *match_facts_alike(const struct match_facts *facts, struct group_id group, struct str subject_base)
{
	return subject_base.len ? get_joint(&facts->alike, group.id, subject_base) : NULL;
}

struct match_message *match_facts_identity(const struct match_facts *facts, struct uuid identity)
{
	return map_get(&facts->identities, key_of(&identity));
}

struct match_message *match_facts_message(const struct match_facts *facts, struct message_id id)
{
	return map_get(&facts->messages, key_of(&id.id));
}

struct match_outbound *match_facts_serial(const struct match_facts *facts, struct tenant_id tenant, int64_t serial)
{
	return get_number(&facts->serials, tenant.id, serial);
}

struct match_outbound *match_facts_header(const struct match_facts *facts, struct tenant_id tenant,
                                          struct str header_id)
{
	return header_id.len ? get_joint(&facts->headers, tenant.id, header_id) : NULL;
}

bool match_facts_participant(const struct match_facts *facts, struct case_id case_id, struct str address)
{
	return address.len && get_joint(&facts->participants, case_id.id, address);
}

bool match_facts_own(const struct match_facts *facts, struct tenant_id tenant, struct str address,
                     const struct match_mailbox **out_mailbox)
{
	const struct match_mailbox *found = address.len ? get_joint(&facts->own, tenant.id, address) : NULL;
	/* "support+c.TOKEN@" and any other extension is delivered to "support@". */
	ptrdiff_t plus = str_find_char(address, '+', 0), at = plus > 0 ? str_find_char(address, '@', (size_t)plus) : -1;
	if (!found && at > 0) {
		struct str base = str_printf(facts->arena, "%.*s%.*s", STR_ARG(str_slice(address, 0, (size_t)plus)),
		                             STR_ARG(str_slice(address, (size_t)at, address.len)));
		found = get_joint(&facts->own, tenant.id, base);
	}
	if (!found)
		return false;
	*out_mailbox = uuid_is_null(found->id.id) ? NULL : found;
	return true;
}

static struct str key_of(const struct uuid *id)
{
	return str_span((const char *)id->b, sizeof id->b);
}

static struct str joint_key(struct arena *arena, struct uuid id, struct str text)
{
	char *bytes = arena_alloc(arena, sizeof id.b + text.len);
	memcpy(bytes, id.b, sizeof id.b);
	if (text.len)
		memcpy(bytes + sizeof id.b, text.at, text.len);
	return str_span(bytes, sizeof id.b + text.len);
}

static struct str number_key(struct arena *arena, struct uuid id, int64_t number)
{
	return joint_key(arena, id, str_span((const char *)&number, sizeof number));
}

static void *get_joint(const struct map *map, struct uuid id, struct str text)
{
	char bytes[sizeof id.b + 2048];
	struct str key;
	memcpy(bytes, id.b, sizeof id.b);
	if (text.len <= sizeof bytes - sizeof id.b) {
		if (text.len)
			memcpy(bytes + sizeof id.b, text.at, text.len);
		key = str_span(bytes, sizeof id.b + text.len);
	} else {
		key = joint_key(map->arena, id, text);
	}
	return map_get(map, key);
}

static void *get_number(const struct map *map, struct uuid id, int64_t number)
{
	return get_joint(map, id, str_span((const char *)&number, sizeof number));
}
