/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/recipients.h"

#include "base/cleanup.h"
#include "base/map.h"

#include "base/banned.h"

struct recipient_verdict *recipients_choose(struct arena *arena, const struct recipient_candidate *candidates, size_t count,
                                            const struct str *own, size_t own_len)
{
	static int is_own, is_taken;
	struct recipient_verdict *verdicts = ARENA_ARRAY(arena, struct recipient_verdict, count + 1);
	struct map known;

	map_init(&known, arena);
	for (size_t i = 0; i < own_len; i++)
		map_put(&known, str_lower(arena, own[i]), &is_own);
	for (size_t i = 0; i < count; i++) {
		struct str folded = str_lower(arena, candidates[i].who.address);
		const void *known_as = map_get(&known, folded);
		verdicts[i].candidate = &candidates[i];
		if (known_as == &is_own)
			verdicts[i].reason = "own_address";
		else if (known_as)
			verdicts[i].reason = "repeated";
		else if (!recipient_is_valid(candidates[i].who.address))
			verdicts[i].reason = "invalid_address";
		else {
			map_put(&known, folded, &is_taken);
			verdicts[i].is_in = true;
			verdicts[i].reason = candidates[i].why;
		}
	}
	return verdicts;
}

bool recipient_is_valid(struct str address)
{
	struct str domain = recipient_domain(address);
	size_t local_len = address.len - domain.len - 1;

	if (!domain.len || address.len > 254 || local_len == 0 || local_len > 64)
		return false;
	for (size_t i = 0; i < address.len; i++) {
		unsigned char c = (unsigned char)address.at[i];
		if (c <= 0x20 || c >= 0x7f || strchr("<>,;:()\\\"[]", c) || (c == '@' && i != local_len))
			return false;
	}
	for (size_t i = 0; i < domain.len; i++) {
		bool is_edge = i == 0 || i + 1 == domain.len || domain.at[i - 1] == '.';
		char c = domain.at[i];
		bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!is_letter && (is_edge || (c != '-' && c != '.')))
			return false;
	}
	return true;
}

bool recipient_is_unattended(struct str address)
{
	static const char *const names[] = { "noreply",       "no-reply",   "no_reply",   "no.reply",  "donotreply", "do-not-reply",
		                             "do_not_reply",  "mailer-daemon", "mailerdaemon", "postmaster", "daemon",  "bounce",
		                             "bounces",       "majordomo",  "listserv",   "nobody",    "autoreply",  "auto-reply",
		                             "notification",  "notifications" };
	static const char *const starts[] = { "noreply-", "noreply+", "no-reply-", "no-reply+", "donotreply-", "bounce-",
		                              "bounce+",  "bounces-", "bounces+", "owner-", "prvs=", "srs0=", "srs1=" };
	static const char *const ends[] = { "-noreply", "-no-reply", "-bounces", "-bounce", "-request", "-owner", ".noreply",
		                            "_noreply", "-donotreply" };
	struct str domain = recipient_domain(address);
	struct str local = domain.len ? str_slice(address, 0, address.len - domain.len - 1) : address;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_eq_nocase(local, str_of(names[i])))
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		if (str_starts_nocase(local, str_of(starts[i])))
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		if (str_ends_nocase(local, str_of(ends[i])))
			return true;
	}
	return false;
}

bool domain_is_freemail(struct str domain)
{
	static const char *const names[] = {
		"gmail.com", "googlemail.com", "outlook.com", "outlook.de", "outlook.fr", "hotmail.com", "hotmail.de", "hotmail.fr",
		"hotmail.co.uk", "hotmail.it", "hotmail.es", "live.com", "live.de", "live.fr", "live.nl", "live.co.uk", "msn.com",
		"yahoo.com", "yahoo.de", "yahoo.fr", "yahoo.co.uk", "yahoo.co.jp", "yahoo.co.in", "yahoo.it", "yahoo.es",
		"yahoo.com.br", "ymail.com", "rocketmail.com", "icloud.com", "me.com", "mac.com", "aol.com", "aol.de", "gmx.de",
		"gmx.net", "gmx.at", "gmx.ch", "gmx.com", "web.de", "freenet.de", "t-online.de", "arcor.de", "mail.de",
		"posteo.de", "mailbox.org", "proton.me", "protonmail.com", "pm.me", "tutanota.com", "tuta.io", "fastmail.com",
		"zoho.com", "mail.com", "mail.ru", "bk.ru", "list.ru", "inbox.ru", "yandex.ru", "yandex.com", "rambler.ru",
		"qq.com", "163.com", "126.com", "sina.com", "foxmail.com", "naver.com", "daum.net", "hanmail.net", "orange.fr",
		"wanadoo.fr", "free.fr", "laposte.net", "sfr.fr", "libero.it", "virgilio.it", "tiscali.it", "alice.it",
		"bluewin.ch", "hispeed.ch", "telenet.be", "skynet.be", "ziggo.nl", "kpnmail.nl", "planet.nl", "btinternet.com",
		"sky.com", "virginmedia.com", "ntlworld.com", "comcast.net", "verizon.net", "att.net", "sbcglobal.net",
		"bellsouth.net", "cox.net", "charter.net", "wp.pl", "o2.pl", "onet.pl", "interia.pl", "seznam.cz", "centrum.cz",
		"uol.com.br", "bol.com.br", "terra.com.br", "rediffmail.com", "bigpond.com", "optusnet.com.au", "shaw.ca",
		"rogers.com", "sympatico.ca", "abv.bg", "ukr.net",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_eq_nocase(domain, str_of(names[i])))
			return true;
	}
	return false;
}

struct str recipient_domain(struct str address)
{
	for (size_t at = address.len; at > 0; at--) {
		if (address.at[at - 1] == '@')
			return str_slice(address, at, address.len);
	}
	return STR("");
}
