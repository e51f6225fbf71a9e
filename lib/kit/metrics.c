/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"

#include "base/banned.h"

static const struct {
	int64_t most_us;
	const char *text;
} bounds[] = {
	{ 1000, "0.001" },  { 2000, "0.002" },  { 5000, "0.005" },   { 10000, "0.01" },  { 20000, "0.02" },
	{ 50000, "0.05" },  { 100000, "0.1" },  { 200000, "0.2" },   { 500000, "0.5" },  { 1000000, "1" },
	{ 2000000, "2" },   { 5000000, "5" },   { 10000000, "10" },  { 30000000, "30" },
};
_Static_assert(ARRAY_LEN(bounds) < METRIC_BUCKETS, "one bucket is for what is above the last bound");

static _Atomic(struct metric *) metrics;

static void register_once(struct metric *metric);
static void write_metric(struct buf *out, struct metric *metric);
static void write_name(struct buf *out, const struct metric *metric, const char *suffix, const char *label,
                       const char *bound);
static void write_seconds(struct buf *out, int64_t us);

struct metric_value *metric_label(struct metric *metric, const char *label)
{
	if (!label)
		label = "";
	register_once(metric);
	for (size_t i = 0; i < METRIC_VALUES_MAX - 1; i++) {
		const char *there = NULL;
		/* A free place is claimed; who loses the race sees the winner's label. */
		if (atomic_compare_exchange_strong(&metric->values[i].label, &there, label))
			return &metric->values[i];
		if (there == label || strcmp(there, label) == 0)
			return &metric->values[i];
	}
	atomic_store(&metric->values[METRIC_VALUES_MAX - 1].label, "other");
	return &metric->values[METRIC_VALUES_MAX - 1];
}

static void register_once(struct metric *metric)
{
	if (atomic_load_explicit(&metric->registered, memory_order_relaxed) || atomic_exchange(&metric->registered, 1))
		return;
	metric->next = atomic_load(&metrics);
	while (!atomic_compare_exchange_weak(&metrics, &metric->next, metric))
		;
}

void metric_add(struct metric_value *value, int64_t n)
{
	atomic_fetch_add_explicit(&value->value, n, memory_order_relaxed);
}

void metric_set(struct metric_value *value, int64_t n)
{
	atomic_store_explicit(&value->value, n, memory_order_relaxed);
}

void metric_observe_us(struct metric_value *value, int64_t us)
{
	size_t bucket = 0;
	while (bucket < ARRAY_LEN(bounds) && us > bounds[bucket].most_us)
		bucket++;
	atomic_fetch_add_explicit(&value->buckets[bucket], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&value->value, us, memory_order_relaxed);
}

void metrics_write(struct buf *out)
{
	for (struct metric *metric = atomic_load(&metrics); metric; metric = metric->next)
		write_metric(out, metric);
}

static void write_metric(struct buf *out, struct metric *metric)
{
	static const char *const types[] = { "counter", "gauge", "gauge", "histogram" };
	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name, types[metric->kind]);
	for (size_t i = 0; i < METRIC_VALUES_MAX; i++) {
		struct metric_value *value = &metric->values[i];
		const char *label = atomic_load(&value->label);
		if (!label)
			continue;
		int64_t n = atomic_load_explicit(&value->value, memory_order_relaxed);
		if (metric->kind != METRIC_IS_HISTOGRAM) {
			write_name(out, metric, "", label, NULL);
			if (metric->kind == METRIC_IS_SECONDS)
				write_seconds(out, n);
			else
				buf_addf(out, " %" PRId64 "\n", n);
			continue;
		}
		int64_t count = 0;
		for (size_t b = 0; b <= ARRAY_LEN(bounds); b++) {
			count += atomic_load_explicit(&value->buckets[b], memory_order_relaxed);
			write_name(out, metric, "_bucket", label, b < ARRAY_LEN(bounds) ? bounds[b].text : "+Inf");
			buf_addf(out, " %" PRId64 "\n", count);
		}
		write_name(out, metric, "_sum", label, NULL);
		write_seconds(out, n);
		write_name(out, metric, "_count", label, NULL);
		buf_addf(out, " %" PRId64 "\n", count);
	}
}

static void write_name(struct buf *out, const struct metric *metric, const char *suffix, const char *label,
                       const char *bound)
{
	buf_addf(out, "%s%s", metric->name, suffix);
	if (!metric->label && !bound)
		return;
	buf_add_char(out, '{');
	if (metric->label) {
		buf_addf(out, "%s=\"", metric->label);
		for (; *label; label++) {
			if (*label == '"' || *label == '\\')
				buf_add_char(out, '\\');
			buf_add_char(out, *label == '\n' ? ' ' : *label);
		}
		buf_add_text(out, bound ? "\"," : "\"");
	}
	if (bound)
		buf_addf(out, "le=\"%s\"", bound);
	buf_add_char(out, '}');
}

static void write_seconds(struct buf *out, int64_t us)
{
	buf_addf(out, " %s%" PRId64 ".%06" PRId64 "\n", us < 0 ? "-" : "", us < 0 ? -(us / 1000000) : us / 1000000,
	         us < 0 ? -(us % 1000000) : us % 1000000);
}
