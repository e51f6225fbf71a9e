/* SPDX-License-Identifier: Apache-2.0 */
#include "parser_child.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "parser_frame.h"
#include "parser_process.h"
#include "parser_sandbox.h"
#include "wire/parsed_mail.h"

#include "base/banned.h"

enum {
	IN_FLIGHT_MOST = 32,
	BIG_MAIL = 4 << 20,   /* after one of these a child keeps its memory: it is replaced */
	POLL_MS = 100,        /* how often the clocks are looked at */
	CPU_MS = 2000,        /* of CPU since its last progress ... */
	CPU_MS_PER_MB = 100,  /* ... and so much more for what it has in hand */
	WALL_MS = 120 * 1000, /* wall time alone condemns mail on a busy machine: generous */
	IDLE_DEATHS_MOST = 3,
#if defined(__SANITIZE_ADDRESS__)
	SLOWNESS = 10, /* of a build for tests */
#else
	SLOWNESS = 1,
#endif
};

struct parser_pool {
	struct parser_process child, spare;
};

/* One pass over a list of jobs through one child at a time. */
struct run {
	struct parser_pool *pool;
	struct arena *arena;
	struct parse_job **jobs;
	size_t count;
	size_t next;     /* to be sent, perhaps in part */
	size_t sent;     /* bytes of jobs[next]'s frame that went out */
	size_t answered; /* jobs[answered .. next) are in flight; answers come in order */
	bool is_full;    /* 32 were reached: no more until half of them are back */
	size_t bytes_in_flight;
	int64_t cpu_at_progress_ms, wall_at_progress_ms;
	bool is_overdue; /* why feed_child() gave up */
};

static int take_child(struct parser_pool *pool, struct err *err);
static bool feed_child(struct run *run);
static bool send_some(struct run *run);
static bool read_answers(struct run *run);
static bool take_answer(struct run *run, const struct parser_frame *head, struct str bytes);
static void note_progress(struct run *run);
static bool is_overdue(const struct run *run);
static int run_alone(struct parser_pool *pool, struct arena *arena, struct parse_job *job, struct err *err);

void parser_child_main_if_asked(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], PARSER_CHILD_OPTION) == 0)
		parser_sandbox_main();
}

struct parser_pool *parser_pool_new(void)
{
	struct parser_pool *pool = xcalloc(1, sizeof *pool);

	pool->child.socket = pool->spare.socket = -1;
	/* Should it fail, the first run says so. */
	(void)!parser_process_start(&pool->spare, NULL);
	return pool;
}

void parser_pool_free(struct parser_pool *pool)
{
	if (!pool)
		return;
	parser_process_end(&pool->child, PARSE_OK);
	parser_process_end(&pool->spare, PARSE_OK);
	free(pool);
}

const char *parse_verdict_name(enum parse_verdict verdict)
{
	static const char *const names[] = { [PARSE_OK] = "ok",
		                                 [PARSE_CRASHED] = "crashed",
		                                 [PARSE_OVERRAN] = "overran",
		                                 [PARSE_NO_MEMORY] = "no_memory",
		                                 [PARSE_FORBIDDEN] = "forbidden" };

	return (size_t)verdict < ARRAY_LEN(names) ? names[verdict] : "unknown";
}

int parser_pool_run(struct parser_pool *pool, struct arena *arena, struct parse_job *jobs, size_t count,
                    struct err *err)
{
	struct parse_job **todo = ARENA_ARRAY(arena, struct parse_job *, count);
	struct parse_job **suspects = ARENA_ARRAY(arena, struct parse_job *, count);
	struct run run = { .pool = pool, .arena = arena, .jobs = todo, .count = count };
	size_t suspects_len = 0;
	int idle_deaths = 0;

	for (size_t i = 0; i < count; i++)
		todo[i] = &jobs[i];
	while (run.answered < count) {
		if (take_child(pool, err) < 0)
			return -1;
		if (feed_child(&run))
			continue;
		/* It died or overran. With batched answers the oldest unanswered mail is not the culprit: each is tried alone. */
		parser_process_end(&pool->child, PARSE_OK);
		size_t reached = run.next + (run.sent > 0); /* what was sent in part counts */
		if (reached == run.answered && ++idle_deaths == IDLE_DEATHS_MOST)
			return err_set(err, ERR_TEMP, "could not parse in a child: each one dies before it gets a mail");
		for (size_t i = run.answered; i < reached; i++)
			suspects[suspects_len++] = todo[i];
		run.answered = run.next = reached;
		run.sent = run.bytes_in_flight = 0;
		run.is_full = run.is_overdue = false;
	}
	for (size_t i = 0; i < suspects_len; i++)
		if (run_alone(pool, arena, suspects[i], err) < 0)
			return -1;
	return 0;
}

/* A child that is ready, from the spare if there is one; and the next spare is on its way. */
static int take_child(struct parser_pool *pool, struct err *err)
{
	struct err ignored;

	if (pool->child.pid > 0)
		return 0;
	if (pool->spare.pid > 0) {
		pool->child = pool->spare;
		pool->spare = (struct parser_process){ .socket = -1 };
	}
	/* A spare may have been killed while it waited: one more try, from scratch. */
	if (pool->child.pid > 0)
		(void)!parser_process_wait_ready(&pool->child, &ignored);
	if (pool->child.pid == 0 &&
	    (parser_process_start(&pool->child, err) < 0 || parser_process_wait_ready(&pool->child, err) < 0))
		return -1;
	if (pool->spare.pid == 0)
		(void)!parser_process_start(&pool->spare, NULL);
	return 0;
}

/* Until all is answered, or the child is to be replaced after a big mail. False if it died or overran. */
static bool feed_child(struct run *run)
{
	struct parser_process *child = &run->pool->child;

	note_progress(run);
	while (run->answered < run->count) {
		size_t in_flight = run->next - run->answered;
		if (in_flight <= IN_FLIGHT_MOST / 2)
			run->is_full = false;
		/* A big mail travels alone: nothing behind it, and its child goes when it is answered. */
		bool big_in_flight = in_flight && run->jobs[run->next - 1]->raw.len > BIG_MAIL;
		bool may_send = run->next < run->count && (run->sent > 0 || (!run->is_full && !big_in_flight));
		if (may_send && !send_some(run))
			return false;
		bool wants_room = run->sent > 0;
		struct pollfd wait = { .fd = child->socket, .events = POLLIN };
		if (wants_room)
			wait.events |= POLLOUT;
		int ready = poll(&wait, 1, POLL_MS);
		if (ready < 0 && errno != EINTR)
			return false;
		if (ready > 0 && (wait.revents & (POLLIN | POLLHUP | POLLERR)) && !read_answers(run))
			return false;
		/* Looked at only when nothing happened for a while: the clocks cost nothing in the ordinary case. */
		if (ready == 0 && is_overdue(run)) {
			run->is_overdue = true;
			return false;
		}
		bool drained = run->next == run->answered && run->sent == 0;
		if (drained && run->answered && run->jobs[run->answered - 1]->raw.len > BIG_MAIL) {
			parser_process_end(child, PARSE_OK);
			return true;
		}
	}
	return true;
}

/* As much as the socket takes. False if the child is gone. */
static bool send_some(struct run *run)
{
	struct parser_process *child = &run->pool->child;

	while (run->next < run->count && (run->sent > 0 || run->next - run->answered < IN_FLIGHT_MOST)) {
		const struct parse_job *job = run->jobs[run->next];
		struct parser_frame head = { .magic = PARSER_REQUEST,
			                         .id = (uint32_t)run->next,
			                         .length = job->raw.len,
			                         .text_most = job->text_most };
		size_t in_head = run->sent < sizeof head ? sizeof head - run->sent : 0;
		size_t in_raw = run->sent > sizeof head ? run->sent - sizeof head : 0;
		struct iovec pieces[] = { { (char *)&head + (sizeof head - in_head), in_head },
			                      { (char *)(uintptr_t)job->raw.at + in_raw, job->raw.len - in_raw } };
		struct msghdr message = { .msg_iov = pieces, .msg_iovlen = ARRAY_LEN(pieces) };
		ssize_t sent = sendmsg(child->socket, &message, MSG_NOSIGNAL);

		if (sent < 0)
			return errno == EAGAIN || errno == EINTR;
		child->is_fresh = false;
		run->sent += (size_t)sent;
		if (run->sent < sizeof head + job->raw.len)
			return true;
		run->sent = 0;
		run->next++;
		run->bytes_in_flight += job->raw.len;
		run->is_full = run->next - run->answered == IN_FLIGHT_MOST;
		if (job->raw.len > BIG_MAIL)
			return true;
	}
	return true;
}

static bool read_answers(struct run *run)
{
	struct buf *in = &run->pool->child.in;
	char *room = buf_reserve(in, 256 << 10);
	ssize_t got = room ? read(run->pool->child.socket, room, 256 << 10) : -1;

	if (got < 0)
		return room && (errno == EAGAIN || errno == EINTR);
	if (got == 0)
		return false;
	buf_grew(in, (size_t)got);
	size_t done = 0;
	for (struct parser_frame head; in->len - done >= sizeof head;) {
		memcpy(&head, in->at + done, sizeof head);
		if (head.length > in->ceiling / 2)
			return false;
		if (in->len - done - sizeof head < head.length)
			break;
		if (!take_answer(run, &head, str_span(in->at + done + sizeof head, head.length)))
			return false;
		done += sizeof head + head.length;
	}
	buf_consume(in, done);
	if (done)
		note_progress(run);
	return true;
}

/* The child has read strangers' bytes: what it says is believed only where it fits what we asked. */
static bool take_answer(struct run *run, const struct parser_frame *head, struct str bytes)
{
	if (run->answered == run->next || head->magic != PARSER_ANSWER || head->id != (uint32_t)run->answered)
		return false;
	struct parse_job *job = run->jobs[run->answered];
	if (parsed_mail_decode(run->arena, bytes, job->raw.len, &job->mail, NULL) < 0)
		return false;
	job->verdict = PARSE_OK;
	run->answered++;
	run->bytes_in_flight -= job->raw.len;
	return true;
}

static void note_progress(struct run *run)
{
	run->cpu_at_progress_ms = parser_process_cpu_ms(&run->pool->child);
	run->wall_at_progress_ms = clock_mono_ms();
}

/* By the child's own CPU clock; by wall time only where it cannot be slowness any more. */
static bool is_overdue(const struct run *run)
{
	size_t bytes = run->bytes_in_flight + (run->sent ? run->jobs[run->next]->raw.len : 0);
	int64_t allowed_ms = (CPU_MS + (int64_t)(bytes >> 20) * CPU_MS_PER_MB) * SLOWNESS;

	return parser_process_cpu_ms(&run->pool->child) - run->cpu_at_progress_ms > allowed_ms ||
	       clock_mono_ms() - run->wall_at_progress_ms > WALL_MS + allowed_ms;
}

/* One mail, one child. A failure in a child that had parsed others before is tried once more in a fresh one, so that
 * nobody is condemned for what another mail left behind. */
static int run_alone(struct parser_pool *pool, struct arena *arena, struct parse_job *job, struct err *err)
{
	for (int idle_deaths = 0; idle_deaths < IDLE_DEATHS_MOST;) {
		struct run run = { .pool = pool, .arena = arena, .jobs = &job, .count = 1 };

		if (take_child(pool, err) < 0)
			return -1;
		bool was_fresh = pool->child.is_fresh;
		if (feed_child(&run))
			return 0;
		/* It died before it got the mail: somebody else's doing. */
		bool got_nothing = pool->child.is_fresh;
		job->verdict = parser_process_end(&pool->child, run.is_overdue ? PARSE_OVERRAN : PARSE_CRASHED);
		if (was_fresh && !got_nothing)
			return 0;
		idle_deaths += got_nothing;
	}
	return err_set(err, ERR_TEMP, "could not parse in a child: each one dies before it gets a mail");
}
