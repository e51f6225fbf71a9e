/* SPDX-License-Identifier: Apache-2.0
 * What all clients of the kafka engine have in common: names, settings, log, and the words of a failure.
 */
#include <stdarg.h>
#include <string.h>

#include "base/log.h"
#include "bus_kafka.h"

#include "base/banned.h"

#define GROUP_PREFIX "mailcase."
#define LOG_LEVEL_ERROR 3 /* of syslog, as librdkafka counts */
#define PREFIX_MAX 180    /* what is left of a name is for ours */
/* A broker that is silent for so long is given up: another may have its partitions by then, and nobody who is told to
 * stop can wait for longer. */
#define ANSWER_MS 6000
#define CONNECT_MS 5000

static int set_security(rd_kafka_conf_t *conf, const struct bus_kafka_options *kafka, struct err *err);
static int set_given(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err);
static void troubled(rd_kafka_t *rk, int why, const char *reason, void *opaque);
static void write_log(const rd_kafka_t *rk, int level, const char *facility, const char *text);

struct kafka_name kafka_topic(const struct bus_options *options, const char *topic)
{
	struct kafka_name name;
	snprintf(name.text, sizeof name.text, "%s%s", options->kafka.prefix, topic);
	return name;
}

struct kafka_name kafka_group(const struct bus_options *options, const char *group)
{
	struct kafka_name name;
	snprintf(name.text, sizeof name.text, "%s" GROUP_PREFIX "%s", options->kafka.prefix, group);
	return name;
}

rd_kafka_conf_t *kafka_conf(const struct bus_options *options, struct kafka_client *client, struct err *err)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	rd_kafka_conf_set_opaque(conf, client);
	rd_kafka_conf_set_error_cb(conf, troubled);
	rd_kafka_conf_set_log_cb(conf, write_log);
	if (strlen(options->kafka.prefix) > PREFIX_MAX)
		err_set(err, ERR_FATAL, "cannot use MAILCASE_KAFKA_PREFIX: it has more than %d characters", PREFIX_MAX);
	/* Brokers that come back are found again at once, not after ten seconds. A topic is made by `casectl topics`, with
	 * all that belongs to it, and never by asking for it. */
	else if (kafka_set(conf, "bootstrap.servers", options->kafka.brokers, err) == 0 &&
	         kafka_set(conf, "client.id", options->name, err) == 0 &&
	         kafka_set_int(conf, "socket.timeout.ms", ANSWER_MS, err) == 0 &&
	         kafka_set_int(conf, "socket.connection.setup.timeout.ms", CONNECT_MS, err) == 0 &&
	         kafka_set_int(conf, "api.version.request.timeout.ms", CONNECT_MS, err) == 0 &&
	         kafka_set_int(conf, "reconnect.backoff.ms", 50, err) == 0 &&
	         kafka_set_int(conf, "reconnect.backoff.max.ms", 1000, err) == 0 &&
	         kafka_set(conf, "allow.auto.create.topics", "false", err) == 0 &&
	         kafka_set(conf, "log.connection.close", "false", err) == 0 && set_security(conf, &options->kafka, err) == 0)
		return conf;
	rd_kafka_conf_destroy(conf);
	return NULL;
}

static int set_security(rd_kafka_conf_t *conf, const struct bus_kafka_options *kafka, struct err *err)
{
	/* 2.0.2 (Debian 12) sends the nonce twice, and brokers from 4.0 on refuse that. */
	if (strncmp(kafka->security, "sasl", 4) == 0 && strncmp(kafka->sasl, "scram", 5) == 0 && rd_kafka_version() < 0x020601ff)
		log_error("kafka.old_scram", LOG_TEXT("version", rd_kafka_version_str()),
		          LOG_TEXT("remedy", "SCRAM needs librdkafka 2.6.1 for brokers of version 4: take mutual TLS or the image"),
		          LOG_END);
	if (set_given(conf, "security.protocol", kafka->security, err) < 0 ||
	    set_given(conf, "ssl.ca.location", kafka->ca_file, err) < 0 ||
	    set_given(conf, "ssl.certificate.location", kafka->cert_file, err) < 0 ||
	    set_given(conf, "ssl.key.location", kafka->key_file, err) < 0 ||
	    set_given(conf, "ssl.key.password", kafka->key_password, err) < 0 ||
	    set_given(conf, "sasl.username", kafka->user, err) < 0 ||
	    set_given(conf, "sasl.password", kafka->password, err) < 0)
		return -1;
	if (strncmp(kafka->security, "sasl", 4) != 0)
		return 0;
	char mechanism[32];
	size_t len = 0;
	for (const char *at = kafka->sasl; *at && len + 1 < sizeof mechanism; at++)
		mechanism[len++] = *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
	mechanism[len] = '\0';
	return set_given(conf, "sasl.mechanism", mechanism, err);
}

static int set_given(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err)
{
	return *value ? kafka_set(conf, name, value, err) : 0;
}

/* The library's own words may quote the value; a password's are dropped. */
int kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err)
{
	char why[200];

	if (rd_kafka_conf_set(conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
		return 0;
	return err_set(err, ERR_FATAL, "cannot set %s of the Kafka client: %s", name,
	               strstr(name, "password") ? "the value is refused" : why);
}

int kafka_set_int(rd_kafka_conf_t *conf, const char *name, int64_t value, struct err *err)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", (long long)value);
	return kafka_set(conf, name, text, err);
}

int kafka_new(struct kafka_client *client, rd_kafka_type_t type, rd_kafka_conf_t *conf, struct err *err)
{
	char why[200];

	client->rk = rd_kafka_new(type, conf, why, sizeof why);
	client->met = RD_KAFKA_RESP_ERR_NO_ERROR;
	if (client->rk)
		return 0;
	rd_kafka_conf_destroy(conf);
	return err_set(err, ERR_FATAL, "cannot make a Kafka client: %s", why);
}

void kafka_done(struct kafka_client *client)
{
	if (client->rk)
		rd_kafka_destroy(client->rk);
	client->rk = NULL;
}

/* --- what is in the way ------------------------------------------------------------------------------------------ */

static const struct {
	rd_kafka_resp_err_t why;
	bool is_silence; /* nobody answers; the reason may be one of the others */
	bool is_telling; /* why nobody answers */
	const char *words;
} remedies[] = {
	{ RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, true, false, "no broker answers; see MAILCASE_KAFKA_BROKERS" },
	{ RD_KAFKA_RESP_ERR__TRANSPORT, true, false, "no broker answers; see MAILCASE_KAFKA_BROKERS" },
	{ RD_KAFKA_RESP_ERR__TIMED_OUT, true, false, "the brokers did not answer in time; see MAILCASE_KAFKA_BROKERS" },
	{ RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, true, false, "the brokers did not answer in time; see MAILCASE_KAFKA_BROKERS" },
	{ RD_KAFKA_RESP_ERR__WAIT_COORD, true, false, "the brokers did not answer in time; see MAILCASE_KAFKA_BROKERS" },
	{ RD_KAFKA_RESP_ERR__RESOLVE, true, true, "a broker's name is unknown; see MAILCASE_KAFKA_BROKERS" },
	{ RD_KAFKA_RESP_ERR__SSL, true, true, "TLS failed; see MAILCASE_KAFKA_CA_FILE, _CERT_FILE and _KEY_FILE" },
	{ RD_KAFKA_RESP_ERR__AUTHENTICATION, true, true,
	  "the brokers refused the login; see MAILCASE_KAFKA_SASL, _USER and _PASSWORD" },
	{ RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, false, false, "the topic is not there; run `casectl topics`" },
	{ RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, false, false, "the topic is not there; run `casectl topics`" },
	{ RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, false, false, "the topic is not there, or has fewer partitions; run `casectl topics`" },
	{ RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, false, false,
	  "the brokers' access list does not allow it to use the topic; see docs/integrate.md" },
	{ RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, false, false,
	  "the brokers' access list does not allow it to use the group; see docs/integrate.md" },
	{ RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, false, false,
	  "the brokers' access list does not allow it; see docs/integrate.md" },
	{ RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, false, false, "the brokers take no records of 64 KiB; raise max.message.bytes" },
	{ RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT, false, false,
	  "MAILCASE_KAFKA_SESSION_MS is not between the brokers' group.min and group.max.session.timeout.ms" },
	{ RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL, false, false,
	  "another program is in the group and shares its topics out in another way; the group is for our services alone" },
};

void kafka_met(struct kafka_client *client, rd_kafka_resp_err_t why, const char *words)
{
	/* Some failures of the handshake are told as lost connections. */
	if (why == RD_KAFKA_RESP_ERR__TRANSPORT && strstr(words, "SSL"))
		why = RD_KAFKA_RESP_ERR__SSL;
	for (size_t i = 0; i < ARRAY_LEN(remedies); i++)
		if (remedies[i].why == why && remedies[i].is_telling) {
			client->met = why;
			snprintf(client->words, sizeof client->words, "%s", words);
		}
}

bool kafka_is_silence(rd_kafka_resp_err_t why)
{
	for (size_t i = 0; i < ARRAY_LEN(remedies); i++)
		if (remedies[i].why == why)
			return remedies[i].is_silence;
	return false;
}

static void troubled(rd_kafka_t *rk, int why, const char *reason, void *opaque)
{
	(void)rk;
	kafka_met(opaque, why, reason);
}

int kafka_failed(struct err *err, struct kafka_client *client, rd_kafka_resp_err_t why, const char *format, ...)
{
	char what[160];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof what, format, args);
	va_end(args);
	/* What it met may not have been said yet. A member of a group says it when it polls. */
	if (client->rk && !client->owner)
		rd_kafka_poll(client->rk, 0);
	bool is_told = client->met && kafka_is_silence(why);
	if (is_told)
		why = client->met;
	const char *words = rd_kafka_err2str(why);
	for (size_t i = 0; i < ARRAY_LEN(remedies); i++)
		if (remedies[i].why == why)
			words = remedies[i].words;
	return is_told ? err_set(err, ERR_TEMP, "%s: %s (%s)", what, words, client->words)
	               : err_set(err, ERR_TEMP, "%s: %s", what, words);
}

/* What it says of lost connections comes as errors of our own calls too. */
static void write_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	(void)rk;
	if (level <= LOG_LEVEL_ERROR)
		log_warn("kafka.client", LOG_TEXT("facility", facility), LOG_TEXT("text", text), LOG_END);
	else
		log_debug("kafka.client", LOG_TEXT("facility", facility), LOG_TEXT("text", text), LOG_END);
}
