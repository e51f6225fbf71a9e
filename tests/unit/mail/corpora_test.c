/* SPDX-License-Identifier: Apache-2.0
 * Other people's mails, where they are at hand: whatever is parsed keeps the promises of model.h. They lie outside the
 * project, in $MAILCASE_SHARED or ../shared; without them this is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/clock.h"
#include "mail/parse.h"

#include "base/banned.h"

enum { MAILS_MOST = 4000, FILE_MOST = 8 << 20, SLOW_MS = 5000 };

static struct arena arena;
static size_t seen;

static void assert_text(const char *path, const char *what, struct str s)
{
	if (s.len && !str_is_text(s))
		fail_msg("%s: %s is no text", path, what);
}

static void assert_promises(const char *path, size_t size, const struct mail *mail)
{
	const struct mail_addresses *const lists[] = { &mail->from, &mail->sender, &mail->reply_to, &mail->to, &mail->cc };
	const struct mail_strs *const ids[] = { &mail->in_reply_to, &mail->references, &mail->inner_ids,
		                                    &mail->delivered_to };

	assert_text(path, "subject", mail->subject);
	assert_text(path, "text", mail->text);
	assert_text(path, "message id", mail->message_id);
	assert_text(path, "date", mail->date_raw);
	assert_text(path, "return path", mail->return_path);
	assert_null(mail->subject.len ? memchr(mail->subject.at, '\n', mail->subject.len) : NULL);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (size_t k = 0; k < lists[i]->len; k++) {
			assert_text(path, "name", lists[i]->at[k].name);
			assert_text(path, "address", lists[i]->at[k].address);
		}
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		for (size_t k = 0; k < ids[i]->len; k++)
			assert_text(path, "id", ids[i]->at[k]);
	for (size_t i = 0; i < mail->parts_len; i++) {
		assert_text(path, "part name", mail->parts[i].name);
		assert_text(path, "part type", mail->parts[i].type);
		assert_true(mail->parts[i].offset + mail->parts[i].length <= size);
	}
}

static int one_file(const char *path, const struct stat *stat, int type, struct FTW *where)
{
	struct buf bytes CLEANUP(buf_done);
	struct mail mail;
	FILE *file;

	(void)where;
	buf_init(&bytes, FILE_MOST);
	if (type != FTW_F || stat->st_size > FILE_MOST || !strstr(path, "/mails/") || !(file = fopen(path, "rb")))
		return 0;
	char *room = buf_reserve(&bytes, (size_t)stat->st_size);
	buf_grew(&bytes, fread(room, 1, (size_t)stat->st_size, file));
	fclose(file);
	int64_t start = clock_mono_ms();
	mail_parse(&arena, buf_str(&bytes), &mail_limits_default, &mail);
	if (clock_mono_ms() - start > SLOW_MS)
		fail_msg("%s: takes seconds", path);
	assert_promises(path, bytes.len, &mail);
	arena_reset(&arena);
	return ++seen >= MAILS_MOST;
}

static void test_the_corpora_keep_the_promises(void **state)
{
	const char *named = getenv("MAILCASE_SHARED");
	const char *const roots[] = { named ? named : "../shared", "../shared", "../../shared" };

	(void)state;
	arena_init(&arena);
	for (size_t i = 0; i < ARRAY_LEN(roots) && seen == 0; i++)
		nftw(str_cstr(&arena, str_printf(&arena, "%s/corpora", roots[i])), one_file, 16, FTW_PHYS);
	arena_done(&arena);
	if (seen == 0)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_the_corpora_keep_the_promises) };

	mail_parse_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
