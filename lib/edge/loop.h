/* SPDX-License-Identifier: Apache-2.0
 * loop - file descriptors and timers of one thread (epoll)
 *
 * Watches and timers are embedded in what they serve; the loop owns nothing of them. A watch or timer may be taken out
 * at any time, from its own call or from another's: no call comes after that.
 */
#ifndef MAILCASE_LOOP_H
#define MAILCASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;

struct loop_watch {
	int fd;
	uint32_t events; /* EPOLLIN | EPOLLOUT; 0: not watched */
	void (*ready)(struct loop_watch *watch, uint32_t events);
	void *self;
};

struct loop_timer {
	int64_t due_ms; /* monotonic */
	size_t place;   /* in the heap, from 1; 0: not set */
	void (*fire)(struct loop_timer *timer);
	void *self;
};

struct loop *loop_new(void);
void loop_free(struct loop *loop);

/* Watch watch->fd for `events`; 0 ends it. */
void loop_watch(struct loop *loop, struct loop_watch *watch, uint32_t events);

/* Fire once at `due_ms` (in the past: at the next turn); replaces an earlier time. */
void loop_timer_at(struct loop *loop, struct loop_timer *timer, int64_t due_ms);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

/* Wait for at most `most_ms`, then make all calls that are due. */
void loop_turn(struct loop *loop, int64_t most_ms);

#endif
