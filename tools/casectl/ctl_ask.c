/* SPDX-License-Identifier: Apache-2.0
 * ctl_ask - what a command gets from the person before it: addresses, passwords, texts
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "ctl.h"
#include "domain/recipients.h"

#include "base/banned.h"

#define PASSWORD_MAX 4096
#define BODY_MAX ((size_t)1 << 20)

static int read_all(struct ctl *ctl, int fd, const char *name, size_t limit, struct str *out);
static int ask_unseen(struct ctl *ctl, const char *prompt, struct str *out);

int ctl_address(struct ctl *ctl, const char *text, struct str *out)
{
	struct str address = str_lower(&ctl->arena, str_trim(str_of(text)));
	ptrdiff_t at = str_find_char(address, '@', 0);

	for (size_t i = 0; i < address.len; i++)
		if ((unsigned char)address.at[i] <= ' ' || strchr("<>,;\"\\", address.at[i]))
			at = -1;
	if (at < 1 || (size_t)at + 1 >= address.len || address.len > 254 || !str_is_text(address))
		return ctl_usage("%s is no mail address: somebody@example.org is the form", text);
	*out = address;
	return CTL_DONE;
}

int ctl_own_address(struct ctl *ctl, const char *text, struct str *out)
{
	int status = ctl_address(ctl, text, out);

	if (status == CTL_DONE && !recipient_is_valid(*out))
		return ctl_usage("%s cannot be written to: an address needs ASCII letters, no blanks and no quotes; an "
		                 "international domain has its xn-- form",
		                 text);
	return status;
}

static const char sql_zone[] = "SELECT 1 FROM pg_timezone_names WHERE name = $1";

int ctl_check_time_zone(struct ctl *ctl)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	if (!ctl_given(ctl, "time-zone"))
		return CTL_DONE;
	db_args_init(&args, &ctl->arena);
	ctl_arg_text(ctl, &args, "time-zone");
	if (db_query(ctl->db, sql_zone, &args, &rows, &ctl->err) < 0)
		return ctl_failed(ctl);
	return db_rows(rows) ? CTL_DONE : ctl_usage("--time-zone %s: an IANA name such as Europe/Berlin is expected",
	                                            ctl_text(ctl, "time-zone"));
}

int ctl_password(struct ctl *ctl, const char *prompt, struct str *out)
{
	const char *path = ctl_text(ctl, "password-file");

	if (!path)
		return ask_unseen(ctl, prompt, out);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err_set(&ctl->err, ERR_PERM, "cannot read the password from %s: %s", path, strerror(errno));
		return ctl_failed(ctl);
	}
	int status = read_all(ctl, fd, path, PASSWORD_MAX, out);
	close(fd);
	if (status != CTL_DONE)
		return status;
	/* The line end that editors leave is not part of it. */
	while (out->len && (out->at[out->len - 1] == '\n' || out->at[out->len - 1] == '\r'))
		out->len--;
	return out->len ? CTL_DONE : ctl_usage("%s holds no password: it is empty", path);
}

int ctl_body(struct ctl *ctl, struct str *out)
{
	const char *text = ctl_text(ctl, "text");

	if (text)
		*out = str_of(text);
	else {
		if (isatty(STDIN_FILENO))
			fputs("the text, ended by Ctrl-D:\n", stderr);
		int status = read_all(ctl, STDIN_FILENO, "standard input", BODY_MAX, out);
		if (status != CTL_DONE)
			return status;
	}
	if (out->len && memchr(out->at, '\0', out->len))
		return ctl_usage("the text holds a NUL byte: only text can be sent");
	if (!str_is_text(*out))
		return ctl_usage("the text is not UTF-8: `iconv -t utf-8` makes it so");
	return str_trim(*out).len ? CTL_DONE : ctl_usage("there is no text: give --text, or write it to standard input");
}

static int read_all(struct ctl *ctl, int fd, const char *name, size_t limit, struct str *out)
{
	char *place = arena_alloc(&ctl->arena, limit + 1);
	size_t len = 0;
	ssize_t got;

	while (len <= limit && ((got = read(fd, place + len, limit + 1 - len)) > 0 || (got < 0 && errno == EINTR)))
		len += got > 0 ? (size_t)got : 0;
	if (len > limit)
		return ctl_usage("%s holds more than %zu bytes", name, limit);
	if (got < 0) {
		err_set(&ctl->err, ERR_TEMP, "could not read %s: %s", name, strerror(errno));
		return ctl_failed(ctl);
	}
	*out = str_span(place, len);
	return CTL_DONE;
}

static void end_wait(int signal)
{
	(void)signal;
}

static int ask_unseen(struct ctl *ctl, const char *prompt, struct str *out)
{
	/* Ctrl-C ends the wait, not the program: the terminal must show again what is typed. */
	const struct sigaction wake = { .sa_handler = end_wait };
	struct sigaction interrupt;
	struct termios before, quiet;
	char line[PASSWORD_MAX];
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);

	if (fd < 0 || tcgetattr(fd, &before) < 0) {
		if (fd >= 0)
			close(fd);
		return ctl_usage("there is no terminal to ask for the password: give --password-file FILE");
	}
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	dprintf(fd, "%s: ", prompt);
	sigaction(SIGINT, &wake, &interrupt);
	tcsetattr(fd, TCSAFLUSH, &quiet);
	ssize_t got = read(fd, line, sizeof line);
	tcsetattr(fd, TCSAFLUSH, &before);
	sigaction(SIGINT, &interrupt, NULL);
	dprintf(fd, "\n");
	close(fd);
	while (got > 0 && (line[got - 1] == '\n' || line[got - 1] == '\r'))
		got--;
	if (got <= 0)
		return ctl_usage("no password was given");
	*out = str_span(arena_copy(&ctl->arena, line, (size_t)got), (size_t)got);
	explicit_bzero(line, sizeof line);
	return CTL_DONE;
}
