/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/smtp_login.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/x509_vfy.h>

#include "edge/smtp.h"

#include "base/banned.h"

static size_t on_line(char *bytes, size_t size, size_t count, void *self);
static int on_socket(void *self, curl_socket_t fd, curlsocktype purpose);
static enum trouble_cause refused_login(const struct smtp_login *login);
static enum trouble_cause refused_certificate(const struct smtp_login *login, CURL *easy);

CURL *smtp_login_begin(struct smtp_login *login, const struct smtp_target *target)
{
	CURL *easy = curl_easy_init();
	char url[512];

	if (!easy)
		die_no_memory(1);
	*login = (struct smtp_login){
		.egress = { .policy = target->egress, .is_clear = target->tls == SMTP_TLS_CLEAR, .clear_forced = target->insecure },
		.wants_login = target->username[0],
	};
	smtp_reply_init(&login->parser);
	/* The path is the name that EHLO gives. */
	snprintf(url, sizeof url, "%s://%s:%d/%s", target->tls == SMTP_TLS_IMPLICIT ? "smtps" : "smtp", target->host, target->port,
	         target->helo);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	/* Never CURLUSESSL_TRY: it sends the password in clear when somebody strips STARTTLS. */
	curl_easy_setopt(easy, CURLOPT_USE_SSL, target->tls == SMTP_TLS_CLEAR ? (long)CURLUSESSL_NONE : (long)CURLUSESSL_ALL);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (target->insecure) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (target->ca_file[0])
		curl_easy_setopt(easy, CURLOPT_CAINFO, target->ca_file);
	if (target->username[0]) {
		curl_easy_setopt(easy, CURLOPT_USERNAME, target->username);
		curl_easy_setopt(easy, CURLOPT_PASSWORD, target->password);
		/* Left alone libcurl tries DIGEST-MD5 and CRAM-MD5 first: a refusal each. */
		curl_easy_setopt(easy, CURLOPT_LOGIN_OPTIONS, "AUTH=PLAIN;AUTH=LOGIN");
		curl_easy_setopt(easy, CURLOPT_SASL_IR, 1L);
	}
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)target->login_timeout_ms);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_line);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, login);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, login->curl_text);
	egress_install(&login->egress, easy);
	return easy;
}

enum trouble_cause smtp_login_result(const struct smtp_login *login, CURL *easy, CURLcode code, struct str *out_words)
{
	long os_errno = 0;

	*out_words = login->refusal[0] ? str_of(login->refusal) : str_of(login->curl_text);
	if (login->egress.clear_refused && code != CURLE_OK)
		return TROUBLE_CLEAR_REFUSED;
	if (login->egress.refused && code != CURLE_OK)
		return TROUBLE_FORBIDDEN_ADDRESS;
	switch (code) {
	case CURLE_OK:
		/* libcurl goes on without a login where none is offered. */
		if (login->wants_login && !login->capabilities.has_auth_plain && !login->capabilities.has_auth_login) {
			*out_words = STR("the server offers no login");
			return TROUBLE_NO_MECHANISM;
		}
		return TROUBLE_NONE;
	case CURLE_COULDNT_RESOLVE_HOST:
		return TROUBLE_UNKNOWN_HOST;
	case CURLE_COULDNT_CONNECT:
		curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_errno);
		return os_errno == ECONNREFUSED ? TROUBLE_REFUSED : TROUBLE_UNREACHABLE;
	case CURLE_OPERATION_TIMEDOUT:
		return TROUBLE_TIMEOUT;
	case CURLE_SSL_CACERT_BADFILE:
		return TROUBLE_CA_FILE;
	case CURLE_PEER_FAILED_VERIFICATION:
		return refused_certificate(login, easy);
	case CURLE_SSL_CONNECT_ERROR:
		return TROUBLE_TLS_ON_PLAIN;
	case CURLE_USE_SSL_FAILED:
		return TROUBLE_NO_STARTTLS;
	case CURLE_LOGIN_DENIED:
		return refused_login(login);
	case CURLE_WEIRD_SERVER_REPLY:
		return login->refusal_code ? TROUBLE_SERVER_BUSY : TROUBLE_PROTOCOL;
	default:
		return TROUBLE_CLOSED;
	}
}

static enum trouble_cause refused_login(const struct smtp_login *login)
{
	if (!login->capabilities.has_auth_plain && !login->capabilities.has_auth_login)
		return TROUBLE_NO_MECHANISM;
	if (login->refusal_code >= 400 && login->refusal_code < 500)
		return TROUBLE_SERVER_BUSY;
	return login->refusal_code == 538 ? TROUBLE_LOGIN_DISABLED : TROUBLE_WRONG_PASSWORD;
}

static enum trouble_cause refused_certificate(const struct smtp_login *login, CURL *easy)
{
	long result = 0;

	curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &result);
	switch (result) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return TROUBLE_CERT_EXPIRED;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return TROUBLE_CERT_NOT_YET_VALID;
	case X509_V_ERR_HOSTNAME_MISMATCH:
		return TROUBLE_CERT_HOST;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
		return TROUBLE_CERT_UNKNOWN_CA;
	case X509_V_OK:
		/* libcurl compares names itself, after the chain was found good. */
		return str_find_nocase(str_of(login->curl_text), STR("subject name"), 0) >= 0 ? TROUBLE_CERT_HOST : TROUBLE_CERT_OTHER;
	default:
		return TROUBLE_CERT_OTHER;
	}
}

/* Every line of the server during the login. */
static size_t on_line(char *bytes, size_t size, size_t count, void *self)
{
	struct smtp_login *login = self;
	struct str rest = str_span(bytes, size * count);
	const struct smtp_reply *reply;

	while (rest.len && smtp_reply_feed(&login->parser, &rest, &reply) == SMTP_FEED_REPLY) {
		if (reply->code == 250)
			smtp_capabilities_read(reply, &login->capabilities);
		else if (reply->code >= 400) {
			login->refusal_code = reply->code;
			snprintf(login->refusal, sizeof login->refusal, "%d %s", reply->code, reply->text);
		}
	}
	return size * count;
}

/* A link that died without a word is noticed within half a minute. */
static int on_socket(void *self, curl_socket_t fd, curlsocktype purpose)
{
	int probes = 3;
	unsigned user_timeout_ms = 30000;

	(void)self;
	(void)purpose;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms);
	return CURL_SOCKOPT_OK;
}
