/* SPDX-License-Identifier: Apache-2.0 */
#include "mail_json.h"

#include "base/clock.h"

#include "base/banned.h"

static json_t *addresses_json(const struct mail_addresses *list)
{
	json_t *array = json_array();
	for (size_t i = 0; i < list->len; i++) {
		json_t *entry = json_object();
		json_put_str(entry, "name", list->at[i].name);
		json_put_str(entry, "address", list->at[i].address);
		json_array_append_new(array, entry);
	}
	return array;
}

static json_t *strs_json(const struct mail_strs *list)
{
	json_t *array = json_array();
	for (size_t i = 0; i < list->len; i++)
		json_array_append_new(array, json_text(list->at[i]));
	return array;
}

static json_t *parts_json(struct arena *arena, const struct mail *mail)
{
	json_t *array = json_array();
	for (size_t i = 0; i < mail->parts_len; i++) {
		const struct mail_part *part = &mail->parts[i];
		json_t *entry = json_object();
		json_put_str(entry, "name", part->name);
		json_put_str(entry, "type", part->type);
		json_put_int(entry, "size", (int64_t)part->size);
		json_put_str(entry, "sha256", str_hex(arena, part->sum.b, sizeof(part->sum.b)));
		json_put_bool(entry, "inline", part->is_inline);
		json_put_str(entry, "content_id", part->content_id);
		json_array_append_new(array, entry);
	}
	return array;
}

json_t *mail_json(struct arena *arena, struct str file, const struct mail *mail)
{
	json_t *object = json_object();
	json_put_str(object, "file", file);
	json_put_str(object, "subject", mail->subject);
	json_put(object, "from", addresses_json(&mail->from));
	json_put(object, "to", addresses_json(&mail->to));
	json_put(object, "cc", addresses_json(&mail->cc));
	json_put(object, "reply_to", addresses_json(&mail->reply_to));
	json_put(object, "date", mail->has_date ? json_time(mail->date_s * USEC_PER_SEC) : NULL);
	json_put_str(object, "message_id", mail->message_id);
	json_put(object, "in_reply_to", strs_json(&mail->in_reply_to));
	json_put(object, "references", strs_json(&mail->references));
	json_put_str(object, "text", mail->text);
	json_put_bool(object, "html_present", mail->has_html);
	json_put(object, "attachments", parts_json(arena, mail));
	json_t *defects = json_array();
	for (uint32_t bit = 1; bit && mail_defect_name(bit); bit <<= 1)
		if (mail->defects & bit)
			json_array_append_new(defects, json_text(str_of(mail_defect_name(bit))));
	json_put(object, "defects", defects);
	json_put_str(object, "class", str_of(mail_kind_name(mail->kind)));
	json_put(object, "bounce", json_array());
	bool is_returned = mail->kind == MAIL_BOUNCE || mail->kind == MAIL_DELIVERY_REPORT || mail->kind == MAIL_COMPLAINT;
	json_put_str(object, "original_message_id", is_returned && mail->inner_ids.len ? mail->inner_ids.at[0] : STR(""));
	json_put_str(object, "reply_text", mail->text);
	return object;
}
