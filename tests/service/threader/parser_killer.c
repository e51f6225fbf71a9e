/* SPDX-License-Identifier: Apache-2.0
 * parser_killer - the threader with a parser that does what X-Test-Parser says: crash, loop or ask the kernel
 */
#include <sys/socket.h>

#include "mail/parse.h"
#include "mail/raw_header.h"

#include "base/banned.h"

void __wrap_mail_parse(struct arena *arena, struct str raw, const struct mail_limits *limits, struct mail *out);
void __real_mail_parse(struct arena *arena, struct str raw, const struct mail_limits *limits, struct mail *out);

static volatile int sink;

void __wrap_mail_parse(struct arena *arena, struct str raw, const struct mail_limits *limits, struct mail *out)
{
	struct raw_headers headers;
	raw_headers_read(arena, raw, limits, &headers);
	struct str how = raw_headers_get(&headers, "X-Test-Parser");
	if (str_eq(how, STR("crash")))
		__builtin_trap();
	while (str_eq(how, STR("loop")))
		sink++;
	if (str_eq(how, STR("socket")))
		sink = socket(AF_INET, SOCK_STREAM, 0);
	__real_mail_parse(arena, raw, limits, out);
}
