/* SPDX-License-Identifier: Apache-2.0
 * desk_assign - a person gives a case to a user, to nobody, or to another team
 */
#ifndef MAILCASE_DESK_ASSIGN_H
#define MAILCASE_DESK_ASSIGN_H

#include "desk/desk.h"

struct desk_assign {
	int64_t number;
	struct user_id user; /* null: nobody */
	struct team_id team; /* null: stays as it is */
};

struct desk_assign_done {
	struct case_id case_id;
	bool changed; /* no: it was so already, and nothing was recorded */
};

enum desk_status desk_assign(const struct desk *desk, const struct desk_assign *request, struct desk_assign_done *out,
                             struct err *err);

#endif
