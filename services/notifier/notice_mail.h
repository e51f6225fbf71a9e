/* SPDX-License-Identifier: Apache-2.0
 * notice_mail - a planned notice becomes a mail: outbound mailbox, token, text, one byte string
 *
 * What stands in the way of a mail (no outbound mailbox, no key to sign with, a field that cannot be written) becomes the
 * notice's suppressed_by.
 */
#ifndef MAILCASE_NOTICE_MAIL_H
#define MAILCASE_NOTICE_MAIL_H

#include "edge/seal.h"
#include "notice_store.h"
#include "record/case_record.h"

struct notice_mail {
	const struct case_record *record;
	const struct case_row *row;
	struct notice *notice;
	/* out */
	bool is_made;
	struct outbound_id outbound;
	struct str detail; /* JSON for the timeline */
};

/* Keys of tenants, opened; looked at again after a minute. Starts as NULL. */
struct token_cache;
void token_cache_free(struct token_cache *cache);

/* Queue the mails of all notices that go by mail into the open transaction. */
int notice_mail_write(struct db *db, struct arena *arena, struct token_cache **cache, const struct seal_key *key,
                      const struct notice_facts *facts, struct notice_mail *mails, size_t count, int64_t now_us,
                      struct err *err) MUST_CHECK;

#endif
