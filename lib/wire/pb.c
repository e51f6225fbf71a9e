/* SPDX-License-Identifier: Apache-2.0 */
#include "pb.h"

#include "base/banned.h"

static void *take(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void forget(void *arena, void *pointer)
{
	(void)arena;
	(void)pointer;
}

ProtobufCAllocator pb_allocator(struct arena *arena)
{
	return (ProtobufCAllocator){ .alloc = take, .free = forget, .allocator_data = arena };
}

struct str pb_pack(struct arena *arena, const ProtobufCMessage *message)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	uint8_t *bytes = arena_alloc(arena, size);

	protobuf_c_message_pack(message, bytes);
	return str_span((const char *)bytes, size);
}

int pb_uuid(const char *text, const char *what, struct uuid *out, struct err *err)
{
	if (!uuid_parse(str_of(text), out))
		return err_set(err, ERR_PERM, "cannot read record: %s is no UUID", what);
	return 0;
}

char *pb_uuid_text(struct arena *arena, struct uuid id)
{
	char *text = arena_alloc(arena, UUID_TEXT_LEN + 1);

	return uuid_text(id, text);
}

bool pb_optional_uuid(const char *text, struct uuid *out)
{
	if (!*text) {
		*out = (struct uuid){ { 0 } };
		return true;
	}
	return uuid_parse(str_of(text), out);
}

char *pb_optional_uuid_text(struct arena *arena, struct uuid id)
{
	return uuid_is_null(id) ? arena_copy(arena, "", 0) : pb_uuid_text(arena, id);
}

char *pb_text(struct arena *arena, struct str s)
{
	return str_cstr(arena, str_scrub(arena, s));
}
