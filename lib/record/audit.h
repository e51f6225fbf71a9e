/* SPDX-License-Identifier: Apache-2.0
 * audit - does everything that is stored, published and sent agree?
 *
 * It compares what the IMAP servers hold, ledger, messages, cases, timeline, outbox, the records on the bus, outbound
 * copies and what an SMTP server accepted. Every difference is a finding with the rule that it breaks, every wait one with
 * its reason. It changes nothing but temporary tables of its own connection, holds no snapshot for longer than one
 * statement or one step takes, and keeps no more than a step in memory.
 *
 * The system may run meanwhile. Whatever is written together is compared within one snapshot; the bus is read after what
 * must be on it was noted, and before what it may hold is looked up.
 */
#ifndef MAILCASE_AUDIT_H
#define MAILCASE_AUDIT_H

#include <stdio.h>

#include "edge/bus.h"
#include "edge/seal.h"

enum audit_kind {
	AUDIT_LOST,         /* something should be there and is not */
	AUDIT_DOUBLED,      /* something is there more than once */
	AUDIT_UNEXPLAINED,  /* something is there, or waits, for no known reason */
	AUDIT_INCONSISTENT, /* two things contradict each other */
	AUDIT_WAITS,        /* something is on its way, and why it is not there yet */
	AUDIT_NOTED,        /* something could not be looked at, and why */
	AUDIT_KINDS
};
const char *audit_kind_name(enum audit_kind kind); /* "lost", ... */
/* Lost, doubled, unexplained, inconsistent. */
bool audit_is_difference(enum audit_kind kind);

/* Views, good for the call. */
struct audit_finding {
	enum audit_kind kind;
	struct str rule; /* stable: "ledger.message"; docs/operations.md lists them */
	struct str ids;  /* a JSON object: what it is about */
	struct str text; /* one sentence */
};

struct audit_listener {
	void (*found)(void *self, const struct audit_finding *finding);
	void (*walked)(void *self, const char *what, int64_t rows); /* now and then, for progress */
	void (*counted)(void *self, const char *what, int64_t count); /* the totals, at the end of each part */
	void *self;
};

struct audit_options {
	const char *database_url;
	struct bus_options bus;
	bool is_deep; /* the bytes of every blob, not of a sample */
	const struct seal_key *seal_key; /* with it the IMAP servers are asked; NULL: they are not */
	const char *accepted_file; /* what an SMTP server accepted: "Message-ID<TAB>recipient" or a JSON object a line; or NULL */
};

/* 0 whatever was found; -1 where it could not look. */
int audit_run(const struct audit_options *options, const struct audit_listener *listener, struct err *err) MUST_CHECK;

#endif
