/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/event_json.h"

#include <openssl/evp.h>

#include "mailcase/v1/case_record.pb-c.h"
#include "mailcase/v1/mail_received.pb-c.h"
#include "mailcase/v1/mailbox_event.pb-c.h"
#include "wire/pb.h"

#include "base/banned.h"

/* Types and topics are called mailcase.SECOND.REST.vN; one message for each second word. */
static const struct {
	struct str prefix;
	const ProtobufCMessageDescriptor *message;
} messages[] = {
	{ { "mailcase.mail.", 14 }, &mailcase__v1__mail_received__descriptor },
	{ { "mailcase.case.", 14 }, &mailcase__v1__case_record__descriptor },
	{ { "mailcase.mailbox.", 17 }, &mailcase__v1__mailbox_event__descriptor },
};

static json_t *message_json(struct arena *arena, const ProtobufCMessage *message);
static bool is_absent(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
static bool is_zero(const ProtobufCFieldDescriptor *field, const void *at);
static json_t *list_json(struct arena *arena, const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
static json_t *value_json(struct arena *arena, const ProtobufCFieldDescriptor *field, const void *at);
static json_t *enum_json(const ProtobufCFieldDescriptor *field, int value);
static json_t *base64_json(struct arena *arena, const ProtobufCBinaryData *bytes);
static size_t size_of(ProtobufCType type);
static const char *camel_case(struct arena *arena, const char *name);

int event_json(struct arena *arena, struct str type, struct str value, json_t **out, struct err *err)
{
	ProtobufCAllocator allocator = pb_allocator(arena);

	for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
		if (!str_starts(type, messages[i].prefix))
			continue;
		const ProtobufCMessage *message =
			protobuf_c_message_unpack(messages[i].message, &allocator, value.len, (const uint8_t *)value.at);
		if (!message)
			return err_set(err, ERR_PERM, "cannot show record: its %zu bytes are no %s", value.len,
			               messages[i].message->short_name);
		*out = message_json(arena, message);
		return 0;
	}
	return err_set(err, ERR_PERM, "cannot show record: type %.*s is unknown", STR_ARG(type));
}

static json_t *message_json(struct arena *arena, const ProtobufCMessage *message)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];

		if (!is_absent(message, field))
			json_put(object, camel_case(arena, field->name),
			         field->label == PROTOBUF_C_LABEL_REPEATED
			             ? list_json(arena, message, field)
			             : value_json(arena, field, (const char *)message + field->offset));
	}
	return object;
}

/* A member of a oneof is there when the oneof says so, be it 0; any other field when it is not 0. */
static bool is_absent(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	const char *quantifier = (const char *)message + field->quantifier_offset;

	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *)(const void *)quantifier != field->id;
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)(const void *)quantifier == 0;
	return is_zero(field, (const char *)message + field->offset);
}

static bool is_zero(const ProtobufCFieldDescriptor *field, const void *at)
{
	static const char zeros[8] = { 0 };

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING: {
		const char *text = *(const char *const *)at;
		return !text || !*text;
	}
	case PROTOBUF_C_TYPE_BYTES:
		return ((const ProtobufCBinaryData *)at)->len == 0;
	case PROTOBUF_C_TYPE_MESSAGE:
		return *(const ProtobufCMessage *const *)at == NULL;
	default:
		return memcmp(at, zeros, size_of(field->type)) == 0;
	}
}

static json_t *list_json(struct arena *arena, const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	size_t count = *(const size_t *)(const void *)((const char *)message + field->quantifier_offset);
	const char *elements = *(const char *const *)(const void *)((const char *)message + field->offset);
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(list, value_json(arena, field, elements + i * size_of(field->type))) < 0)
			die_no_memory(0);
	return list;
}

static json_t *value_json(struct arena *arena, const ProtobufCFieldDescriptor *field, const void *at)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return json_integer(*(const int32_t *)at);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_integer(*(const uint32_t *)at);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return json_text(str_printf(arena, "%lld", (long long)*(const int64_t *)at));
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return json_text(str_printf(arena, "%llu", (unsigned long long)*(const uint64_t *)at));
	case PROTOBUF_C_TYPE_FLOAT:
		return json_real((double)*(const float *)at);
	case PROTOBUF_C_TYPE_DOUBLE:
		return json_real(*(const double *)at);
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)at);
	case PROTOBUF_C_TYPE_ENUM:
		return enum_json(field, *(const int *)at);
	case PROTOBUF_C_TYPE_STRING:
		return json_text(str_of(*(const char *const *)at));
	case PROTOBUF_C_TYPE_BYTES:
		return base64_json(arena, at);
	case PROTOBUF_C_TYPE_MESSAGE:
		return message_json(arena, *(const ProtobufCMessage *const *)at);
	}
	return json_null();
}

/* A value of a later version of the contract has no name here: its number stands for it. */
static json_t *enum_json(const ProtobufCFieldDescriptor *field, int value)
{
	const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(field->descriptor, value);

	return known ? json_text(str_of(known->name)) : json_integer(value);
}

static json_t *base64_json(struct arena *arena, const ProtobufCBinaryData *bytes)
{
	unsigned char *text = arena_alloc(arena, (bytes->len + 2) / 3 * 4 + 1);
	int len = EVP_EncodeBlock(text, bytes->data, (int)bytes->len);

	return json_text(str_span((const char *)text, (size_t)len));
}

static size_t size_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

/* received_at_us -> receivedAtUs */
static const char *camel_case(struct arena *arena, const char *name)
{
	char *text = arena_copy(arena, name, strlen(name)), *end = text;

	for (const char *at = name; *at; at++) {
		if (*at != '_')
			*end++ = at > name && at[-1] == '_' && *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
	}
	*end = '\0';
	return text;
}
