/* SPDX-License-Identifier: Apache-2.0
 * relay - moves the outbox to the bus, in a thread of its own
 *
 * One relay at a time in the whole system holds the lease (relay, outbox); the others stand by. Woken by its own process
 * through `wake_fd`, by others through NOTIFY; a scan every 250 ms is the safety net.
 */
#ifndef MAILCASE_RELAY_H
#define MAILCASE_RELAY_H

#include "base/err.h"
#include "edge/bus.h"

struct relay;

/* `owner` must be unique per process; it and `wake_fd` (an eventfd) outlive the relay. */
struct relay *relay_start(const struct bus_options *options, const char *owner, int64_t lease_ms, int wake_fd,
                          struct err *err);

/* Move what is there, for 2 s at most, give the lease up, and end the thread. Accepts NULL. */
void relay_stop(struct relay *relay);

#endif
