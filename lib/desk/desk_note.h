/* SPDX-License-Identifier: Apache-2.0
 * desk_note - a text that stays inside
 */
#ifndef MAILCASE_DESK_NOTE_H
#define MAILCASE_DESK_NOTE_H

#include "desk/desk.h"

struct desk_note {
	int64_t number;
	struct str text;
};

struct desk_note_done {
	struct case_id case_id;
	struct message_id message;
};

enum desk_status desk_note(const struct desk *desk, const struct desk_note *request, struct desk_note_done *out,
                           struct err *err);

/* Queue the rows of a note within another act's transaction; the fact is that act's. */
int desk_note_put(const struct desk *desk, const struct case_row *row, struct str text, struct message_id *out,
                  struct err *err) MUST_CHECK;

#endif
