/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/charset.h"

#include <errno.h>
#include <iconv.h>
#include <uchardet/uchardet.h>

#include "mail/charset_names.h"
#include "mail/model.h"

#include "base/banned.h"

/* Charsets whose text has other than ASCII bytes for ASCII characters, or escapes made of ASCII. */
static bool is_ascii_based(const char *iconv_name);
static bool looks_ascii(struct str bytes);
static iconv_t converter(const char *iconv_name);
static struct str convert(struct arena *arena, iconv_t cd, struct str bytes, size_t *out_bad);
static struct str from_windows1252(struct arena *arena, struct str bytes);
static const char *detect(struct str bytes);
static struct str euc_of_iso2022jp(struct arena *arena, struct str bytes);

/* Opened at first use; the first alias of a charset owns its converter. */
static _Thread_local iconv_t converters[CHARSET_NAMES_MOST];
static _Thread_local bool converters_tried[CHARSET_NAMES_MOST];
static _Thread_local uchardet_t detector;

struct str charset_to_utf8(struct arena *arena, struct str declared, struct str bytes, uint32_t *defects)
{
	const char *name = charset_canonical(declared);
	if (!name) {
		*defects |= MAIL_DEFECT_UNKNOWN_CHARSET;
		name = "";
	}
	struct str source = bytes;
	if (strcmp(name, "EUC-JP-MS/7") == 0) {
		source = euc_of_iso2022jp(arena, bytes);
		name = "EUC-JP-MS";
	}
	bool ascii_based = is_ascii_based(name);
	if (ascii_based && looks_ascii(source))
		return source;
	if (strcmp(name, "UTF-8") == 0) {
		if (str_is_text(bytes))
			return bytes;
	} else if (name[0]) {
		iconv_t cd = converter(name);
		if (cd != (iconv_t)-1) {
			/* US-ASCII was declared and is not true: 8-bit bytes that are UTF-8 are more likely that. */
			bool is_lie = strcmp(name, "CP1252") == 0 && str_is_text(bytes);
			size_t bad;
			struct str text = convert(arena, cd, source, &bad);
			/* A few broken characters are damage, many are another charset. */
			if (!is_lie && bad <= 1 + bytes.len / 100)
				return text;
		}
	}
	*defects |= MAIL_DEFECT_CHARSET_GUESSED;
	if (str_is_text(bytes))
		return bytes;
	const char *guess = detect(bytes);
	if (guess && strcmp(guess, "UTF-8") != 0) {
		size_t bad = 1;
		iconv_t cd = converter(guess);
		struct str text = STR_NULL;
		if (cd != (iconv_t)-1)
			text = convert(arena, cd, bytes, &bad);
		if (bad == 0)
			return text;
	}
	/* Mostly UTF-8 with damage: keep what is whole. */
	if (strcmp(name, "UTF-8") == 0 || (guess && strcmp(guess, "UTF-8") == 0)) {
		struct str text = str_scrub(arena, bytes);
		size_t marks = 0, high = 0;
		for (size_t i = 0; i < bytes.len; i++)
			high += (unsigned char)bytes.at[i] >= 0x80;
		for (ptrdiff_t at = -1; (at = str_find(text, STR("\xef\xbf\xbd"), (size_t)(at + 1))) >= 0;)
			marks++;
		if (marks * 3 <= high)
			return text;
	}
	return from_windows1252(arena, bytes);
}

int charset_preload(struct err *err)
{
	for (size_t i = 0; i < charset_names_len; i++)
		if (charset_names[i].iconv[0] && !strchr(charset_names[i].iconv, '/') &&
		    converter(charset_names[i].iconv) == (iconv_t)-1)
			return err_set(err, ERR_FATAL, "cannot open the converter of %s: is gconv-modules-extra installed?",
			               charset_names[i].iconv);
	/* The detector allocates its tables at the first byte. */
	detect(STR("\xe4\xf6\xfc wake up"));
	return 0;
}

static bool is_ascii_based(const char *name)
{
	return strncmp(name, "UTF-16", 6) != 0 && strncmp(name, "UTF-32", 6) != 0 && strcmp(name, "UTF-7") != 0 &&
	       strncmp(name, "ISO-2022", 8) != 0;
}

static bool looks_ascii(struct str bytes)
{
	size_t i = 0;
	for (; i + 8 <= bytes.len; i += 8) {
		uint64_t word;
		memcpy(&word, bytes.at + i, 8);
		/* A high bit, or a byte that is zero. */
		if ((word & UINT64_C(0x8080808080808080)) ||
		    ((word - UINT64_C(0x0101010101010101)) & ~word & UINT64_C(0x8080808080808080)))
			return false;
	}
	for (; i < bytes.len; i++)
		if ((unsigned char)bytes.at[i] - 1u >= 0x7f)
			return false;
	return true;
}

static iconv_t converter(const char *name)
{
	for (size_t i = 0; i < charset_names_len; i++) {
		if (strcmp(charset_names[i].iconv, name) != 0)
			continue;
		if (!converters_tried[i]) {
			converters_tried[i] = true;
			converters[i] = iconv_open("UTF-8", name);
		}
		return converters[i];
	}
	return (iconv_t)-1;
}

static struct str convert(struct arena *arena, iconv_t cd, struct str bytes, size_t *out_bad)
{
	*out_bad = 0;
	iconv(cd, NULL, NULL, NULL, NULL);
	/* No charset of ours needs more than three bytes of UTF-8 for one of its own; U+FFFD is three. */
	size_t room = bytes.len * 3 + 64;
	char *text = arena_alloc(arena, room), *out = text;
	char *in = (char *)(uintptr_t)bytes.at;
	size_t in_left = bytes.len, out_left = room;
	while (in_left) {
		if (iconv(cd, &in, &in_left, &out, &out_left) != (size_t)-1)
			break;
		if (errno == E2BIG || out_left < 3)
			break;
		/* Damaged or cut off: a mark, and on with the next byte. */
		(*out_bad)++;
		memcpy(out, "\xef\xbf\xbd", 3);
		out += 3;
		out_left -= 3;
		in++;
		in_left--;
	}
	iconv(cd, NULL, NULL, &out, &out_left);
	struct str result = { text, (size_t)(out - text) };
	return str_is_text(result) ? result : str_scrub(arena, result);
}

static struct str from_windows1252(struct arena *arena, struct str bytes)
{
	size_t bad;
	iconv_t cd = converter("CP1252");
	return cd == (iconv_t)-1 ? str_scrub(arena, bytes) : convert(arena, cd, bytes, &bad);
}

/* An iconv name of ours, or NULL. */
static const char *detect(struct str bytes)
{
	if (!detector)
		detector = uchardet_new();
	uchardet_reset(detector);
	/* The detector is slow, and sure after a while. */
	if (uchardet_handle_data(detector, bytes.at, bytes.len > 16384 ? 16384 : bytes.len) != 0)
		return NULL;
	uchardet_data_end(detector);
	const char *name = charset_canonical(str_of(uchardet_get_charset(detector)));
	return name && name[0] && !strchr(name, '/') ? name : NULL;
}

/* The escapes of ISO-2022-JP select a set; EUC writes the same characters with the high bit. */
static struct str euc_of_iso2022jp(struct arena *arena, struct str bytes)
{
	enum { ASCII, KANJI, KANA, SUPPLEMENT } set = ASCII;
	char *out = arena_alloc(arena, bytes.len * 2 + 4);
	size_t len = 0;
	for (size_t i = 0; i < bytes.len; i++) {
		struct str rest = str_slice(bytes, i, bytes.len);
		if (rest.at[0] == 27 && rest.len >= 3) {
			if (str_starts(rest, STR("\033$(D"))) {
				set = SUPPLEMENT;
				i += 3;
				continue;
			}
			if (rest.at[1] == '$' || rest.at[1] == '(') {
				set = rest.at[1] == '$' ? KANJI : rest.at[2] == 'I' ? KANA : ASCII;
				i += 2;
				continue;
			}
		}
		unsigned char c = (unsigned char)rest.at[0];
		/* A line end resets the set, and what is no code point of it stands for itself. */
		if (c == '\n')
			set = ASCII;
		if (set == ASCII || c <= 32 || c >= 127) {
			/* 8-bit bytes have no place here: one that no charset has, so that they are counted. */
			out[len++] = (char)(c >= 0x80 ? 0xff : c);
			continue;
		}
		if (set != KANJI)
			out[len++] = set == KANA ? '\x8e' : '\x8f';
		out[len++] = (char)(c | 0x80);
		if (set != KANA && i + 1 < bytes.len)
			out[len++] = (char)((unsigned char)bytes.at[++i] | 0x80);
	}
	return (struct str){ out, len };
}
