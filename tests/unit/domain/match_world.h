/* SPDX-License-Identifier: Apache-2.0
 * match_world - a small desk with cases in every state, for the tests of the matching decision
 *
 *	case 1  open, "invoice"; anna wrote <root@client.example>; mail 11 of ours went to anna and bob
 *	case 2  waiting, "printer"; ben wrote <printer@client.example>; mail 12 of ours went to ben
 *	case 3  closed 10 days ago, "closed lately"; anna wrote <lately@client.example>; mail 15
 *	case 4  closed 60 days ago, "closed long ago"; anna wrote <longago@client.example>; mail 17
 *	case 5  closed yesterday in a queue that wants new cases, "new each time"; anna wrote <each@client.example>
 *	case 6  closed 900 days ago in a queue that reopens, "for ever"; anna wrote <ever@client.example>
 *	case 7  open, "child first"; anna answered <unseen@client.example>, which nobody has seen
 *	case 8  open, of another tenant; anna wrote <foreign@client.example>
 *	mail 13 notice of case 1 to the agent · mail 14 of case 1 under a key that is gone
 *	mail 16 names the other tenant's case
 *	our own address was added to case 2 by mistake
 */
#ifndef MATCH_WORLD_H
#define MATCH_WORLD_H

#include "domain/case_match.h"

enum { CASES = 8, FRESH = 100 };
enum world_mailbox { SUPPORT, STRICT, INTERNAL, RUNG5, RUNG5_STRICT, PERSONAL, MAILBOXES };

#define NOW INT64_C(1760000000)

struct world {
	struct arena arena;
	struct match_tenant tenant, foreign;
	struct match_facts facts;
	struct match_mailbox mailboxes[MAILBOXES];
};

/* One mail as a test writes it; lists are parted by blanks. "{11}" becomes the token of mail 11, "{bad}" one that does
 * not verify, "{foreign}" one of the other tenant. */
struct letter {
	const char *from, *to, *cc, *delivered_to, *subject, *text;
	const char *id, *irt, *refs, *inner, *thread_index;
	enum world_mailbox mailbox;
	enum sender_level level;
	enum mail_kind kind;
	bool is_automatic, is_quiet;
	int64_t date_s;
	const char *body; /* stands for the body in sums */
};

void world_init(struct world *world);
void world_done(struct world *world);
struct case_id world_case(int number);
struct uuid world_uuid(int kind, int number);
void world_token(const struct world *world, int64_t serial, char out[TOKEN_LEN + 1]);

/* Understand `count` letters; `first_fresh` numbers the ids they may use. */
struct match_mail *world_mails(struct world *world, const struct letter *letters, size_t count, int first_fresh);

#endif
