/* SPDX-License-Identifier: Apache-2.0
 * parser_frame - what the parser child and its parent say to each other: a head, then `length` bytes
 *
 * Both are one binary on one machine, so numbers travel as they lie in memory.
 */
#ifndef MAILCASE_PARSER_FRAME_H
#define MAILCASE_PARSER_FRAME_H

#include <stdint.h>

enum {
	PARSER_SOCKET = 3, /* the only descriptor that the child uses */
	PARSER_EXIT_NO_CHARSET = 65,
	PARSER_EXIT_NO_SANDBOX = 66,
};

#define PARSER_REQUEST UINT32_C(0x3151434d) /* a mail */
#define PARSER_ANSWER UINT32_C(0x3141434d)  /* a ParsedMail */
#define PARSER_READY UINT32_C(0x3152434d)   /* once, when the child has dropped everything */

struct parser_frame {
	uint32_t magic;
	uint32_t id;
	uint64_t length;
	uint64_t text_most; /* of a request: so much of the text is wanted back; 0: all of it */
};

#endif
