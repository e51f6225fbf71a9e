/* SPDX-License-Identifier: Apache-2.0
 * ctl - what every command of casectl has at hand, and how it ends
 *
 * A noun is a file with a table of verbs; a verb is a row: what it takes, what it needs, what it does. main() parses,
 * provides what is needed, and calls run(), whose answer is the exit status.
 */
#ifndef MAILCASE_CTL_H
#define MAILCASE_CTL_H

#include "ctl_options.h"
#include "ctl_table.h"
#include "desk/desk.h"
#include "edge/seal.h"
#include "kit/bus_conf.h"

enum ctl_exit { CTL_DONE = 0, CTL_FAILED = 1, CTL_USAGE = 2, CTL_NOT_FOUND = 3, CTL_REFUSED = 4 };

/* What a verb needs before it runs; each includes those above it but NEED_SEAL, which stands alone. */
enum ctl_need {
	NEED_NOTHING = 0,
	NEED_DATABASE = 1 << 0,
	NEED_SCHEMA = 1 << 1 | NEED_DATABASE, /* of just this version */
	NEED_TENANT = 1 << 2 | NEED_SCHEMA,
	NEED_USER = 1 << 3 | NEED_TENANT, /* --as or MAILCASE_USER: refused without */
	NEED_SEAL = 1 << 4,               /* MAILCASE_SEAL_KEY_FILE */
};

struct ctl_conf {
	char *database_url, *tenant, *user, *seal_key_file, *ops_listen;
	int64_t partitions;
};

struct ctl {
	struct ctl_conf conf;
	struct bus_conf bus_conf;
	struct arena arena;
	struct db *db;
	struct options options;
	const char **operands; /* NULL-terminated */
	bool as_json;
	struct tenant_id tenant;
	struct author author; /* AUTHOR_USER under NEED_USER */
	struct seal_key seal_key;
	struct err err;
};

struct verb {
	const char *name;     /* "" where the noun itself is the command */
	const char *operands; /* as --help shows them */
	int operands_min, operands_max;
	int needs;
	const char *summary;
	const char *examples; /* one a line, each indented by two blanks */
	const struct option_def *options;
	int (*run)(struct ctl *ctl);
};

struct noun {
	const char *name, *summary;
	const struct verb *verbs; /* ends with a NULL name */
};

extern const struct noun noun_migrate, noun_topics, noun_seal_key, noun_tenant, noun_user, noun_team, noun_queue,
	noun_mailbox, noun_outbound_mailbox, noun_case, noun_where_is, noun_outbound, noun_dlq, noun_lag, noun_health,
	noun_probe, noun_parse, noun_bus, noun_events, noun_audit;

/* --- options ----------------------------------------------------------------------------------------------------- */

/* Of the engine that MAILCASE_BUS names. */
struct bus_options ctl_bus(const struct ctl *ctl);

bool ctl_given(const struct ctl *ctl, const char *option);
const char *ctl_text(const struct ctl *ctl, const char *option); /* NULL where not given */
int64_t ctl_int(const struct ctl *ctl, const char *option, int64_t otherwise);
size_t ctl_list(const struct ctl *ctl, const char *option, const char *const **out);

/* As parameters of a statement; not given: NULL, which the statement casts. */
void ctl_arg_text(const struct ctl *ctl, struct db_args *args, const char *option);
void ctl_arg_int(const struct ctl *ctl, struct db_args *args, const char *option);
void ctl_arg_switch(const struct ctl *ctl, struct db_args *args, const char *option);

/* How many rows a list has: --limit, else all for programs and `for_people` for people. */
void ctl_arg_limit(const struct ctl *ctl, struct db_args *args, int64_t for_people);
/* The same list was printed: say so where it may have been cut. */
void ctl_tell_more(const struct ctl *ctl, int rows, int64_t for_people, const char *remedy);

/* --- how a command ends ------------------------------------------------------------------------------------------ */

int ctl_failed(struct ctl *ctl); /* prints ctl->err */
int ctl_usage(const char *format, ...) PRINTF_LIKE(1, 2);
int ctl_not_found(const char *format, ...) PRINTF_LIKE(1, 2);
int ctl_refused(const char *format, ...) PRINTF_LIKE(1, 2);
/* As the act of lib/desk did, after printing why it did not. */
int ctl_desk(struct ctl *ctl, enum desk_status status);
/* Commit on CTL_DONE, else roll back. Answers the final status. */
int ctl_end(struct ctl *ctl, int status);

/* What was made or changed: the sentence for people, an object with these keys for programs. `id` may be null. */
int ctl_done(struct ctl *ctl, const char *key, const char *value, struct uuid id, const char *format, ...)
	PRINTF_LIKE(5, 6);

/* The only row of a `show`: an object, or its keys line by line. CTL_NOT_FOUND where there is none. */
int ctl_show(struct ctl *ctl, const struct column *columns, size_t columns_len, const struct db_result *rows,
             const char *noun);

/* A noun whose `list` and `show` are one statement: $1 the tenant, $2 a name ('' for all of them). */
struct ctl_listing {
	const char *sql;
	const struct column *columns;
	size_t columns_len;
	const char *noun, *none; /* "queue", "no queues" */
};

int ctl_read(struct ctl *ctl, const struct ctl_listing *listing, const char *name, struct db_result **out);
int ctl_list_all(struct ctl *ctl, const struct ctl_listing *listing);
int ctl_show_named(struct ctl *ctl, const struct ctl_listing *listing);

/* --- looking up and asking --------------------------------------------------------------------------------------- */

/* Ids by name within the tenant: CTL_DONE, or the exit status after saying so. */
int ctl_user(struct ctl *ctl, const char *login, struct user_id *out);
int ctl_team(struct ctl *ctl, const char *name, struct team_id *out);
int ctl_queue(struct ctl *ctl, const char *name, struct queue_id *out);
int ctl_outbound_mailbox(struct ctl *ctl, const char *name, struct outbound_mailbox_id *out);

/* An address as it is stored: folded, checked for form. */
int ctl_address(struct ctl *ctl, const char *text, struct str *out);

/* One that we write to, or as: what SMTP and compose() take. */
int ctl_own_address(struct ctl *ctl, const char *text, struct str *out);

/* --time-zone, where given, is one that the database knows. */
int ctl_check_time_zone(struct ctl *ctl);

/* The password of --password-file (without its line end), else asked for on the terminal. */
int ctl_password(struct ctl *ctl, const char *prompt, struct str *out);

/* Seal a password into the row of `current`, or (null) a new one. To be called within a transaction. */
int ctl_credential(struct ctl *ctl, struct str password, struct uuid current, struct uuid *out);

/* Clear text past the own machine is refused unless --insecure on says that it is meant. */
int ctl_check_tls(const char *tls, const char *host, bool is_insecure);

/* The text of --text, else standard input to its end; valid UTF-8 and not blank. */
int ctl_body(struct ctl *ctl, struct str *out);

#endif
