/* SPDX-License-Identifier: Apache-2.0
 * backoff - growing waits with full jitter
 */
#ifndef MAILCASE_BACKOFF_H
#define MAILCASE_BACKOFF_H

#include <stdint.h>

struct backoff {
	int64_t first_ms, most_ms;
	unsigned failures;
};

void backoff_init(struct backoff *backoff, int64_t first_ms, int64_t most_ms);
void backoff_reset(struct backoff *backoff);

/* One more failure: how long to wait now, in [first, min(most, first * 2^failures)], at random. */
int64_t backoff_next_ms(struct backoff *backoff);

/* The same without state: the wait after the given number of failures, `first_ms` for none, for a random number in
 * [0, 1). */
int64_t backoff_delay_ms(unsigned failures, int64_t first_ms, int64_t most_ms, double random);

#endif
