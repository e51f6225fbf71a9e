/* SPDX-License-Identifier: Apache-2.0
 * casectl - administration and desk work from the command line
 *
 * READS     the database of MAILCASE_DATABASE_URL; who can open it and read the seal key file has every right
 * WRITES    the same tables as the services, through lib/record and lib/desk, and the outbox
 * SETTINGS  see the table below; --tenant and --as go before MAILCASE_TENANT and MAILCASE_USER
 * FAILURES  exit status: 0 done, 1 failed, 2 usage, 3 not found, 4 refused; the reason is one line on standard error
 * SEE       cmd_*.c, one noun each; lib/desk for what a reply or an assignment does
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/log.h"
#include "ctl.h"
#include "edge/parser_child.h"
#include "kit/service.h"
#include "record/schema.h"

#include "base/banned.h"

static const struct conf_setting settings[] = {
	{ "MAILCASE_DATABASE_URL", CONF_SECRET, offsetof(struct ctl_conf, database_url),
	  .help = "PostgreSQL, as a libpq URL or conninfo string" },
	{ "MAILCASE_TENANT", CONF_TEXT, offsetof(struct ctl_conf, tenant), .help = "whose data; default: the only tenant" },
	{ "MAILCASE_USER", CONF_TEXT, offsetof(struct ctl_conf, user),
	  .help = "login of who acts, where --as is not given" },
	{ "MAILCASE_SEAL_KEY_FILE", CONF_TEXT, offsetof(struct ctl_conf, seal_key_file),
	  .help = "key that seals passwords and signing keys; `casectl seal-key make` makes one" },
	{ "MAILCASE_OPS_LISTEN", CONF_TEXT, offsetof(struct ctl_conf, ops_listen),
	  .help = "whom `casectl probe` asks: host:port, as the service has it" },
	{ "MAILCASE_PARTITIONS", CONF_INT, offsetof(struct ctl_conf, partitions), .def = "12", .min = 1, .max = 1000,
	  .help = "partitions of each topic that `casectl topics` makes" },
	{ 0 },
};
static const struct conf_setting *const tables[] = { settings, bus_settings };

static const struct option_def common_options[] = {
	{ "tenant", OPTION_TEXT, "NAME", "whose data (default MAILCASE_TENANT, else the only tenant)" },
	{ "as", OPTION_TEXT, "USER", "who acts (default MAILCASE_USER)" },
	{ "json", OPTION_FLAG, NULL, "one JSON object a line" },
	{ 0 },
};

static const struct option_def first_options[] = {
	{ "settings", OPTION_FLAG, NULL, "the settings that are read from the environment; =markdown: as rows of a table" },
	{ "version", OPTION_FLAG, NULL, "which mailcase this is" },
	{ 0 },
};

static const struct noun *const nouns[] = {
	&noun_migrate,
	&noun_topics,
	&noun_bus,
	&noun_seal_key,
	&noun_tenant,
	&noun_user,
	&noun_team,
	&noun_queue,
	&noun_mailbox,
	&noun_outbound_mailbox,
	&noun_case,
	&noun_where_is,
	&noun_outbound,
	&noun_dlq,
	&noun_lag,
	&noun_events,
	&noun_audit,
	&noun_health,
	&noun_probe,
	&noun_parse,
};

static int dispatch(struct ctl *ctl, int argc, char **argv);
static int run_verb(struct ctl *ctl, const struct noun *noun, const struct verb *verb, const struct options *before,
                    int argc, char **argv);
static int provide(struct ctl *ctl, int needs, const struct options *before);
static int provide_tenant(struct ctl *ctl, const char *name);
static int provide_user(struct ctl *ctl, const char *login);
static const char *last_given(const struct options *options, const char *name);
static void help_all(FILE *out);
static void help_noun(const struct noun *noun, FILE *out);
static void help_verb(const struct noun *noun, const struct verb *verb, FILE *out);

int main(int argc, char **argv)
{
	struct ctl ctl = { 0 };

	parser_child_main_if_asked(argc, argv);
	/* What the libraries would log at info is not for the person who runs one command. */
	log_init("casectl", LOG_ERROR);
	arena_init(&ctl.arena);
	int status = dispatch(&ctl, argc, argv);
	db_close(ctl.db);
	seal_key_wipe(&ctl.seal_key);
	conf_done_tables(tables, (void *const[]){ &ctl.conf, &ctl.bus_conf }, ARRAY_LEN(tables));
	arena_done(&ctl.arena);
	if (fflush(stdout) != 0 && status == CTL_DONE)
		status = CTL_FAILED;
	return status;
}

static int dispatch(struct ctl *ctl, int argc, char **argv)
{
	struct options before;
	const struct noun *noun = NULL;
	const struct verb *verb = NULL;

	/* The form that all programs have; an optional value is nothing that the tables of options know. */
	if (argc == 2 && strcmp(argv[1], "--settings=markdown") == 0) {
		conf_print_tables(tables, ARRAY_LEN(tables), "casectl", true, stdout);
		return CTL_DONE;
	}
	if (!options_parse(&ctl->arena, first_options, common_options, argc, argv, true, &before))
		return CTL_USAGE;
	if (options_find(&before, "settings")->given_len) {
		conf_print_tables(tables, ARRAY_LEN(tables), "casectl", false, stdout);
		return CTL_DONE;
	}
	if (options_find(&before, "version")->given_len) {
		puts("casectl " MAILCASE_VERSION);
		return CTL_DONE;
	}
	if (before.operands_len == 0) {
		help_all(before.wants_help ? stdout : stderr);
		return before.wants_help ? CTL_DONE : CTL_USAGE;
	}
	for (size_t i = 0; i < ARRAY_LEN(nouns); i++)
		if (strcmp(nouns[i]->name, before.operands[0]) == 0)
			noun = nouns[i];
	if (!noun)
		return ctl_usage("there is no command %s; `casectl --help` lists them", before.operands[0]);
	argc = before.operands_len;
	argv = before.operands;
	verb = noun->verbs;
	if (verb->name[0] == '\0')
		return run_verb(ctl, noun, verb, &before, argc, argv);
	if (argc < 2 || argv[1][0] == '-' || before.wants_help) {
		bool asked = before.wants_help || (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0));
		help_noun(noun, asked ? stdout : stderr);
		return asked ? CTL_DONE : CTL_USAGE;
	}
	while (verb->name && strcmp(verb->name, argv[1]) != 0)
		verb++;
	if (!verb->name)
		return ctl_usage("there is no command %s %s; `casectl %s --help` lists them", noun->name, argv[1], noun->name);
	return run_verb(ctl, noun, verb, &before, argc - 1, argv + 1);
}

static int run_verb(struct ctl *ctl, const struct noun *noun, const struct verb *verb, const struct options *before,
                    int argc, char **argv)
{
	if (!options_parse(&ctl->arena, verb->options, common_options, argc, argv, false, &ctl->options))
		return CTL_USAGE;
	if (ctl->options.wants_help || before->wants_help) {
		help_verb(noun, verb, stdout);
		return CTL_DONE;
	}
	int count = ctl->options.operands_len;
	if (count < verb->operands_min || count > verb->operands_max)
		return ctl_usage("%s%s%s takes %s; see --help", noun->name, verb->name[0] ? " " : "", verb->name,
		                 verb->operands[0] ? verb->operands : "options only");
	for (int i = 0; i < count; i++)
		if (!ctl->options.operands[i][0] || !options_is_line(ctl->options.operands[i]))
			return ctl_usage("%s %s: %s is one line of UTF-8, and not empty", noun->name, verb->name, verb->operands);
	if (!options_complete(&ctl->options))
		return CTL_USAGE;
	ctl->operands = ARENA_ARRAY(&ctl->arena, const char *, (size_t)count + 1);
	for (int i = 0; i < count; i++)
		ctl->operands[i] = ctl->options.operands[i];
	ctl->as_json = ctl_given(ctl, "json") || last_given(before, "json");
	int status = provide(ctl, verb->needs, before);
	return status == CTL_DONE ? verb->run(ctl) : status;
}

static int provide(struct ctl *ctl, int needs, const struct options *before)
{
	int status = CTL_DONE;

	if (conf_load_tables(tables, (void *const[]){ &ctl->conf, &ctl->bus_conf }, ARRAY_LEN(tables), stderr) > 0)
		return CTL_USAGE;
	if ((needs & NEED_DATABASE) && !ctl->conf.database_url[0])
		return ctl_usage("MAILCASE_DATABASE_URL is not set: it says where the database is");
	if ((needs & NEED_SEAL) && !ctl->conf.seal_key_file[0])
		return ctl_usage("MAILCASE_SEAL_KEY_FILE is not set: `casectl seal-key make FILE` makes the key");
	if ((needs & NEED_SEAL) && seal_key_load(ctl->conf.seal_key_file, &ctl->seal_key, &ctl->err) < 0)
		return ctl_failed(ctl);
	if (needs & NEED_DATABASE) {
		ctl->db = db_open(ctl->conf.database_url, "casectl", &ctl->err);
		if (!ctl->db)
			return ctl_failed(ctl);
	}
	if ((needs & NEED_SCHEMA) == NEED_SCHEMA && schema_check(ctl->db, &ctl->err) < 0)
		return ctl_failed(ctl);
	const char *tenant = ctl_text(ctl, "tenant"), *user = ctl_text(ctl, "as");
	if (!tenant)
		tenant = last_given(before, "tenant");
	if (!user)
		user = last_given(before, "as");
	if ((needs & NEED_TENANT) == NEED_TENANT)
		status = provide_tenant(ctl, tenant ? tenant : ctl->conf.tenant);
	if (status == CTL_DONE && (needs & NEED_USER) == NEED_USER)
		status = provide_user(ctl, user ? user : ctl->conf.user);
	return status;
}

static const char sql_tenants[] =
	"SELECT id FROM tenant WHERE name = $1 OR $1 = '' ORDER BY name LIMIT 2";

static int provide_tenant(struct ctl *ctl, const char *name)
{
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args args;

	db_args_init(&args, &ctl->arena);
	db_arg_text(&args, str_of(name));
	if (db_query(ctl->db, sql_tenants, &args, &rows, &ctl->err) < 0)
		return ctl_failed(ctl);
	if (db_rows(rows) == 0 && name[0])
		return ctl_not_found("there is no tenant %s; `casectl tenant list` shows what there is", name);
	if (db_rows(rows) == 0)
		return ctl_not_found("there is no tenant yet; `casectl tenant add NAME` makes one");
	if (db_rows(rows) > 1)
		return ctl_usage("there are several tenants: give --tenant NAME or set MAILCASE_TENANT");
	ctl->tenant.id = db_uuid(rows, 0, 0);
	return CTL_DONE;
}

static int provide_user(struct ctl *ctl, const char *login)
{
	if (!login[0])
		return ctl_refused("who does this? give --as USER or set MAILCASE_USER");
	ctl->author.kind = AUTHOR_USER;
	return ctl_user(ctl, login, &ctl->author.user);
}

static const char *last_given(const struct options *options, const char *name)
{
	const struct option_value *value = options_find(options, name);

	return value->given_len ? value->given[value->given_len - 1] : NULL;
}

static void help_all(FILE *out)
{
	fputs(
		"casectl - administration and desk work of mailcase\n\nusage: casectl COMMAND [VERB] [OPTIONS]\n\ncommands:\n",
		out);
	for (size_t i = 0; i < ARRAY_LEN(nouns); i++)
		fprintf(out, "  %-18s%s\n", nouns[i]->name, nouns[i]->summary);
	fputs("\noptions:\n", out);
	options_help(common_options, out);
	options_help(first_options, out);
	fputs("\nexit status: 0 done, 1 failed, 2 usage, 3 not found, 4 refused\n\nexamples:\n"
	      "  casectl case list --state open\n"
	      "  casectl case reply 235 --as agent --text 'We are looking into it.'\n"
	      "  casectl mailbox add --help\n", out);
}

static void help_noun(const struct noun *noun, FILE *out)
{
	fprintf(out, "casectl %s - %s\n\nusage: casectl %s VERB [OPTIONS]; each VERB has --help\n\nverbs:\n", noun->name,
	        noun->summary, noun->name);
	for (const struct verb *verb = noun->verbs; verb->name; verb++)
		fprintf(out, "  %-10s%s\n", verb->name, verb->summary);
	fprintf(out, "\nexamples:\n%s\n", noun->verbs->examples);
}

static void help_verb(const struct noun *noun, const struct verb *verb, FILE *out)
{
	const char *gap = verb->name[0] ? " " : "";

	fprintf(out, "casectl %s%s%s - %s\n\nusage: casectl %s%s%s%s%s [OPTIONS]\n\noptions:\n", noun->name, gap,
	        verb->name, verb->summary, noun->name, gap, verb->name, verb->operands[0] ? " " : "", verb->operands);
	options_help(verb->options, out);
	options_help(common_options, out);
	fprintf(out, "\nexamples:\n%s\n", verb->examples);
}
