/* SPDX-License-Identifier: Apache-2.0
 * case_record_wire - struct case_record <-> the bytes of topic case.events, and the JSON view of one fact
 */
#ifndef MAILCASE_CASE_RECORD_WIRE_H
#define MAILCASE_CASE_RECORD_WIRE_H

#include "base/arena.h"
#include "base/err.h"
#include "domain/fact.h"

#define CASE_RECORD_TYPE "mailcase.case.record.v1"

struct str case_record_encode(struct arena *arena, const struct case_record *record);

/* PERM for bytes that are no case record (undecodable, bad ids). Unknown facts are skipped. Views into the arena. */
int case_record_decode(struct arena *arena, struct str bytes, struct case_record *out, struct err *err) MUST_CHECK;

/* A fact as the timeline keeps it (case_event.data): the same names as in the contract. */
struct str fact_json(struct arena *arena, const struct fact *fact);

#endif
