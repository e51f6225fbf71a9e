/* SPDX-License-Identifier: Apache-2.0
 *
 * The small vocabularies of IMAP: capabilities and dates.
 */
#include <time.h>

#include "base/clock.h"
#include "imap_reply.h"

#include "base/banned.h"

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

uint32_t imap_capability_bits(struct str list)
{
	static const struct {
		struct str name;
		uint32_t bit;
	} known[] = {
		{ STR("IDLE"), IMAP_CAP_IDLE },
		{ STR("UIDPLUS"), IMAP_CAP_UIDPLUS },
		{ STR("MOVE"), IMAP_CAP_MOVE },
		{ STR("ESEARCH"), IMAP_CAP_ESEARCH },
		{ STR("ID"), IMAP_CAP_ID },
		{ STR("LOGINDISABLED"), IMAP_CAP_LOGINDISABLED },
		{ STR("STARTTLS"), IMAP_CAP_STARTTLS },
		{ STR("AUTH=PLAIN"), IMAP_CAP_AUTH_PLAIN },
		{ STR("SPECIAL-USE"), IMAP_CAP_SPECIAL_USE },
		{ STR("UIDONLY"), IMAP_CAP_UIDONLY },
	};
	struct str word;
	uint32_t bits = 0;

	while (str_next(&list, ' ', &word))
		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			if (str_eq_nocase(str_trim(word), known[i].name))
				bits |= known[i].bit;
	return bits;
}

static bool digits(struct str text, size_t from, size_t to, int64_t most, int *out)
{
	int64_t number;

	if (to > text.len || !str_to_i64(str_slice(text, from, to), 0, most, &number))
		return false;
	*out = (int)number;
	return true;
}

bool imap_date_parse(struct str text, int64_t *out_us)
{
	struct tm tm = { 0 };
	int zone_hours, zone_minutes;

	if (text.len > 0 && text.at[0] == ' ')
		text = str_slice(text, 1, text.len);
	ptrdiff_t dash = str_find_char(text, '-', 0);
	if (dash < 1 || dash > 2 || !digits(text, 0, (size_t)dash, 31, &tm.tm_mday))
		return false;
	struct str rest = str_slice(text, (size_t)dash, text.len); /* -Jul-1996 02:44:25 -0700 */
	if (rest.len != 24 || rest.at[4] != '-' || rest.at[9] != ' ' || rest.at[12] != ':' || rest.at[15] != ':' ||
	    rest.at[18] != ' ' || (rest.at[19] != '+' && rest.at[19] != '-'))
		return false;
	struct str month = str_slice(rest, 1, 4);
	tm.tm_mon = -1;
	for (int i = 0; i < 12; i++)
		if (str_eq_nocase(month, str_span(months + 3 * i, 3)))
			tm.tm_mon = i;
	if (tm.tm_mon < 0 || tm.tm_mday < 1 || !digits(rest, 5, 9, 9999, &tm.tm_year) ||
	    !digits(rest, 10, 12, 23, &tm.tm_hour) || !digits(rest, 13, 15, 59, &tm.tm_min) ||
	    !digits(rest, 16, 18, 60, &tm.tm_sec) || !digits(rest, 20, 22, 99, &zone_hours) ||
	    !digits(rest, 22, 24, 59, &zone_minutes))
		return false;
	tm.tm_year -= 1900;
	int64_t seconds = timegm(&tm);
	int64_t zone = (zone_hours * 60 + zone_minutes) * 60;
	*out_us = (seconds - (rest.at[19] == '+' ? zone : -zone)) * USEC_PER_SEC;
	return true;
}

char *imap_day(struct arena *arena, int64_t wall_us)
{
	time_t seconds = (time_t)(wall_us / USEC_PER_SEC);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	return arena_printf(arena, "%d-%.3s-%04d", tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900);
}
