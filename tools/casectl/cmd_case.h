/* SPDX-License-Identifier: Apache-2.0
 * cmd_case - what the files of `casectl case` share
 */
#ifndef MAILCASE_CMD_CASE_H
#define MAILCASE_CMD_CASE_H

#include "ctl.h"

/* The operand N: a case number. CTL_USAGE after saying so. */
int case_number(struct ctl *ctl, int64_t *out);

int case_list(struct ctl *ctl);
int case_show(struct ctl *ctl);
int case_reply(struct ctl *ctl);
int case_note(struct ctl *ctl);
int case_assign(struct ctl *ctl);
int case_close(struct ctl *ctl);
int case_follow(struct ctl *ctl);
int case_unfollow(struct ctl *ctl);
int case_confirm(struct ctl *ctl);
int case_new(struct ctl *ctl);

#endif
