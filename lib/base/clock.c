/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <stdio.h>
#include <time.h>

#include "banned.h"

#define SEC_PER_DAY INT64_C(86400)
#define FIRST_SEC INT64_C(-62167219200) /* 0000-01-01T00:00:00Z */
#define LAST_SEC INT64_C(253402300799)  /* 9999-12-31T23:59:59Z */

static int64_t days_of(int year, int month, int day);
static void date_of(int64_t days, int *out_year, int *out_month, int *out_day);
static int days_in_month(int year, int month);
static bool take_digits(struct str *s, size_t count, int *out);
static bool take_char(struct str *s, char c);
static bool take_time(struct str *s, int64_t *out_sec, int64_t *out_us, bool *out_leap);
static bool take_offset(struct str *s, int64_t *out_sec);

int64_t clock_mono_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * USEC_PER_SEC + t.tv_nsec / 1000;
}

char *clock_rfc3339(int64_t wall_us, char out[CLOCK_TEXT_LEN + 1])
{
	int64_t sec = wall_us / USEC_PER_SEC, us = wall_us % USEC_PER_SEC;
	int year, month, day;

	if (us < 0) {
		us += USEC_PER_SEC;
		sec--;
	}
	/* The text has four digits for the year. */
	if (sec < FIRST_SEC) {
		sec = FIRST_SEC;
		us = 0;
	} else if (sec > LAST_SEC) {
		sec = LAST_SEC;
		us = USEC_PER_SEC - 1;
	}
	int64_t since = sec - FIRST_SEC;
	int second = (int)(since % SEC_PER_DAY);
	date_of((since - second + FIRST_SEC) / SEC_PER_DAY, &year, &month, &day);
	int length = snprintf(out, CLOCK_TEXT_LEN + 1, "%04d-%02d-%02dT%02d:%02d:%02d", year, month, day, second / 3600,
	                      second / 60 % 60, second % 60);
	if (us)
		snprintf(out + length, (size_t)(CLOCK_TEXT_LEN + 1 - length), ".%06dZ", (int)us);
	else
		snprintf(out + length, (size_t)(CLOCK_TEXT_LEN + 1 - length), "Z");
	return out;
}

bool clock_parse(struct str text, int64_t *out_wall_us)
{
	int year, month, day;
	int64_t sec = 0, us = 0, offset = 0;
	bool leap = false;

	if (!take_digits(&text, 4, &year) || !take_char(&text, '-') || !take_digits(&text, 2, &month) ||
	    !take_char(&text, '-') || !take_digits(&text, 2, &day))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
		return false;
	if (text.len) {
		if (!take_char(&text, 'T') && !take_char(&text, 't') && !take_char(&text, ' '))
			return false;
		if (!take_time(&text, &sec, &us, &leap) || !take_offset(&text, &offset) || text.len)
			return false;
	}
	sec += days_of(year, month, day) * SEC_PER_DAY - offset;
	/* A leap second is the last of a day in UTC; this clock knows none and calls it the next day's first. */
	if (leap && (sec - FIRST_SEC) % SEC_PER_DAY != 0)
		return false;
	*out_wall_us = sec * USEC_PER_SEC + us;
	return true;
}

/* Days since 1970-01-01 in the Gregorian calendar, counted in years that begin in March and eras of 400 of them. */
static int64_t days_of(int year, int month, int day)
{
	int64_t y = year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static void date_of(int64_t days, int *out_year, int *out_month, int *out_day)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	int64_t day_of_era = days - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t shifted = (5 * day_of_year + 2) / 153;

	*out_day = (int)(day_of_year - (153 * shifted + 2) / 5 + 1);
	*out_month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
	*out_year = (int)(year_of_era + era * 400 + (*out_month <= 2));
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool is_leap_year = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && is_leap_year);
}

static bool take_digits(struct str *s, size_t count, int *out)
{
	int64_t value;

	if (s->len < count || s->at[0] == '-' || !str_to_i64(str_slice(*s, 0, count), 0, 9999, &value))
		return false;
	*out = (int)value;
	*s = str_slice(*s, count, s->len);
	return true;
}

static bool take_char(struct str *s, char c)
{
	if (s->len == 0 || s->at[0] != c)
		return false;
	*s = str_slice(*s, 1, s->len);
	return true;
}

/* HH:MM:SS and a fraction, of which microseconds are kept. */
static bool take_time(struct str *s, int64_t *out_sec, int64_t *out_us, bool *out_leap)
{
	int hour, minute, second, digit;
	int64_t us = 0;

	if (!take_digits(s, 2, &hour) || !take_char(s, ':') || !take_digits(s, 2, &minute) || !take_char(s, ':') ||
	    !take_digits(s, 2, &second))
		return false;
	if (hour > 23 || minute > 59 || second > 60)
		return false;
	if (take_char(s, '.')) {
		if (!take_digits(s, 1, &digit))
			return false;
		int64_t unit = USEC_PER_SEC / 10;
		do {
			us += digit * unit;
			unit /= 10;
		} while (take_digits(s, 1, &digit));
	}
	*out_sec = hour * 3600 + minute * 60 + second;
	*out_us = us;
	*out_leap = second == 60;
	return true;
}

static bool take_offset(struct str *s, int64_t *out_sec)
{
	int hours, minutes;

	*out_sec = 0;
	if (take_char(s, 'Z') || take_char(s, 'z'))
		return true;
	bool is_west = take_char(s, '-');
	if (!is_west && !take_char(s, '+'))
		return false;
	if (!take_digits(s, 2, &hours) || !take_char(s, ':') || !take_digits(s, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*out_sec = (hours * 3600 + minutes * 60) * (is_west ? -1 : 1);
	return true;
}
