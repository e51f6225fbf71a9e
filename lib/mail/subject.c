/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/subject.h"

#include "base/vec.h"

#include "base/banned.h"

enum { NUMBERS_MOST = 20 };

/* What mail programs put before the subject of a reply or a forwarded mail, in lower case. A word must be followed by
 * a colon (ASCII or full width), perhaps after a count or a blank. Words that begin ordinary subjects ("Aw", "Doorst")
 * are safe because of the colon. */
static const char *const reply_prefixes[] = {
	"re",  "aw",  "antw",  "antwort", "sv",    "vs",  "ref", "rif",  "r",       "res",     "ynt",  "odp",
	"vá",  "ats", "atb",   "απ",      "σχετ",  "bls", "rv",  "回复", "回覆",    "答复",    "返信", "답장",
	"отв", "Отв", "ответ", "Ответ",   "תגובה", "השב", "رد",  "ตอบ",  "trả lời", "Trả lời", "rép",  "réf",
};
static const char *const forward_prefixes[] = {
	"fw",        "fwd",    "wg",     "tr",         "i",
	"enc",       "vb",     "vl",     "doorst",     "pd",
	"ilt",       "rvs",    "trs",    "továbbítás", "továbbítva",
	"πρθ",       "转发",   "轉寄",   "転送",       "전달",
	"переслано", "пересл", "Пересл", "הועבר",      "weitergeleitet",
};

static size_t prefix_length(struct str s, bool *out_is_reply);
static bool read_format(struct str format, struct str *out_before, struct str *out_after);
static bool number_at(struct str s, size_t at, struct str before, struct str after, int64_t *out, size_t *out_end);
static struct str collapse(struct arena *arena, struct str s);
static struct str without_tags(struct arena *arena, struct str s, const struct mail_strs *formats);

struct str subject_base(struct arena *arena, struct str subject, const struct mail_strs *formats)
{
	struct str s = collapse(arena, subject);
	if (formats && formats->len)
		s = collapse(arena, without_tags(arena, s, formats));
	struct str tags = STR("");
	for (;;) {
		bool is_reply;
		size_t len = prefix_length(s, &is_reply);
		if (len) {
			s = str_trim(str_slice(s, len, s.len));
			continue;
		}
		/* "[dev] Re: x" and "Re: [dev] x" are the same: a list's tag stays in front, the prefix behind it goes. */
		ptrdiff_t close = s.len && s.at[0] == '[' ? str_find_char(s, ']', 0) : -1;
		if (close < 0 || (size_t)close + 1 >= s.len)
			break;
		struct str rest = str_trim(str_slice(s, (size_t)close + 1, s.len));
		size_t behind = prefix_length(rest, &is_reply);
		if (!behind && (rest.len == 0 || rest.at[0] != '['))
			break;
		tags = str_printf(arena, "%.*s%.*s ", STR_ARG(tags), STR_ARG(str_slice(s, 0, (size_t)close + 1)));
		s = rest;
	}
	for (;;) {
		size_t before = s.len;
		if (str_ends_nocase(s, STR("(fwd)")))
			s = str_trim(str_slice(s, 0, s.len - 5));
		else if (str_starts_nocase(s, STR("[fwd:")) && str_ends(s, STR("]")))
			s = str_trim(str_slice(s, 5, s.len - 1));
		if (s.len == before)
			break;
	}
	if (tags.len)
		s = str_printf(arena, "%.*s%.*s", STR_ARG(tags), STR_ARG(s));
	return str_lower(arena, s);
}

bool subject_is_reply(struct str subject)
{
	bool is_reply = false;
	return prefix_length(str_trim(subject), &is_reply) > 0 && is_reply;
}

/* The bytes up to and with the colon; 0 where s starts with no prefix. */
static size_t prefix_length(struct str s, bool *out_is_reply)
{
	const size_t replies = ARRAY_LEN(reply_prefixes);
	for (size_t i = 0; i < replies + ARRAY_LEN(forward_prefixes); i++) {
		struct str word = str_of(i < replies ? reply_prefixes[i] : forward_prefixes[i - replies]);
		if (!str_starts_nocase(s, word))
			continue;
		size_t at = word.len;
		/* [2], (2), ^2, *2, -2 */
		if (at < s.len && strchr("[(^*-", s.at[at])) {
			size_t digits = at + 1;
			while (digits < s.len && s.at[digits] >= '0' && s.at[digits] <= '9')
				digits++;
			if (digits > at + 1) {
				at = digits;
				if (at < s.len && (s.at[at] == ']' || s.at[at] == ')'))
					at++;
			}
		} else {
			while (at < s.len && s.at[at] >= '0' && s.at[at] <= '9')
				at++;
		}
		while (at < s.len && s.at[at] == ' ')
			at++;
		*out_is_reply = i < replies;
		if (at < s.len && s.at[at] == ':')
			return at + 1;
		if (str_starts(str_slice(s, at, s.len), STR("\xef\xbc\x9a")))
			return at + 3;
	}
	return 0;
}

void subject_numbers(struct arena *arena, struct str subject, struct str format, struct subject_numbers *out)
{
	*out = (struct subject_numbers){ 0 };
	struct str before, after;
	if (!read_format(format, &before, &after))
		return;
	VEC(int64_t) numbers = { 0 };
	for (size_t at = 0; at < subject.len && numbers.len < NUMBERS_MOST; at++) {
		int64_t number;
		size_t end;
		if (!number_at(subject, at, before, after, &number, &end))
			continue;
		bool known = false;
		for (size_t i = 0; i < numbers.len; i++)
			known |= numbers.at[i] == number;
		if (!known)
			*VEC_PUSH(arena, &numbers) = number;
		at = end - 1;
	}
	out->at = numbers.at;
	out->len = numbers.len;
}

struct str subject_tag(struct arena *arena, struct str format, int64_t number)
{
	struct str before, after;
	if (!read_format(format, &before, &after))
		return str_printf(arena, "[#%lld]", (long long)number);
	return str_printf(arena, "%.*s%lld%.*s", STR_ARG(before), (long long)number, STR_ARG(after));
}

static bool read_format(struct str format, struct str *out_before, struct str *out_after)
{
	ptrdiff_t at = str_find(format, STR("%d"), 0);
	/* A bare number would be found in any subject. */
	if (at < 0 || format.len == 2)
		return false;
	*out_before = str_slice(format, 0, (size_t)at);
	*out_after = str_slice(format, (size_t)at + 2, format.len);
	return true;
}

static bool number_at(struct str s, size_t at, struct str before, struct str after, int64_t *out, size_t *out_end)
{
	if (!str_starts_nocase(str_slice(s, at, s.len), before))
		return false;
	size_t start = at + before.len, end = start;
	while (end < s.len && s.at[end] >= '0' && s.at[end] <= '9')
		end++;
	bool is_whole = before.len > 0 || at == 0 || s.at[at - 1] < '0' || s.at[at - 1] > '9';
	if (end == start || !is_whole || !str_starts_nocase(str_slice(s, end, s.len), after))
		return false;
	if (!str_to_i64(str_slice(s, start, end), 1, INT64_MAX, out))
		return false;
	*out_end = end + after.len;
	return true;
}

static struct str without_tags(struct arena *arena, struct str s, const struct mail_strs *formats)
{
	char *out = arena_alloc(arena, s.len + 1);
	size_t len = 0;
	for (size_t at = 0; at < s.len;) {
		size_t end = 0;
		for (size_t i = 0; i < formats->len && !end; i++) {
			struct str before, after;
			int64_t number;
			if (read_format(formats->at[i], &before, &after) && !number_at(s, at, before, after, &number, &end))
				end = 0;
		}
		if (end)
			at = end;
		else
			out[len++] = s.at[at++];
	}
	return (struct str){ out, len };
}

static struct str collapse(struct arena *arena, struct str s)
{
	char *out = arena_alloc(arena, s.len + 1);
	size_t len = 0;
	for (size_t i = 0; i < s.len; i++) {
		/* A no-break space is one too. */
		bool is_nbsp = s.at[i] == '\xc2' && i + 1 < s.len && s.at[i + 1] == '\xa0';
		bool is_blank = is_nbsp || (unsigned char)s.at[i] <= ' ';
		i += is_nbsp;
		if (!is_blank)
			out[len++] = s.at[i];
		else if (len && out[len - 1] != ' ')
			out[len++] = ' ';
	}
	return str_trim((struct str){ out, len });
}
