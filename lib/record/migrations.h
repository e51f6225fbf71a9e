/* SPDX-License-Identifier: Apache-2.0
 * migrations - the files of db/migrations, embedded when the program is built, in the order of their numbers
 */
#ifndef MAILCASE_MIGRATIONS_H
#define MAILCASE_MIGRATIONS_H

#include <stddef.h>

struct migration {
	int version;
	const char *name; /* the file's, without number and ending */
	const char *sql;
};

extern const struct migration migrations[];
extern const size_t migrations_count;

#endif
