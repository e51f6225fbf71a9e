/* SPDX-License-Identifier: Apache-2.0 */
#include "desk/desk_mail.h"

#include "base/json.h"
#include "domain/match_keys.h"
#include "mail/address.h"
#include "mail/compose.h"
#include "mail/msgid.h"
#include "mail/subject.h"
#include "record/message.h"
#include "record/outbound.h"

#include "base/banned.h"

struct letter {
	const struct desk_mail *mail;
	struct outbound_mailbox_row outbound;
	struct str outbound_reason;
	struct str format, reply_to;
	struct str *own; /* addresses of ours: never written to */
	size_t own_len;
	struct recipient_verdict *verdicts;
	struct mail_addresses to, cc;
	struct mail_strs to_folded, cc_folded;
	struct outbound_recipient *recipients; /* with the archive */
	size_t recipients_len;
	struct str subject, header_id, bytes;
	int64_t serial;
};

static enum desk_status choose_outbound(const struct desk *desk, struct letter *letter, struct err *err);
static int load(const struct desk *desk, struct letter *letter, struct err *err);
static enum desk_status choose_recipients(const struct desk *desk, struct letter *letter, struct err *err);
static enum desk_status write_bytes(const struct desk *desk, struct letter *letter, struct err *err);
static int queue_rows(const struct desk *desk, const struct letter *letter, struct desk_mail_done *done,
                      struct err *err);
static struct str describe(const struct desk *desk, const struct letter *letter);

static const char sql_named_outbound[] =
	"SELECT id, tenant_id, name, sender_name, sender_address, bcc_archive, is_default FROM outbound_mailbox "
	"WHERE id = $1 AND tenant_id = $2 AND is_active";
static const char sql_format[] = "SELECT subject_format FROM queue WHERE id = $1";
static const char sql_reply_to[] = "SELECT address FROM mailbox WHERE id = $1";
static const char sql_own[] =
	"SELECT address FROM mailbox WHERE tenant_id = $1 UNION SELECT lower(sender_address) FROM outbound_mailbox "
	"WHERE tenant_id = $1 UNION SELECT lower(bcc_archive) FROM outbound_mailbox WHERE tenant_id = $1 AND bcc_archive "
	"<> ''";
/* A case that was not born from mail gets its root from the first mail of ours. */
static const char sql_root[] = "UPDATE case_file SET root_header_id = $2 WHERE id = $1 AND root_header_id = ''";
static const char sql_queue_mailbox[] =
	"SELECT id, group_id FROM mailbox WHERE tenant_id = $1 AND queue_id = $2 AND is_active ORDER BY address LIMIT 1";

enum desk_status desk_mail_put(const struct desk *desk, const struct desk_mail *mail, struct desk_mail_done *out,
                               struct err *err)
{
	struct letter letter = { .mail = mail };
	struct desk_mail_done done = { .message = { uuid_v7() }, .outbound = { uuid_v7() } };
	enum desk_status status = choose_outbound(desk, &letter, err);

	if (status != DESK_DONE)
		return status;
	if (load(desk, &letter, err) < 0 || outbound_serials(desk->db, desk->arena, 1, &letter.serial, err) < 0)
		return desk_fail(desk);
	status = choose_recipients(desk, &letter, err);
	if (status == DESK_DONE)
		status = write_bytes(desk, &letter, err);
	if (status != DESK_DONE)
		return status;
	if (queue_rows(desk, &letter, &done, err) < 0)
		return desk_fail(desk);
	done.header_id = letter.header_id;
	done.verdicts = letter.verdicts;
	done.recipients_len = letter.to.len + letter.cc.len;
	done.size = (int64_t)letter.bytes.len;
	done.detail = describe(desk, &letter);
	*out = done;
	return DESK_DONE;
}

int desk_mailbox_of_queue(const struct desk *desk, struct queue_id queue, struct mailbox_id *out_mailbox,
                          struct group_id *out_group, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, desk->tenant.id);
	db_arg_uuid(&args, queue.id);
	if (db_query(desk->db, sql_queue_mailbox, &args, &rows, err) < 0)
		return -1;
	out_mailbox->id = db_rows(rows) ? db_uuid(rows, 0, 0) : (struct uuid){ 0 };
	out_group->id = db_rows(rows) ? db_uuid(rows, 0, 1) : (struct uuid){ 0 };
	return 0;
}

/* The author's choice, else the receiving mailbox's, else the default. */
static enum desk_status choose_outbound(const struct desk *desk, struct letter *letter, struct err *err)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	if (uuid_is_null(letter->mail->outbound.id)) {
		int found = outbound_mailbox_choose(desk->db, desk->arena, desk->tenant, letter->mail->mailbox,
		                                    &letter->outbound, &letter->outbound_reason, err);
		if (found < 0)
			return desk_fail(desk);
		return found ? DESK_DONE
		             : desk_refuse(desk, err,
		                           "there is no outbound mailbox to send from: `casectl outbound-mailbox add NAME "
		                           "--default` makes one");
	}
	db_args_init(&args, desk->arena);
	db_arg_uuid(&args, letter->mail->outbound.id);
	db_arg_uuid(&args, desk->tenant.id);
	if (db_query(desk->db, sql_named_outbound, &args, &rows, err) < 0)
		return desk_fail(desk);
	if (db_rows(rows) == 0)
		return desk_refuse(desk, err, "the outbound mailbox that was chosen is switched off, or not there");
	letter->outbound = (struct outbound_mailbox_row){
		.id = { db_uuid(rows, 0, 0) },
		.tenant = { db_uuid(rows, 0, 1) },
		.name = str_dup(desk->arena, db_str(rows, 0, 2)),
		.sender_name = str_dup(desk->arena, db_str(rows, 0, 3)),
		.sender_address = str_dup(desk->arena, db_str(rows, 0, 4)),
		.bcc_archive = str_dup(desk->arena, db_str(rows, 0, 5)),
		.is_default = db_bool(rows, 0, 6),
	};
	letter->outbound_reason = STR("author");
	return DESK_DONE;
}

static int load(const struct desk *desk, struct letter *letter, struct err *err)
{
	struct db_result *format CLEANUP(db_result_done) = NULL, *reply_to CLEANUP(db_result_done) = NULL,
	                 *own CLEANUP(db_result_done) = NULL;
	struct db_args queue, mailbox, tenant;

	db_args_init(&queue, desk->arena);
	db_arg_uuid(&queue, letter->mail->row->queue.id);
	db_args_init(&mailbox, desk->arena);
	db_arg_uuid(&mailbox, letter->mail->mailbox.id);
	db_args_init(&tenant, desk->arena);
	db_arg_uuid(&tenant, desk->tenant.id);
	if (db_queue(desk->db, sql_format, &queue, &format, err) < 0 ||
	    db_queue(desk->db, sql_reply_to, &mailbox, &reply_to, err) < 0 ||
	    db_queue(desk->db, sql_own, &tenant, &own, err) < 0 || db_flush(desk->db, err) < 0)
		return -1;
	letter->format = db_rows(format) ? str_dup(desk->arena, db_str(format, 0, 0)) : STR("[#%d]");
	letter->reply_to = db_rows(reply_to) ? str_dup(desk->arena, db_str(reply_to, 0, 0)) : STR("");
	letter->own_len = (size_t)db_rows(own);
	letter->own = ARENA_ARRAY(desk->arena, struct str, letter->own_len + 1);
	for (size_t i = 0; i < letter->own_len; i++)
		letter->own[i] = str_dup(desk->arena, db_str(own, (int)i, 0));
	return 0;
}

static enum desk_status choose_recipients(const struct desk *desk, struct letter *letter, struct err *err)
{
	const struct desk_mail *mail = letter->mail;
	size_t count = mail->candidates_len;

	letter->verdicts = recipients_choose(desk->arena, mail->candidates, count, letter->own, letter->own_len);
	letter->to.at = ARENA_ARRAY(desk->arena, struct mail_address, count + 1);
	letter->cc.at = ARENA_ARRAY(desk->arena, struct mail_address, count + 1);
	letter->to_folded.at = ARENA_ARRAY(desk->arena, struct str, count + 1);
	letter->cc_folded.at = ARENA_ARRAY(desk->arena, struct str, count + 1);
	letter->recipients = ARENA_ARRAY(desk->arena, struct outbound_recipient, count + 1);
	for (size_t i = 0; i < count; i++) {
		const struct recipient_candidate *candidate = letter->verdicts[i].candidate;
		/* Whom the author names and who cannot be reached is for the author to hear, before anything is sent. */
		if (strcmp(letter->verdicts[i].reason, "invalid_address") == 0 && strcmp(candidate->why, "named") == 0)
			return desk_refuse(desk, err, "%.*s cannot be written to: an address needs ASCII letters, no blanks and no "
			                   "quotes; an international domain has its xn-- form",
			                   STR_ARG(candidate->who.address));
		if (!letter->verdicts[i].is_in)
			continue;
		struct mail_addresses *list = candidate->is_cc ? &letter->cc : &letter->to;
		struct mail_strs *folded = candidate->is_cc ? &letter->cc_folded : &letter->to_folded;
		list->at[list->len++] = candidate->who;
		folded->at[folded->len++] = address_fold(desk->arena, candidate->who.address);
		letter->recipients[letter->recipients_len++] = (struct outbound_recipient){
			candidate->who.address, candidate->is_cc ? STR("cc") : STR("to") };
	}
	if (letter->recipients_len == 0)
		return desk_refuse(desk, err, "nobody outside would get this: name somebody with --to ADDRESS");
	if (letter->outbound.bcc_archive.len)
		letter->recipients[letter->recipients_len++] =
			(struct outbound_recipient){ letter->outbound.bcc_archive, STR("archive") };
	return DESK_DONE;
}

static enum desk_status write_bytes(const struct desk *desk, struct letter *letter, struct err *err)
{
	const struct desk_mail *mail = letter->mail;
	char token[TOKEN_LEN + 1];
	struct str tag = subject_tag(desk->arena, letter->format, mail->row->number);

	if (!token_make(desk->keys, letter->serial, token))
		return desk_refuse(desk, err, "the tenant has no key that signs tokens; `casectl tenant add` makes one");
	letter->header_id =
		str_printf(desk->arena, "%s@%.*s", token, STR_ARG(recipient_domain(letter->outbound.sender_address)));
	letter->subject = compose_subject(desk->arena, mail->prefix, tag, mail->row->subject);
	struct compose fields = {
		.from = { letter->outbound.sender_name, letter->outbound.sender_address },
		.reply_to = letter->reply_to,
		.to = letter->to,
		.cc = letter->cc,
		.subject = letter->subject,
		.message_id = letter->header_id,
		.in_reply_to = mail->in_reply_to,
		.references = mail->references,
		.date_s = desk->now_us / 1000000,
		.own_mark = str_of(token),
		.text = mail->text,
	};
	if (compose(desk->arena, &fields, &letter->bytes, err) < 0)
		return desk_fail(desk);
	return DESK_DONE;
}

static int queue_rows(const struct desk *desk, const struct letter *letter, struct desk_mail_done *done,
                      struct err *err)
{
	const struct desk_mail *mail = letter->mail;
	const struct case_row *row = mail->row;
	struct mail_strs parent = { .at = (struct str[]){ mail->in_reply_to }, .len = mail->in_reply_to.len > 0 };
	struct message_new message = {
		.id = done->message,
		.tenant = desk->tenant,
		/* Made once, here: it needs no evidence of being the same as another. A copy that comes back is known by its
		 * token. */
		.identity = done->message.id,
		.direction = DIRECTION_OUT,
		.kind = STR("normal"),
		.header_id = letter->header_id,
		.in_reply_to = parent,
		.references = mail->references,
		.from_name = letter->outbound.sender_name,
		.from_address = address_fold(desk->arena, letter->outbound.sender_address),
		.to = letter->to_folded,
		.cc = letter->cc_folded,
		.subject = letter->subject,
		.body = mail->text,
		.sender_level = STR("authenticated"),
		.size = (int64_t)letter->bytes.len,
		.author = desk->author.user,
		.sent_at_us = desk->now_us,
	};
	struct case_message_new place = {
		.message = done->message,
		.case_id = row->id,
		.tenant = desk->tenant,
		.position = row->message_count + 1,
		.matched_by = row->version ? STR("person") : STR("opened"),
	};
	struct str normal = msgid_normal(desk->arena, letter->header_id);
	struct message_ref_new ref = { message_ref_key(desk->tenant, row->group, normal), desk->tenant, row->id,
		                           done->message };
	struct outbound_new outbound = {
		.id = done->outbound,
		.tenant = desk->tenant,
		.serial = letter->serial,
		.case_id = row->id,
		.case_version = row->version + 1,
		.audience = STR("customer"),
		.kind = STR("reply"),
		.reason = str_of(mail->reason),
		.message = done->message,
		.mailbox = letter->outbound.id,
		.mailbox_reason = letter->outbound_reason,
		.header_id = letter->header_id,
		.envelope_from = letter->outbound.sender_address,
		.bytes = letter->bytes,
		.recipients = letter->recipients,
		.recipients_len = letter->recipients_len,
	};
	struct db_args root;

	db_args_init(&root, desk->arena);
	db_arg_uuid(&root, row->id.id);
	db_arg_text(&root, letter->header_id);
	/* Claimed before the outbox is written, as everywhere: ids, then what hangs on them. */
	if (message_ref_put(desk->db, desk->arena, &ref, 1, desk->now_us, err) < 0 ||
	    message_put(desk->db, desk->arena, &message, 1, desk->now_us, err) < 0 ||
	    case_message_put(desk->db, desk->arena, &place, 1, desk->now_us, err) < 0 ||
	    outbound_put(desk->db, desk->arena, &outbound, 1, desk->now_us, err) < 0)
		return -1;
	/* A new case has no row yet: its opening says the root. */
	return row->version && !row->root_header_id.len ? db_queue(desk->db, sql_root, &root, NULL, err) : 0;
}

static struct str describe(const struct desk *desk, const struct letter *letter)
{
	json_t *detail CLEANUP(json_done) = json_object();
	json_t *list = json_array();

	for (size_t i = 0; i < letter->mail->candidates_len; i++) {
		json_t *entry = json_object();
		json_put_str(entry, "address", letter->verdicts[i].candidate->who.address);
		json_put_bool(entry, "in", letter->verdicts[i].is_in);
		json_put_str(entry, "reason", str_of(letter->verdicts[i].reason));
		json_array_append_new(list, entry);
	}
	json_put(detail, "recipients", list);
	json_put_str(detail, "outbound_mailbox", letter->outbound.name);
	json_put_str(detail, "outbound_mailbox_reason", letter->outbound_reason);
	return json_dump(desk->arena, detail);
}
