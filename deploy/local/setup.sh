# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What `make run` puts into the private servers: a tenant with a queue, a team, an agent, a mailbox in and one out, and
# the file that tells other programs where all is. Sourced by run.sh. It can be repeated: what is there is brought up to
# the ports of this start.

set_up() {
	make_passwords
	write_env
	write_casectl
	write_users
	say "setting up the database"
	[ -s "$DIR/secrets/seal.key" ] || casectl seal-key make "$DIR/secrets/seal.key"
	casectl migrate
	bus_set_up
	set_up_desk "$DIR/secrets/support"
}

# set_up_desk PASSWORD-FILE [OPTION...]: the desk itself; the options are more ones of both kinds of mailboxes.
set_up_desk() {
	local password_file=$1
	shift
	ensure tenant demo
	ensure user agent --name 'Demo Agent' --address agent@demo.example
	ensure team support --distribution round_robin --member agent
	ensure queue support --team support
	ensure outbound-mailbox support --host "$MAIL_HOST" --port "$SMTP_PORT" --tls clear --sender-address support@demo.example \
		--sender-name 'Demo Support' --default "$@"
	ensure mailbox support@demo.example --host "$MAIL_HOST" --port "$IMAP_PORT" --tls clear --user support@demo.example \
		--password-file "$password_file" --queue support "$@"
}

# ensure NOUN NAME OPTION...: make it, or change it to be so.
ensure() {
	local noun=$1 name=$2 status=0
	shift 2
	casectl "$noun" show "$name" >/dev/null 2>&1 || status=$?
	case "$status" in
	0) [ $# -eq 0 ] || casectl "$noun" set "$name" "$@" ;;
	3) casectl "$noun" add "$name" "$@" ;;
	*) casectl "$noun" show "$name" ;; # say what is wrong
	esac >>"$DIR/log/setup.log" || die "casectl $noun $name failed"
}

casectl() { "$DIR/casectl" "$@"; }

make_passwords() {
	local name
	for name in support customer agent; do
		[ -s "$DIR/secrets/$name" ] || (umask 077 && secret >"$DIR/secrets/$name")
	done
	DATABASE_PASSWORD=$(cat "$DIR/secrets/database")
	SUPPORT_PASSWORD=$(cat "$DIR/secrets/support")
	CUSTOMER_PASSWORD=$(cat "$DIR/secrets/customer")
	AGENT_PASSWORD=$(cat "$DIR/secrets/agent")
}

# Plain assignments: `set -a; . run/env; set +a` hands them to a program.
write_env() {
	(
		umask 077
		cat >"$DIR/env.new" <<-END
			MAILCASE_DATABASE_URL=postgresql://mailcase:$DATABASE_PASSWORD@127.0.0.1:$POSTGRES_PORT/mailcase
			MAILCASE_BUS=$BUS
			MAILCASE_KAFKA_BROKERS=127.0.0.1:$KAFKA_PORT
			MAILCASE_SEAL_KEY_FILE=$DIR/secrets/seal.key
			MAILCASE_TENANT=demo
			MAILCASE_USER=agent
			BUS=$BUS
			IMAP_HOST=127.0.0.1
			IMAP_PORT=$IMAP_PORT
			IMAPS_PORT=$IMAPS_PORT
			SMTP_HOST=127.0.0.1
			SMTP_PORT=$SMTP_PORT
			SUBMISSION_PORT=$SUBMISSION_PORT
			SMTPS_PORT=$SMTPS_PORT
			CA_FILE=$DIR/tls/ca.pem
			SUPPORT_USER=support@demo.example
			SUPPORT_PASSWORD=$SUPPORT_PASSWORD
			CUSTOMER_USER=customer@client.example
			CUSTOMER_PASSWORD=$CUSTOMER_PASSWORD
			AGENT_USER=agent@demo.example
			AGENT_PASSWORD=$AGENT_PASSWORD
			FETCHER_PORT=$FETCHER_PORT
			THREADER_PORT=$THREADER_PORT
			ROUTER_PORT=$ROUTER_PORT
			NOTIFIER_PORT=$NOTIFIER_PORT
		END
		mv "$DIR/env.new" "$DIR/env"
	)
}

write_casectl() {
	cat >"$DIR/casectl" <<-END
		#!/bin/sh
		# casectl with the settings of this folder
		set -a
		. $DIR/env
		exec $BIN/casectl "\$@"
	END
	chmod 755 "$DIR/casectl"
}

# In place, for the file is Dovecot's.
write_users() {
	as_server "$(server_user dovecot)" tee "$DIR/dovecot/users" >/dev/null <<-END
		support@demo.example:$SUPPORT_PASSWORD
		customer@client.example:$CUSTOMER_PASSWORD
		agent@demo.example:$AGENT_PASSWORD
	END
}
