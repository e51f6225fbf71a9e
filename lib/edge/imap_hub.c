/* SPDX-License-Identifier: Apache-2.0
 *
 * From nothing to logged in: libcurl resolves, connects, secures and authenticates, driven by our loop. The handle stays
 * in its curl_multi for life; removing it closes the connection.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/x509_vfy.h>

#include "base/clock.h"
#include "imap_private.h"

#include "base/banned.h"

/* The cost of every call grows with the connections of a curl_multi: 0.6 us at 100, 4.6 us at 1,000. */
#define CONNECTIONS_MAX 256
#define READ_SIZE 131072L

struct imap_multi {
	struct imap_multi *next;
	struct imap_hub *hub;
	CURLM *multi;
	struct loop_timer timer;
	unsigned connections;
};

/* A socket that libcurl is still busy with. */
struct busy_socket {
	struct loop_watch watch;
	struct imap_multi *multi;
};

static struct imap_multi *multi_with_room(struct imap_hub *hub);
static void take_messages(struct imap_multi *multi);
static void login_ended(struct imap *imap, CURLcode code);
static void hide_secrets(struct imap *imap);
static bool server_refused(const struct imap *imap);
static enum trouble_cause cause_of(struct imap *imap, CURLcode code);
static enum trouble_cause certificate_cause(struct imap *imap);
static void set_options(struct imap *imap);

struct imap_hub *imap_hub_new(struct loop *loop)
{
	struct imap_hub *hub = xcalloc(1, sizeof *hub);

	curl_global_init(CURL_GLOBAL_DEFAULT);
	hub->loop = loop;
	return hub;
}

void imap_hub_free(struct imap_hub *hub)
{
	if (!hub)
		return;
	imap_hub_reap(hub);
	while (hub->multis) {
		struct imap_multi *multi = hub->multis;
		hub->multis = multi->next;
		loop_timer_stop(hub->loop, &multi->timer);
		curl_multi_cleanup(multi->multi);
		free(multi);
	}
	free(hub);
	curl_global_cleanup();
}

static void busy_ready(struct loop_watch *watch, uint32_t events)
{
	struct busy_socket *busy = watch->self;
	struct imap_multi *multi = busy->multi;
	int mask = (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
	           (events & EPOLLERR ? CURL_CSELECT_ERR : 0), running;

	curl_multi_socket_action(multi->multi, watch->fd, mask, &running);
	take_messages(multi);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *self, void *socket_self)
{
	struct imap_multi *multi = self;
	struct busy_socket *busy = socket_self;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (busy) {
			loop_watch(multi->hub->loop, &busy->watch, 0);
			curl_multi_assign(multi->multi, fd, NULL);
			free(busy);
		}
		return 0;
	}
	if (!busy) {
		busy = xcalloc(1, sizeof *busy);
		busy->multi = multi;
		busy->watch = (struct loop_watch){ .fd = fd, .ready = busy_ready, .self = busy };
		curl_multi_assign(multi->multi, fd, busy);
	}
	uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
	loop_watch(multi->hub->loop, &busy->watch, events);
	return 0;
}

static void timer_fired(struct loop_timer *timer)
{
	struct imap_multi *multi = timer->self;
	int running;

	curl_multi_socket_action(multi->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	take_messages(multi);
}

static int on_timer(CURLM *handle, long wait_ms, void *self)
{
	struct imap_multi *multi = self;

	(void)handle;
	if (wait_ms < 0)
		loop_timer_stop(multi->hub->loop, &multi->timer);
	else
		loop_timer_at(multi->hub->loop, &multi->timer, clock_mono_ms() + wait_ms);
	return 0;
}

static struct imap_multi *multi_with_room(struct imap_hub *hub)
{
	for (struct imap_multi *multi = hub->multis; multi; multi = multi->next)
		if (multi->connections < CONNECTIONS_MAX)
			return multi;
	struct imap_multi *multi = xcalloc(1, sizeof *multi);
	multi->hub = hub;
	multi->multi = curl_multi_init();
	if (!multi->multi)
		die_no_memory(0);
	multi->timer.fire = timer_fired;
	multi->timer.self = multi;
	curl_multi_setopt(multi->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi->multi, CURLMOPT_SOCKETDATA, multi);
	curl_multi_setopt(multi->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi->multi, CURLMOPT_TIMERDATA, multi);
	curl_multi_setopt(multi->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX + 1);
	multi->next = hub->multis;
	hub->multis = multi;
	return multi;
}

int imap_hub_add(struct imap *imap)
{
	imap->easy = curl_easy_init();
	if (!imap->easy)
		die_no_memory(0);
	set_options(imap);
	imap->multi = multi_with_room(imap->hub);
	imap->multi->connections++;
	return curl_multi_add_handle(imap->multi->multi, imap->easy) == CURLM_OK ? 0 : -1;
}

void imap_hub_remove(struct imap *imap)
{
	if (!imap->easy)
		return;
	curl_multi_remove_handle(imap->multi->multi, imap->easy);
	curl_easy_cleanup(imap->easy);
	imap->easy = NULL;
	imap->multi->connections--;
}

/* A message may close connections, and more messages may come of that. */
static void take_messages(struct imap_multi *multi)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(multi->multi, &left))) {
		struct imap *imap = NULL;
		if (message->msg != CURLMSG_DONE)
			continue;
		CURLcode code = message->data.result;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &imap);
		login_ended(imap, code);
	}
}

static void login_ended(struct imap *imap, CURLcode code)
{
	if (code == CURLE_OK) {
		imap_take_over(imap);
		return;
	}
	enum trouble_cause cause = cause_of(imap, code);
	hide_secrets(imap);
	struct str words = buf_str(&imap->words);
	bool from_server = code == CURLE_WEIRD_SERVER_REPLY || (code == CURLE_LOGIN_DENIED && server_refused(imap));
	if (words.len == 0 || !from_server)
		words = str_of(imap->error[0] ? imap->error : curl_easy_strerror(code));
	imap_fail(imap, cause, words);
}

static void hide(struct buf *words, struct str secret)
{
	ptrdiff_t at = -1;

	while (secret.len > 0 && (at = str_find(buf_str(words), secret, (size_t)(at + 1))) >= 0)
		memset(words->at + at, '*', secret.len);
}

/* A server may repeat what it did not understand, as it came or decoded; these words are shown. */
static void hide_secrets(struct imap *imap)
{
	struct str user = str_of(imap->target.username), password = imap->target.password;
	size_t len = user.len + password.len + 2;
	unsigned char *plain = xcalloc(1, len), *coded = xcalloc(1, len / 3 * 4 + 5);

	memcpy(plain + 1, user.at, user.len);
	if (password.len > 0)
		memcpy(plain + user.len + 2, password.at, password.len);
	EVP_EncodeBlock(coded, plain, (int)len);
	hide(&imap->words, str_of((const char *)coded));
	hide(&imap->words, password);
	explicit_bzero(plain, len);
	explicit_bzero(coded, len / 3 * 4 + 5);
	free(plain);
	free(coded);
}

/* Where the server offers nothing that we have, libcurl gives up by itself and the last words are no refusal. */
static bool server_refused(const struct imap *imap)
{
	struct str words = buf_str(&imap->words), tag, verdict;

	return str_next(&words, ' ', &tag) && str_next(&words, ' ', &verdict) &&
	       (str_eq_nocase(verdict, STR("NO")) || str_eq_nocase(verdict, STR("BAD")) || str_eq_nocase(verdict, STR("BYE")));
}

static enum trouble_cause cause_of(struct imap *imap, CURLcode code)
{
	long os_error = 0;

	curl_easy_getinfo(imap->easy, CURLINFO_OS_ERRNO, &os_error);
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return TROUBLE_UNKNOWN_HOST;
	case CURLE_COULDNT_CONNECT:
		if (imap->egress.refused)
			return TROUBLE_FORBIDDEN_ADDRESS;
		if (imap->egress.clear_refused)
			return TROUBLE_CLEAR_REFUSED;
		return os_error == ECONNREFUSED ? TROUBLE_REFUSED : TROUBLE_UNREACHABLE;
	case CURLE_OPERATION_TIMEDOUT:
		return TROUBLE_TIMEOUT;
	case CURLE_PEER_FAILED_VERIFICATION:
		return certificate_cause(imap);
	case CURLE_SSL_CACERT_BADFILE:
		return TROUBLE_CA_FILE;
	case CURLE_SSL_CONNECT_ERROR:
		return TROUBLE_TLS_ON_PLAIN;
	case CURLE_USE_SSL_FAILED:
		return TROUBLE_NO_STARTTLS;
	case CURLE_LOGIN_DENIED:
		if (server_refused(imap))
			return TROUBLE_WRONG_PASSWORD;
		return imap->capabilities & IMAP_CAP_LOGINDISABLED ? TROUBLE_LOGIN_DISABLED : TROUBLE_NO_MECHANISM;
	case CURLE_WEIRD_SERVER_REPLY:
		return str_find_nocase(buf_str(&imap->words), STR("BYE"), 0) >= 0 ? TROUBLE_BYE : TROUBLE_PROTOCOL;
	default:
		return TROUBLE_CLOSED;
	}
}

static enum trouble_cause certificate_cause(struct imap *imap)
{
	long verdict = X509_V_OK;

	curl_easy_getinfo(imap->easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
	switch (verdict) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return TROUBLE_CERT_EXPIRED;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return TROUBLE_CERT_NOT_YET_VALID;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		return TROUBLE_CERT_UNKNOWN_CA;
	case X509_V_ERR_HOSTNAME_MISMATCH:
		return TROUBLE_CERT_HOST;
	default:
		/* libcurl compares the name itself, and before it looks at the chain. */
		return str_find_nocase(str_of(imap->error), STR("host name"), 0) >= 0 ? TROUBLE_CERT_HOST : TROUBLE_CERT_OTHER;
	}
}

/* Every line of the login comes here. What was said before TLS may be anybody's and is forgotten. */
static size_t on_line(char *at, size_t size, size_t count, void *self)
{
	struct imap *imap = self;
	struct str line = str_trim(str_span(at, size * count));
	ptrdiff_t list = str_find_nocase(line, STR("CAPABILITY "), 0);

	if (list >= 0) {
		ptrdiff_t end = str_find_char(line, ']', (size_t)list);
		imap->capabilities =
			imap_capability_bits(str_slice(line, (size_t)list + 11, end < 0 ? line.len : (size_t)end));
	}
	if (line.len > 0) {
		buf_reset(&imap->words);
		buf_add_str(&imap->words, str_slice(line, 0, 500));
	}
	return size * count;
}

/* Curl's own words of both directions; what we send while logging in may be a secret or lead to one. */
static int on_debug(CURL *easy, curl_infotype type, char *at, size_t len, void *self)
{
	struct imap *imap = self;
	struct str line;

	(void)easy;
	if (type == CURLINFO_HEADER_IN) {
		imap_trace(imap, true, str_trim(str_span(at, len)));
	} else if (type == CURLINFO_HEADER_OUT || type == CURLINFO_DATA_OUT) {
		struct str text = str_span(at, len);
		while (str_next_line(&text, &line)) {
			ptrdiff_t blank = str_find_char(line, ' ', 0);
			struct str verb = str_slice(line, blank < 0 ? 0 : (size_t)blank + 1, line.len);
			bool is_plain = blank >= 0 && (str_starts_nocase(verb, STR("CAPABILITY")) ||
			                               str_starts_nocase(verb, STR("STARTTLS")));
			bool is_auth = str_starts_nocase(verb, STR("AUTHENTICATE")) || str_starts_nocase(verb, STR("LOGIN"));
			if (is_plain)
				imap_trace(imap, false, line);
			else
				imap_trace(imap, false, is_auth ? STR("(login, not shown)") : STR("(secret, not shown)"));
		}
	}
	return 0;
}

/* A dead peer shows itself within 30 s of unanswered bytes, a silent path within 90 s. */
static int on_sockopt(void *self, curl_socket_t fd, curlsocktype purpose)
{
	int probes = 3;
	unsigned user_timeout_ms = 30000;

	(void)self;
	(void)purpose;
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms);
	return CURL_SOCKOPT_OK;
}

static void set_options(struct imap *imap)
{
	const struct imap_target *target = &imap->target;
	CURL *easy = imap->easy;
	char url[400];
	bool bare_v6 = strchr(target->host, ':') && target->host[0] != '[';

	snprintf(url, sizeof url, "%s://%s%s%s:%d/", target->tls == IMAP_TLS_IMPLICIT ? "imaps" : "imap",
	         bare_v6 ? "[" : "", target->host, bare_v6 ? "]" : "", target->port);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, imap);
	curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(easy, CURLOPT_USE_SSL, (long)(target->tls == IMAP_TLS_CLEAR ? CURLUSESSL_NONE : CURLUSESSL_ALL));
	curl_easy_setopt(easy, CURLOPT_USERNAME, target->username);
	char *password = xcalloc(1, target->password.len + 1);
	if (target->password.len > 0)
		memcpy(password, target->password.at, target->password.len);
	curl_easy_setopt(easy, CURLOPT_PASSWORD, password);
	explicit_bzero(password, target->password.len);
	free(password);
	/* Left alone, libcurl tries DIGEST-MD5 and CRAM-MD5 first: failed logins on the account. */
	curl_easy_setopt(easy, CURLOPT_LOGIN_OPTIONS, "AUTH=PLAIN");
	curl_easy_setopt(easy, CURLOPT_SASL_IR, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, target->insecure ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, target->insecure ? 0L : 2L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (target->ca_file[0])
		curl_easy_setopt(easy, CURLOPT_CAINFO, target->ca_file);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_line);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, imap);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, imap->error);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_sockopt);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 60L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)target->login_timeout_ms);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, READ_SIZE);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	/* A handle that is closed while a name is looked up must not wait for the name server, and the whole loop with it. */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	egress_install(&imap->egress, easy);
	if (imap->handler->trace) {
		curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L);
		curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_debug);
		curl_easy_setopt(easy, CURLOPT_DEBUGDATA, imap);
	}
}
