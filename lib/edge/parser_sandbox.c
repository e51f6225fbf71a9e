/* SPDX-License-Identifier: Apache-2.0 */
#include "parser_sandbox.h"

#include <errno.h>
#include <malloc.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "mail/charset.h"
#include "mail/parse.h"
#include "parser_frame.h"
#include "wire/parsed_mail.h"

#include "base/banned.h"

enum { READ_AHEAD = 256 << 10, ANSWERS_MOST = 128 << 10 };

#define MEMORY_MOST (UINT64_C(768) << 20)
#define STACK_MOST (UINT64_C(8) << 20)
/* A backstop for a child whose parent has gone wrong: the parent's own deadlines are far shorter. */
#define CPU_SECONDS_MOST 3600

static void warm_up(void);
static void drop_rights(void);
static void set_limits(void);
static void set_filter(void);
static void serve(void);
static bool read_some(struct buf *in);
static void write_all(struct buf *out);
static void answer(struct arena *arena, const struct parser_frame *request, struct str raw, struct buf *out);

_Noreturn void parser_sandbox_main(void)
{
	/* One arena, which gives nothing back between mails: each would ask the kernel for the same memory again. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 8 << 20);
	mallopt(M_TRIM_THRESHOLD, 16 << 20);
	mail_parse_init();
	if (charset_preload(NULL) < 0)
		_exit(PARSER_EXIT_NO_CHARSET);
	warm_up();
	drop_rights();
	serve();
	_exit(0);
}

/* A mail with every feature, so that whatever is opened or allocated at first use is, before that is forbidden. */
static void warm_up(void)
{
	static const char mail[] =
		"Received: from a by b; Tue, 5 Mar 2019 10:00:00 +0100\r\n"
		"From: =?iso-8859-1?Q?J=F6rg?= <a@example.org>\r\n"
		"To: \"B, C\" <b@example.org>, friends: c@example.org;\r\n"
		"Subject: =?utf-8?B?w6TDtsO8?= =?shift_jis?B?g2WDWINn?=\r\n"
		"Date: Tue, 5 Mar 2019 10:00:00 +0100\r\n"
		"References: <1@example.org> <2@example.org>\r\n"
		"Auto-Submitted: auto-replied\r\n"
		"Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n"
		"--b\r\nContent-Type: text/plain\r\n\r\n\xe4\xf6\xfc says the detector\r\n"
		"--b\r\nContent-Type: text/html; charset=iso-2022-jp\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
		"<p>=1B$B%F%9%H=1B(B</p>\r\n"
		"--b\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\n"
		"--b\r\nContent-Type: application/pdf; name*=utf-8''%C3%A4.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
		"JVBERg==\r\n"
		"--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <3@example.org>\r\n\r\nx\r\n--b--\r\n";
	static const char html_only[] = "Content-Type: text/html; charset=windows-1251\r\n\r\n"
									"<table><tr><td>\xcf\xf0\xe8\xe2\xe5\xf2<p>&auml;<br><pre> x</table>";
	const struct parser_frame warm = { .magic = PARSER_REQUEST };
	struct buf out CLEANUP(buf_done);
	struct arena arena CLEANUP(arena_done);

	buf_init(&out, 1 << 20);
	arena_init(&arena);
	answer(&arena, &warm, str_span(mail, sizeof mail - 1), &out);
	answer(&arena, &warm, str_span(html_only, sizeof html_only - 1), &out);
}

static void drop_rights(void)
{
	/* Without its parent a child has no purpose; should that be dead already, the socket has ended. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 0);
	set_limits();
	set_filter();
}

static void limit(__rlimit_resource_t what, rlim_t most)
{
	struct rlimit wanted = { .rlim_cur = most, .rlim_max = most };

	if (setrlimit(what, &wanted) < 0)
		_exit(PARSER_EXIT_NO_SANDBOX);
}

static void set_limits(void)
{
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_FSIZE, 0);
	limit(RLIMIT_NPROC, 0);
	limit(RLIMIT_NOFILE, 0);
	limit(RLIMIT_CPU, CPU_SECONDS_MOST);
#if !defined(__SANITIZE_ADDRESS__)
	/* The address sanitizer's shadow alone takes terabytes of address space. */
	limit(RLIMIT_STACK, STACK_MOST);
	limit(RLIMIT_AS, MEMORY_MOST);
#endif
}

static void set_filter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	static const int memory[] = { SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(futex),
		                          SCMP_SYS(exit_group),
		                          /* abort() */
		                          SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(rt_sigprocmask),
		                          SCMP_SYS(rt_sigaction) };
	static const int files[] = { SCMP_SYS(openat), SCMP_SYS(open),   SCMP_SYS(newfstatat),
		                         SCMP_SYS(stat),   SCMP_SYS(access), SCMP_SYS(readlink) };
	int failed = filter == NULL;

	failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(read), 1, SCMP_A0(SCMP_CMP_EQ, PARSER_SOCKET));
	failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, SCMP_A0(SCMP_CMP_EQ, PARSER_SOCKET));
	/* The last words of a process without memory have nowhere to go, but they must not turn into an alarm. */
	failed |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EBADF), SCMP_SYS(write), 1, SCMP_A0(SCMP_CMP_EQ, STDERR_FILENO));
	failed |=
		seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, 4 /* PROT_EXEC */, 0));
	failed |=
		seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	for (size_t i = 0; i < ARRAY_LEN(memory); i++)
		failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, memory[i], 0);
	/* There are no files. Some machines lack the older of these calls: not an error. */
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		(void)seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOENT), files[i], 0);
#if defined(__SANITIZE_ADDRESS__)
	/* What the sanitizer's run-time does beside the program; builds for tests only. */
	static const int sanitizer[] = { SCMP_SYS(madvise),  SCMP_SYS(sigaltstack),   SCMP_SYS(sched_yield),
		                             SCMP_SYS(mprotect), SCMP_SYS(clock_gettime), SCMP_SYS(getrandom),
		                             SCMP_SYS(prctl),    SCMP_SYS(readlinkat) };
	for (size_t i = 0; i < ARRAY_LEN(sanitizer); i++)
		failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, sanitizer[i], 0);
#endif
	failed |= seccomp_load(filter);
	if (failed)
		_exit(PARSER_EXIT_NO_SANDBOX);
	seccomp_release(filter);
}

static void serve(void)
{
	struct arena arena;
	struct buf in, out;

	arena_init(&arena);
	buf_init(&in, SIZE_MAX / 4);
	buf_init(&out, SIZE_MAX / 4);
	buf_add(&out, &(struct parser_frame){ .magic = PARSER_READY }, sizeof(struct parser_frame));
	for (;;) {
		size_t done = 0;

		for (struct parser_frame head; in.len - done >= sizeof head;) {
			memcpy(&head, in.at + done, sizeof head);
			if (head.magic != PARSER_REQUEST || head.length > SIZE_MAX / 8)
				_exit(1);
			if (in.len - done - sizeof head < head.length)
				break;
			answer(&arena, &head, str_span(in.at + done + sizeof head, head.length), &out);
			done += sizeof head + head.length;
			if (out.len >= ANSWERS_MOST)
				write_all(&out);
		}
		buf_consume(&in, done);
		/* No whole mail is waiting: what was found goes out together, then we wait. */
		write_all(&out);
		if (!read_some(&in))
			return;
	}
}

static bool read_some(struct buf *in)
{
	char *room = buf_reserve(in, READ_AHEAD);
	ssize_t got = room ? read(PARSER_SOCKET, room, READ_AHEAD) : -1;

	if (got < 0 && errno == EINTR)
		return true;
	if (got <= 0)
		return false;
	buf_grew(in, (size_t)got);
	return true;
}

static void write_all(struct buf *out)
{
	for (size_t done = 0; done < out->len;) {
		ssize_t sent = write(PARSER_SOCKET, out->at + done, out->len - done);

		if (sent < 0 && errno != EINTR)
			_exit(0);
		done += sent > 0 ? (size_t)sent : 0;
	}
	buf_reset(out);
}

static void answer(struct arena *arena, const struct parser_frame *request, struct str raw, struct buf *out)
{
	struct mail mail;

	arena_reset(arena);
	mail_parse(arena, raw, &mail_limits_default, &mail);
	if (request->text_most)
		mail.text = str_cut_utf8(mail.text, request->text_most);
	struct str bytes = parsed_mail_encode(arena, &mail);
	struct parser_frame head = { .magic = PARSER_ANSWER, .id = request->id, .length = bytes.len };
	buf_add(out, &head, sizeof head);
	buf_add_str(out, bytes);
}
