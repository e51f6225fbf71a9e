/* SPDX-License-Identifier: Apache-2.0
 * mailbox_trouble - what went wrong with a mailbox: the state it is in now, why, what a person should do, when to try
 *
 * The edge says which cause it met; where only the server's words tell (a refused login may be a wrong password or a
 * server that is busy), the words decide, by a table. Names of causes are stable: they are in events and metrics.
 */
#ifndef MAILCASE_MAILBOX_TROUBLE_H
#define MAILCASE_MAILBOX_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum trouble_cause {
	TROUBLE_NONE,
	/* the way to the server */
	TROUBLE_UNKNOWN_HOST,
	TROUBLE_REFUSED,
	TROUBLE_UNREACHABLE,
	TROUBLE_TIMEOUT,
	TROUBLE_CLOSED,
	TROUBLE_FORBIDDEN_ADDRESS, /* our own egress policy */
	TROUBLE_CLEAR_REFUSED,     /* clear text to another machine was not asked for */
	/* TLS */
	TROUBLE_CERT_EXPIRED,
	TROUBLE_CERT_NOT_YET_VALID,
	TROUBLE_CERT_HOST,
	TROUBLE_CERT_UNKNOWN_CA,
	TROUBLE_CERT_OTHER,
	TROUBLE_CA_FILE,
	TROUBLE_TLS_ON_PLAIN,
	TROUBLE_NO_STARTTLS,
	/* the login */
	TROUBLE_LOGIN_DISABLED,
	TROUBLE_NO_MECHANISM,
	TROUBLE_WRONG_PASSWORD,
	TROUBLE_APP_PASSWORD,
	TROUBLE_ACCESS_DISABLED,
	TROUBLE_EXPIRED,
	TROUBLE_NO_CREDENTIAL, /* none stored, or sealed with another key */
	/* the dialogue */
	TROUBLE_SERVER_BUSY,
	TROUBLE_TOO_MANY,
	TROUBLE_THROTTLED,
	TROUBLE_BYE,
	TROUBLE_NO_FOLDER,
	TROUBLE_REFUSED_COMMAND,
	TROUBLE_PROTOCOL,
	TROUBLE_COUNT
};

enum trouble_state { TROUBLE_BACKS_OFF, TROUBLE_AUTH_FAILS };

struct mailbox_trouble {
	enum trouble_cause cause;
	const char *name;    /* stable: "wrong_password" */
	const char *problem; /* in words */
	const char *remedy;  /* what a person should do; "" where waiting is all */
	enum trouble_state state;
	int64_t wait_first_ms, wait_most_ms; /* back-off with full jitter between these */
	int64_t wait_asked_ms;               /* what the server itself asked for; 0: nothing */
};

/* What the server said, with whatever cause the edge gave: the words may make it more exact. */
struct mailbox_trouble mailbox_trouble_of(enum trouble_cause cause, struct str server_words);

const char *trouble_name(enum trouble_cause cause);

#endif
