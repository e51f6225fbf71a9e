#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# demo.sh - the two programs of docker-compose's profile `demo`; the scripts of `make run` do the work
#
#	demo mail    Dovecot and Postfix, until SIGTERM: IMAP on port 25000, SMTP on 25002. Mail for every domain stays here.
#	demo healthy whether these listen
#	demo desk    once: a desk whose mailbox is there, and sample mails to it; tells what came of them
#
# DEMO_PASSWORD_FILE holds the password of the three mailboxes: support@demo.example, customer@client.example and
# agent@demo.example. What is there already stays as it is.
set -euo pipefail
umask 022

PROGRAM=demo
export PROGRAM
HERE=/usr/local/share/mailcase/local
PASSWORD_FILE=${DEMO_PASSWORD_FILE:-/run/secrets/demo-password}
export LISTEN=0.0.0.0 MAIL_CLIENTS=0.0.0.0/0 PORT_BASE=25000
for part in servers/common setup demo; do
	# shellcheck source=/dev/null
	. "$HERE/$part.sh"
done
ports_from "$PORT_BASE"
SUPPORT_PASSWORD=$(cat "$PASSWORD_FILE") || die "there is no password in $PASSWORD_FILE"
# shellcheck disable=SC2034 # demo.sh and write_users take them
CUSTOMER_PASSWORD=$SUPPORT_PASSWORD AGENT_PASSWORD=$SUPPORT_PASSWORD

main() {
	case "${1:-}" in
	mail) mail ;;
	healthy) listens "$IMAP_PORT" && listens "$SMTP_PORT" ;;
	desk) desk ;;
	*) die "usage: demo mail|healthy|desk" ;;
	esac
}

mail() {
	DIR=${DEMO_DIR:-/var/lib/mailcase}
	trap 'end_all; exit 0' TERM INT
	# In a container that has just begun nothing runs: a number in these is another process's by now.
	rm -f "$DIR/dovecot/base/master.pid" "$DIR/postfix/queue/pid/master.pid"
	"$HERE/servers.sh" start "$DIR" dovecot postfix
	write_users
	say "mail for every domain is taken by SMTP on port $SMTP_PORT, and read by IMAP on port $IMAP_PORT"
	tail -q -n 0 -F "$DIR/dovecot/dovecot.log" "$DIR/postfix/postfix.log" &
	wait
}

# All of this container's processes but this one, its first.
end_all() {
	local tries=100 running
	kill -TERM -1 2>/dev/null || true
	while [ "$tries" -gt 0 ]; do
		running=(/proc/[0-9]*)
		[ "${#running[@]}" -gt 1 ] || return 0
		sleep 0.1
		tries=$((tries - 1))
	done
}

# The kernel's list, so that no server logs a client that says nothing.
listens() { grep -q ": 00000000:$(printf %04X "$1") 00000000:0000 0A" /proc/net/tcp; }

desk() {
	DIR=$(mktemp -d)
	mkdir "$DIR/log"
	set_up_desk "$PASSWORD_FILE" --insecure on
	if casectl where-is --message-id sample-printer-2@client.example >/dev/null 2>&1; then
		say "the sample mails were sent by an earlier start"
	else
		demo_send
	fi
	demo_show_mail
	rm -rf "$DIR"
}

casectl() { command casectl "$@"; }

# What the waiting of demo.sh asks: here the services are others' to watch over.
is_running() { true; }

main "$@"
