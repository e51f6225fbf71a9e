/* SPDX-License-Identifier: Apache-2.0
 * banned - calls that have hurt too many programs; the compiler refuses them
 *
 * The last #include of every .c file of ours: a system header that declares one of them must come before the poison.
 */
#ifndef MAILCASE_BANNED_H
#define MAILCASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok strtok_r
#pragma GCC poison atoi atol atoll atof gmtime localtime ctime asctime

#endif
