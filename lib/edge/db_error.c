/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "db_private.h"

#include "base/banned.h"

/* The first prefix that fits decides. A duplicate key is a race that another has won: run again, its row is visible
 * then; the turn gives up on one that repeats itself. */
static const struct {
	const char *prefix;
	enum err_kind kind;
} classes[] = {
	{ "0A000", ERR_TEMP }, /* a cached plan outlived a migration; the statement is prepared anew */
	{ "22012", ERR_TEMP }, /* the lease guard */
	{ "23505", ERR_TEMP },
	{ "23P01", ERR_TEMP },
	{ "25006", ERR_TEMP }, /* a standby that is being promoted */
	{ "25P", ERR_TEMP },   /* the transaction had failed, or was ended for idling */
	{ "26000", ERR_TEMP }, /* a prepared statement that the server has lost */
	{ "08", ERR_TEMP },
	{ "40", ERR_TEMP },
	{ "53", ERR_TEMP },
	{ "55", ERR_TEMP },
	{ "57", ERR_TEMP },
	{ "58", ERR_TEMP },
	{ "XX", ERR_TEMP },
	{ "28", ERR_FATAL },
	{ "3D", ERR_FATAL },
	{ "3F", ERR_FATAL },
	{ "42", ERR_FATAL },
};

static enum err_kind classify(const char *sqlstate)
{
	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		if (strncmp(sqlstate, classes[i].prefix, strlen(classes[i].prefix)) == 0)
			return classes[i].kind;
	return ERR_PERM;
}

/* Only the primary message: detail and context quote rows. In the class of bad data (22) even that quotes the value,
 * behind the first quotation mark or colon. */
static size_t safe_length(const char *sqlstate, const char *message)
{
	return strcspn(message, strncmp(sqlstate, "22", 2) == 0 ? "\":\n" : "\n");
}

int db_failed(struct db *db, const PGresult *result, struct err *err)
{
	const char *sqlstate = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	if (!sqlstate) {
		/* libpq's own words: the server is away. They name host, port and user, never the password. */
		const char *message = result ? PQresultErrorMessage(result) : PQerrorMessage(db->conn);
		snprintf(db->sqlstate, sizeof db->sqlstate, "08006");
		return err_set(err, ERR_TEMP, "%.*s", (int)strcspn(message, "\n"), *message ? message : "connection lost");
	}
	snprintf(db->sqlstate, sizeof db->sqlstate, "%s", sqlstate);
	if (strcmp(sqlstate, "22012") == 0)
		return err_set(err, ERR_TEMP, "the lease is another's");
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	if (!message)
		message = "no reason given";
	return err_set(err, classify(sqlstate), "%.*s (%s)", (int)safe_length(sqlstate, message), message, sqlstate);
}
