/* SPDX-License-Identifier: Apache-2.0
 * match_candidates - every case that a mail's evidence names, strongest first, with what its sender may do there
 *
 * Part of case_match.c, apart because finding and weighing are two subjects.
 */
#ifndef MAILCASE_MATCH_CANDIDATES_H
#define MAILCASE_MATCH_CANDIDATES_H

#include "domain/case_match.h"
#include "domain/match_rules.h"

enum match_rung { RUNG_TOKEN, RUNG_IDS, RUNG_THREAD_INDEX, RUNG_NUMBER, RUNG_SUBJECT };
const char *match_rung_name(enum match_rung rung);

struct match_candidate {
	enum match_rung rung;
	enum match_place source;
	const struct match_case *place;
	const struct match_outbound *answered; /* the mail of ours that is answered, where known */
	struct match_standing who;
	bool is_subject_known; /* numbers */
	enum match_join join;
};

struct match_candidates {
	struct match_candidate *at;
	size_t len;
	struct str token_refused;
};

/* `doubles` has variant_of and is_suspicious set. */
void match_candidates_find(struct arena *arena, const struct match_facts *facts, const struct match_mail *mail,
                           const struct match_verdict *doubles, struct match_candidates *out);

/* The first that is allowed, or NULL. */
const struct match_candidate *match_candidates_choose(const struct match_candidates *found);

/* Why a candidate may or may not: a short constant word. */
const char *match_candidate_reason(const struct match_candidate *candidate);

struct str match_candidates_json(struct arena *arena, const struct match_mail *mail,
                                 const struct match_candidates *found, const struct match_candidate *chosen,
                                 const struct match_verdict *verdict);

#endif
