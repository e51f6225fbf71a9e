/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "kit/metrics.h"

#include "base/banned.h"

static bool is_written(const char *line)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	metrics_write(&out);
	assert_false(out.overflowed);
	struct str rest = buf_str(&out), one;
	bool found = false;
	while (!found && str_next_line(&rest, &one))
		found = str_eq(one, str_of(line));
	if (!found)
		print_message("no \"%s\" in:\n%s", line, out.at);
	buf_done(&out);
	return found;
}

static void each_kind_is_written_in_its_way(void **state)
{
	static struct metric plain = METRIC_COUNTER("t_plain_total", "a counter", NULL);
	static struct metric labelled = METRIC_COUNTER("t_labelled_total", "by outcome", "outcome");
	static struct metric gauge = METRIC_GAUGE("t_gauge", "a gauge", NULL);
	static struct metric age = METRIC_SECONDS("t_age_seconds", "an age", NULL);
	static struct metric took = METRIC_HISTOGRAM("t_took_seconds", "a duration", "what");
	(void)state;
	metric_add(metric_label(&plain, NULL), 2);
	metric_add(metric_label(&plain, NULL), 3);
	metric_add(metric_label(&labelled, "done"), 1);
	metric_add(metric_label(&labelled, "odd \"\\\n"), 1);
	metric_set(metric_label(&gauge, NULL), -7);
	metric_set(metric_label(&age, NULL), 1500001);
	metric_observe_us(metric_label(&took, "x"), 1000);
	metric_observe_us(metric_label(&took, "x"), 1001);
	metric_observe_us(metric_label(&took, "x"), 31000000);
	static const char *const lines[] = {
		"# HELP t_plain_total a counter",
		"# TYPE t_plain_total counter",
		"t_plain_total 5",
		"t_labelled_total{outcome=\"done\"} 1",
		"t_labelled_total{outcome=\"odd \\\"\\\\ \"} 1",
		"# TYPE t_gauge gauge",
		"t_gauge -7",
		"# TYPE t_age_seconds gauge",
		"t_age_seconds 1.500001",
		"# TYPE t_took_seconds histogram",
		"t_took_seconds_bucket{what=\"x\",le=\"0.001\"} 1",
		"t_took_seconds_bucket{what=\"x\",le=\"0.002\"} 2",
		"t_took_seconds_bucket{what=\"x\",le=\"30\"} 2",
		"t_took_seconds_bucket{what=\"x\",le=\"+Inf\"} 3",
		"t_took_seconds_sum{what=\"x\"} 31.002001",
		"t_took_seconds_count{what=\"x\"} 3",
	};
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		assert_true(is_written(lines[i]));
}

static void too_many_labels_are_counted_as_other(void **state)
{
	static struct metric many = METRIC_COUNTER("t_many_total", "too many", "n");
	static char labels[40][8];
	(void)state;
	for (int i = 0; i < 40; i++) {
		snprintf(labels[i], sizeof labels[i], "l%d", i);
		metric_add(metric_label(&many, labels[i]), 1);
	}
	assert_true(is_written("t_many_total{n=\"l30\"} 1"));
	assert_true(is_written("t_many_total{n=\"other\"} 9"));
}

static struct metric shared = METRIC_COUNTER("t_shared_total", "from all threads", "n");

static void *count(void *arg)
{
	static const char *const labels[] = { "a", "b", "c", "d" };
	(void)arg;
	for (int i = 0; i < 40000; i++)
		metric_add(metric_label(&shared, labels[i % 4]), 1);
	return NULL;
}

static void threads_lose_no_count(void **state)
{
	pthread_t threads[4];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_true(is_written("t_shared_total{n=\"a\"} 40000"));
	assert_true(is_written("t_shared_total{n=\"d\"} 40000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_is_written_in_its_way),
		cmocka_unit_test(too_many_labels_are_counted_as_other),
		cmocka_unit_test(threads_lose_no_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
