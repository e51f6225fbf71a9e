/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/token.h"

#include "base/digest.h"

#include "base/banned.h"

enum { SIGNED_LEN = 9, MAC_LEN = 16, PLAIN_LEN = SIGNED_LEN + MAC_LEN };

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

static void mac_of(const struct token_keys *keys, const struct token_key *key, const uint8_t signed_part[SIGNED_LEN],
                   uint8_t out[MAC_LEN]);
static int digit_of(char c);
static void base32_write(const uint8_t plain[PLAIN_LEN], char out[TOKEN_LEN + 1]);
static bool base32_read(struct str text, uint8_t out[PLAIN_LEN]);

bool token_make(const struct token_keys *keys, int64_t serial, char out[TOKEN_LEN + 1])
{
	for (size_t i = 0; i < keys->len; i++) {
		const struct token_key *key = &keys->at[i];
		if (key->is_retired)
			continue;
		uint8_t plain[PLAIN_LEN];
		plain[0] = key->id;
		for (int byte = 0; byte < 8; byte++)
			plain[1 + byte] = (uint8_t)((uint64_t)serial >> (56 - 8 * byte));
		mac_of(keys, key, plain, plain + SIGNED_LEN);
		base32_write(plain, out);
		return true;
	}
	return false;
}

bool token_verify(const struct token_keys *keys, struct str text, int64_t *out_serial)
{
	uint8_t plain[PLAIN_LEN];
	if (!base32_read(text, plain))
		return false;
	for (size_t i = 0; i < keys->len; i++) {
		const struct token_key *key = &keys->at[i];
		if (key->id != plain[0])
			continue;
		uint8_t mac[MAC_LEN];
		mac_of(keys, key, plain, mac);
		if (!digest_same(mac, plain + SIGNED_LEN, MAC_LEN))
			return false;
		uint64_t serial = 0;
		for (int byte = 0; byte < 8; byte++)
			serial = serial << 8 | plain[1 + byte];
		*out_serial = (int64_t)serial;
		return true;
	}
	return false;
}

bool token_looks_like(struct str text)
{
	if (text.len != TOKEN_LEN)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (digit_of(text.at[i]) < 0)
			return false;
	return true;
}

/* A token stands alone: a run of exactly 40 digits of base32. A longer run is somebody else's. */
bool token_next(struct str text, size_t *from, struct str *out)
{
	size_t at = *from;
	while (at < text.len) {
		if (digit_of(text.at[at]) < 0) {
			at++;
			continue;
		}
		size_t end = at;
		while (end < text.len && digit_of(text.at[end]) >= 0)
			end++;
		if (end - at == TOKEN_LEN) {
			*out = str_span(text.at + at, TOKEN_LEN);
			*from = end;
			return true;
		}
		at = end;
	}
	*from = at;
	return false;
}

/* The tenant is signed along, so that a key copied to another tenant signs nothing of this one. */
static void mac_of(const struct token_keys *keys, const struct token_key *key, const uint8_t signed_part[SIGNED_LEN],
                   uint8_t out[MAC_LEN])
{
	uint8_t bytes[sizeof keys->tenant.id.b + SIGNED_LEN];
	memcpy(bytes, keys->tenant.id.b, sizeof keys->tenant.id.b);
	memcpy(bytes + sizeof keys->tenant.id.b, signed_part, SIGNED_LEN);
	struct sha256 mac =
		hmac_sha256(str_span((const char *)key->secret, TOKEN_SECRET_LEN), str_span((const char *)bytes, sizeof bytes));
	memcpy(out, mac.b, MAC_LEN);
}

static int digit_of(char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= '2' && c <= '7')
		return c - '2' + 26;
	return -1;
}

/* 25 bytes are five groups of 40 bits: no padding, no spare bits, so that each token has one spelling. */
static void base32_write(const uint8_t plain[PLAIN_LEN], char out[TOKEN_LEN + 1])
{
	for (int group = 0; group < PLAIN_LEN / 5; group++) {
		uint64_t bits = 0;
		for (int i = 0; i < 5; i++)
			bits = bits << 8 | plain[group * 5 + i];
		for (int i = 0; i < 8; i++)
			out[group * 8 + i] = alphabet[bits >> (35 - 5 * i) & 31];
	}
	out[TOKEN_LEN] = '\0';
}

static bool base32_read(struct str text, uint8_t out[PLAIN_LEN])
{
	if (!token_looks_like(text))
		return false;
	for (int group = 0; group < PLAIN_LEN / 5; group++) {
		uint64_t bits = 0;
		for (int i = 0; i < 8; i++)
			bits = bits << 5 | (uint64_t)digit_of(text.at[group * 8 + i]);
		for (int i = 0; i < 5; i++)
			out[group * 5 + i] = (uint8_t)(bits >> (32 - 8 * i));
	}
	return true;
}
