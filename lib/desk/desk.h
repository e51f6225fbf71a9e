/* SPDX-License-Identifier: Apache-2.0
 * desk - what all acts of people have in common
 *
 * An act is one function and one transaction of its own: lock the case, check, write, commit. casectl, rules and staff
 * mail all come through here. Each answers with a desk_status and, where that is not DESK_DONE, a sentence with the
 * remedy in `err`.
 */
#ifndef MAILCASE_DESK_H
#define MAILCASE_DESK_H

#include "domain/fact.h"
#include "edge/db.h"
#include "record/case_record.h"

enum desk_status {
	DESK_DONE,
	DESK_NOT_FOUND, /* no such case, message, user in this tenant */
	DESK_REFUSED,   /* there, but not allowed in this state or for this author */
	DESK_FAILED,    /* err->kind says whether it may work next time */
};

struct desk {
	struct db *db;
	struct arena *arena;
	struct tenant_id tenant;
	struct author author; /* AUTHOR_USER; checked to be active in the tenant */
	int64_t now_us;
};

/* For the acts themselves. */

/* Open the transaction, lock the case of that number, check the author. A merged case is refused with its root's
 * number. On anything but DESK_DONE the transaction is rolled back already. */
enum desk_status desk_begin(const struct desk *desk, int64_t number, struct case_row *out, struct err *err);

/* Write the facts of this act on a locked case, and commit. */
enum desk_status desk_commit(const struct desk *desk, const struct case_row *row, const struct fact *facts, size_t facts_len,
                             struct err *err);

/* Roll back and say why. */
enum desk_status desk_refuse(const struct desk *desk, struct err *err, const char *format, ...) PRINTF_LIKE(3, 4);
enum desk_status desk_absent(const struct desk *desk, struct err *err, const char *format, ...) PRINTF_LIKE(3, 4);
enum desk_status desk_fail(const struct desk *desk);

#endif
