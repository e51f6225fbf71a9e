/* SPDX-License-Identifier: Apache-2.0
 * metrics - counters, gauges and histograms as atomics; the ops thread writes them as Prometheus text
 *
 *	static struct metric mails = METRIC_COUNTER("mailcase_mails_total", "mails decided", "outcome");
 *	metric_add(metric_label(&mails, "attached"), 1);
 *
 * At most one label a metric, its values from a fixed set of ours (never an address, a subject or an id a stranger
 * chose); at most 32 of them, further ones are counted as "other".
 */
#ifndef MAILCASE_METRICS_H
#define MAILCASE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"

enum metric_kind { METRIC_IS_COUNTER, METRIC_IS_GAUGE, METRIC_IS_SECONDS, METRIC_IS_HISTOGRAM };

#define METRIC_VALUES_MAX 32
#define METRIC_BUCKETS 16

struct metric_value {
	_Atomic(const char *) label; /* a string that outlives the process */
	_Atomic int64_t value;       /* of a histogram: the sum in microseconds; of seconds: microseconds */
	_Atomic int64_t buckets[METRIC_BUCKETS];
};

struct metric {
	const char *name, *help, *label;
	enum metric_kind kind;
	struct metric_value values[METRIC_VALUES_MAX];
	_Atomic int registered;
	struct metric *next;
};

#define METRIC_COUNTER(name_, help_, label_) { .name = (name_), .help = (help_), .label = (label_), .kind = METRIC_IS_COUNTER }
#define METRIC_GAUGE(name_, help_, label_) { .name = (name_), .help = (help_), .label = (label_), .kind = METRIC_IS_GAUGE }
/* A gauge that is set in microseconds and shown in seconds. */
#define METRIC_SECONDS(name_, help_, label_) { .name = (name_), .help = (help_), .label = (label_), .kind = METRIC_IS_SECONDS }
#define METRIC_HISTOGRAM(name_, help_, label_) { .name = (name_), .help = (help_), .label = (label_), .kind = METRIC_IS_HISTOGRAM }

/* The value for a label (NULL for a metric without one); registers the metric at first use. Never NULL. */
struct metric_value *metric_label(struct metric *metric, const char *label);
void metric_add(struct metric_value *value, int64_t n);
void metric_set(struct metric_value *value, int64_t n);
/* A duration; buckets from 1 ms to 30 s. */
void metric_observe_us(struct metric_value *value, int64_t us);

/* All registered metrics as Prometheus text, format 0.0.4. */
void metrics_write(struct buf *out);

#endif
