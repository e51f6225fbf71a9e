/* SPDX-License-Identifier: Apache-2.0
 * cmd_probe - ask a running service how it is, for health checks where there is no HTTP client
 */
#include "ctl.h"
#include "edge/httpd.h"

#include "base/banned.h"

#define BODY_MOST ((size_t)64 << 10)

static int probe(struct ctl *ctl)
{
	const char *listen = ctl->operands[0] ? ctl->operands[0] : ctl->conf.ops_listen;
	const char *path = ctl_given(ctl, "live") ? "/livez" : "/readyz";
	struct buf body CLEANUP(buf_done);

	buf_init(&body, BODY_MOST);
	if (!listen[0])
		return ctl_usage("probe: give HOST:PORT or set MAILCASE_OPS_LISTEN: they say where the service answers");
	int status = httpd_ask(listen, path, (int)ctl_int(ctl, "timeout", 5) * 1000, &body, &ctl->err);
	if (status < 0)
		return ctl_failed(ctl);
	if (ctl->as_json) {
		json_t *object CLEANUP(json_done) = json_object();
		json_put_str(object, "path", str_of(path));
		json_put_int(object, "status", status);
		json_put_str(object, "detail", str_trim(buf_str(&body)));
		json_print_line(stdout, object);
	} else
		printf("%.*s\n", STR_ARG(table_clean(&ctl->arena, str_trim(buf_str(&body)))));
	return status == 200 ? CTL_DONE : CTL_FAILED;
}

static const struct option_def probe_options[] = {
	{ "live", OPTION_FLAG, NULL, "ask whether its loop turns (/livez), not whether it is ready (/readyz)" },
	{ "timeout", OPTION_INT, "S", "seconds to wait (default 5)", .min = 1, .max = 300 },
	{ 0 },
};
static const struct verb probe_verbs[] = {
	{ .name = "",
	  .operands = "[HOST:PORT]",
	  .operands_max = 1,
	  .needs = NEED_NOTHING,
	  .summary = "whether the service at HOST:PORT (default MAILCASE_OPS_LISTEN) is ready; exit status 1 when it is not",
	  .examples = "  casectl probe\n  casectl probe 127.0.0.1:9100 --live",
	  .options = probe_options,
	  .run = probe },
	{ 0 },
};
const struct noun noun_probe = { "probe", "ask a running service whether it is ready", probe_verbs };
