/* SPDX-License-Identifier: Apache-2.0 */
#include "digest.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cleanup.h"

#include "banned.h"

static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_MD *algorithm;

/* Asking OpenSSL 3 for the algorithm costs more than digesting a short text: asked once. */
static void fetch(void)
{
	algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static _Noreturn void die_no_digest(void)
{
	fprintf(stderr, "cannot compute SHA-256: libcrypto refuses it\n");
	exit(70);
}

static void context_done(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}

struct sha256 sha256_of(struct str bytes)
{
	return sha256_of_pieces(&bytes, 1);
}

struct sha256 sha256_of_pieces(const struct str *pieces, size_t count)
{
	struct sha256 sum;
	unsigned len = sizeof sum.b;

	pthread_once(&fetched, fetch);
	EVP_MD_CTX *context CLEANUP(context_done) = EVP_MD_CTX_new();
	if (!algorithm || !context || EVP_DigestInit_ex2(context, algorithm, NULL) != 1)
		die_no_digest();
	for (size_t i = 0; i < count; i++)
		if (pieces[i].len && EVP_DigestUpdate(context, pieces[i].at, pieces[i].len) != 1)
			die_no_digest();
	if (EVP_DigestFinal_ex(context, sum.b, &len) != 1)
		die_no_digest();
	return sum;
}

struct uuid sha256_uuid(struct sha256 sum)
{
	struct uuid id;

	memcpy(id.b, sum.b, sizeof id.b);
	return id;
}

struct sha256 hmac_sha256(struct str key, struct str bytes)
{
	struct sha256 sum;
	unsigned len = sizeof sum.b;

	pthread_once(&fetched, fetch);
	/* A NULL key means "the former one" to libcrypto, so an empty key is given as "". */
	if (!algorithm || key.len > INT32_MAX ||
	    !HMAC(algorithm, key.len ? key.at : "", (int)key.len, (const unsigned char *)(bytes.len ? bytes.at : ""),
	          bytes.len, sum.b, &len))
		die_no_digest();
	return sum;
}

bool digest_same(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

uint32_t murmur2_positive(struct str key)
{
	const uint32_t m = 0x5bd1e995;
	const unsigned char *at = (const unsigned char *)key.at;
	size_t len = key.len;
	uint32_t h = 0x9747b28cU ^ (uint32_t)len;

	for (; len >= 4; at += 4, len -= 4) {
		uint32_t k = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
		k *= m;
		k ^= k >> 24;
		k *= m;
		h *= m;
		h ^= k;
	}
	switch (len) {
	case 3:
		h ^= (uint32_t)at[2] << 16;
		/* fall through */
	case 2:
		h ^= (uint32_t)at[1] << 8;
		/* fall through */
	case 1:
		h ^= at[0];
		h *= m;
	}
	h ^= h >> 13;
	h *= m;
	h ^= h >> 15;
	return h & 0x7fffffff;
}

void random_bytes(void *out, size_t len)
{
	unsigned char *at = out;

	while (len) {
		ssize_t got = getrandom(at, len, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			fprintf(stderr, "cannot get random bytes from the kernel: %s\n", strerror(errno));
			exit(70);
		}
		at += got;
		len -= (size_t)got;
	}
}
