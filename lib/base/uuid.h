/* SPDX-License-Identifier: Apache-2.0
 * uuid - ids: UUIDv7 (RFC 9562) for rows, and a type of its own for each kind of id
 */
#ifndef MAILCASE_UUID_H
#define MAILCASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

struct uuid {
	uint8_t b[16];
};

#define UUID_TEXT_LEN 36

/* A new id, ordered by time within a process. Safe from any thread. */
struct uuid uuid_v7(void);

/* Lower-case text of 36 characters and a NUL. Returns `out`. */
char *uuid_text(struct uuid id, char out[UUID_TEXT_LEN + 1]);
struct str uuid_str(struct arena *arena, struct uuid id);

/* Either case; false for anything but a whole UUID. */
bool uuid_parse(struct str text, struct uuid *out);

int uuid_cmp(struct uuid a, struct uuid b);
bool uuid_is_null(struct uuid id);

static inline bool uuid_eq(struct uuid a, struct uuid b)
{
	return uuid_cmp(a, b) == 0;
}

/* One wrapper a kind, so that a case id cannot be passed as a mail id. */
#define ID_TYPE(name) \
	struct name { \
		struct uuid id; \
	}
ID_TYPE(tenant_id);
ID_TYPE(user_id);
ID_TYPE(team_id);
ID_TYPE(queue_id);
ID_TYPE(mailbox_id);
ID_TYPE(folder_id);
ID_TYPE(group_id);
ID_TYPE(intake_id);
ID_TYPE(blob_id);
ID_TYPE(message_id);
ID_TYPE(case_id);
ID_TYPE(event_id);
ID_TYPE(outbound_id);
ID_TYPE(copy_id);
ID_TYPE(outbound_mailbox_id);

#endif
