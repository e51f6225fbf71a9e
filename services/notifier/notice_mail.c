/* SPDX-License-Identifier: Apache-2.0 */
#include "notice_mail.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "domain/recipients.h"
#include "mail/compose.h"
#include "mail/subject.h"
#include "notice_text.h"
#include "record/outbound.h"
#include "record/token_keys.h"

#include "base/banned.h"

#define KEYS_KEPT_MS INT64_C(60000)

struct token_cache {
	struct token_cache *next;
	struct tenant_id tenant;
	int64_t until_ms;
	struct arena arena;
	struct token_keys keys;
};

/* The outbound mailbox of a case's mails, the same for all cases of a receiving mailbox. */
struct sender_choice {
	struct sender_choice *next;
	struct tenant_id tenant;
	struct mailbox_id mailbox;
	bool is_found;
	struct outbound_mailbox_row row;
	struct str reason;
};

struct writer {
	struct db *db;
	struct arena *arena;
	const struct notice_facts *facts;
	struct sender_choice *choices;
	struct notice_body *bodies;
	size_t bodies_len;
	int64_t now_us;
};

static int choose_sender(struct writer *writer, const struct case_row *row, const struct sender_choice **out, struct err *err);
static int tenant_keys(struct db *db, struct token_cache **cache, const struct seal_key *key, struct tenant_id tenant,
                       const struct token_keys **out, struct err *err);
static int load_bodies(struct writer *writer, const struct notice_mail *mails, size_t count, struct err *err);
static int write_one(struct writer *writer, struct notice_mail *mail, const struct sender_choice *choice,
                     const struct token_keys *keys, int64_t serial, struct outbound_new *out, struct err *err);
static int find_words(struct writer *writer, const struct notice_mail *mail, struct notice_words *out, struct err *err);
static struct mail_strs references_of(struct writer *writer, const struct notice_mail *mail, struct str parent);
static struct str detail_of(struct writer *writer, const struct notice_mail *mail, const struct sender_choice *choice);
static struct str recipient_of(const struct writer *writer, const struct notice_mail *mail, struct str *out_name);
static ptrdiff_t message_at(const struct notice_facts *facts, struct message_id id);
static ptrdiff_t user_at(const struct notice_facts *facts, struct user_id id);

int notice_mail_write(struct db *db, struct arena *arena, struct token_cache **cache, const struct seal_key *key,
                      const struct notice_facts *facts, struct notice_mail *mails, size_t count, int64_t now_us,
                      struct err *err)
{
	struct writer writer = { .db = db, .arena = arena, .facts = facts, .now_us = now_us };
	const struct sender_choice **choices = ARENA_ARRAY(arena, const struct sender_choice *, count + 1);
	const struct token_keys **keys = ARENA_ARRAY(arena, const struct token_keys *, count + 1);
	struct outbound_new *outbounds = ARENA_ARRAY(arena, struct outbound_new, count + 1);
	int64_t *serials = ARENA_ARRAY(arena, int64_t, count + 1);
	size_t made = 0, wanted = 0;

	for (size_t i = 0; i < count; i++) {
		struct notice *notice = mails[i].notice;
		if (!notice->by_mail)
			continue;
		if (choose_sender(&writer, mails[i].row, &choices[i], err) < 0 ||
		    tenant_keys(db, cache, key, mails[i].row->tenant, &keys[i], err) < 0)
			return -1;
		if (!choices[i]->is_found)
			notice->suppressed_by = "no_outbound_mailbox";
		else if (!keys[i]->len)
			notice->suppressed_by = "no_token_key";
		notice->by_mail = !notice->suppressed_by;
		wanted += notice->by_mail;
	}
	if (load_bodies(&writer, mails, count, err) < 0 || outbound_serials(db, arena, wanted, serials, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct err why = { 0 };
		if (mails[i].notice->by_mail) {
			int written = write_one(&writer, &mails[i], choices[i], keys[i], serials[--wanted], &outbounds[made], &why);
			mails[i].is_made = written == 0;
			made += mails[i].is_made;
			if (written < 0 && why.kind != ERR_PERM) {
				*err = why;
				return -1;
			}
			if (written < 0) {
				log_warn("notice.not_written", LOG_UUID("case", mails[i].row->id.id), LOG_ERR(&why), LOG_END);
				mails[i].notice->suppressed_by = "not_writable";
			}
		}
		if (mails[i].is_made || mails[i].notice->suppressed_by)
			mails[i].detail = detail_of(&writer, &mails[i], choices[i]);
	}
	return outbound_put(db, arena, outbounds, made, now_us, err);
}

void token_cache_free(struct token_cache *cache)
{
	while (cache) {
		struct token_cache *next = cache->next;
		arena_done(&cache->arena);
		free(cache);
		cache = next;
	}
}

static int choose_sender(struct writer *writer, const struct case_row *row, const struct sender_choice **out, struct err *err)
{
	for (struct sender_choice *choice = writer->choices; choice; choice = choice->next) {
		if (uuid_eq(choice->tenant.id, row->tenant.id) && uuid_eq(choice->mailbox.id, row->mailbox.id)) {
			*out = choice;
			return 0;
		}
	}
	struct sender_choice *choice = ARENA_NEW(writer->arena, struct sender_choice);
	int found = outbound_mailbox_choose(writer->db, writer->arena, row->tenant, row->mailbox, &choice->row, &choice->reason,
	                                    err);
	if (found < 0)
		return -1;
	choice->tenant = row->tenant;
	choice->mailbox = row->mailbox;
	choice->is_found = found == 1;
	choice->next = writer->choices;
	writer->choices = choice;
	*out = choice;
	return 0;
}

static int tenant_keys(struct db *db, struct token_cache **cache, const struct seal_key *key, struct tenant_id tenant,
                       const struct token_keys **out, struct err *err)
{
	struct token_cache *entry = *cache;
	int64_t now_ms = clock_mono_ms();

	while (entry && !uuid_eq(entry->tenant.id, tenant.id))
		entry = entry->next;
	if (!entry) {
		entry = xcalloc(1, sizeof *entry);
		entry->tenant = tenant;
		entry->next = *cache;
		*cache = entry;
	}
	if (now_ms >= entry->until_ms) {
		entry->until_ms = 0;
		arena_reset(&entry->arena);
		if (token_keys_load(db, &entry->arena, key, tenant, &entry->keys, err) < 0)
			return -1;
		entry->until_ms = now_ms + KEYS_KEPT_MS;
	}
	*out = &entry->keys;
	return 0;
}

/* Texts are only read for those that are quoted. */
static int load_bodies(struct writer *writer, const struct notice_mail *mails, size_t count, struct err *err)
{
	struct uuid *ids = ARENA_ARRAY(writer->arena, struct uuid, count + 1);
	size_t len = 0;

	for (size_t i = 0; i < count; i++) {
		const struct notice *notice = mails[i].notice;
		if (notice->by_mail && notice->audience == NOTICE_STAFF && !uuid_is_null(notice->message.id))
			ids[len++] = notice->message.id;
	}
	return len ? notice_store_bodies(writer->db, writer->arena, ids, len, &writer->bodies, &writer->bodies_len, err) : 0;
}

static int write_one(struct writer *writer, struct notice_mail *mail, const struct sender_choice *choice,
                     const struct token_keys *keys, int64_t serial, struct outbound_new *out, struct err *err)
{
	struct arena *arena = writer->arena;
	const struct notice *notice = mail->notice;
	bool is_customer = notice->audience == NOTICE_CUSTOMER;
	struct notice_words words = { .signature = choice->row.sender_name };
	struct mail_address to = { 0 };
	char token[TOKEN_LEN + 1];
	ptrdiff_t about = message_at(writer->facts, notice->message);
	struct str parent = about >= 0 ? writer->facts->origins[about].header_id : STR("");
	struct str reply_to = STR("");

	if (find_words(writer, mail, &words, err) < 0)
		return -1;
	if (!token_make(keys, serial, token))
		return err_set(err, ERR_PERM, "cannot sign a token: every key is retired");
	to.address = recipient_of(writer, mail, &to.name);
	for (size_t i = 0; i < writer->facts->mailboxes_len; i++) {
		if (uuid_eq(writer->facts->mailboxes[i].id.id, mail->row->mailbox.id))
			reply_to = writer->facts->mailboxes[i].address;
	}
	if (str_eq_nocase(reply_to, choice->row.sender_address))
		reply_to = STR("");
	*out = (struct outbound_new){
		.id = { uuid_v7() },
		.tenant = mail->row->tenant,
		.serial = serial,
		.case_id = mail->row->id,
		.case_version = mail->record->version,
		.audience = is_customer ? STR("customer") : STR("staff"),
		.kind = str_of(notice->kind),
		.reason = str_of(notice->reason),
		.user = notice->user,
		.message = notice->message,
		.mailbox = choice->row.id,
		.mailbox_reason = choice->reason,
		.header_id = str_printf(arena, "%s@%.*s", token, STR_ARG(recipient_domain(choice->row.sender_address))),
		.envelope_from = STR(""), /* a notice that cannot be delivered must not come back as mail */
	};
	struct compose fields = {
		.from = { choice->row.sender_name, choice->row.sender_address },
		.reply_to = reply_to,
		.to = { &to, 1 },
		.subject = notice_subject(arena, notice, &words),
		.message_id = out->header_id,
		.in_reply_to = is_customer ? parent : STR(""),
		.references = references_of(writer, mail, parent),
		.date_s = writer->now_us / USEC_PER_SEC,
		.is_automatic = true,
		.is_auto_reply = is_customer,
		.own_mark = str_of(token),
		.text = notice_text(arena, notice, &words),
	};
	if (compose(arena, &fields, &out->bytes, err) < 0)
		return -1;
	struct outbound_recipient *recipients = ARENA_ARRAY(arena, struct outbound_recipient, 2);
	recipients[out->recipients_len++] = (struct outbound_recipient){ to.address, STR("to") };
	if (choice->row.bcc_archive.len)
		recipients[out->recipients_len++] = (struct outbound_recipient){ choice->row.bcc_archive, STR("archive") };
	out->recipients = recipients;
	mail->outbound = out->id;
	return 0;
}

static int find_words(struct writer *writer, const struct notice_mail *mail, struct notice_words *out, struct err *err)
{
	const struct notice_facts *facts = writer->facts;
	const struct notice *notice = mail->notice;
	struct str format = STR("[#%d]");
	ptrdiff_t about = message_at(facts, notice->message);

	for (size_t i = 0; i < facts->queues_len; i++) {
		if (uuid_eq(facts->queues[i].id.id, mail->row->queue.id))
			format = facts->queues[i].subject_format;
	}
	out->number = mail->row->number;
	out->tag = subject_tag(writer->arena, format, mail->row->number);
	out->case_subject = mail->row->subject;
	out->state = str_of(case_state_name(mail->row->state));
	if (strcmp(notice->role, "author") == 0) {
		for (size_t i = 0; i < mail->record->facts_len; i++) {
			const struct fact *fact = &mail->record->facts[i];
			const char *state = strcmp(notice->reason, "copy_failed") == 0 ? "failed" : "unknown";
			struct str lines;
			if (fact->kind != FACT_COPY_STATE_CHANGED || !str_eq(fact->copy_state_changed.to, str_of(state)))
				continue;
			if (notice_store_copies(writer->db, writer->arena, fact->copy_state_changed.outbound, state, &lines, err) < 0)
				return -1;
			out->recipients = lines;
		}
	}
	if (about < 0 || notice->audience == NOTICE_CUSTOMER)
		return 0;
	ptrdiff_t author = user_at(facts, facts->origins[about].author);
	if (author >= 0)
		out->who = facts->user_names[author];
	else
		out->who = facts->messages[about].sender.len ? facts->messages[about].sender : STR("somebody");
	if (facts->origins[about].direction == DIRECTION_IN && !notice_may_quote(facts->messages[about].sender))
		return 0;
	for (size_t i = 0; i < writer->bodies_len; i++) {
		if (uuid_eq(writer->bodies[i].message.id, notice->message.id)) {
			out->excerpt = writer->bodies[i].text;
			out->excerpt_is_cut = writer->bodies[i].is_cut;
		}
	}
	return 0;
}

/* The case's root first, then what is answered: all mails of a case stand together in every reader. */
static struct mail_strs references_of(struct writer *writer, const struct notice_mail *mail, struct str parent)
{
	struct str *ids = ARENA_ARRAY(writer->arena, struct str, 2);
	size_t len = 0;

	if (mail->row->root_header_id.len)
		ids[len++] = mail->row->root_header_id;
	if (mail->notice->audience == NOTICE_CUSTOMER && parent.len && !str_eq(parent, mail->row->root_header_id))
		ids[len++] = parent;
	return (struct mail_strs){ ids, len };
}

static struct str detail_of(struct writer *writer, const struct notice_mail *mail, const struct sender_choice *choice)
{
	json_t *detail CLEANUP(json_done) = json_object();
	struct str name;

	json_put_str(detail, "address", recipient_of(writer, mail, &name));
	json_put_str(detail, "role", str_of(mail->notice->role));
	if (choice && choice->is_found) {
		json_put_str(detail, "outbound_mailbox", choice->row.name);
		json_put_str(detail, "mailbox_reason", choice->reason);
	}
	return json_dump(writer->arena, detail);
}

/* A sender's display name is his words: it stays out. */
static struct str recipient_of(const struct writer *writer, const struct notice_mail *mail, struct str *out_name)
{
	*out_name = STR("");
	if (mail->notice->audience == NOTICE_CUSTOMER) {
		ptrdiff_t about = message_at(writer->facts, mail->notice->message);
		return about >= 0 ? writer->facts->messages[about].sender : STR("");
	}
	ptrdiff_t user = user_at(writer->facts, mail->notice->user);
	if (user < 0)
		return STR("");
	*out_name = writer->facts->user_names[user];
	return writer->facts->users[user].address;
}

static ptrdiff_t message_at(const struct notice_facts *facts, struct message_id id)
{
	for (size_t i = 0; i < facts->messages_len; i++) {
		if (uuid_eq(facts->messages[i].id.id, id.id))
			return (ptrdiff_t)i;
	}
	return -1;
}

static ptrdiff_t user_at(const struct notice_facts *facts, struct user_id id)
{
	for (size_t i = 0; i < facts->users_len; i++) {
		if (uuid_eq(facts->users[i].id.id, id.id))
			return (ptrdiff_t)i;
	}
	return -1;
}
