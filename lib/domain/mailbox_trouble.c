/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox_trouble.h"

#include "base/cleanup.h"

#include "base/banned.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

struct row {
	const char *name, *problem, *remedy;
	enum trouble_state state;
	int64_t first_ms, most_ms;
};

/* Network trouble passes by itself: soon again, up to five minutes. What a person must change is tried again slowly, so
 * that no account is locked and no server punishes our address; a changed setting is tried at once. Servers that ask
 * for less of us get it. */
#define NETWORK TROUBLE_BACKS_OFF, SECOND, 5 * MINUTE
#define SETTING TROUBLE_BACKS_OFF, 30 * SECOND, 5 * MINUTE
#define REFUSAL TROUBLE_AUTH_FAILS, 5 * MINUTE, 30 * MINUTE
#define LOAD TROUBLE_BACKS_OFF, 5 * SECOND, 5 * MINUTE
#define THROTTLE TROUBLE_BACKS_OFF, 5 * MINUTE, HOUR

static const struct row rows[TROUBLE_COUNT] = {
	[TROUBLE_NONE] = { "", "", "", TROUBLE_BACKS_OFF, SECOND, SECOND },
	[TROUBLE_UNKNOWN_HOST] = { "unknown_host", "the host name is not known", "check the host name", NETWORK },
	[TROUBLE_REFUSED] = { "refused", "nothing listens on that port", "check host and port; is the server up?", NETWORK },
	[TROUBLE_UNREACHABLE] = { "unreachable", "the network does not lead there", "check the network and the firewall",
	                          NETWORK },
	[TROUBLE_TIMEOUT] = { "timeout", "the server does not answer",
	                      "check the port; a TLS port answers nothing in clear, a firewall may drop packets", NETWORK },
	[TROUBLE_CLOSED] = { "closed", "the connection broke", "", NETWORK },
	[TROUBLE_FORBIDDEN_ADDRESS] = { "forbidden_address", "the host leads to an address that may not be used",
	                                "use another host, or set MAILCASE_EGRESS=any", SETTING },
	[TROUBLE_CLEAR_REFUSED] = { "clear_refused", "clear text is allowed to this machine only",
	                            "use TLS (implicit or starttls); insecure=on forces clear text", SETTING },
	[TROUBLE_CERT_EXPIRED] = { "certificate_expired", "the server's certificate has expired",
	                           "have the server's certificate renewed", SETTING },
	[TROUBLE_CERT_NOT_YET_VALID] = { "certificate_not_yet_valid", "the server's certificate is not valid yet",
	                                 "check the clocks of server and of this machine", SETTING },
	[TROUBLE_CERT_HOST] = { "certificate_host", "the server's certificate is for another host name",
	                        "use the host name that the certificate carries", SETTING },
	[TROUBLE_CERT_UNKNOWN_CA] = { "certificate_unknown_ca", "the server's certificate is not from a known authority",
	                              "set the mailbox's CA file to the authority's certificate", SETTING },
	[TROUBLE_CERT_OTHER] = { "certificate", "the server's certificate was not accepted",
	                         "see what the TLS library said", SETTING },
	[TROUBLE_CA_FILE] = { "ca_file", "the mailbox's CA file cannot be read", "check the path and who may read it",
	                      SETTING },
	[TROUBLE_TLS_ON_PLAIN] = { "tls_on_plain_port", "the server does not speak TLS on that port",
	                           "use starttls there, or the server's TLS port (993)", SETTING },
	[TROUBLE_NO_STARTTLS] = { "no_starttls", "the server does not offer STARTTLS",
	                          "use the server's TLS port (implicit, 993)", SETTING },
	[TROUBLE_LOGIN_DISABLED] = { "login_disabled", "the server takes no password over this connection",
	                             "use TLS (implicit or starttls)", REFUSAL },
	[TROUBLE_NO_MECHANISM] = { "no_mechanism", "the server offers no kind of login that we have",
	                           "the provider may want OAuth in place of a password", REFUSAL },
	[TROUBLE_WRONG_PASSWORD] = { "wrong_password", "the server refused user name or password",
	                             "check both; set the password again", REFUSAL },
	[TROUBLE_APP_PASSWORD] = { "app_password", "the server wants a password made for this program",
	                           "make an app password at the provider and set it", REFUSAL },
	[TROUBLE_ACCESS_DISABLED] = { "access_disabled", "this account may not be read by IMAP",
	                              "have IMAP switched on for the account", REFUSAL },
	[TROUBLE_EXPIRED] = { "expired", "the password or token has expired", "set a new one", REFUSAL },
	[TROUBLE_NO_CREDENTIAL] = { "no_credential", "no password is stored, or it is sealed with another key",
	                            "set the password; check MAILCASE_SEAL_KEY_FILE", REFUSAL },
	[TROUBLE_SERVER_BUSY] = { "server_busy", "the server is not available just now", "", LOAD },
	[TROUBLE_TOO_MANY] = { "too_many_connections", "the server has too many connections of this account",
	                       "close other programs of this account, or read fewer folders", THROTTLE },
	[TROUBLE_THROTTLED] = { "throttled", "the server asks us to slow down", "", THROTTLE },
	[TROUBLE_BYE] = { "bye", "the server ended the connection", "", NETWORK },
	[TROUBLE_NO_FOLDER] = { "no_folder", "the server does not have the folder",
	                        "list the folders and choose again", SETTING },
	[TROUBLE_REFUSED_COMMAND] = { "refused_command", "the server refused a command", "", LOAD },
	[TROUBLE_PROTOCOL] = { "protocol", "what the server said was no IMAP", "check host and port", SETTING },
};

/* What servers say, from the most telling to the least; lower case does not matter. Sources: RFC 5530 and the words of
 * Gmail, Exchange, Yahoo, Dovecot, Cyrus, Courier. */
static const struct {
	struct str words;
	enum trouble_cause cause;
	bool at_login_only; /* elsewhere these words mean nothing */
} telling[] = {
	{ STR("suggested backoff time"), TROUBLE_THROTTLED },
	{ STR("throttled"), TROUBLE_THROTTLED },
	{ STR("[overquota]"), TROUBLE_THROTTLED },
	{ STR("bandwidth limit"), TROUBLE_THROTTLED },
	{ STR("rate limit"), TROUBLE_THROTTLED },
	{ STR("too many"), TROUBLE_TOO_MANY },
	{ STR("maximum number of connections"), TROUBLE_TOO_MANY },
	{ STR("[limit]"), TROUBLE_TOO_MANY },
	{ STR("[unavailable]"), TROUBLE_SERVER_BUSY },
	{ STR("[inuse]"), TROUBLE_SERVER_BUSY },
	{ STR("[serverbug]"), TROUBLE_SERVER_BUSY },
	{ STR("temporar"), TROUBLE_SERVER_BUSY },
	{ STR("try again later"), TROUBLE_SERVER_BUSY },
	{ STR("internal error"), TROUBLE_SERVER_BUSY },
	{ STR("authenticated but not connected"), TROUBLE_SERVER_BUSY },
	{ STR("accesstokenexpired"), TROUBLE_EXPIRED },
	{ STR("[privacyrequired]"), TROUBLE_LOGIN_DISABLED, true },
	{ STR("logindisabled"), TROUBLE_LOGIN_DISABLED, true },
	{ STR("plaintext authentication disallowed"), TROUBLE_LOGIN_DISABLED, true },
	{ STR("application-specific password"), TROUBLE_APP_PASSWORD, true },
	{ STR("app password"), TROUBLE_APP_PASSWORD, true },
	{ STR("web login required"), TROUBLE_APP_PASSWORD, true },
	{ STR("imap access is disabled"), TROUBLE_ACCESS_DISABLED, true },
	{ STR("not enabled for imap"), TROUBLE_ACCESS_DISABLED, true },
	{ STR("[expired]"), TROUBLE_EXPIRED, true },
	{ STR("[authenticationfailed]"), TROUBLE_WRONG_PASSWORD, true },
	{ STR("[authorizationfailed]"), TROUBLE_WRONG_PASSWORD, true },
	{ STR("authenticat"), TROUBLE_WRONG_PASSWORD, true },
	{ STR("credentials"), TROUBLE_WRONG_PASSWORD, true },
	{ STR("login failed"), TROUBLE_WRONG_PASSWORD, true },
	{ STR("password"), TROUBLE_WRONG_PASSWORD, true },
	{ STR("[nonexistent]"), TROUBLE_NO_FOLDER },
};

static bool words_may_decide(enum trouble_cause cause)
{
	switch (cause) {
	case TROUBLE_WRONG_PASSWORD:
	case TROUBLE_SERVER_BUSY:
	case TROUBLE_BYE:
	case TROUBLE_CLOSED:
	case TROUBLE_NO_FOLDER:
	case TROUBLE_REFUSED_COMMAND:
		return true;
	default:
		return false;
	}
}

/* "Suggested Backoff Time: 299961 milliseconds" (Exchange). */
static int64_t wait_asked_ms(struct str words)
{
	static const struct str lead = STR("backoff time:");
	ptrdiff_t at = str_find_nocase(words, lead, 0);
	int64_t ms;

	if (at < 0)
		return 0;
	struct str rest = str_trim(str_slice(words, (size_t)at + lead.len, words.len));
	size_t digits = 0;
	while (digits < rest.len && rest.at[digits] >= '0' && rest.at[digits] <= '9')
		digits++;
	return str_to_i64(str_slice(rest, 0, digits), 1, HOUR, &ms) ? ms : 0;
}

struct mailbox_trouble mailbox_trouble_of(enum trouble_cause cause, struct str server_words)
{
	bool at_login = cause == TROUBLE_WRONG_PASSWORD;

	for (size_t i = 0; words_may_decide(cause) && i < ARRAY_LEN(telling); i++) {
		if ((at_login || !telling[i].at_login_only) && str_find_nocase(server_words, telling[i].words, 0) >= 0) {
			cause = telling[i].cause;
			break;
		}
	}
	const struct row *row = &rows[cause];
	return (struct mailbox_trouble){
		.cause = cause,
		.name = row->name,
		.problem = row->problem,
		.remedy = row->remedy,
		.state = row->state,
		.wait_first_ms = row->first_ms,
		.wait_most_ms = row->most_ms,
		.wait_asked_ms = wait_asked_ms(server_words),
	};
}

const char *trouble_name(enum trouble_cause cause)
{
	return rows[cause].name;
}
