/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "domain/mailbox_trouble.h"

static const struct {
	const char *about;
	enum trouble_cause cause;
	const char *words;
	const char *name;
	enum trouble_state state;
	int64_t asked_ms;
} cases[] = {
	{ "a refused login without words is a wrong password", TROUBLE_WRONG_PASSWORD, "", "wrong_password",
	  TROUBLE_AUTH_FAILS },
	{ "Dovecot refuses a password", TROUBLE_WRONG_PASSWORD, "NO [AUTHENTICATIONFAILED] Authentication failed.",
	  "wrong_password", TROUBLE_AUTH_FAILS },
	{ "Gmail refuses a password", TROUBLE_WRONG_PASSWORD, "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)",
	  "wrong_password", TROUBLE_AUTH_FAILS },
	{ "Gmail wants an app password", TROUBLE_WRONG_PASSWORD,
	  "NO [ALERT] Application-specific password required: https://support.google.com/", "app_password", TROUBLE_AUTH_FAILS },
	{ "an account without IMAP", TROUBLE_WRONG_PASSWORD, "NO [ALERT] Your account is not enabled for IMAP use.",
	  "access_disabled", TROUBLE_AUTH_FAILS },
	{ "a server that is busy is no wrong password", TROUBLE_WRONG_PASSWORD,
	  "NO [UNAVAILABLE] Temporary authentication failure.", "server_busy", TROUBLE_BACKS_OFF },
	{ "too many connections at login", TROUBLE_WRONG_PASSWORD, "NO [ALERT] Too many simultaneous connections. (Failure)",
	  "too_many_connections", TROUBLE_BACKS_OFF },
	{ "login disabled in clear", TROUBLE_WRONG_PASSWORD, "NO [PRIVACYREQUIRED] Plaintext authentication disallowed",
	  "login_disabled", TROUBLE_AUTH_FAILS },
	{ "Exchange says how long", TROUBLE_REFUSED_COMMAND,
	  "BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds", "throttled", TROUBLE_BACKS_OFF, 299961 },
	{ "a wait past an hour is not believed", TROUBLE_REFUSED_COMMAND, "Suggested Backoff Time: 99999999 ms", "throttled",
	  TROUBLE_BACKS_OFF, 0 },
	{ "a token that ran out", TROUBLE_BYE, "BYE Session invalidated - AccessTokenExpired", "expired", TROUBLE_AUTH_FAILS },
	{ "words of a login elsewhere mean nothing", TROUBLE_BYE, "BYE password server shutting down", "bye",
	  TROUBLE_BACKS_OFF },
	{ "a BYE for idling", TROUBLE_BYE, "BYE Disconnected for inactivity.", "bye", TROUBLE_BACKS_OFF },
	{ "words do not overrule what the network said", TROUBLE_REFUSED, "too many", "refused", TROUBLE_BACKS_OFF },
	{ "an expired certificate stays one", TROUBLE_CERT_EXPIRED, "SSL certificate problem: certificate has expired",
	  "certificate_expired", TROUBLE_BACKS_OFF },
	{ "a folder that is not there", TROUBLE_NO_FOLDER, "NO [NONEXISTENT] Mailbox doesn't exist: x", "no_folder",
	  TROUBLE_BACKS_OFF },
	{ "a folder refused for load", TROUBLE_NO_FOLDER, "NO [SERVERBUG] Internal error occurred", "server_busy",
	  TROUBLE_BACKS_OFF },
};

static void words_and_causes_lead_to_states(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mailbox_trouble trouble = mailbox_trouble_of(cases[i].cause, str_of(cases[i].words));
		if (strcmp(trouble.name, cases[i].name) != 0 || trouble.state != cases[i].state ||
		    trouble.wait_asked_ms != cases[i].asked_ms)
			fail_msg("%s: %s, state %d, asked %lld", cases[i].about, trouble.name, trouble.state,
			         (long long)trouble.wait_asked_ms);
	}
}

static void every_cause_has_a_name_a_problem_and_a_wait(void **state)
{
	(void)state;
	for (int cause = TROUBLE_NONE + 1; cause < TROUBLE_COUNT; cause++) {
		struct mailbox_trouble trouble = mailbox_trouble_of((enum trouble_cause)cause, STR(""));
		assert_non_null(trouble.name);
		assert_true(strlen(trouble.name) > 0 && strlen(trouble.problem) > 0);
		assert_non_null(trouble.remedy);
		assert_in_range(trouble.wait_first_ms, 1000, 300000);
		assert_true(trouble.wait_most_ms >= trouble.wait_first_ms);
		if (trouble.state == TROUBLE_AUTH_FAILS) {
			assert_true(trouble.wait_first_ms >= 300000 && trouble.wait_most_ms <= 1800000);
		}
		for (int other = cause + 1; other < TROUBLE_COUNT; other++)
			assert_string_not_equal(trouble.name, trouble_name((enum trouble_cause)other));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_and_causes_lead_to_states),
		cmocka_unit_test(every_cause_has_a_name_a_problem_and_a_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
