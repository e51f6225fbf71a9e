/* SPDX-License-Identifier: Apache-2.0
 * desk_close - a person closes a case; what an answer to it does later is the queue's policy
 */
#ifndef MAILCASE_DESK_CLOSE_H
#define MAILCASE_DESK_CLOSE_H

#include "desk/desk.h"

struct desk_close_done {
	struct case_id case_id;
	bool changed; /* no: it was closed already */
};

enum desk_status desk_close(const struct desk *desk, int64_t number, struct desk_close_done *out, struct err *err);

#endif
