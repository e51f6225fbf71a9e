/* SPDX-License-Identifier: Apache-2.0 */
#include "mail_received.h"

#include "mailcase/v1/mail_received.pb-c.h"
#include "pb.h"

#include "base/banned.h"

struct str mail_received_encode(struct arena *arena, const struct mail_received *record)
{
	Mailcase__V1__MailStored stored = MAILCASE__V1__MAIL_STORED__INIT;
	Mailcase__V1__MailReceived top = MAILCASE__V1__MAIL_RECEIVED__INIT;
	struct sha256 sum = record->sha256;
	char hint[THREAD_HINT_LEN + 1];

	memcpy(hint, record->hint, sizeof hint);
	stored.intake_id = pb_uuid_text(arena, record->intake.id);
	stored.folder_id = pb_uuid_text(arena, record->folder.id);
	stored.blob_id = pb_uuid_text(arena, record->blob.id);
	stored.sha256 = (ProtobufCBinaryData){ .len = sizeof sum.b, .data = sum.b };
	stored.size = record->size;
	stored.received_at_us = record->received_at_us;
	stored.is_quiet = record->is_quiet;
	stored.thread_hint = hint;
	top.tenant_id = pb_uuid_text(arena, record->tenant.id);
	top.mailbox_id = pb_uuid_text(arena, record->mailbox.id);
	top.body_case = MAILCASE__V1__MAIL_RECEIVED__BODY_STORED;
	top.stored = &stored;
	return pb_pack(arena, &top.base);
}

int mail_received_decode(struct arena *arena, struct str bytes, struct mail_received *out, struct err *err)
{
	ProtobufCAllocator allocator = pb_allocator(arena);
	const Mailcase__V1__MailReceived *top =
		mailcase__v1__mail_received__unpack(&allocator, bytes.len, (const uint8_t *)bytes.at);
	struct mail_received read = { 0 };

	if (!top || top->body_case != MAILCASE__V1__MAIL_RECEIVED__BODY_STORED)
		return err_set(err, ERR_PERM, "cannot read record: no MailReceived with a known body");
	const Mailcase__V1__MailStored *stored = top->stored;
	if (pb_uuid(top->tenant_id, "tenant_id", &read.tenant.id, err) < 0 ||
	    pb_uuid(top->mailbox_id, "mailbox_id", &read.mailbox.id, err) < 0 ||
	    pb_uuid(stored->intake_id, "intake_id", &read.intake.id, err) < 0 ||
	    pb_uuid(stored->folder_id, "folder_id", &read.folder.id, err) < 0 ||
	    pb_uuid(stored->blob_id, "blob_id", &read.blob.id, err) < 0)
		return -1;
	if (stored->sha256.len != sizeof read.sha256.b)
		return err_set(err, ERR_PERM, "cannot read record: sha256 has %zu bytes", stored->sha256.len);
	if (stored->size < 0)
		return err_set(err, ERR_PERM, "cannot read record: size is negative");
	size_t hint_len = strlen(stored->thread_hint);
	if (hint_len != THREAD_HINT_LEN || strspn(stored->thread_hint, "0123456789abcdef") != hint_len)
		return err_set(err, ERR_PERM, "cannot read record: thread_hint is not %d hex digits", THREAD_HINT_LEN);
	memcpy(read.sha256.b, stored->sha256.data, sizeof read.sha256.b);
	memcpy(read.hint, stored->thread_hint, sizeof read.hint);
	read.size = stored->size;
	read.received_at_us = stored->received_at_us;
	read.is_quiet = stored->is_quiet;
	*out = read;
	return 0;
}
