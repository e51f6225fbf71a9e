/* SPDX-License-Identifier: Apache-2.0
 * schema - which version the database has, and how it gets to ours
 */
#ifndef MAILCASE_SCHEMA_H
#define MAILCASE_SCHEMA_H

#include "edge/db.h"

/* The version that this program was built for. */
int schema_version_wanted(void);

/* Run what is missing of the embedded migrations, each in a transaction of its own; an advisory lock makes a second run
 * wait and then find nothing to do. A newer schema than ours is FATAL. */
int schema_migrate(struct db *db, int *out_from, int *out_to, struct err *err) MUST_CHECK;

/* Is the schema just the one wanted? TEMP while it is older or absent (a migration may be on its way), FATAL when
 * newer. */
int schema_check(struct db *db, struct err *err) MUST_CHECK;

#endif
