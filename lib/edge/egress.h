/* SPDX-License-Identifier: Apache-2.0
 * egress - which addresses we connect to, decided on the resolved address
 *
 * Every host that a tenant may name (mailbox, SMTP server, webhook) goes through here, as libcurl's
 * CURLOPT_OPENSOCKETFUNCTION: a name that resolves to something else between check and use gains nothing. Never allowed:
 * unspecified, multicast, broadcast and link-local addresses (among them the metadata services of clouds). EGRESS_PUBLIC
 * refuses loopback and private networks too.
 */
#ifndef MAILCASE_EGRESS_H
#define MAILCASE_EGRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include "base/err.h"

enum egress_policy { EGRESS_ANY, EGRESS_PUBLIC };

/* One attempt to connect. Lives as long as the curl handle. */
struct egress {
	enum egress_policy policy;
	bool is_clear;      /* no TLS: loopback only, unless clear_forced */
	bool clear_forced;
	bool refused;       /* out: an address was refused by policy */
	bool clear_refused; /* out: an address was refused because of clear text */
};

bool egress_policy_parse(const char *name, enum egress_policy *out); /* any|public */

/* May we connect there? PERM with the reason. */
int egress_check(const struct egress *egress, const struct sockaddr *address, struct err *err) MUST_CHECK;

/* Let the handle's sockets be opened by the policy. */
void egress_install(struct egress *egress, CURL *easy);

#endif
