/* SPDX-License-Identifier: Apache-2.0
 * charset_names - the names of charsets that mails use, and what iconv calls them
 */
#ifndef MAILCASE_CHARSET_NAMES_H
#define MAILCASE_CHARSET_NAMES_H

#include <stddef.h>

enum { CHARSET_NAMES_MOST = 256 };

struct charset_name {
	const char *name;  /* lower case, letters and digits only */
	const char *iconv; /* "": says nothing about the bytes */
};

extern const struct charset_name charset_names[];
extern const size_t charset_names_len;

#endif
