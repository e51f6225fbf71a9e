/* SPDX-License-Identifier: Apache-2.0
 * post URL KEYFILE - what a fetcher and a notifier would have done, for the tests of the threader; commands on standard
 * input, one a line, blanks between the words:
 *
 *	mail MAILBOX UIDVALIDITY UID FLAGS FILE   blob, ledger row and outbox row of a received mail; FLAGS: q quiet, - none
 *	token SERIAL MAILBOX                      prints the token of an outbound serial
 *	go                                        commits what was queued and prints "done"
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "edge/bus.h"
#include "edge/db.h"
#include "edge/seal.h"
#include "mail/thread_hint.h"
#include "record/outbox.h"
#include "record/token_keys.h"
#include "wire/mail_received.h"

#include "base/banned.h"

struct poster {
	struct db *db;
	struct arena arena;
	struct seal_key key;
	bool is_open;
};

static void need(int result, const struct err *err)
{
	if (result < 0) {
		fprintf(stderr, "%s\n", err->text);
		exit(1);
	}
}

static struct str read_file(struct arena *arena, struct str path)
{
	FILE *file = fopen(str_cstr(arena, path), "rb");
	if (!file) {
		perror("cannot read the mail");
		exit(1);
	}
	struct buf bytes;
	buf_init(&bytes, (size_t)64 << 20);
	char piece[65536];
	size_t got;
	while ((got = fread(piece, 1, sizeof piece, file)) > 0)
		buf_add(&bytes, piece, got);
	fclose(file);
	struct str copy = str_dup(arena, buf_str(&bytes));
	buf_done(&bytes);
	return copy;
}

static struct uuid mailbox_row(struct poster *post, struct str address, struct uuid *out_tenant,
                               struct uuid *out_folder)
{
	struct err err;
	struct db_args args;
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	db_args_init(&args, &post->arena);
	db_arg_text(&args, address);
	need(db_query(post->db,
	              "SELECT m.id, m.tenant_id, f.id FROM mailbox m LEFT JOIN mailbox_folder f ON f.mailbox_id = m.id"
	              " WHERE m.address = $1 LIMIT 1",
	              &args, &rows, &err),
	     &err);
	if (!db_rows(rows)) {
		fprintf(stderr, "there is no mailbox %.*s\n", STR_ARG(address));
		exit(1);
	}
	*out_tenant = db_uuid(rows, 0, 1);
	*out_folder = db_uuid(rows, 0, 2);
	return db_uuid(rows, 0, 0);
}

static void begin(struct poster *post)
{
	struct err err;
	if (!post->is_open)
		need(db_begin(post->db, &err), &err);
	post->is_open = true;
}

static void put_mail(struct poster *post, struct str address, int64_t uidvalidity, int64_t uid, bool is_quiet,
                     struct str path)
{
	struct err err;
	struct arena *arena = &post->arena;
	struct uuid tenant, folder, mailbox = mailbox_row(post, address, &tenant, &folder);
	struct str raw = read_file(arena, path);
	struct mail_received received = { .intake = { uuid_v7() },
		                              .tenant = { tenant },
		                              .mailbox = { mailbox },
		                              .folder = { folder },
		                              .blob = { uuid_v7() },
		                              .sha256 = sha256_of(raw),
		                              .size = (int64_t)raw.len,
		                              .received_at_us = clock_wall_us(),
		                              .is_quiet = is_quiet };
	thread_hint(raw, received.sha256, received.hint);

	begin(post);
	struct db_args args;
	db_args_init(&args, arena);
	db_arg_uuid(&args, received.blob.id);
	db_arg_uuid(&args, tenant);
	db_arg_bytes(&args, str_span((const char *)received.sha256.b, sizeof received.sha256.b));
	db_arg_int(&args, received.size);
	db_arg_bytes(&args, raw);
	need(db_queue(post->db, "INSERT INTO blob (id, tenant_id, sha256, size, bytes) VALUES ($1, $2, $3, $4, $5)", &args,
	              NULL, &err),
	     &err);
	db_args_init(&args, arena);
	db_arg_uuid(&args, received.intake.id);
	db_arg_uuid(&args, tenant);
	db_arg_uuid(&args, mailbox);
	db_arg_uuid(&args, folder);
	db_arg_int(&args, uidvalidity);
	db_arg_int(&args, uid);
	db_arg_uuid(&args, received.blob.id);
	db_arg_int(&args, received.size);
	db_arg_time(&args, received.received_at_us);
	db_arg_bool(&args, is_quiet);
	need(db_queue(post->db,
	              "INSERT INTO intake (id, tenant_id, mailbox_id, folder_id, uidvalidity, uid, state, blob_id, size,"
	              " received_at, is_quiet) VALUES ($1, $2, $3, $4, $5, $6, 'received', $7, $8, $9, $10)",
	              &args, NULL, &err),
	     &err);
	const struct outbox_row row = { .ce_id = uuid_v7(),
		                            .tenant = { tenant },
		                            .topic = TOPIC_MAIL_RECEIVED,
		                            .key = str_of(received.hint),
		                            .type = MAIL_RECEIVED_TYPE,
		                            .subject = uuid_str(arena, received.intake.id),
		                            .value = mail_received_encode(arena, &received) };
	need(outbox_put(post->db, arena, &row, 1, &err), &err);
}

static void print_token(struct poster *post, int64_t serial, struct str address)
{
	struct err err;
	struct uuid folder;
	struct tenant_id tenant;
	struct token_keys keys;
	char token[TOKEN_LEN + 1];
	mailbox_row(post, address, &tenant.id, &folder);
	need(token_keys_load(post->db, &post->arena, &post->key, tenant, &keys, &err), &err);
	if (token_make(&keys, serial, token))
		printf("%s\n", token);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct err err;
	struct poster post = { 0 };
	if (argc != 3)
		return 2;
	arena_init(&post.arena);
	need(seal_key_load(argv[2], &post.key, &err), &err);
	post.db = db_open(argv[1], "post", &err);
	need(post.db ? 0 : -1, &err);

	char *line = NULL;
	size_t room = 0;
	ssize_t got;
	while ((got = getline(&line, &room, stdin)) > 0) {
		struct str rest = str_trim(str_span(line, (size_t)got)), word[6] = { 0 };
		for (size_t i = 0; i < 6 && str_next(&rest, ' ', &word[i]);)
			i++;
		int64_t first = 0, second = 0;
		if (str_eq(word[0], STR("mail"))) {
			(void)str_to_i64(word[2], 0, INT64_MAX, &first);
			(void)str_to_i64(word[3], 0, INT64_MAX, &second);
			put_mail(&post, word[1], first, second, str_eq(word[4], STR("q")), word[5]);
		} else if (str_eq(word[0], STR("token"))) {
			(void)str_to_i64(word[1], 0, INT64_MAX, &first);
			print_token(&post, first, word[2]);
		} else if (str_eq(word[0], STR("go"))) {
			begin(&post);
			need(db_commit(post.db, &err), &err);
			post.is_open = false;
			arena_reset(&post.arena);
			printf("done\n");
			fflush(stdout);
		}
	}
	free(line);
	db_close(post.db);
	arena_done(&post.arena);
	return 0;
}
