/* SPDX-License-Identifier: Apache-2.0
 * clock - the two clocks, and times as text
 *
 * Decisions get `now` as an argument; only edges and loops read a clock. Wall times are microseconds since 1970 in UTC.
 */
#ifndef MAILCASE_CLOCK_H
#define MAILCASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

#define USEC_PER_SEC INT64_C(1000000)

int64_t clock_mono_ms(void); /* monotonic, for deadlines */
int64_t clock_wall_us(void);

#define CLOCK_TEXT_LEN 27 /* 2026-01-31T12:00:00.123456Z */
/* RFC 3339 with Z; whole seconds have no fraction. Returns `out`. */
char *clock_rfc3339(int64_t wall_us, char out[CLOCK_TEXT_LEN + 1]);

/* RFC 3339 with Z or an offset, or a bare date (midnight UTC). */
bool clock_parse(struct str text, int64_t *out_wall_us);

#endif
