/* SPDX-License-Identifier: Apache-2.0 */
#include "httpd.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/clock.h"

#include "base/banned.h"

#define BODY_MOST ((size_t)4 << 20)
#define CONNECTIONS_MOST 64U
#define IDLE_SECONDS 10U

struct httpd {
	struct MHD_Daemon *daemon;
	httpd_handler *handler;
	void *self;
	int port;
};

static int listen_on(const char *listen, struct err *err);
static int look_up(const char *listen, int flags, struct addrinfo **found, struct err *err);
static int bind_first(const struct addrinfo *found);
static int port_of(int fd);
static enum MHD_Result answer_request(void *self, struct MHD_Connection *connection, const char *url, const char *method,
                                      const char *version, const char *upload, size_t *upload_size, void **request);

struct httpd *httpd_start(const char *listen, httpd_handler *handler, void *self, struct err *err)
{
	int fd = listen_on(listen, err);
	if (fd < 0)
		return NULL;
	struct httpd *httpd = xcalloc(1, sizeof *httpd);
	httpd->handler = handler;
	httpd->self = self;
	httpd->port = port_of(fd);
	httpd->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO, 0, NULL, NULL, answer_request, httpd,
	                                 MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MOST,
	                                 MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS, MHD_OPTION_END);
	if (!httpd->daemon) {
		close(fd);
		free(httpd);
		err_set(err, ERR_FATAL, "cannot serve HTTP on %s: the server did not start", listen);
		return NULL;
	}
	return httpd;
}

int httpd_port(const struct httpd *httpd)
{
	return httpd->port;
}

void httpd_stop(struct httpd *httpd)
{
	if (!httpd)
		return;
	MHD_stop_daemon(httpd->daemon);
	free(httpd);
}

static int listen_on(const char *listen, struct err *err)
{
	struct addrinfo *found = NULL;
	if (look_up(listen, AI_PASSIVE, &found, err) < 0)
		return -1;
	int fd = bind_first(found);
	int why = errno;
	freeaddrinfo(found);
	if (fd < 0)
		return err_set(err, ERR_FATAL, "cannot listen on %s: %s", listen, strerrordesc_np(why));
	return fd;
}

static int look_up(const char *listen, int flags, struct addrinfo **found, struct err *err)
{
	const char *act = flags & AI_PASSIVE ? "listen on" : "ask";
	struct str text = str_of(listen), host, port;
	ptrdiff_t colon = -1;
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] == ':')
			colon = (ptrdiff_t)i;
	if (colon < 0)
		return err_set(err, ERR_FATAL, "cannot %s %s: it is no host:port", act, listen);
	host = str_slice(text, 0, (size_t)colon);
	port = str_slice(text, (size_t)colon + 1, text.len);
	if (host.len > 1 && host.at[0] == '[' && host.at[host.len - 1] == ']')
		host = str_slice(host, 1, host.len - 1);
	char host_text[256], port_text[8];
	snprintf(host_text, sizeof host_text, "%.*s", STR_ARG(host));
	snprintf(port_text, sizeof port_text, "%.*s", STR_ARG(port));

	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV };
	int failed = getaddrinfo(host.len ? host_text : NULL, port_text, &hints, found);
	if (failed)
		return err_set(err, ERR_FATAL, "cannot %s %s: %s", act, listen, gai_strerror(failed));
	return 0;
}

static int bind_first(const struct addrinfo *found)
{
	int why = EADDRNOTAVAIL;
	for (; found; found = found->ai_next) {
		int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int on = 1;
		if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
		    bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, 64) == 0)
			return fd;
		why = errno;
		if (fd >= 0)
			close(fd);
	}
	errno = why;
	return -1;
}

static int port_of(int fd)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof address;
	char port[8] = "0";
	int64_t number = 0;
	if (getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
	    getnameinfo((struct sockaddr *)&address, size, NULL, 0, port, sizeof port, NI_NUMERICSERV) == 0)
		str_to_i64(str_of(port), 0, 65535, &number);
	return (int)number;
}

static enum MHD_Result answer_request(void *self, struct MHD_Connection *connection, const char *url, const char *method,
                                      const char *version, const char *upload, size_t *upload_size, void **request)
{
	struct httpd *httpd = self;
	(void)version;
	(void)upload;
	/* The first call has the header only; a body is thrown away. */
	if (!*request) {
		*request = httpd;
		return MHD_YES;
	}
	if (*upload_size) {
		*upload_size = 0;
		return MHD_YES;
	}
	struct httpd_answer answer = { .status = 404, .type = "text/plain; charset=utf-8" };
	buf_init(&answer.body, BODY_MOST);
	httpd->handler(httpd->self, method, url, &answer);
	struct MHD_Response *response =
		MHD_create_response_from_buffer(answer.body.len, answer.body.at, MHD_RESPMEM_MUST_COPY);
	buf_done(&answer.body);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type", answer.type);
	MHD_add_response_header(response, "Cache-Control", "no-store");
	enum MHD_Result queued = MHD_queue_response(connection, answer.status, response);
	MHD_destroy_response(response);
	return queued;
}

/* --- asking ------------------------------------------------------------------------------------------------------ */

static int connect_first(const struct addrinfo *found, int timeout_ms)
{
	const struct timeval most = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000L };
	int why = EADDRNOTAVAIL;
	for (; found; found = found->ai_next) {
		int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		/* The time to send bounds connecting too. */
		if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most) == 0 &&
		    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most) == 0 &&
		    connect(fd, found->ai_addr, found->ai_addrlen) == 0)
			return fd;
		why = errno == EINPROGRESS ? ETIMEDOUT : errno;
		if (fd >= 0)
			close(fd);
	}
	errno = why;
	return -1;
}

/* "HTTP/1.x NNN": the status; -1 where it is nothing of the kind. What comes after the header stays in `answer`. */
static int take_header(struct buf *answer)
{
	struct str text = buf_str(answer);
	int64_t status;
	if (!str_starts(text, STR("HTTP/1.")) || text.len < 12 || !str_to_i64(str_slice(text, 9, 12), 100, 599, &status))
		return -1;
	const char *end = memmem(text.at, text.len, "\r\n\r\n", 4);
	buf_consume(answer, end ? (size_t)(end - text.at) + 4 : text.len);
	return (int)status;
}

int httpd_ask(const char *listen, const char *path, int timeout_ms, struct buf *body, struct err *err)
{
	struct addrinfo *found = NULL;
	if (look_up(listen, 0, &found, err) < 0)
		return -1;
	int fd = connect_first(found, timeout_ms);
	int why = errno;
	freeaddrinfo(found);
	if (fd < 0)
		return err_set(err, ERR_TEMP, "could not ask %s: %s", listen, strerrordesc_np(why));

	char request[256];
	int len = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", path);
	int64_t until_ms = clock_mono_ms() + timeout_ms;
	ssize_t got = send(fd, request, (size_t)len, MSG_NOSIGNAL) == len ? 1 : -1;
	while (got > 0 && clock_mono_ms() < until_ms) {
		char bytes[4096];
		got = recv(fd, bytes, sizeof bytes, 0);
		if (got > 0)
			buf_add(body, bytes, (size_t)got);
	}
	why = got > 0 || errno == EAGAIN ? ETIMEDOUT : errno;
	close(fd);
	if (got != 0)
		return err_set(err, ERR_TEMP, "could not ask %s: %s", listen, strerrordesc_np(why));
	int status = take_header(body);
	if (status < 0)
		return err_set(err, ERR_PERM, "cannot ask %s: what answers there does not speak HTTP", listen);
	return status;
}
