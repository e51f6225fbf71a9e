/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox_event.h"

#include "mailcase/v1/mailbox_event.pb-c.h"
#include "pb.h"

#include "base/banned.h"

static const char *const names[] = {
	[MAILBOX_STARTING] = "starting",
	[MAILBOX_OK] = "ok",
	[MAILBOX_BACKING_OFF] = "backing_off",
	[MAILBOX_AUTH_FAILED] = "auth_failed",
	[MAILBOX_OFF] = "off",
	[MAILBOX_OTHER] = "",
};

const char *mailbox_state_name(enum mailbox_state state)
{
	return names[state];
}

bool mailbox_state_parse(struct str name, enum mailbox_state *out)
{
	for (int i = 0; i < MAILBOX_OTHER; i++) {
		if (str_eq(name, str_of(names[i]))) {
			*out = (enum mailbox_state)i;
			return true;
		}
	}
	return false;
}

struct str mailbox_event_encode(struct arena *arena, const struct mailbox_event *event)
{
	Mailcase__V1__MailboxStateChanged changed = MAILCASE__V1__MAILBOX_STATE_CHANGED__INIT;
	Mailcase__V1__MailboxEvent top = MAILCASE__V1__MAILBOX_EVENT__INIT;

	changed.from = (Mailcase__V1__MailboxState)(event->from + 1);
	changed.to = (Mailcase__V1__MailboxState)(event->to + 1);
	changed.cause = str_cstr(arena, event->cause);
	changed.failures = event->failures;
	changed.next_try_at_us = event->next_try_at_us;
	top.tenant_id = pb_uuid_text(arena, event->tenant.id);
	top.mailbox_id = pb_uuid_text(arena, event->mailbox.id);
	top.version = event->version;
	top.at_us = event->at_us;
	top.body_case = MAILCASE__V1__MAILBOX_EVENT__BODY_STATE_CHANGED;
	top.state_changed = &changed;
	return pb_pack(arena, &top.base);
}

static enum mailbox_state read_state(Mailcase__V1__MailboxState on_wire)
{
	int state = (int)on_wire - 1;

	return state >= 0 && state < MAILBOX_OTHER ? (enum mailbox_state)state : MAILBOX_OTHER;
}

int mailbox_event_decode(struct arena *arena, struct str bytes, struct mailbox_event *out, struct err *err)
{
	ProtobufCAllocator allocator = pb_allocator(arena);
	const Mailcase__V1__MailboxEvent *top =
		mailcase__v1__mailbox_event__unpack(&allocator, bytes.len, (const uint8_t *)bytes.at);
	struct mailbox_event read = { 0 };

	if (!top || top->body_case != MAILCASE__V1__MAILBOX_EVENT__BODY_STATE_CHANGED)
		return err_set(err, ERR_PERM, "cannot read record: no MailboxEvent with a known body");
	if (pb_uuid(top->tenant_id, "tenant_id", &read.tenant.id, err) < 0 ||
	    pb_uuid(top->mailbox_id, "mailbox_id", &read.mailbox.id, err) < 0)
		return -1;
	read.from = read_state(top->state_changed->from);
	read.to = read_state(top->state_changed->to);
	read.cause = str_of(top->state_changed->cause);
	if (!str_is_text(read.cause))
		return err_set(err, ERR_PERM, "cannot read record: cause is no text");
	read.version = top->version;
	read.at_us = top->at_us;
	read.failures = top->state_changed->failures;
	read.next_try_at_us = top->state_changed->next_try_at_us;
	*out = read;
	return 0;
}
