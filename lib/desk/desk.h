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
#include "domain/token.h"
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
	struct author author;         /* AUTHOR_USER; checked to be active in the tenant */
	const struct token_keys *keys; /* the tenant's; for acts that send mail */
	int64_t now_us;
};

/* --- for the acts themselves ------------------------------------------------------------------------------------- */

/* Open the transaction, check the author, lock the case of that number. A merged case is refused with its root's
 * number. On anything but DESK_DONE the transaction is rolled back already. */
enum desk_status desk_begin(const struct desk *desk, int64_t number, struct case_row *out, struct err *err);

/* The same for an act that opens a case. */
enum desk_status desk_begin_new(const struct desk *desk, struct err *err);

/* Write the facts of this act and commit. `opening` is NULL but for a new case, whose row then has version 0. */
enum desk_status desk_commit(const struct desk *desk, const struct case_row *row, const struct case_opening *opening,
                             const struct fact *facts, size_t facts_len, struct err *err);

/* Is there such a user, and active? For those whom an act names. DESK_DONE leaves the transaction open. */
enum desk_status desk_check_user(const struct desk *desk, struct user_id user, const char *role, struct err *err);

/* Roll back and answer. */
enum desk_status desk_refuse(const struct desk *desk, struct err *err, const char *format, ...) PRINTF_LIKE(3, 4);
enum desk_status desk_absent(const struct desk *desk, struct err *err, const char *format, ...) PRINTF_LIKE(3, 4);
enum desk_status desk_fail(const struct desk *desk); /* err says why already */

#endif
