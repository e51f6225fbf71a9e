/* SPDX-License-Identifier: Apache-2.0
 * parser_process - one parser child as its parent sees it: started, fed, listened to, timed, ended
 */
#ifndef MAILCASE_PARSER_PROCESS_H
#define MAILCASE_PARSER_PROCESS_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "edge/parser_child.h"

struct parser_process {
	pid_t pid; /* 0: none */
	int socket;
	bool is_ready; /* it said so */
	bool is_fresh; /* no mail was sent to it yet */
	struct buf in;
};

/* Start the own binary again. It is not ready yet: that takes it some milliseconds, in which we do other things. */
int parser_process_start(struct parser_process *process, struct err *err) MUST_CHECK;

/* Wait until it is ready. -1 (TEMP) if it dies or takes too long; it is ended then. */
int parser_process_wait_ready(struct parser_process *process, struct err *err) MUST_CHECK;

/* What it died of, or `if_alive` if it has to be killed now. Does nothing without a process. */
enum parse_verdict parser_process_end(struct parser_process *process, enum parse_verdict if_alive);

/* CPU time it has used, in milliseconds. */
int64_t parser_process_cpu_ms(const struct parser_process *process);

#endif
