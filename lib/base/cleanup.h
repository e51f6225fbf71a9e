/* SPDX-License-Identifier: Apache-2.0
 * cleanup - foreign handles released by the scope they live in
 *
 *	PGresult *res CLEANUP(db_result_done) = ...;
 *
 * The function gets a pointer to the variable and accepts a pointer to NULL.
 */
#ifndef MAILCASE_CLEANUP_H
#define MAILCASE_CLEANUP_H

#define CLEANUP(function) __attribute__((cleanup(function)))
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_, first) __attribute__((format(printf, format_, first)))
#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

#endif
