/* SPDX-License-Identifier: Apache-2.0 */
#include "ops.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "edge/httpd.h"
#include "kit/metrics.h"

#include "base/banned.h"

/* Longer than the slowest turn: its statements have 30 s each. A loop that waits for the database turns. */
#define ALIVE_WITHIN_MS 120000

struct ops {
	struct httpd *httpd;
	const struct health *health;
};

static void answer(void *self, const char *method, const char *path, struct httpd_answer *out);
static void livez(const struct health *health, struct httpd_answer *out);
static void readyz(const struct health *health, struct httpd_answer *out);

struct ops *ops_start(const char *listen, const struct health *health, struct err *err)
{
	if (!*listen) {
		err->kind = ERR_NONE;
		return NULL;
	}
	struct ops *ops = xcalloc(1, sizeof *ops);
	ops->health = health;
	ops->httpd = httpd_start(listen, answer, ops, err);
	if (!ops->httpd) {
		free(ops);
		return NULL;
	}
	log_info("ops.listening", LOG_TEXT("listen", listen), LOG_INT("port", httpd_port(ops->httpd)), LOG_END);
	return ops;
}

void ops_stop(struct ops *ops)
{
	if (!ops)
		return;
	httpd_stop(ops->httpd);
	free(ops);
}

static void answer(void *self, const char *method, const char *path, struct httpd_answer *out)
{
	const struct ops *ops = self;
	struct str name = str_of(path);
	if (!str_eq(str_of(method), STR("GET")) && !str_eq(str_of(method), STR("HEAD"))) {
		out->status = 405;
		buf_add_text(&out->body, "only GET\n");
	} else if (str_eq(name, STR("/livez"))) {
		livez(ops->health, out);
	} else if (str_eq(name, STR("/readyz"))) {
		readyz(ops->health, out);
	} else if (str_eq(name, STR("/metrics"))) {
		out->status = 200;
		out->type = "text/plain; version=0.0.4; charset=utf-8";
		metrics_write(&out->body);
	} else {
		buf_add_text(&out->body, "/livez /readyz /metrics\n");
	}
}

static void livez(const struct health *health, struct httpd_answer *out)
{
	int64_t age_ms = clock_mono_ms() - atomic_load(&health->alive_mono_ms);
	out->status = age_ms <= ALIVE_WITHIN_MS ? 200 : 503;
	buf_addf(&out->body, "the loop turned %" PRId64 " ms ago\n", age_ms);
}

static void readyz(const struct health *health, struct httpd_answer *out)
{
	const char *why_not = atomic_load(&health->why_not);
	bool is_ready = atomic_load(&health->is_ready);
	out->status = is_ready ? 200 : 503;
	buf_addf(&out->body, "%s\n", is_ready ? "ready" : why_not ? why_not : "starting");
}
