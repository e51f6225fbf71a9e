/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "edge/egress.h"

static const struct {
	const char *address;
	bool any, public, clear; /* allowed: by either policy over TLS, in clear by `any` */
} addresses[] = {
	{ "192.0.2.7", true, true, false },
	{ "8.8.8.8", true, true, false },
	{ "127.0.0.1", true, false, true },
	{ "127.8.9.1", true, false, true },
	{ "::1", true, false, true },
	{ "10.1.2.3", true, false, false },
	{ "172.16.0.1", true, false, false },
	{ "172.32.0.1", true, true, false },
	{ "192.168.1.1", true, false, false },
	{ "100.64.0.1", true, false, false },
	{ "fd12::1", true, false, false },
	{ "2001:db8::1", true, true, false },
	{ "169.254.169.254", false, false, false },
	{ "fd00:ec2::254", false, false, false },
	{ "fd00:ec02::254", true, false, false },
	{ "fe80::1", false, false, false },
	{ "0.0.0.0", false, false, false },
	{ "::", false, false, false },
	{ "224.0.0.1", false, false, false },
	{ "255.255.255.255", false, false, false },
	{ "ff02::1", false, false, false },
	{ "::ffff:169.254.169.254", false, false, false },
	{ "::ffff:127.0.0.1", true, false, true },
	{ "64:ff9b::a9fe:a9fe", false, false, false },
};

static void addresses_are_judged_as_they_are_resolved(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		struct sockaddr_storage storage = { 0 };
		struct sockaddr_in in = { .sin_family = AF_INET };
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
		if (inet_pton(AF_INET, addresses[i].address, &in.sin_addr) == 1) {
			memcpy(&storage, &in, sizeof in);
		} else {
			assert_int_equal(inet_pton(AF_INET6, addresses[i].address, &in6.sin6_addr), 1);
			memcpy(&storage, &in6, sizeof in6);
		}
		const struct sockaddr *at = (const struct sockaddr *)(const void *)&storage;
		struct egress any = { .policy = EGRESS_ANY }, public = { .policy = EGRESS_PUBLIC };
		struct egress clear = { .policy = EGRESS_ANY, .is_clear = true };
		if ((egress_check(&any, at, NULL) == 0) != addresses[i].any ||
		    (egress_check(&public, at, NULL) == 0) != addresses[i].public ||
		    (egress_check(&clear, at, NULL) == 0) != addresses[i].clear)
			fail_msg("%s", addresses[i].address);
		clear.clear_forced = true;
		assert_int_equal(egress_check(&clear, at, NULL) == 0, addresses[i].any);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_judged_as_they_are_resolved),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
