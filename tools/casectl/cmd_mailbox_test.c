/* SPDX-License-Identifier: Apache-2.0
 * cmd_mailbox_test - try the server as the fetcher would: connect, log in, list the folders; nothing is sent or changed
 */
#include "cmd_mailbox.h"
#include "edge/imap_probe.h"
#include "record/mailbox.h"

#include "base/banned.h"

#define SILENCE_MS 10000

static int probe(struct ctl *ctl, struct mailbox *mailbox, struct imap_probe *out);
static bool is_fetched(const struct mailbox *mailbox, struct str folder);
static json_t *trouble_json(const struct imap_probe *probe);
static int explain(struct ctl *ctl, const struct imap_probe *probe);

int mailbox_test(struct ctl *ctl)
{
	struct mailbox mailbox;
	struct imap_probe result;
	int status = probe(ctl, &mailbox, &result);

	if (status != CTL_DONE)
		return status;
	if (ctl->as_json) {
		json_t *object CLEANUP(json_done) = trouble_json(&result);
		json_put_str(object, "address", mailbox.address);
		json_put_int(object, "folders", (int64_t)result.folder_count);
		json_put_int(object, "login_ms", result.login_ms);
		json_put_bool(object, "has_idle", result.has_idle);
		json_put_str(object, "dialogue", result.dialogue);
		json_print_line(stdout, object);
		return result.ok ? CTL_DONE : CTL_FAILED;
	}
	struct str left = result.dialogue, line;
	while (str_next_line(&left, &line))
		printf("%.*s\n", STR_ARG(table_clean(&ctl->arena, line)));
	if (!result.ok)
		return explain(ctl, &result);
	printf("\nlogged in after %lld ms; %zu folders; IDLE: %s\n", (long long)result.login_ms, result.folder_count,
	       result.has_idle ? "yes" : "no, new mail is seen at the next poll");
	return CTL_DONE;
}

int mailbox_folders(struct ctl *ctl)
{
	struct mailbox mailbox;
	struct imap_probe result;
	int status = probe(ctl, &mailbox, &result);

	if (status != CTL_DONE)
		return status;
	if (!result.ok)
		return explain(ctl, &result);
	for (size_t i = 0; i < result.folder_count; i++) {
		const struct imap_folder *folder = &result.folders[i];
		bool fetched = is_fetched(&mailbox, folder->name);
		if (ctl->as_json) {
			json_t *object CLEANUP(json_done) = json_object();
			json_put_str(object, "name", folder->name);
			json_put_str(object, "use", folder->use);
			json_put_bool(object, "can_select", folder->can_select);
			json_put_bool(object, "fetched", fetched);
			json_print_line(stdout, object);
		} else
			printf("%s %-10.*s %.*s\n", fetched ? "*" : folder->can_select ? " " : "-", STR_ARG(folder->use),
			       STR_ARG(table_clean(&ctl->arena, folder->name)));
	}
	if (!ctl->as_json)
		puts("\n* mail is taken from it   - holds no mail itself");
	return CTL_DONE;
}

static int probe(struct ctl *ctl, struct mailbox *mailbox, struct imap_probe *out)
{
	struct mailbox_found found;
	struct str password = STR("");
	int status = mailbox_find(ctl, ctl->operands[0], &found);

	if (status != CTL_DONE)
		return status;
	int exists = mailbox_load(ctl->db, &ctl->arena, (struct mailbox_id){ found.id }, mailbox, &ctl->err);
	if (exists < 0)
		return ctl_failed(ctl);
	if (!exists)
		return ctl_not_found("there is no mailbox %s any more", ctl->operands[0]);
	if (mailbox->sealed.len && seal_open(&ctl->arena, &ctl->seal_key, mailbox->sealed, &password, &ctl->err) < 0)
		return ctl_failed(ctl);
	struct imap_target target = {
		.host = str_cstr(&ctl->arena, mailbox->host),
		.port = mailbox->port,
		.ca_file = str_cstr(&ctl->arena, mailbox->ca_file),
		.insecure = mailbox->insecure,
		.username = str_cstr(&ctl->arena, mailbox->username),
		.password = password,
		.egress = EGRESS_ANY, /* whoever runs this can open a connection without us */
		.silence_ms = SILENCE_MS,
	};
	int64_t timeout_ms = ctl_int(ctl, "timeout", 30) * 1000;
	target.login_timeout_ms = timeout_ms;
	if (!imap_tls_parse(mailbox->tls, &target.tls)) {
		err_set(&ctl->err, ERR_PERM, "cannot test the mailbox: its tls is unknown to this program");
		return ctl_failed(ctl);
	}
	imap_probe(&ctl->arena, &target, timeout_ms, out);
	if (password.len)
		seal_forget(&password);
	return CTL_DONE;
}

static bool is_fetched(const struct mailbox *mailbox, struct str folder)
{
	for (size_t i = 0; i < mailbox->folder_count; i++)
		if (str_eq(mailbox->folders[i].name, folder))
			return true;
	return false;
}

static json_t *trouble_json(const struct imap_probe *probe)
{
	json_t *object = json_object();

	json_put_bool(object, "ok", probe->ok);
	json_put_str(object, "reason", str_of(probe->ok ? "" : probe->trouble.name));
	json_put_str(object, "problem", str_of(probe->ok ? "" : probe->trouble.problem));
	json_put_str(object, "remedy", str_of(probe->ok ? "" : probe->trouble.remedy));
	json_put_str(object, "server_words", probe->server_words);
	return object;
}

static int explain(struct ctl *ctl, const struct imap_probe *probe)
{
	fprintf(stderr, "casectl: %s (%s)\n", probe->trouble.problem, probe->trouble.name);
	if (probe->server_words.len)
		fprintf(stderr, "  the server said: %.*s\n", STR_ARG(table_clean(&ctl->arena, probe->server_words)));
	if (probe->trouble.remedy[0])
		fprintf(stderr, "  remedy: %s\n", probe->trouble.remedy);
	return CTL_FAILED;
}
