/* SPDX-License-Identifier: Apache-2.0
 * schema - which version the database has, and how it gets to ours
 */
#ifndef MAILCASE_SCHEMA_H
#define MAILCASE_SCHEMA_H

#include "edge/db.h"

/* The version that this program was built for. */
int schema_version_wanted(void);

/* Run what is missing of the embedded migrations, each in a transaction of its own; an advisory lock makes a second run
 * wait and then find nothing to do. A newer schema than ours is left as it is where it serves
 * us (a step back to an older release), else FATAL. */
int schema_migrate(struct db *db, int *out_from, int *out_to, struct err *err) MUST_CHECK;

/* Is the schema the one wanted, or a newer one that still serves this program (so that services can be restarted one by
 * one while a new release is rolled out)? TEMP while it is older or absent (a migration may be on its way), FATAL when it
 * serves newer programs only. */
int schema_check(struct db *db, struct err *err) MUST_CHECK;

#endif
