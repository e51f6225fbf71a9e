/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch_plan.h"

#include "base/clock.h"

#include "base/banned.h"

#define DAY_US (86400 * USEC_PER_SEC)

/* A changed UIDVALIDITY voids every UID that we know, so that the folder is read again from where its start says; what
 * was stored before is recognised by Message-ID, date and size. SEARCH SINCE looks at days of the server's own zone:
 * one day earlier takes in whatever that can mean. */
struct fetch_opening fetch_open(const struct fetch_cursor *cursor, int64_t uidvalidity, int64_t uidnext,
                                enum fetch_start start, int64_t start_date_us, int64_t added_at_us)
{
	struct fetch_opening opening = { .kind = OPEN_AT, .floor_uid = 1 };

	if (uidvalidity <= 0) {
		opening.kind = OPEN_SESSION_ONLY;
		return opening;
	}
	if (cursor->uidvalidity == uidvalidity) {
		opening.kind = OPEN_CONTINUE;
		opening.floor_uid = cursor->floor_uid;
		return opening;
	}
	opening.is_new_epoch = cursor->uidvalidity != 0;
	if (start == FETCH_FROM_ALL)
		return opening;
	if (start == FETCH_FROM_NOW && !opening.is_new_epoch && uidnext > 0) {
		opening.floor_uid = uidnext;
		return opening;
	}
	opening.kind = OPEN_SEARCH;
	opening.since_us = (start == FETCH_FROM_DATE ? start_date_us : added_at_us) - DAY_US;
	return opening;
}

int64_t fetch_floor(uint32_t first_hit, int64_t uidnext)
{
	if (uidnext <= 0)
		return first_hit > 0 ? first_hit : 1;
	return first_hit > 0 && first_hit < uidnext ? first_hit : uidnext;
}

static int64_t transport_bytes(const struct fetch_item *item)
{
	switch (item->kind) {
	case FETCH_MAIL:
		return item->size;
	case FETCH_HEADER:
		return 64 * 1024;
	default:
		return 0;
	}
}

size_t fetch_batch(const struct fetch_item *items, size_t count, const struct fetch_limits *limits, int64_t *out_bytes)
{
	size_t taken = 0;
	int64_t bytes = 0;

	while (taken < count && taken < limits->mails && (int64_t)taken < limits->credit) {
		int64_t more = transport_bytes(&items[taken]);
		if (taken > 0 && bytes + more > limits->bytes)
			break;
		bytes += more;
		taken++;
	}
	*out_bytes = bytes;
	return taken;
}

bool fetch_set(struct buf *out, const struct fetch_item *items, size_t count, enum fetch_kind kind)
{
	size_t i = 0;
	bool any = false;

	while (i < count) {
		if (items[i].kind != kind) {
			i++;
			continue;
		}
		size_t last = i;
		while (last + 1 < count && items[last + 1].kind == kind && items[last + 1].uid == items[last].uid + 1)
			last++;
		if (last == i)
			buf_addf(out, "%s%u", any ? "," : "", items[i].uid);
		else
			buf_addf(out, "%s%u:%u", any ? "," : "", items[i].uid, items[last].uid);
		any = true;
		i = last + 1;
	}
	return any;
}

bool fetch_is_quiet(int64_t date_us, int64_t added_at_us, bool is_loud)
{
	/* INTERNALDATE counts whole seconds: a mail of the same second is new. */
	return !is_loud && date_us != 0 && date_us < added_at_us - added_at_us % USEC_PER_SEC;
}

struct str fetch_message_id(struct str header_block)
{
	struct str value = str_trim(header_block);

	if (!str_starts_nocase(value, STR("message-id:")))
		return STR("");
	ptrdiff_t open = str_find_char(value, '<', 0);
	if (open < 0)
		return STR("");
	ptrdiff_t close = str_find_char(value, '>', (size_t)open);
	if (close < 0)
		return STR("");
	return str_trim(str_slice(value, (size_t)open + 1, (size_t)close));
}
