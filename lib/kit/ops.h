/* SPDX-License-Identifier: Apache-2.0
 * ops - what operators and probes ask a running program: /livez, /readyz, /metrics
 *
 * Its thread reads atomics only, so that a probe says something about the loop and costs it nothing.
 */
#ifndef MAILCASE_OPS_H
#define MAILCASE_OPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct health {
	_Atomic int64_t alive_mono_ms; /* when the loop turned last */
	_Atomic bool is_ready;
	_Atomic(const char *) why_not; /* a constant */
};

struct ops;

/* NULL with ERR_NONE where `listen` is "". */
struct ops *ops_start(const char *listen, const struct health *health, struct err *err);
void ops_stop(struct ops *ops); /* accepts NULL */

#endif
