/* SPDX-License-Identifier: Apache-2.0
 * date - the Date header: RFC 5322 with its obsolete forms, and what senders write instead
 *
 * Read by the kind of each token, not by its place: "Tue, 5 Mar 2019 10:00:00 +0100 (CET)", "5-Mar-19 10:00 PST",
 * "Tue Mar  5 10:00:00 2019", "2019-03-05T10:00:00Z", "05.03.2019 10:00:00".
 */
#ifndef MAILCASE_DATE_H
#define MAILCASE_DATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* Seconds since 1970. False for what is no date between the years 1970 and 9999. An unknown zone counts as UTC. */
bool date_parse(struct str header_value, int64_t *out_s);

#endif
