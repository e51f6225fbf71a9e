/* SPDX-License-Identifier: Apache-2.0
 * cmd_case_verbs - the table of `casectl case`
 */
#include "cmd_case.h"

#include "base/banned.h"

static const struct option_def list_options[] = {
	{ "state", OPTION_CHOICE, "open|waiting|closed|merged", "only of this state" },
	{ "queue", OPTION_TEXT, "NAME", "only of this queue" },
	{ "assignee", OPTION_TEXT, "LOGIN", "only given to this user" },
	{ "unassigned", OPTION_FLAG, NULL, "only given to nobody" },
	{ "before", OPTION_INT, "N", "the next page: numbers below this one", .min = 1, .max = INT64_MAX },
	{ "limit", OPTION_INT, "N", "at most so many (default 50; with --json all)", .min = 1, .max = INT64_MAX },
	{ 0 },
};
static const struct option_def show_options[] = {
	{ "limit", OPTION_INT, "N", "the latest N messages, and facts (default all)", .min = 1, .max = INT64_MAX },
	{ 0 },
};
static const struct option_def reply_options[] = {
	{ "text", OPTION_TEXT, "TEXT", "else it is read from standard input", .is_prose = true },
	{ "to", OPTION_LIST, "ADDRESS", "besides the participants" },
	{ "cc", OPTION_LIST, "ADDRESS", "a copy, besides the participants" },
	{ "only-named", OPTION_FLAG, NULL, "to --to and --cc, not to the participants" },
	{ "reopen", OPTION_FLAG, NULL, "answer a closed case, and open it again" },
	{ "outbound", OPTION_TEXT, "NAME", "leave through this outbound mailbox" },
	{ 0 },
};
static const struct option_def note_options[] = {
	{ "text", OPTION_TEXT, "TEXT", "else it is read from standard input", .is_prose = true },
	{ 0 },
};
static const struct option_def assign_options[] = {
	{ "to", OPTION_TEXT, "LOGIN", "to this user" },
	{ "nobody", OPTION_FLAG, NULL, "take it from whoever has it" },
	{ "team", OPTION_TEXT, "NAME", "and to this team" },
	{ 0 },
};
static const struct option_def follow_options[] = {
	{ "user", OPTION_TEXT, "LOGIN", "for another user than who acts" },
	{ 0 },
};
static const struct option_def confirm_options[] = {
	{ "message", OPTION_TEXT, "ID", "which, where several are pending" },
	{ 0 },
};
static const struct option_def new_options[] = {
	{ "queue", OPTION_TEXT, "NAME", "where it waits", .required = true },
	{ "subject", OPTION_TEXT, "TEXT", "what it is about", .required = true },
	{ "text", OPTION_TEXT, "TEXT", "else it is read from standard input", .is_prose = true },
	{ "to", OPTION_LIST, "ADDRESS", "the text goes there as the first mail; without: it is a note" },
	{ "assign", OPTION_TEXT, "LOGIN", "to this user; without: as the team's distribution says" },
	{ "outbound", OPTION_TEXT, "NAME", "leave through this outbound mailbox" },
	{ 0 },
};

static const struct verb verbs[] = {
	{ "list", "", 0, 0, NEED_TENANT, "cases, newest first",
	  "  casectl case list --state open --queue support\n  casectl case list --json --limit 1000", list_options,
	  case_list },
	{ "show", "N", 1, 1, NEED_TENANT, "one case: participants, messages, timeline", "  casectl case show 235 --json",
	  show_options, case_show },
	{ "new", "", 0, 0, NEED_USER | NEED_SEAL, "open a case by hand",
	  "  casectl case new --queue support --subject 'Your order' --to customer@client.example --text 'It has left.'",
	  new_options, case_new },
	{ "reply", "N", 1, 1, NEED_USER | NEED_SEAL, "answer the participants",
	  "  casectl case reply 235 --as agent --text 'We are looking into it.'\n"
	  "  casectl case reply 235 --cc boss@client.example < answer.txt",
	  reply_options, case_reply },
	{ "note", "N", 1, 1, NEED_USER, "write what stays inside", "  casectl case note 235 --text 'He called.'",
	  note_options, case_note },
	{ "assign", "N", 1, 1, NEED_USER, "give it to a user, or to nobody",
	  "  casectl case assign 235 --to ada\n  casectl case assign 235 --nobody", assign_options, case_assign },
	{ "close", "N", 1, 1, NEED_USER, "close it", "  casectl case close 235 --as agent", NULL, case_close },
	{ "follow", "N", 1, 1, NEED_USER, "hear of what happens to it",
	  "  casectl case follow 235\n"
	  "  casectl case follow 235 --user ada",
	  follow_options, case_follow },
	{ "unfollow", "N", 1, 1, NEED_USER, "no longer", "  casectl case unfollow 235", follow_options, case_unfollow },
	{ "confirm", "N", 1, 1, NEED_USER, "let a pending message in, and its sender take part",
	  "  casectl case confirm 235", confirm_options, case_confirm },
	{ 0 },
};
const struct noun noun_case = { "case", "cases: list, show, open, answer, note, assign, close", verbs };
