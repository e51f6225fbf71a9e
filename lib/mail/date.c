/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/date.h"

#include "base/banned.h"

struct parts {
	int64_t year, month, day, hour, minute, second, zone_s;
	bool has_year, has_month, has_day, has_time, has_zone, is_pm, is_am;
};

static bool read_number_token(struct parts *p, struct str token);
static bool read_word_token(struct parts *p, struct str token);
static bool read_zone(struct parts *p, struct str token);
static bool read_time(struct parts *p, struct str token);
static void read_year(struct parts *p, int64_t number, size_t digits);
static bool finish(struct parts *p, int64_t *out_s);

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c | 32) >= 'a' && (c | 32) <= 'z';
}

/* Digits at the front of s; how many in *out_digits. */
static int64_t number_at(struct str s, size_t at, size_t *out_digits)
{
	int64_t number = 0;
	size_t digits = 0;
	for (; at + digits < s.len && is_digit(s.at[at + digits]) && digits < 9; digits++)
		number = number * 10 + (s.at[at + digits] - '0');
	*out_digits = digits;
	return number;
}

bool date_parse(struct str value, int64_t *out_s)
{
	struct parts p = { 0 };
	value = str_slice(value, 0, 256);
	size_t depth = 0;
	for (size_t at = 0; at < value.len;) {
		char c = value.at[at];
		if (c == '(')
			depth++;
		if (c == ')' && depth)
			depth--;
		bool starts_token = is_digit(c) || is_letter(c) || ((c == '+' || c == '-') && p.has_time);
		if (depth || !starts_token) {
			at++;
			continue;
		}
		size_t end = at + 1;
		if (is_letter(c)) {
			while (end < value.len && is_letter(value.at[end]))
				end++;
			/* "GMT+0100" is one zone; "5-Mar" ends the word at its dash. */
			if (end < value.len && (value.at[end] == '+' || value.at[end] == '-') && p.has_time)
				while (end < value.len && (is_digit(value.at[end]) || strchr("+-:", value.at[end])))
					end++;
			if (!read_word_token(&p, str_slice(value, at, end)) && end - at > 9)
				return false;
		} else if (is_digit(c)) {
			while (end < value.len && (is_digit(value.at[end]) || strchr(":./-", value.at[end])))
				end++;
			/* "10:00:00-0500": the zone hangs on the time. "5-": the dash of "5-Mar". */
			struct str token = str_slice(value, at, end);
			ptrdiff_t colon = str_find_char(token, ':', 0);
			ptrdiff_t dash = str_find_char(token, '-', 0);
			if (colon >= 0 && dash > colon)
				end = at + (size_t)dash;
			while (end > at + 1 && !is_digit(value.at[end - 1]))
				end--;
			if (!read_number_token(&p, str_slice(value, at, end)))
				return false;
		} else {
			while (end < value.len && (is_digit(value.at[end]) || value.at[end] == ':'))
				end++;
			if (!p.has_zone && end > at + 1)
				read_zone(&p, str_slice(value, at, end));
		}
		at = end;
	}
	return finish(&p, out_s);
}

static bool read_number_token(struct parts *p, struct str token)
{
	size_t digits, more;
	int64_t first = number_at(token, 0, &digits);
	if (memchr(token.at, ':', token.len))
		return p->has_time || read_time(p, token);
	if (digits == token.len) {
		if (!p->has_day && digits <= 2)
			p->day = first, p->has_day = true;
		else if (!p->has_year && digits <= 4)
			read_year(p, first, digits);
		else if (digits == 8 && !p->has_year && !p->has_day) {
			p->year = first / 10000, p->month = first / 100 % 100, p->day = first % 100;
			p->has_year = p->has_month = p->has_day = true;
		} else if (digits == 6 && p->has_day && !p->has_time) {
			p->hour = first / 10000, p->minute = first / 100 % 100, p->second = first % 100;
			p->has_time = true;
		}
		return true;
	}
	/* Three numbers: 2019-03-05, 05.03.2019, 3/5/2019; or a time with points: 10.00.00. */
	char sign = token.at[digits];
	int64_t second = number_at(token, digits + 1, &more);
	size_t at = digits + 1 + more;
	if (!more)
		return true;
	if (at >= token.len || token.at[at] != sign) {
		if (sign == '.' && p->has_day && !p->has_time) {
			p->hour = first, p->minute = second, p->has_time = true;
		}
		return true;
	}
	size_t last_digits;
	int64_t third = number_at(token, at + 1, &last_digits);
	if (digits == 4) {
		p->year = first, p->month = second, p->day = third;
		p->has_year = p->has_month = p->has_day = true;
	} else if (p->has_day && p->has_year && !p->has_time) {
		p->hour = first, p->minute = second, p->second = third, p->has_time = true;
	} else if (!p->has_month) {
		/* With slashes the month comes first, unless it cannot be one; else the day. */
		bool month_first = sign == '/' ? first <= 12 : second > 12;
		p->month = month_first ? first : second;
		p->day = month_first ? second : first;
		p->has_month = p->has_day = true;
		read_year(p, third, last_digits);
	}
	return true;
}

static void read_year(struct parts *p, int64_t number, size_t digits)
{
	/* RFC 5322 4.3: two digits below 50 are of this century, three digits count from 1900. */
	if (digits <= 2)
		number += number < 50 ? 2000 : 1900;
	else if (digits == 3)
		number += 1900;
	p->year = number;
	p->has_year = true;
}

static bool read_time(struct parts *p, struct str token)
{
	size_t digits;
	size_t at = 0;
	int64_t *const fields[] = { &p->hour, &p->minute, &p->second };
	for (size_t i = 0; i < 3 && at < token.len; i++) {
		*fields[i] = number_at(token, at, &digits);
		at += digits;
		if (at < token.len && token.at[at] != ':')
			break; /* a fraction */
		at++;
	}
	p->has_time = p->hour < 25 && p->minute < 60 && p->second < 62;
	return p->has_time;
}

static bool read_zone(struct parts *p, struct str token)
{
	int64_t sign = token.at[0] == '-' ? -1 : 1;
	size_t digits, more = 0;
	int64_t number = number_at(token, 1, &digits);
	if (digits + 1 < token.len && token.at[digits + 1] == ':')
		number = number * 100 + number_at(token, digits + 2, &more);
	else if (digits <= 2)
		number *= 100;
	if (number / 100 > 15 || number % 100 > 59)
		return false;
	p->zone_s = sign * (number / 100 * 3600 + number % 100 * 60);
	p->has_zone = true;
	return true;
}

static bool read_word_token(struct parts *p, struct str token)
{
	/* First three letters; English, then those that other languages spell otherwise. */
	static const struct {
		const char *name;
		int month;
	} months[] = {
		{ "jan", 1 }, { "feb", 2 }, { "mar", 3 },  { "apr", 4 },  { "may", 5 },  { "jun", 6 },  { "jul", 7 },
		{ "aug", 8 }, { "sep", 9 }, { "oct", 10 }, { "nov", 11 }, { "dec", 12 }, { "okt", 10 }, { "dez", 12 },
		{ "mai", 5 }, { "ene", 1 }, { "abr", 4 },  { "ago", 8 },  { "dic", 12 }, { "mrz", 3 },
	};
	static const struct {
		const char *name;
		int hours;
	} zones[] = {
		{ "ut", 0 },   { "utc", 0 },  { "gmt", 0 },  { "z", 0 },    { "est", -5 }, { "edt", -4 },  { "cst", -6 },
		{ "cdt", -5 }, { "mst", -7 }, { "mdt", -6 }, { "pst", -8 }, { "pdt", -7 }, { "cet", 1 },   { "cest", 2 },
		{ "met", 1 },  { "mest", 2 }, { "mez", 1 },  { "mesz", 2 }, { "bst", 1 },  { "west", 1 },  { "eet", 2 },
		{ "eest", 3 }, { "msk", 3 },  { "msd", 4 },  { "jst", 9 },  { "kst", 9 },  { "hst", -10 }, { "wet", 0 },
	};
	size_t letters = 0;
	while (letters < token.len && is_letter(token.at[letters]))
		letters++;
	struct str word = str_slice(token, 0, letters);
	if (str_eq_nocase(word, STR("pm")) || str_eq_nocase(word, STR("am"))) {
		p->is_pm = (word.at[0] | 32) == 'p';
		p->is_am = !p->is_pm;
		return true;
	}
	if (!p->has_month && word.len >= 3)
		for (size_t i = 0; i < sizeof(months) / sizeof(months[0]); i++)
			if (str_eq_nocase(str_slice(word, 0, 3), str_of(months[i].name))) {
				p->month = months[i].month;
				p->has_month = true;
				return true;
			}
	if (!p->has_time || p->has_zone)
		return true;
	if (letters + 1 < token.len)
		return read_zone(p, str_slice(token, letters, token.len));
	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
		if (str_eq_nocase(word, str_of(zones[i].name))) {
			p->zone_s = zones[i].hours * 3600;
			p->has_zone = word.len > 1 && !str_eq_nocase(word, STR("gmt")) && !str_eq_nocase(word, STR("utc"));
			return true;
		}
	return false;
}

/* Days since 1970 of a civil date (Howard Hinnant's algorithm). */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	year -= month <= 2;
	int64_t era = year / 400;
	int64_t year_of_era = year - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
	return era * 146097 + day_of_era - 719468;
}

static bool finish(struct parts *p, int64_t *out_s)
{
	if (!p->has_year || !p->has_month || !p->has_day)
		return false;
	static const int lengths[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	if (p->year < 1970 || p->year > 9999 || p->month < 1 || p->month > 12 || p->day < 1 ||
	    p->day > lengths[p->month - 1])
		return false;
	if (p->is_pm && p->hour < 12)
		p->hour += 12;
	if (p->is_am && p->hour == 12)
		p->hour = 0;
	*out_s = days_of(p->year, p->month, p->day) * 86400 + p->hour * 3600 + p->minute * 60 + p->second - p->zone_s;
	return true;
}
