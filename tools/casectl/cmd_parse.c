/* SPDX-License-Identifier: Apache-2.0
 * cmd_parse - what we understand of mails in files: names on standard input, one JSON object a line
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "ctl.h"
#include "edge/parser_child.h"
#include "mail/charset.h"
#include "mail/parse.h"
#include "mail_json.h"

#include "base/banned.h"

#define FILE_MOST ((size_t)256 << 20)

static int read_file(const char *path, struct buf *out);
static int understand(struct ctl *ctl, struct parser_pool *pool, struct arena *arena, struct parse_job *job);

/* In a child like the threader's, so that a mail that harms only harms itself. */
static int parse(struct ctl *ctl)
{
	struct parser_pool *pool = ctl_given(ctl, "in-process") ? NULL : parser_pool_new();
	struct arena arena CLEANUP(arena_done);
	struct buf bytes CLEANUP(buf_done);
	int status = CTL_DONE;
	size_t room = 0;
	char *line = NULL;

	arena_init(&arena);
	buf_init(&bytes, FILE_MOST);
	if (!pool) {
		mail_parse_init();
		if (charset_preload(&ctl->err) < 0)
			return ctl_failed(ctl);
	}
	for (ssize_t len; status == CTL_DONE && (len = getline(&line, &room, stdin)) > 0;) {
		struct parse_job job = { 0 };

		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		arena_reset(&arena);
		buf_reset(&bytes);
		if (read_file(line, &bytes) < 0) {
			err_set(&ctl->err, ERR_PERM, "could not read %s: %s", line, strerror(errno));
			status = ctl_failed(ctl);
			break;
		}
		job.raw = buf_str(&bytes);
		status = understand(ctl, pool, &arena, &job);
		if (status != CTL_DONE)
			break;
		json_t *object CLEANUP(json_done) = mail_json(&arena, str_of(line), &job.mail);
		if (job.verdict != PARSE_OK)
			json_put_str(object, "verdict", str_of(parse_verdict_name(job.verdict)));
		json_print_line(stdout, object);
	}
	free(line);
	parser_pool_free(pool);
	return status;
}

static int understand(struct ctl *ctl, struct parser_pool *pool, struct arena *arena, struct parse_job *job)
{
	if (!pool)
		mail_parse(arena, job->raw, &mail_limits_default, &job->mail);
	else if (parser_pool_run(pool, arena, job, 1, &ctl->err) < 0)
		return ctl_failed(ctl);
	return CTL_DONE;
}

static int read_file(const char *path, struct buf *out)
{
	FILE *file = fopen(path, "rb");
	size_t got;

	if (!file)
		return -1;
	do {
		char *place = buf_reserve(out, 65536);
		got = place ? fread(place, 1, 65536, file) : 0;
		if (place)
			buf_grew(out, got);
	} while (got > 0);
	bool failed = ferror(file);
	fclose(file);
	return failed ? -1 : 0;
}

static const struct option_def parse_options[] = {
	{ "in-process", OPTION_FLAG, NULL, "parse without a child: for debugging, with mails that are trusted" },
	{ 0 },
};

static const struct verb parse_verbs[] = {
	{ .name = "",
	  .operands = "",
	  .needs = NEED_NOTHING,
	  .summary = "what is understood of mails: file names on standard input, one JSON object a line",
	  .examples = "  ls mails/*.eml | casectl parse",
	  .options = parse_options,
	  .run = parse },
	{ 0 },
};
const struct noun noun_parse = { "parse", "what is understood of mails in files", parse_verbs };
