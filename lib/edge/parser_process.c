/* SPDX-License-Identifier: Apache-2.0 */
#include "parser_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "parser_frame.h"

#include "base/banned.h"

enum { READY_WAIT_MS = 60 * 1000, SOCKET_BYTES = 512 << 10, EXIT_NO_MEMORY = 70, EXIT_GLIB_FATAL = 71 };

/* An answer is a model: text is capped at 4 MB, everything else by counts. */
#define ANSWER_MOST ((size_t)64 << 20)

static int spawn(struct parser_process *process, int child_end, struct err *err);

int parser_process_start(struct parser_process *process, struct err *err)
{
	int ends[2], bytes = SOCKET_BYTES;

	*process = (struct parser_process){ .socket = -1, .is_fresh = true };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_set(err, ERR_TEMP, "could not make a socket for the parser child: %s", strerror(errno));
	for (int i = 0; i < 2; i++)
		(void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	int status = spawn(process, ends[1], err);
	close(ends[1]);
	if (status < 0) {
		close(ends[0]);
		return -1;
	}
	process->socket = ends[0];
	buf_init(&process->in, ANSWER_MOST);
	return 0;
}

static int spawn(struct parser_process *process, int child_end, struct err *err)
{
	/* An empty environment: no password and no key reaches the child. */
	static char locale[] = "LC_ALL=C.UTF-8", name[] = "mailcase-parser", option[] = PARSER_CHILD_OPTION;
	char *const environment[] = { locale, NULL };
	char *const arguments[] = { name, option, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t all, none;

	sigfillset(&all);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_init(&actions);
	/* The socket first: it may itself lie on 0, 1 or 2. */
	posix_spawn_file_actions_adddup2(&actions, child_end, PARSER_SOCKET);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, 0, 1);
#if !defined(__SANITIZE_ADDRESS__)
	posix_spawn_file_actions_adddup2(&actions, 0, 2);
#endif
	posix_spawn_file_actions_addclosefrom_np(&actions, PARSER_SOCKET + 1);
	int failed = posix_spawn(&process->pid, "/proc/self/exe", &actions, &attributes, arguments, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (!failed)
		return 0;
	process->pid = 0;
	return err_set(err, ERR_TEMP, "could not start a parser child: %s", strerror(failed));
}

int parser_process_wait_ready(struct parser_process *process, struct err *err)
{
	struct parser_frame head;
	size_t have = 0;
	int64_t until = clock_mono_ms() + READY_WAIT_MS;

	while (!process->is_ready) {
		int64_t left = until - clock_mono_ms();
		struct pollfd wait = { .fd = process->socket, .events = POLLIN };

		if (left <= 0 || (poll(&wait, 1, (int)left) < 0 && errno != EINTR))
			break;
		ssize_t got = read(process->socket, (char *)&head + have, sizeof head - have);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			break;
		have += got > 0 ? (size_t)got : 0;
		if (have == sizeof head) {
			process->is_ready = head.magic == PARSER_READY && head.length == 0;
			break;
		}
	}
	if (process->is_ready)
		return 0;
	int status = 0;
	pid_t pid = process->pid;
	kill(pid, SIGKILL);
	process->pid = 0;
	(void)waitpid(pid, &status, 0);
	parser_process_end(process, PARSE_OK);
	return err_set(err, ERR_TEMP, "could not start a parser child: it ended with %s %d",
	               WIFSIGNALED(status) ? "signal" : "status",
	               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

enum parse_verdict parser_process_end(struct parser_process *process, enum parse_verdict if_alive)
{
	enum parse_verdict verdict = if_alive;
	int status = 0;

	if (process->pid > 0) {
		/* One that is dying already keeps the status it dies with. */
		pid_t done = waitpid(process->pid, &status, WNOHANG);
		if (done == 0) {
			kill(process->pid, SIGKILL);
			(void)waitpid(process->pid, &status, 0);
		}
		if (WIFSIGNALED(status)) {
			int signal = WTERMSIG(status);
			/* A SIGKILL that is not ours is the kernel's, out of memory. */
			verdict = signal == SIGSYS    ? PARSE_FORBIDDEN
			          : signal == SIGABRT ? PARSE_NO_MEMORY
			          : signal == SIGXCPU ? PARSE_OVERRAN
			          : signal != SIGKILL ? PARSE_CRASHED
			          : done == 0         ? if_alive
			                              : PARSE_NO_MEMORY;
		} else {
			int code = WEXITSTATUS(status);
			verdict = code == EXIT_NO_MEMORY || code == EXIT_GLIB_FATAL ? PARSE_NO_MEMORY : PARSE_CRASHED;
		}
	}
	if (process->socket >= 0 && process->in.ceiling) {
		close(process->socket);
		buf_done(&process->in);
	}
	*process = (struct parser_process){ .socket = -1 };
	return verdict;
}

int64_t parser_process_cpu_ms(const struct parser_process *process)
{
	clockid_t clock;
	struct timespec used;

	if (clock_getcpuclockid(process->pid, &clock) != 0 || clock_gettime(clock, &used) < 0)
		return 0;
	return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}
