/* SPDX-License-Identifier: Apache-2.0
 * One header value, read as each kind of header; the first byte says which. The rest as an answer of the parser child.
 */
#include <stdint.h>
#include <stdlib.h>

#include "mail/address.h"
#include "mail/date.h"
#include "mail/encoded_word.h"
#include "mail/html.h"
#include "mail/msgid.h"
#include "mail/param.h"
#include "mail/subject.h"
#include "mail/thread_hint.h"
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
	struct arena arena CLEANUP(arena_done);
	struct str value = str_span((const char *)data + (size > 0), size - (size > 0));
	struct subject_numbers numbers;
	char hint[THREAD_HINT_LEN + 1];
	struct mail mail;
	uint32_t defects = 0;
	int64_t date;

	arena_init(&arena);
	switch (size ? data[0] % 8 : 0) {
	case 0: {
		struct mail_addresses list = address_list(&arena, value, 100, &defects);
		must(list.len <= 100);
		for (size_t i = 0; i < list.len; i++)
			must(list.at[i].address.len > 0 && str_is_text(list.at[i].address));
		break;
	}
	case 1:
		must(!date_parse(value, &date) || date >= -86400);
		break;
	case 2: {
		struct mail_strs ids = msgid_list(&arena, value, 100, &defects);
		for (size_t i = 0; i < ids.len; i++)
			must(msgid_normal(&arena, ids.at[i]).len <= 3 * MSGID_MOST);
		break;
	}
	case 3:
		must(str_is_text(str_scrub(&arena, header_text(&arena, value, &defects))));
		break;
	case 4:
		(void)param_get(&arena, value, "filename", &defects);
		(void)param_head(&arena, value);
		break;
	case 5: {
		struct str format = STR("[#%d]");
		struct mail_strs formats = { &format, 1 };
		must(subject_base(&arena, str_scrub(&arena, value), &formats).len <= 3 * size + 16);
		subject_numbers(&arena, value, format, &numbers);
		break;
	}
	case 6:
		must(str_is_text(html_to_text(&arena, str_scrub(&arena, value), &mail_limits_default, &defects)));
		break;
	default:
		must(strlen(thread_hint(value, sha256_of(value), hint)) == THREAD_HINT_LEN);
		(void)!parsed_mail_decode(&arena, value, size, &mail, NULL);
	}
	return 0;
}
