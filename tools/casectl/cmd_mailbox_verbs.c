/* SPDX-License-Identifier: Apache-2.0
 * cmd_mailbox_verbs - the table of `casectl mailbox`
 */
#include "cmd_mailbox.h"

#include "base/banned.h"

#define COMMON_OPTIONS(is_add) \
	{ "host", OPTION_TEXT, "HOST", "the IMAP server", .required = (is_add) }, \
		{ "port",       OPTION_INT,          "N", "usually 993 (implicit) or 143 (starttls)", .min = 1, \
		  .max = 65535, .required = (is_add) }, \
		{ "tls", OPTION_CHOICE, "implicit|starttls|clear", "clear: on the own machine only", .required = (is_add) }, \
		{ "user", OPTION_TEXT, "NAME", "log in as", .required = (is_add) }, \
		{ "password-file", OPTION_TEXT, "FILE", "its content is the password; else it is asked for" }, \
		{ "queue", OPTION_TEXT, "NAME", "where its cases wait", .required = (is_add) }, \
		{ "folder", OPTION_LIST, "NAME", "taken from (default INBOX); with `set` the whole list" }, \
		{ "after", OPTION_CHOICE, "keep|seen", "what becomes of a mail on the server (default keep)" }, \
		{ "sender-trust", OPTION_CHOICE, "standard|strict|internal", \
		  "who may join a case in full (default standard)" }, \
		{ "rung5", OPTION_SWITCH, NULL, "match by subject and participant too (default off)" }, \
		{ "rung5-days", OPTION_INT, "N", "within so many days (default 14)", .min = 1, .max = 3650 }, \
		{ "auto-reply", OPTION_SWITCH, NULL, "tell senders their case number (default on)" }, \
		{ "poll", OPTION_INT, "S", "seconds between looks, besides IDLE (default 120)", .min = 1, .max = 86400 }, \
		{ "size-limit", OPTION_INT,      "BYTES", "larger mails are quarantined (default 52428800)", \
		  .min = 1024,  .max = 209715200 }, \
		{ "credit", OPTION_INT, "N", "most mails under way at once (default 500)", .min = 1, .max = 100000 }, \
		{ "outbound", OPTION_TEXT, "NAME", "answers leave through this outbound mailbox" }, \
		{ "group", OPTION_TEXT, "NAME", "mailboxes of a group share conversations (default `default`); made if new" }, \
		{ "description", OPTION_TEXT, "TEXT", "for people", .is_prose = true }, \
		{ "ca-file", OPTION_TEXT, "FILE", "own certificate authority" }, \
		{ "insecure", OPTION_SWITCH, NULL, "do not verify the certificate; shows in state and metrics" }, \
	{ \
		"active", OPTION_SWITCH, NULL, "off: nothing is taken" \
	}

static const struct option_def add_options[] = {
	COMMON_OPTIONS(true),
	{ "from", OPTION_TEXT, "now|all|DATE", "where to start (default now)" },
	{ "loud", OPTION_FLAG, NULL, "old mail is answered and told of as if it were new" },
	{ 0 },
};
static const struct option_def set_options[] = { COMMON_OPTIONS(false), { 0 } };

static const struct option_def test_options[] = {
	{ "timeout", OPTION_INT, "S", "seconds for all of it (default 30)", .min = 1, .max = 300 },
	{ 0 },
};

static const struct verb verbs[] = {
	{ "add", "ADDRESS", 1, 1, NEED_TENANT | NEED_SEAL, "take mail from a mailbox",
	  "  casectl mailbox add support@example.org --host imap.example.org --port 993 --tls implicit \\\n"
	  "      --user support --password-file /run/secrets/imap --queue support --folder INBOX --folder Orders",
	  add_options, mailbox_add },
	{ "list", "", 0, 0, NEED_TENANT, "all mailboxes with their state", "  casectl mailbox list --json", NULL,
	  mailbox_list },
	{ "set", "ADDRESS", 1, 1, NEED_TENANT | NEED_SEAL, "change a mailbox",
	  "  casectl mailbox set support@example.org --password-file /run/secrets/imap\n"
	  "  casectl mailbox set support@example.org --active off",
	  set_options, mailbox_set },
	{ "show", "ADDRESS", 1, 1, NEED_TENANT, "state, reason, remedy, cursors, what waits",
	  "  casectl mailbox show support@example.org", NULL, mailbox_show },
	{ "test", "ADDRESS", 1, 1, NEED_TENANT | NEED_SEAL,
	  "connect and log in as the fetcher does; shows the redacted dialogue",
	  "  casectl mailbox test support@example.org", test_options, mailbox_test },
	{ "folders", "ADDRESS", 1, 1, NEED_TENANT | NEED_SEAL, "the folders that the server has",
	  "  casectl mailbox folders support@example.org --json", test_options, mailbox_folders },
	{ 0 },
};
const struct noun noun_mailbox = { "mailbox", "the IMAP mailboxes that mail is taken from", verbs };
