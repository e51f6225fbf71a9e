/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/banned.h"

static int find_by_name(struct ctl *ctl, const char *sql, const char *kind, const char *list, const char *name,
                        struct uuid *out);
static void complain(const char *format, va_list args);

/* --- options ----------------------------------------------------------------------------------------------------- */

struct bus_options ctl_bus(const struct ctl *ctl)
{
	return bus_conf_options(&ctl->bus_conf, ctl->conf.database_url, "casectl");
}

bool ctl_given(const struct ctl *ctl, const char *option)
{
	const struct option_value *value = options_find(&ctl->options, option);

	return value && value->given_len > 0;
}

const char *ctl_text(const struct ctl *ctl, const char *option)
{
	const struct option_value *value = options_find(&ctl->options, option);

	return value && value->given_len ? value->given[value->given_len - 1] : NULL;
}

int64_t ctl_int(const struct ctl *ctl, const char *option, int64_t otherwise)
{
	const struct option_value *value = options_find(&ctl->options, option);

	return value && value->given_len ? value->number : otherwise;
}

size_t ctl_list(const struct ctl *ctl, const char *option, const char *const **out)
{
	const struct option_value *value = options_find(&ctl->options, option);

	*out = value ? value->given : NULL;
	return value ? value->given_len : 0;
}

void ctl_arg_text(const struct ctl *ctl, struct db_args *args, const char *option)
{
	const char *text = ctl_text(ctl, option);

	if (text)
		db_arg_text(args, str_of(text));
	else
		db_arg_null(args);
}

void ctl_arg_int(const struct ctl *ctl, struct db_args *args, const char *option)
{
	if (ctl_given(ctl, option))
		db_arg_int(args, ctl_int(ctl, option, 0));
	else
		db_arg_null(args);
}

void ctl_arg_switch(const struct ctl *ctl, struct db_args *args, const char *option)
{
	if (ctl_given(ctl, option))
		db_arg_bool(args, ctl_int(ctl, option, 0) != 0);
	else
		db_arg_null(args);
}

void ctl_arg_limit(const struct ctl *ctl, struct db_args *args, int64_t for_people)
{
	if (ctl->as_json && !ctl_given(ctl, "limit"))
		db_arg_null(args);
	else
		db_arg_int(args, ctl_int(ctl, "limit", for_people));
}

void ctl_tell_more(const struct ctl *ctl, int rows, int64_t for_people, const char *remedy)
{
	if (!ctl->as_json && rows > 0 && rows >= ctl_int(ctl, "limit", for_people))
		fprintf(stderr, "casectl: these are the first %d; %s\n", rows, remedy);
}

/* --- how a command ends ------------------------------------------------------------------------------------------ */

int ctl_failed(struct ctl *ctl)
{
	fprintf(stderr, "casectl: %s\n", ctl->err.text);
	return CTL_FAILED;
}

int ctl_usage(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(format, args);
	va_end(args);
	return CTL_USAGE;
}

int ctl_not_found(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(format, args);
	va_end(args);
	return CTL_NOT_FOUND;
}

int ctl_refused(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(format, args);
	va_end(args);
	return CTL_REFUSED;
}

int ctl_desk(struct ctl *ctl, enum desk_status status)
{
	if (status == DESK_DONE)
		return CTL_DONE;
	ctl_failed(ctl);
	return status == DESK_NOT_FOUND ? CTL_NOT_FOUND : status == DESK_REFUSED ? CTL_REFUSED : CTL_FAILED;
}

int ctl_end(struct ctl *ctl, int status)
{
	if (status == CTL_DONE && db_commit(ctl->db, &ctl->err) < 0)
		status = ctl_failed(ctl);
	if (status != CTL_DONE)
		db_rollback(ctl->db);
	return status;
}

int ctl_done(struct ctl *ctl, const char *key, const char *value, struct uuid id, const char *format, ...)
{
	va_list args;

	if (ctl->as_json) {
		json_t *object CLEANUP(json_done) = json_object();
		json_put_str(object, key, str_of(value));
		json_put_uuid(object, "id", id);
		json_print_line(stdout, object);
		return CTL_DONE;
	}
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	return CTL_DONE;
}

int ctl_show(struct ctl *ctl, const struct column *columns, size_t columns_len, const struct db_result *rows,
             const char *noun)
{
	if (db_rows(rows) == 0)
		return ctl_not_found("there is no %s %s; `casectl %s list` shows what there is", noun, ctl->operands[0], noun);
	if (ctl->as_json) {
		json_t *object CLEANUP(json_done) = table_object(&ctl->arena, columns, columns_len, rows, 0);
		json_print_line(stdout, object);
	} else
		table_print_record(&ctl->arena, columns, columns_len, rows, 0);
	return CTL_DONE;
}

int ctl_read(struct ctl *ctl, const struct ctl_listing *listing, const char *name, struct db_result **out)
{
	struct db_args args;

	db_args_init(&args, &ctl->arena);
	db_arg_uuid_or_null(&args, ctl->tenant.id);
	db_arg_text(&args, str_of(name));
	return db_query(ctl->db, listing->sql, &args, out, &ctl->err) < 0 ? ctl_failed(ctl) : CTL_DONE;
}

int ctl_list_all(struct ctl *ctl, const struct ctl_listing *listing)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	int status = ctl_read(ctl, listing, "", &rows);

	if (status == CTL_DONE)
		table_print(&ctl->arena, listing->columns, listing->columns_len, rows, ctl->as_json, listing->none);
	return status;
}

int ctl_show_named(struct ctl *ctl, const struct ctl_listing *listing)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	int status = ctl_read(ctl, listing, ctl->operands[0], &rows);

	return status == CTL_DONE ? ctl_show(ctl, listing->columns, listing->columns_len, rows, listing->noun) : status;
}

static void complain(const char *format, va_list args)
{
	fputs("casectl: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

/* --- looking up -------------------------------------------------------------------------------------------------- */

static const char sql_user[] = "SELECT id FROM app_user WHERE tenant_id = $1 AND login = $2";
static const char sql_team[] = "SELECT id FROM team WHERE tenant_id = $1 AND name = $2";
static const char sql_queue[] = "SELECT id FROM queue WHERE tenant_id = $1 AND name = $2";
static const char sql_outbound[] = "SELECT id FROM outbound_mailbox WHERE tenant_id = $1 AND name = $2";

int ctl_user(struct ctl *ctl, const char *login, struct user_id *out)
{
	return find_by_name(ctl, sql_user, "user", "user list", login, &out->id);
}

int ctl_team(struct ctl *ctl, const char *name, struct team_id *out)
{
	return find_by_name(ctl, sql_team, "team", "team list", name, &out->id);
}

int ctl_queue(struct ctl *ctl, const char *name, struct queue_id *out)
{
	return find_by_name(ctl, sql_queue, "queue", "queue list", name, &out->id);
}

int ctl_outbound_mailbox(struct ctl *ctl, const char *name, struct outbound_mailbox_id *out)
{
	return find_by_name(ctl, sql_outbound, "outbound mailbox", "outbound-mailbox list", name, &out->id);
}

static int find_by_name(struct ctl *ctl, const char *sql, const char *kind, const char *list, const char *name,
                        struct uuid *out)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, &ctl->arena);
	db_arg_uuid(&args, ctl->tenant.id);
	db_arg_text(&args, str_of(name));
	if (db_query(ctl->db, sql, &args, &rows, &ctl->err) < 0)
		return ctl_failed(ctl);
	if (db_rows(rows) == 0)
		return ctl_not_found("there is no %s %s; `casectl %s` shows what there is", kind, name, list);
	*out = db_uuid(rows, 0, 0);
	return CTL_DONE;
}
