/* SPDX-License-Identifier: Apache-2.0
 * cmd_mailbox - what the files of `casectl mailbox` share
 */
#ifndef MAILCASE_CMD_MAILBOX_H
#define MAILCASE_CMD_MAILBOX_H

#include "ctl.h"

struct mailbox_found {
	struct uuid id, credential;
	struct str address;
	const char *host, *tls;
	bool is_insecure;
};

/* By address, within the tenant: CTL_DONE, or the exit status after saying so. */
int mailbox_find(struct ctl *ctl, const char *address, struct mailbox_found *out);

int mailbox_add(struct ctl *ctl);
int mailbox_set(struct ctl *ctl);
int mailbox_list(struct ctl *ctl);
int mailbox_show(struct ctl *ctl);
int mailbox_test(struct ctl *ctl);
int mailbox_folders(struct ctl *ctl);

#endif
