/* SPDX-License-Identifier: Apache-2.0
 * bus_move - a running installation goes over to the other engine of the bus
 *
 * The mover holds the relay's lease, so that nothing is added to the old engine; it waits until our own groups have read
 * all of it, notes the new engine and gives the lease up. From then on the relays of services with the new engine move the
 * outbox, and those with the old one stand by: which of them are restarted when does not matter. Nothing is copied, so
 * nothing comes twice.
 */
#ifndef MAILCASE_BUS_MOVE_H
#define MAILCASE_BUS_MOVE_H

#include "edge/bus.h"

/* What it waits for: `unread` records of `group`; a null group: another relay's lease. Called about once a second. */
typedef void bus_move_waits(struct str group, int64_t unread);

/* `options` names the brokers, whichever way it goes. 1 moved, 0 the bus has that engine already; -1 TEMP when it took
 * more than `wait_ms`: nothing has changed then, and it can be tried again. */
int bus_move(const struct bus_options *options, struct db *db, enum bus_engine to, int64_t wait_ms, bus_move_waits *waits,
             struct err *err) MUST_CHECK;

#endif
