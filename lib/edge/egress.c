/* SPDX-License-Identifier: Apache-2.0 */
#include "egress.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

#include "base/banned.h"

enum reach { REACH_PUBLIC, REACH_PRIVATE, REACH_LOOPBACK, REACH_NEVER };

static const struct {
	uint32_t net;
	int bits;
	enum reach reach;
} v4_nets[] = {
	{ 0x00000000, 8, REACH_NEVER },    /* this network */
	{ 0x7f000000, 8, REACH_LOOPBACK }, /* 127/8 */
	{ 0x0a000000, 8, REACH_PRIVATE },  /* 10/8 */
	{ 0xac100000, 12, REACH_PRIVATE }, /* 172.16/12 */
	{ 0xc0a80000, 16, REACH_PRIVATE }, /* 192.168/16 */
	{ 0x64400000, 10, REACH_PRIVATE }, /* 100.64/10, carrier-grade NAT */
	{ 0xa9fe0000, 16, REACH_NEVER },   /* 169.254/16, link-local: metadata services */
	{ 0xe0000000, 4, REACH_NEVER },    /* 224/4, multicast */
	{ 0xf0000000, 4, REACH_NEVER },    /* 240/4, reserved and broadcast */
};

static enum reach v4_reach(uint32_t address)
{
	for (size_t i = 0; i < ARRAY_LEN(v4_nets); i++)
		if ((address ^ v4_nets[i].net) >> (32 - v4_nets[i].bits) == 0)
			return v4_nets[i].reach;
	return REACH_PUBLIC;
}

static enum reach v6_reach(const uint8_t a[16])
{
	static const uint8_t zeros[15], mapped[12] = { [10] = 0xff, [11] = 0xff },
	                                nat64[12] = { 0x00, 0x64, 0xff, 0x9b };

	if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
		return v4_reach((uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 | a[15]);
	if (memcmp(a, zeros, 15) == 0)
		return a[15] == 1 ? REACH_LOOPBACK : REACH_NEVER;
	if (a[0] == 0xff || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80)) /* multicast, link-local */
		return REACH_NEVER;
	if ((a[0] & 0xfe) == 0xfc) /* unique local */
		return a[0] == 0xfd && a[1] == 0x00 && a[2] == 0x0e && a[3] == 0xc2 ? REACH_NEVER : REACH_PRIVATE;
	return REACH_PUBLIC;
}

static enum reach reach_of(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, address, sizeof in);
		return v4_reach(ntohl(in.sin_addr.s_addr));
	}
	if (address->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, address, sizeof in6);
		return v6_reach(in6.sin6_addr.s6_addr);
	}
	return REACH_NEVER;
}

bool egress_policy_parse(const char *name, enum egress_policy *out)
{
	if (strcmp(name, "any") == 0)
		*out = EGRESS_ANY;
	else if (strcmp(name, "public") == 0)
		*out = EGRESS_PUBLIC;
	else
		return false;
	return true;
}

int egress_check(const struct egress *egress, const struct sockaddr *address, struct err *err)
{
	enum reach reach = reach_of(address);

	if (reach == REACH_NEVER)
		return err_set(err, ERR_PERM, "cannot connect: the address is link-local, multicast or unspecified");
	if (egress->policy == EGRESS_PUBLIC && reach != REACH_PUBLIC)
		return err_set(err, ERR_PERM, "cannot connect: the address is not public");
	if (egress->is_clear && !egress->clear_forced && reach != REACH_LOOPBACK)
		return err_set(err, ERR_PERM, "cannot connect in clear text to another machine");
	return 0;
}

/* libcurl tries the next address, if there is one. */
static curl_socket_t open_socket(void *self, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct egress *egress = self;

	(void)purpose;
	if (egress_check(egress, &address->addr, NULL) < 0) {
		struct egress in_tls = { .policy = egress->policy };
		if (egress_check(&in_tls, &address->addr, NULL) == 0)
			egress->clear_refused = true;
		else
			egress->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

void egress_install(struct egress *egress, CURL *easy)
{
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, egress);
}
