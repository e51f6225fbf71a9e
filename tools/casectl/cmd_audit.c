/* SPDX-License-Identifier: Apache-2.0
 * cmd_audit - does everything that is stored, published and sent agree?
 */
#include <unistd.h>

#include "base/clock.h"
#include "ctl.h"
#include "record/audit.h"

#include "base/banned.h"

#define QUIET_MS 2000 /* a shorter audit needs no word of where it is */
#define TELL_MS 1000
#define SHOWN_OF_A_RULE 20

struct rule_seen {
	char name[40];
	enum audit_kind kind;
	int64_t count;
};

struct telling {
	struct ctl *ctl;
	int64_t limit, counts[AUDIT_KINDS];
	json_t *totals;
	struct rule_seen rules[100];
	size_t rules_len;
	int64_t began_ms, told_ms, walked;
	const char *walking;
};

static struct rule_seen *seen(struct telling *telling, const struct audit_finding *finding)
{
	for (size_t i = 0; i < telling->rules_len; i++)
		if (telling->rules[i].kind == finding->kind && str_eq(str_of(telling->rules[i].name), finding->rule))
			return &telling->rules[i];
	if (telling->rules_len == ARRAY_LEN(telling->rules))
		return &telling->rules[telling->rules_len - 1];
	struct rule_seen *rule = &telling->rules[telling->rules_len++];
	*rule = (struct rule_seen){ .kind = finding->kind };
	snprintf(rule->name, sizeof rule->name, "%.*s", STR_ARG(finding->rule));
	return rule;
}

static void found(void *self, const struct audit_finding *finding)
{
	struct telling *telling = self;
	struct rule_seen *rule = seen(telling, finding);

	telling->counts[finding->kind]++;
	if (++rule->count > telling->limit)
		return;
	if (telling->ctl->as_json) {
		json_t *object CLEANUP(json_done) = json_object();
		json_put_str(object, "finding", str_of(audit_kind_name(finding->kind)));
		json_put_str(object, "rule", finding->rule);
		json_put_bool(object, "is_difference", audit_is_difference(finding->kind));
		json_put(object, "ids", json_parse(finding->ids, finding->ids.len, NULL));
		json_put_str(object, "text", finding->text);
		json_print_line(stdout, object);
		return;
	}
	struct arena line CLEANUP(arena_done);
	arena_init(&line);
	printf("%-13s %-22.*s %.*s\n", audit_kind_name(finding->kind), STR_ARG(finding->rule),
	       STR_ARG(table_clean(&line, finding->text)));
	if (rule->count == telling->limit)
		printf("%-13s %-22.*s (more of these are only counted; --limit N shows so many)\n", "",
		       STR_ARG(finding->rule));
}

static void walked(void *self, const char *what, int64_t rows)
{
	struct telling *telling = self;
	int64_t now_ms = clock_mono_ms();

	telling->walked = telling->walking == what ? telling->walked + rows : rows;
	telling->walking = what;
	if (now_ms - telling->began_ms < QUIET_MS || now_ms - telling->told_ms < TELL_MS)
		return;
	telling->told_ms = now_ms;
	fprintf(stderr, "casectl: audit: %s, about %lld looked at\n", what, (long long)telling->walked);
}

static void counted(void *self, const char *what, int64_t count)
{
	struct telling *telling = self;

	json_put_int(telling->totals, what, count);
}

static int64_t differences(const struct telling *telling)
{
	int64_t sum = 0;

	for (int kind = 0; kind < AUDIT_KINDS; kind++)
		sum += audit_is_difference((enum audit_kind)kind) ? telling->counts[kind] : 0;
	return sum;
}

static void sum_up(struct telling *telling)
{
	json_t *object CLEANUP(json_done) = json_object();
	int64_t sum = differences(telling);

	if (telling->ctl->as_json) {
		json_t *rules = json_object();
		json_put_str(object, "summary", sum ? STR("differences") : STR("clean"));
		json_put_int(object, "differences", sum);
		for (int kind = 0; kind < AUDIT_KINDS; kind++)
			json_put_int(object, audit_kind_name((enum audit_kind)kind), telling->counts[kind]);
		for (size_t i = 0; i < telling->rules_len; i++)
			json_put_int(rules, telling->rules[i].name,
			             json_integer_value(json_object_get(rules, telling->rules[i].name)) + telling->rules[i].count);
		json_put(object, "rules", rules);
		json_put(object, "totals", json_incref(telling->totals));
		json_put_int(object, "took_ms", clock_mono_ms() - telling->began_ms);
		json_print_line(stdout, object);
		return;
	}
	size_t at = 0;
	for (void *total = json_object_iter(telling->totals); total; total = json_object_iter_next(telling->totals, total))
		printf("%s%s %lld", at++ ? at % 6 == 1 ? "\n         " : ", " : "checked: ", json_object_iter_key(total),
		       (long long)json_integer_value(json_object_iter_value(total)));
	printf("\n%lld lost, %lld doubled, %lld unexplained, %lld inconsistent; %lld wait, %lld noted: %s\n",
	       (long long)telling->counts[AUDIT_LOST], (long long)telling->counts[AUDIT_DOUBLED],
	       (long long)telling->counts[AUDIT_UNEXPLAINED], (long long)telling->counts[AUDIT_INCONSISTENT],
	       (long long)telling->counts[AUDIT_WAITS], (long long)telling->counts[AUDIT_NOTED], sum ? "NOT CLEAN" : "clean");
}

static int audit(struct ctl *ctl)
{
	struct telling telling = { .ctl = ctl, .began_ms = clock_mono_ms() };
	bool asks_server = ctl->conf.seal_key_file[0];

	if (ctl_given(ctl, "server"))
		asks_server = ctl_int(ctl, "server", 0);
	if (asks_server && !ctl->conf.seal_key_file[0])
		return ctl_usage("--server on: MAILCASE_SEAL_KEY_FILE is not set, and the passwords of the mailboxes are sealed");
	if (asks_server && seal_key_load(ctl->conf.seal_key_file, &ctl->seal_key, &ctl->err) < 0)
		return ctl_failed(ctl);
	const struct audit_options options = { .database_url = ctl->conf.database_url,
		                                   .bus = ctl_bus(ctl),
		                                   .is_deep = ctl_given(ctl, "deep"),
		                                   .seal_key = asks_server ? &ctl->seal_key : NULL,
		                                   .accepted_file = ctl_text(ctl, "accepted") };
	const struct audit_listener listener = { found, walked, counted, &telling };

	telling.limit = ctl_int(ctl, "limit", ctl->as_json ? INT64_MAX : SHOWN_OF_A_RULE);
	telling.totals = json_object();
	int failed = audit_run(&options, &listener, &ctl->err);
	if (!failed)
		sum_up(&telling);
	json_decref(telling.totals);
	if (failed)
		return ctl_failed(ctl);
	return differences(&telling) ? CTL_FAILED : CTL_DONE;
}

static const struct option_def audit_options[] = {
	{ "deep", OPTION_FLAG, NULL, "the checksum of every raw mail; without it, of a sample where there are many" },
	{ "server", OPTION_SWITCH, "on|off", "ask the IMAP servers what they hold (default: on where the seal key is given)" },
	{ "accepted", OPTION_TEXT, "FILE", "what an SMTP server accepted: {\"message_id\": ..., \"recipient\": ...} or Message-ID, tabulator, recipient a line" },
	{ "limit", OPTION_INT, "N", "show at most so many findings of a rule (default 20; with --json all)", .min = 1, .max = INT64_MAX },
	{ 0 },
};
static const struct verb audit_verbs[] = {
	{ .name = "",
	  .operands = "",
	  .needs = NEED_SCHEMA,
	  .summary = "whether servers, ledger, messages, cases, timeline, bus and outbound copies agree, and what waits; exit status 1 where they do not",
	  .examples = "  casectl audit\n  casectl audit --deep --json\n  casectl audit --accepted sent.jsonl",
	  .options = audit_options,
	  .run = audit },
	{ 0 },
};
const struct noun noun_audit = { "audit", "whether anything is lost, doubled or unexplained", audit_verbs };
