/* SPDX-License-Identifier: Apache-2.0
 * ctl_credential - how mailboxes log in, and over which kind of line
 */
#include <arpa/inet.h>

#include "ctl.h"

#include "base/banned.h"

static const char sql_insert[] = "INSERT INTO credential (id, tenant_id, kind, sealed) VALUES ($1, $2, 'password', $3)";
static const char sql_update[] =
	"UPDATE credential SET sealed = $3, updated_at = now() WHERE id = $1 AND tenant_id = $2";

int ctl_credential(struct ctl *ctl, struct str password, struct uuid current, struct uuid *out)
{
	struct uuid id = uuid_is_null(current) ? uuid_v7() : current;
	struct db_args args;

	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, id);
	db_arg_uuid(&args, ctl->tenant.id);
	db_arg_bytes(&args, seal(&ctl->arena, &ctl->seal_key, password));
	seal_forget(&password);
	if (db_exec(ctl->db, uuid_is_null(current) ? sql_insert : sql_update, &args, NULL, &ctl->err) < 0)
		return ctl_failed(ctl);
	*out = id;
	return CTL_DONE;
}

int ctl_check_tls(const char *tls, const char *host, bool is_insecure)
{
	struct in_addr address;

	/* By its bytes: a name may begin like the address. */
	bool is_loopback = strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
	                   (inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
	if (strcmp(tls, "clear") != 0 || is_insecure || is_loopback)
		return CTL_DONE;
	return ctl_refused(
		"%s is another machine: --tls clear would send the password and all mail readable by others; use "
		"implicit or starttls, or say --insecure on",
		host);
}
