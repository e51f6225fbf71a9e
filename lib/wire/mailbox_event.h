/* SPDX-License-Identifier: Apache-2.0
 * mailbox_event - values of topic mailcase.mailbox.events.v1
 *
 * The record's key and its ce_subject are the mailbox id, ce_sequence is the version.
 */
#ifndef MAILCASE_MAILBOX_EVENT_H
#define MAILCASE_MAILBOX_EVENT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"

#define MAILBOX_STATE_CHANGED_TYPE "mailcase.mailbox.state_changed.v1"

/* The order is that of the enum of the proto, less one. OTHER is only read: a state of a later contract. */
enum mailbox_state {
	MAILBOX_STARTING,
	MAILBOX_OK,
	MAILBOX_BACKING_OFF,
	MAILBOX_AUTH_FAILED,
	MAILBOX_OFF,
	MAILBOX_OTHER
};

/* As it stands in the column mailbox_state.state; "" for OTHER. */
const char *mailbox_state_name(enum mailbox_state state);
bool mailbox_state_parse(struct str name, enum mailbox_state *out);

struct mailbox_event {
	struct tenant_id tenant;
	struct mailbox_id mailbox;
	int64_t version;
	int64_t at_us;
	enum mailbox_state from, to;
	struct str cause; /* a name of ours, see domain/mailbox_trouble.h; "" where nothing is wrong */
	int64_t failures;
	int64_t next_try_at_us; /* 0: none planned */
};

struct str mailbox_event_encode(struct arena *arena, const struct mailbox_event *event);
int mailbox_event_decode(struct arena *arena, struct str bytes, struct mailbox_event *out, struct err *err) MUST_CHECK;

#endif
