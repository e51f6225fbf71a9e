/* SPDX-License-Identifier: Apache-2.0
 * desk_confirm - a person lets a pending mail into its case in full
 *
 * Its sender becomes a participant; a mail that a person wrote turns waiting into open, as it would have on arrival. A
 * closed case stays closed: who confirms can answer with `reopen`.
 */
#ifndef MAILCASE_DESK_CONFIRM_H
#define MAILCASE_DESK_CONFIRM_H

#include "desk/desk.h"

struct desk_confirm {
	int64_t number;
	struct message_id message; /* null: the only pending one */
};

struct desk_confirm_done {
	struct case_id case_id;
	struct message_id message;
	bool added_participant;
};

enum desk_status desk_confirm(const struct desk *desk, const struct desk_confirm *request,
                              struct desk_confirm_done *out, struct err *err);

#endif
