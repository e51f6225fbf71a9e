/* SPDX-License-Identifier: Apache-2.0
 * mail_json - a parsed mail as one JSON object
 */
#ifndef MAILCASE_MAIL_JSON_H
#define MAILCASE_MAIL_JSON_H

#include "base/json.h"
#include "mail/model.h"

/* A new reference. `file` is what the caller asked for. */
json_t *mail_json(struct arena *arena, struct str file, const struct mail *mail);

#endif
