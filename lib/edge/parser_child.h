/* SPDX-License-Identifier: Apache-2.0
 * parser_child - strangers' bytes are parsed in a sandboxed child
 *
 * The child is the own binary started with a hidden option; it holds one socket and may only read, write and get
 * memory. Mails are pipelined (<= 32 in flight), answers batched. After a death or an overrun each unanswered mail is
 * tried alone in a fresh child, and only what fails alone is refused. One pool belongs to one thread.
 */
#ifndef MAILCASE_PARSER_CHILD_H
#define MAILCASE_PARSER_CHILD_H

#include "base/arena.h"
#include "base/err.h"
#include "mail/model.h"

#define PARSER_CHILD_OPTION "--parser-child"

/* main() calls this first; if argv asks for the child it never returns. */
void parser_child_main_if_asked(int argc, char **argv);

struct parser_pool;

struct parser_pool *parser_pool_new(void);
void parser_pool_free(struct parser_pool *pool);

enum parse_verdict {
	PARSE_OK,
	PARSE_CRASHED,  /* the child died of this mail alone */
	PARSE_OVERRAN,  /* it used up its CPU time */
	PARSE_NO_MEMORY,
	PARSE_FORBIDDEN /* it asked the kernel for what it may not have: an alarm */
};
const char *parse_verdict_name(enum parse_verdict verdict);

struct parse_job {
	struct str raw;             /* in */
	size_t text_most;           /* in: bytes of the text that are wanted; 0: all of it */
	struct mail mail;           /* out if verdict is PARSE_OK; in the arena */
	enum parse_verdict verdict; /* out */
};

/* Parse all of them. -1 (TEMP) only if no child can be started at all. */
int parser_pool_run(struct parser_pool *pool, struct arena *arena, struct parse_job *jobs, size_t count, struct err *err);

#endif
