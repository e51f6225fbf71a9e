/* SPDX-License-Identifier: Apache-2.0
 * desk_resolve - a person found out what became of a copy whose outcome nobody could know
 */
#ifndef MAILCASE_DESK_RESOLVE_H
#define MAILCASE_DESK_RESOLVE_H

#include "desk/desk.h"
#include "domain/outbound_state.h"

struct desk_resolve {
	struct copy_id copy;
	bool is_accepted; /* else it came back */
};

struct desk_resolve_done {
	struct case_id case_id;
	int64_t number;
	enum copy_state state;
};

enum desk_status desk_resolve(const struct desk *desk, const struct desk_resolve *request,
                              struct desk_resolve_done *out, struct err *err);

#endif
