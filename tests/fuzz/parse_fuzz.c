/* SPDX-License-Identifier: Apache-2.0
 * A whole mail, and what the parent believes of a child's answer.
 */
#include <stdint.h>
#include <stdlib.h>

#include "mail/parse.h"
#include "wire/parsed_mail.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_so)
{
	if (!is_so)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_ready;
	struct arena arena CLEANUP(arena_done);
	struct mail mail, again;

	if (!is_ready)
		mail_parse_init();
	is_ready = true;
	arena_init(&arena);
	mail_parse(&arena, str_span((const char *)data, size), &mail_limits_default, &mail);
	struct str bytes = parsed_mail_encode(&arena, &mail);
	must(parsed_mail_decode(&arena, bytes, size, &again, NULL) == 0);
	must(str_eq(bytes, parsed_mail_encode(&arena, &again)));
	return 0;
}
