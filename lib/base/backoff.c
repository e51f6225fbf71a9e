/* SPDX-License-Identifier: Apache-2.0 */
#include "backoff.h"

#include "digest.h"

#include "banned.h"

void backoff_init(struct backoff *backoff, int64_t first_ms, int64_t most_ms)
{
	*backoff = (struct backoff){ .first_ms = first_ms, .most_ms = most_ms };
}

void backoff_reset(struct backoff *backoff)
{
	backoff->failures = 0;
}

int64_t backoff_next_ms(struct backoff *backoff)
{
	uint64_t bits;

	random_bytes(&bits, sizeof bits);
	if (backoff->failures < 64)
		backoff->failures++;
	/* The 53 bits that a double holds exactly. */
	return backoff_delay_ms(backoff->failures, backoff->first_ms, backoff->most_ms, (double)(bits >> 11) * 0x1p-53);
}

int64_t backoff_delay_ms(unsigned failures, int64_t first_ms, int64_t most_ms, double random)
{
	int64_t top = first_ms;

	for (unsigned i = 0; i < failures && top > 0 && top < most_ms; i++)
		if (__builtin_mul_overflow(top, 2, &top))
			top = most_ms;
	if (top > most_ms)
		top = most_ms;
	if (top <= first_ms)
		return top;
	return first_ms + (int64_t)((double)(top - first_ms) * random);
}
