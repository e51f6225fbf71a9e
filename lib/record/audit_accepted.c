/* SPDX-License-Identifier: Apache-2.0
 * Copies against what an SMTP server says that it accepted: a file of Message-ID and recipient, one acceptance a line.
 */
#include <errno.h>
#include <stdlib.h>

#include "audit_private.h"
#include "base/json.h"

#include "base/banned.h"

#define LINES_AT_ONCE 1000
#define LINE_MOST 10000

struct lines {
	struct arena arena;
	struct str ids[LINES_AT_ONCE], recipients[LINES_AT_ONCE];
	size_t len;
	int64_t number;
};

static int read_file(struct audit *audit, FILE *file, struct lines *lines, struct err *err);
static int take_line(struct lines *lines, struct str line, struct err *err);
static int store(struct audit *audit, struct lines *lines, struct err *err);

static const char table_sql[] = "CREATE TEMP TABLE audit_accepted (header_id text, recipient text);";
/* The domain is the same in any case. */
static const char store_sql[] =
	"INSERT INTO audit_accepted SELECT id, left(r, length(r) - position('@' IN reverse(r)) + 1) ||"
	" lower(right(r, position('@' IN reverse(r)) - 1)) FROM unnest($1::text[], $2::text[]) AS a (id, r)"
	" WHERE position('@' IN r) > 0";
static const char index_sql[] = "CREATE INDEX ON audit_accepted (header_id); ANALYZE audit_accepted;";

/* Who accepted a copy did so before its state says it: copies that changed after the audit began are not missed. */
static const char compare_sql[] =
	"SELECT v.kind, v.rule, jsonb_build_object('copy', k.id, 'outbound', o.id, 'message_id', o.header_id, 'times', a.times),"
	" format('copy %s to %s (%s): ', k.id, k.recipient, k.state) || v.why"
	" FROM outbound_message o JOIN outbound_copy k ON k.outbound_id = o.id"
	" CROSS JOIN LATERAL (SELECT count(*) AS times FROM audit_accepted a WHERE a.header_id = o.header_id AND a.recipient = k.recipient) AS a"
	" CROSS JOIN LATERAL (VALUES"
	" (a.times > 1 AND k.state <> 'unknown', 'doubled', 'accepted.once', format('it was accepted %s times', a.times)),"
	" (a.times > 1 AND k.state = 'unknown', 'noted', 'accepted.unknown', format('it was accepted %s times; its state is unknown', a.times)),"
	" (a.times = 0 AND k.state = 'accepted' AND k.changed_at < $3, 'lost', 'accepted.missing', 'the server has not accepted it'),"
	" (a.times > 0 AND k.state IN ('queued', 'deferred', 'failed'), 'inconsistent', 'accepted.state', 'the server has accepted it')"
	" ) AS v (is_broken, kind, rule, why) WHERE o.id > $1 AND o.id <= $2 AND v.is_broken";
static const char unknown_sql[] =
	"SELECT 'unexplained', 'accepted.unknown_mail', jsonb_build_object('message_id', a.header_id, 'recipient', a.recipient),"
	" format('a mail to %s was accepted under an id of which there is no such copy: %s', a.recipient, a.header_id)"
	" FROM audit_accepted a WHERE NOT EXISTS (SELECT FROM outbound_message o JOIN outbound_copy k ON k.outbound_id = o.id"
	" WHERE o.header_id = a.header_id AND k.recipient = a.recipient)";
static const char count_sql[] =
	"SELECT (SELECT count(*) FROM audit_accepted), (SELECT count(*) FROM outbound_message o JOIN outbound_copy k ON k.outbound_id = o.id"
	" WHERE k.state = 'unknown' AND EXISTS (SELECT FROM audit_accepted a WHERE a.header_id = o.header_id AND a.recipient = k.recipient))";
static const char *const names[] = { "accepted", "accepted_unknown" };

int audit_accepted(struct audit *audit, struct err *err)
{
	const char *path = audit->options->accepted_file;
	struct audit_range range = { 0 };
	int more;

	if (!path)
		return 0;
	FILE *file = fopen(path, "r");
	if (!file)
		return err_set(err, ERR_PERM, "cannot read %s: %s", path, strerror(errno));
	struct lines *lines = xcalloc(1, sizeof *lines);
	arena_init(&lines->arena);
	int failed = db_script(audit->db, table_sql, err) < 0 || read_file(audit, file, lines, err) < 0 ||
	             db_script(audit->db, index_sql, err) < 0;
	arena_done(&lines->arena);
	free(lines);
	fclose(file);
	if (failed)
		return -1;
	while ((more = audit_range_next(audit, AUDIT_RANGE("outbound_message"), AUDIT_STEP, &range, err)) > 0) {
		struct db_args args;
		db_args_init(&args, &audit->arena);
		db_arg_uuid(&args, range.after);
		db_arg_uuid(&args, range.last);
		db_arg_time(&args, audit->began_us);
		if (audit_check(audit, compare_sql, &args, err) < 0)
			return err_prefix(err, "could not look at what was accepted");
	}
	if (more < 0 || audit_check(audit, unknown_sql, NULL, err) < 0)
		return err_prefix(err, "could not look at what was accepted");
	return audit_count(audit, count_sql, names, ARRAY_LEN(names), err);
}

static int read_file(struct audit *audit, FILE *file, struct lines *lines, struct err *err)
{
	char line[LINE_MOST];

	while (fgets(line, sizeof line, file)) {
		lines->number++;
		if (take_line(lines, str_trim(str_of(line)), err) < 0)
			return -1;
		if (lines->len == LINES_AT_ONCE && store(audit, lines, err) < 0)
			return -1;
	}
	return store(audit, lines, err);
}

/* {"message_id": ..., "recipient": ...}, or the two with a tabulator between. */
static int take_line(struct lines *lines, struct str line, struct err *err)
{
	struct str id = line, recipient = STR("");

	if (!line.len)
		return 0;
	if (line.at[0] == '{') {
		json_t *object CLEANUP(json_done) = json_parse(line, LINE_MOST, NULL);
		if (object) {
			id = str_dup(&lines->arena, json_str(object, "message_id"));
			recipient = str_dup(&lines->arena, json_str(object, "recipient"));
		}
	} else {
		ptrdiff_t tab = str_find_char(line, '\t', 0);
		if (tab > 0) {
			id = str_dup(&lines->arena, str_trim(str_slice(line, 0, (size_t)tab)));
			recipient = str_dup(&lines->arena, str_trim(str_slice(line, (size_t)tab + 1, line.len)));
		}
	}
	if (str_starts(id, STR("<")) && str_ends(id, STR(">")))
		id = str_slice(id, 1, id.len - 1);
	if (!id.len || !recipient.len)
		return err_set(err, ERR_PERM, "cannot read line %lld of what was accepted: it is no Message-ID with a recipient",
		               (long long)lines->number);
	lines->ids[lines->len] = id;
	lines->recipients[lines->len++] = recipient;
	return 0;
}

static int store(struct audit *audit, struct lines *lines, struct err *err)
{
	struct db_args args;
	int64_t rows;

	if (lines->len) {
		arena_reset(&audit->arena);
		db_args_init(&args, &audit->arena);
		db_arg_texts(&args, lines->ids, lines->len);
		db_arg_texts(&args, lines->recipients, lines->len);
		if (db_exec(audit->db, store_sql, &args, &rows, err) < 0)
			return -1;
	}
	lines->len = 0;
	arena_reset(&lines->arena);
	return 0;
}
