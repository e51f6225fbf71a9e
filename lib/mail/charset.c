/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/charset.h"

#include <errno.h>
#include <iconv.h>
#include <uchardet/uchardet.h>

#include "mail/model.h"

#include "base/banned.h"

struct alias {
	const char *name; /* lower case, without "-", "_", ".", ":" and blanks */
	const char *iconv;
};

/* Where the WHATWG encoding standard reads a label as the superset that the senders meant, so do we.
 * EUC-JP-MS/7 is ours: ISO-2022-JP with the characters of Windows, which glibc's converter refuses. */
static const struct alias aliases[] = {
	{ "", "" },
	{ "646", "CP1252" },
	{ "ansix31101983", "CP1252" },
	{ "ansix341968", "CP1252" },
	{ "ansix341986", "CP1252" },
	{ "ascii", "CP1252" },
	{ "autodetect", "" },
	{ "big5", "BIG5-HKSCS" },
	{ "big5hkscs", "BIG5-HKSCS" },
	{ "chinesebig5", "BIG5-HKSCS" },
	{ "cnbig5", "BIG5-HKSCS" },
	{ "cngb", "GB18030" },
	{ "cp1250", "CP1250" },
	{ "cp1251", "CP1251" },
	{ "cp1252", "CP1252" },
	{ "cp1253", "CP1253" },
	{ "cp1254", "CP1254" },
	{ "cp1255", "CP1255" },
	{ "cp1256", "CP1256" },
	{ "cp1257", "CP1257" },
	{ "cp1258", "CP1258" },
	{ "cp437", "IBM437" },
	{ "cp850", "IBM850" },
	{ "cp852", "IBM852" },
	{ "cp855", "IBM855" },
	{ "cp858", "IBM858" },
	{ "cp862", "IBM862" },
	{ "cp866", "IBM866" },
	{ "cp874", "CP874" },
	{ "cp932", "CP932" },
	{ "cp936", "GB18030" },
	{ "cp949", "CP949" },
	{ "cp950", "BIG5-HKSCS" },
	{ "csbig5", "BIG5-HKSCS" },
	{ "cseuckr", "CP949" },
	{ "csgb2312", "GB18030" },
	{ "csiso2022jp", "EUC-JP-MS/7" },
	{ "csisolatin1", "CP1252" },
	{ "csisolatin2", "ISO-8859-2" },
	{ "csisolatin5", "CP1254" },
	{ "cskoi8r", "KOI8-R" },
	{ "csksc56011987", "CP949" },
	{ "csshiftjis", "CP932" },
	{ "default", "" },
	{ "eucjp", "EUC-JP-MS" },
	{ "euckr", "CP949" },
	{ "euctw", "EUC-TW" },
	{ "gb18030", "GB18030" },
	{ "gb2312", "GB18030" },
	{ "gb231280", "GB18030" },
	{ "gbk", "GB18030" },
	{ "georgianps", "GEORGIAN-PS" },
	{ "ibm437", "IBM437" },
	{ "ibm850", "IBM850" },
	{ "ibm852", "IBM852" },
	{ "ibm855", "IBM855" },
	{ "ibm858", "IBM858" },
	{ "ibm862", "IBM862" },
	{ "ibm866", "IBM866" },
	{ "iso10646ucs2", "UTF-16" },
	{ "iso2022cn", "ISO-2022-CN" },
	{ "iso2022jp", "EUC-JP-MS/7" },
	{ "iso2022jp1", "EUC-JP-MS/7" },
	{ "iso2022jp2", "ISO-2022-JP-2" },
	{ "iso2022jp3", "EUC-JP-MS/7" },
	{ "iso2022kr", "ISO-2022-KR" },
	{ "iso646us", "CP1252" },
	{ "iso88591", "CP1252" },
	{ "iso885910", "ISO-8859-10" },
	{ "iso885911", "CP874" },
	{ "iso885913", "ISO-8859-13" },
	{ "iso885914", "ISO-8859-14" },
	{ "iso885915", "ISO-8859-15" },
	{ "iso885916", "ISO-8859-16" },
	{ "iso885911987", "CP1252" },
	{ "iso88592", "ISO-8859-2" },
	{ "iso88593", "ISO-8859-3" },
	{ "iso88594", "ISO-8859-4" },
	{ "iso88595", "ISO-8859-5" },
	{ "iso88596", "ISO-8859-6" },
	{ "iso88597", "ISO-8859-7" },
	{ "iso88598", "ISO-8859-8" },
	{ "iso88598e", "ISO-8859-8" },
	{ "iso88598i", "ISO-8859-8" },
	{ "iso88599", "CP1254" },
	{ "johab", "JOHAB" },
	{ "koi8", "KOI8-R" },
	{ "koi8r", "KOI8-R" },
	{ "koi8ru", "KOI8-U" },
	{ "koi8t", "KOI8-T" },
	{ "koi8u", "KOI8-U" },
	{ "korean", "CP949" },
	{ "ksc5601", "CP949" },
	{ "ksc56011987", "CP949" },
	{ "ksc56011989", "CP949" },
	{ "l1", "CP1252" },
	{ "l2", "ISO-8859-2" },
	{ "latin1", "CP1252" },
	{ "latin2", "ISO-8859-2" },
	{ "latin5", "CP1254" },
	{ "latin9", "ISO-8859-15" },
	{ "mac", "MACINTOSH" },
	{ "maccyrillic", "MAC-CYRILLIC" },
	{ "macintosh", "MACINTOSH" },
	{ "macroman", "MACINTOSH" },
	{ "mskanji", "CP932" },
	{ "none", "" },
	{ "shiftjis", "CP932" },
	{ "sjis", "CP932" },
	{ "sununi", "" },
	{ "tcvn", "TCVN5712-1" },
	{ "tcvn5712", "TCVN5712-1" },
	{ "tis620", "CP874" },
	{ "uhc", "CP949" },
	{ "uft8", "UTF-8" },
	{ "unicode11utf7", "UTF-7" },
	{ "unicode11utf8", "UTF-8" },
	{ "unicode20utf8", "UTF-8" },
	{ "unicodefffe", "UTF-16BE" },
	{ "unknown", "" },
	{ "unknown8bit", "" },
	{ "us", "CP1252" },
	{ "usascii", "CP1252" },
	{ "utf16", "UTF-16" },
	{ "utf16be", "UTF-16BE" },
	{ "utf16le", "UTF-16LE" },
	{ "utf32", "UTF-32" },
	{ "utf32be", "UTF-32BE" },
	{ "utf32le", "UTF-32LE" },
	{ "utf7", "UTF-7" },
	{ "utf8", "UTF-8" },
	{ "viscii", "VISCII" },
	{ "windows1250", "CP1250" },
	{ "windows1251", "CP1251" },
	{ "windows1252", "CP1252" },
	{ "windows1253", "CP1253" },
	{ "windows1254", "CP1254" },
	{ "windows1255", "CP1255" },
	{ "windows1256", "CP1256" },
	{ "windows1257", "CP1257" },
	{ "windows1258", "CP1258" },
	{ "windows31j", "CP932" },
	{ "windows874", "CP874" },
	{ "windows936", "GB18030" },
	{ "windows949", "CP949" },
	{ "x8bit", "" },
	{ "xeucjp", "EUC-JP-MS" },
	{ "xeuctw", "EUC-TW" },
	{ "xgbk", "GB18030" },
	{ "xmaccyrillic", "MAC-CYRILLIC" },
	{ "xmacroman", "MACINTOSH" },
	{ "xsjis", "CP932" },
	{ "xunknown", "" },
	{ "xuserdefined", "" },
	{ "xwindows949", "CP949" },
	{ "xxbig5", "BIG5-HKSCS" },
};

/* Charsets whose text has other than ASCII bytes for ASCII characters, or escapes made of ASCII. */
static bool is_ascii_based(const char *iconv_name);
static bool looks_ascii(struct str bytes);
static iconv_t converter(const char *iconv_name);
static struct str convert(struct arena *arena, iconv_t cd, struct str bytes, size_t *out_bad);
static struct str from_windows1252(struct arena *arena, struct str bytes);
static const char *detect(struct str bytes);
static struct str euc_of_iso2022jp(struct arena *arena, struct str bytes);

/* One converter for each alias, opened at first use; two aliases of one charset have one each. */
static _Thread_local iconv_t converters[ARRAY_LEN(aliases)];
static _Thread_local bool converters_tried[ARRAY_LEN(aliases)];
static _Thread_local uchardet_t detector;

static const struct alias *find_alias(struct str name)
{
	char folded[32];
	size_t len = 0;
	name = str_trim(name);
	for (size_t i = 0; i < name.len; i++) {
		char c = name.at[i];
		if (c >= 'A' && c <= 'Z')
			c = (char)(c + ('a' - 'A'));
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
			if (len == sizeof(folded))
				return NULL;
			folded[len++] = c;
		}
	}
	struct str key = { folded, len };
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (str_eq(str_of(aliases[i].name), key))
			return &aliases[i];
	return NULL;
}

const char *charset_canonical(struct str name)
{
	const struct alias *alias = find_alias(name);
	return alias ? alias->iconv : NULL;
}

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
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (aliases[i].iconv[0] && !strchr(aliases[i].iconv, '/') && converter(aliases[i].iconv) == (iconv_t)-1)
			return err_set(err, ERR_FATAL, "cannot open the converter of %s: is gconv-modules-extra installed?",
			               aliases[i].iconv);
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
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++) {
		if (strcmp(aliases[i].iconv, name) != 0)
			continue;
		/* The first alias of a charset owns its converter. */
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
