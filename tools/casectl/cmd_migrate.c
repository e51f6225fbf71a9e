/* SPDX-License-Identifier: Apache-2.0
 * cmd_migrate - the schema and the seal key: what an installation needs before it has a tenant
 */
#include "ctl.h"
#include "record/schema.h"

#include "base/banned.h"

static int migrate(struct ctl *ctl)
{
	int from, to;

	if (schema_migrate(ctl->db, &from, &to, &ctl->err) < 0)
		return ctl_failed(ctl);
	if (ctl->as_json) {
		json_t *object CLEANUP(json_done) = json_object();
		json_put_int(object, "from", from);
		json_put_int(object, "to", to);
		json_print_line(stdout, object);
	} else if (from == to)
		printf("the schema is at version %d already\n", to);
	else
		printf("the schema went from version %d to %d\n", from, to);
	return CTL_DONE;
}

static const struct verb migrate_verbs[] = {
	{ .name = "", .operands = "", .needs = NEED_DATABASE, .summary = "bring the database to this program's schema",
	  .examples = "  casectl migrate\n  casectl migrate --json", .run = migrate },
	{ 0 },
};
const struct noun noun_migrate = { "migrate", "bring the database to this program's schema", migrate_verbs };

static int seal_key_make_verb(struct ctl *ctl)
{
	if (seal_key_make(ctl->operands[0], &ctl->err) < 0)
		return ctl_failed(ctl);
	return ctl_done(ctl, "file", ctl->operands[0], (struct uuid){ 0 },
	                "%s holds a new seal key; keep a copy apart from the database: without it no password can be "
	                "opened",
	                ctl->operands[0]);
}

static const struct verb seal_key_verbs[] = {
	{ .name = "make",
	  .operands = "FILE",
	  .operands_min = 1,
	  .operands_max = 1,
	  .summary = "make a new key file, mode 0600",
	  .examples = "  casectl seal-key make /etc/mailcase/seal.key",
	  .run = seal_key_make_verb },
	{ 0 },
};
const struct noun noun_seal_key = { "seal-key", "the key that seals passwords and signing keys", seal_key_verbs };
