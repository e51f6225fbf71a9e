/* SPDX-License-Identifier: Apache-2.0
 * digest and uuid
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/digest.h"

#include "../arena_fixture.h"

#include "base/banned.h"

static void sha256_of_known_texts(void **state)
{
	static const struct {
		struct str text;
		const char *hex;
	} cases[] = {
		{ STR(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ STR("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sha256 sum = sha256_of(cases[i].text);
		assert_string_equal(str_hex(&arena, sum.b, sizeof sum.b).at, cases[i].hex);
	}
	const struct str pieces[] = { STR("a"), STR_NULL, STR("b"), STR("c") };
	struct sha256 sum = sha256_of_pieces(pieces, ARRAY_LEN(pieces)), whole = sha256_of(STR("abc"));
	assert_true(digest_same(sum.b, whole.b, sizeof sum.b));
	whole.b[31] ^= 1;
	assert_false(digest_same(sum.b, whole.b, sizeof sum.b));
	assert_memory_equal(sha256_uuid(sum).b, sum.b, 16);
}

/* RFC 4231; a run of bytes is given as its byte and length. */
static void hmac_of_rfc_4231(void **state)
{
	static const struct {
		unsigned char key_byte, data_byte;
		size_t key_len, data_len;
		const char *key, *data, *hex;
	} cases[] = {
		{ 0x0b, 0, 20, 0, NULL, "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
		{ 0, 0, 0, 0, "Jefe", "what do ya want for nothing?",
		  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
		{ 0xaa, 0xdd, 20, 50, NULL, NULL, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" },
		{ 0, 0xcd, 0, 50,
		  "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19", NULL,
		  "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b" },
		{ 0xaa, 0, 131, 0, NULL, "Test Using Larger Than Block-Size Key - Hash Key First",
		  "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
		{ 0xaa, 0, 131, 0, NULL,
		  "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be "
		  "hashed before being used by the HMAC algorithm.",
		  "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char key[131], data[50];
		memset(key, cases[i].key_byte, sizeof key);
		memset(data, cases[i].data_byte, sizeof data);
		struct sha256 sum = hmac_sha256(cases[i].key ? str_of(cases[i].key) : str_span(key, cases[i].key_len),
		                                cases[i].data ? str_of(cases[i].data) : str_span(data, cases[i].data_len));
		assert_string_equal(str_hex(&arena, sum.b, sizeof sum.b).at, cases[i].hex);
	}
	struct sha256 empty = hmac_sha256(STR_NULL, STR_NULL);
	assert_string_equal(str_hex(&arena, empty.b, sizeof empty.b).at,
	                    "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* Kafka's own UtilsTest. */
static void murmur2_as_kafka_has_it(void **state)
{
	static const struct {
		struct str key;
		int32_t expected; /* before the sign bit is cleared */
	} cases[] = {
		{ STR("21"), -973932308 },
		{ STR("foobar"), -790332482 },
		{ STR("a-little-bit-long-string"), -985981536 },
		{ STR("a-little-bit-longer-string"), -1486304829 },
		{ STR("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"), -58897971 },
		{ STR("abc"), 479470107 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(murmur2_positive(cases[i].key), (uint32_t)cases[i].expected & 0x7fffffff);
	/* An empty and a high-byte key do not read past their ends. */
	murmur2_positive(STR_NULL);
	assert_int_equal(murmur2_positive(STR("\xff\xfe\xfd")), murmur2_positive(STR("\xff\xfe\xfd")));
}

static void random_bytes_differ(void **state)
{
	unsigned char a[300] = { 0 }, b[300] = { 0 };

	(void)state;
	random_bytes(a, sizeof a);
	random_bytes(b, sizeof b);
	assert_memory_not_equal(a, b, sizeof a);
	random_bytes(a, 0);
}

static void uuid_texts(void **state)
{
	static const struct {
		const char *text, *expected; /* NULL: refused */
	} cases[] = {
		{ "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000" },
		{ "0190AbCd-ef01-7234-8567-89abcdefABCD", "0190abcd-ef01-7234-8567-89abcdefabcd" },
		{ "0190abcdef01723485678abcdefabcd", NULL },
		{ "0190abcd-ef01-7234-8567-89abcdefabc", NULL },
		{ "0190abcd-ef01-7234-8567-89abcdefabcde", NULL },
		{ "0190abcd-ef01-7234-8567_89abcdefabcd", NULL },
		{ "0190abcd-ef01-7234-8567-89abcdefabcg", NULL },
		{ "0190abcdef01--7234-8567-89abcdefabcd", NULL },
		{ "{190abcd-ef01-7234-8567-89abcdefabc}", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct uuid id = { { 1 } };
		char text[UUID_TEXT_LEN + 1];
		assert_int_equal(uuid_parse(str_of(cases[i].text), &id), cases[i].expected != NULL);
		if (cases[i].expected)
			assert_string_equal(uuid_text(id, text), cases[i].expected);
		else
			assert_int_equal(id.b[0], 1);
	}
	assert_true(uuid_is_null((struct uuid){ { 0 } }));
	assert_false(uuid_is_null((struct uuid){ { [15] = 1 } }));
	assert_true(uuid_cmp((struct uuid){ { 1 } }, (struct uuid){ { 0xff } }) < 0);
	assert_true(str_eq(uuid_str(&arena, (struct uuid){ { 0 } }), str_of(cases[0].text)));
}

static void uuid_v7_says_when(void **state)
{
	int64_t before = clock_wall_us() / 1000;
	struct uuid id = uuid_v7();
	int64_t after = clock_wall_us() / 1000, when = 0;

	(void)state;
	for (int i = 0; i < 6; i++)
		when = when << 8 | id.b[i];
	/* A set-back clock aside, the id's time is between the two. */
	assert_true(when >= before && when <= after + 1);
	assert_int_equal(id.b[6] >> 4, 7);
	assert_int_equal(id.b[8] >> 6, 2);
}

enum { THREADS = 4, IDS = 5000 };

static void *draw_ids(void *place)
{
	struct uuid *ids = place;

	for (int i = 0; i < IDS; i++)
		ids[i] = uuid_v7();
	return NULL;
}

static int by_id(const void *a, const void *b)
{
	return uuid_cmp(*(const struct uuid *)a, *(const struct uuid *)b);
}

static void uuid_v7_grows_in_every_thread_and_never_repeats(void **state)
{
	static struct uuid ids[THREADS][IDS];
	pthread_t threads[THREADS];

	(void)state;
	struct uuid first = uuid_v7();
	for (int t = 0; t < THREADS; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, draw_ids, ids[t]), 0);
	for (int t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	struct uuid last = uuid_v7();
	for (int t = 0; t < THREADS; t++) {
		assert_true(uuid_cmp(first, ids[t][0]) < 0);
		for (int i = 1; i < IDS; i++)
			assert_true(uuid_cmp(ids[t][i - 1], ids[t][i]) < 0);
	}
	qsort(ids, (size_t)THREADS * IDS, sizeof ids[0][0], by_id);
	struct uuid *sorted = ids[0];
	for (int i = 1; i < THREADS * IDS; i++)
		assert_memory_not_equal(sorted[i - 1].b, sorted[i].b, 8); /* time and counter alone tell them apart */
	assert_true(uuid_cmp(sorted[THREADS * IDS - 1], last) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_of_known_texts),
		cmocka_unit_test(hmac_of_rfc_4231),
		cmocka_unit_test(murmur2_as_kafka_has_it),
		cmocka_unit_test(random_bytes_differ),
		cmocka_unit_test(uuid_texts),
		cmocka_unit_test(uuid_v7_says_when),
		cmocka_unit_test(uuid_v7_grows_in_every_thread_and_never_repeats),
	};
	return cmocka_run_group_tests(tests, take_arena, drop_arena);
}
