/* SPDX-License-Identifier: Apache-2.0
 * desk_follow - a user wants to hear of what happens to a case, or no longer
 */
#ifndef MAILCASE_DESK_FOLLOW_H
#define MAILCASE_DESK_FOLLOW_H

#include "desk/desk.h"

struct desk_follow {
	int64_t number;
	struct user_id user;
	bool is_following; /* as it shall be */
};

struct desk_follow_done {
	struct case_id case_id;
	bool changed; /* no: it was so already */
};

enum desk_status desk_follow(const struct desk *desk, const struct desk_follow *request, struct desk_follow_done *out,
                             struct err *err);

#endif
