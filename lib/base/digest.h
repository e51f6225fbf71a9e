/* SPDX-License-Identifier: Apache-2.0
 * digest - SHA-256, HMAC-SHA-256, murmur2 (thin over OpenSSL's libcrypto)
 */
#ifndef MAILCASE_DIGEST_H
#define MAILCASE_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"
#include "uuid.h"

struct sha256 {
	uint8_t b[32];
};

struct sha256 sha256_of(struct str bytes);

/* Over several pieces, in order. */
struct sha256 sha256_of_pieces(const struct str *pieces, size_t count);

/* The first 16 bytes, as a key. */
struct uuid sha256_uuid(struct sha256 sum);

struct sha256 hmac_sha256(struct str key, struct str bytes);

/* Constant time. */
bool digest_same(const void *a, const void *b, size_t len);

/* Kafka's default partitioner (org.apache.kafka.common.utils.Utils.murmur2), sign bit cleared: partition is this modulo
 * the number of partitions, so that Java consumers co-partition. */
uint32_t murmur2_positive(struct str key);

/* Random bytes from the kernel; exits where there are none. */
void random_bytes(void *out, size_t len);

#endif
