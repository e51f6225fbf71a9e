/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

#include "base/banned.h"

#define EVENTS_MAX 256

struct loop {
	int epoll_fd;
	struct epoll_event events[EVENTS_MAX]; /* of the turn in hand */
	int event_count;
	struct loop_timer **heap; /* from 1: the children of i are 2i and 2i + 1 */
	size_t timers, room;
};

static void sift(struct loop *loop, size_t place);
static void fire_due(struct loop *loop);

struct loop *loop_new(void)
{
	struct loop *loop = xcalloc(1, sizeof *loop);

	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		die_no_memory(0);
	loop->room = 64;
	loop->heap = xcalloc(loop->room, sizeof(struct loop_timer *));
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	close(loop->epoll_fd);
	free(loop->heap);
	free(loop);
}

void loop_watch(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	if (watch->events == events)
		return;
	if (events == 0) {
		/* The descriptor may be closed already, and then it has left by itself. */
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
		for (int i = 0; i < loop->event_count; i++)
			if (loop->events[i].data.ptr == watch)
				loop->events[i].data.ptr = NULL;
	} else if (epoll_ctl(loop->epoll_fd, watch->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd, &event) < 0) {
		/* Somebody else's descriptor of the same number was closed and opened again without our knowing. */
		if (errno != EEXIST && errno != ENOENT)
			die_no_memory(0);
		if (epoll_ctl(loop->epoll_fd, errno == EEXIST ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd, &event) < 0)
			die_no_memory(0);
	}
	watch->events = events;
}

void loop_timer_at(struct loop *loop, struct loop_timer *timer, int64_t due_ms)
{
	timer->due_ms = due_ms;
	if (timer->place == 0) {
		if (loop->timers + 2 > loop->room) {
			loop->room *= 2;
			loop->heap = xrealloc(loop->heap, loop->room * sizeof(struct loop_timer *));
		}
		timer->place = ++loop->timers;
		loop->heap[timer->place] = timer;
	}
	sift(loop, timer->place);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
	size_t place = timer->place;

	if (place == 0)
		return;
	timer->place = 0;
	struct loop_timer *last = loop->heap[loop->timers--];
	if (last == timer)
		return;
	loop->heap[place] = last;
	last->place = place;
	sift(loop, place);
}

void loop_turn(struct loop *loop, int64_t most_ms)
{
	int64_t wait_ms = most_ms;

	if (loop->timers > 0) {
		int64_t until_ms = loop->heap[1]->due_ms - clock_mono_ms();
		if (until_ms < wait_ms)
			wait_ms = until_ms > 0 ? until_ms : 0;
	}
	int count = epoll_wait(loop->epoll_fd, loop->events, EVENTS_MAX, (int)wait_ms);
	loop->event_count = count > 0 ? count : 0;
	for (int i = 0; i < loop->event_count; i++) {
		struct loop_watch *watch = loop->events[i].data.ptr;
		if (watch)
			watch->ready(watch, loop->events[i].events);
	}
	loop->event_count = 0;
	fire_due(loop);
}

/* What a timer sets for now comes in the next turn, so that descriptors are not starved. */
static void fire_due(struct loop *loop)
{
	int64_t now_ms = clock_mono_ms();

	for (size_t most = loop->timers; most > 0 && loop->timers > 0 && loop->heap[1]->due_ms <= now_ms; most--) {
		struct loop_timer *timer = loop->heap[1];
		loop_timer_stop(loop, timer);
		timer->fire(timer);
	}
}

static bool swap_up(struct loop *loop, size_t child)
{
	size_t parent = child / 2;
	struct loop_timer *timer = loop->heap[child];

	if (parent == 0 || loop->heap[parent]->due_ms <= timer->due_ms)
		return false;
	loop->heap[child] = loop->heap[parent];
	loop->heap[child]->place = child;
	loop->heap[parent] = timer;
	timer->place = parent;
	return true;
}

static void sift(struct loop *loop, size_t place)
{
	struct loop_timer *timer = loop->heap[place];

	while (swap_up(loop, timer->place))
		;
	for (;;) {
		size_t child = timer->place * 2;
		if (child > loop->timers)
			return;
		if (child < loop->timers && loop->heap[child + 1]->due_ms < loop->heap[child]->due_ms)
			child++;
		if (!swap_up(loop, child))
			return;
	}
}
