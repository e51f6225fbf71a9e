#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# servers.sh - private PostgreSQL, Dovecot and Postfix in one folder, on loopback ports of their own
#
#	servers.sh start DIR [postgres] [dovecot] [postfix]    all three where none is named
#	servers.sh stop DIR                                    whatever of them runs
#	servers.sh reload DIR                                  Dovecot reads its certificate again
#
# PORT_BASE is the first of 16 ports. `make run`, the service tests and the bench all use these servers. Postfix takes
# every domain and delivers to Dovecot, which keeps mail for everybody: nothing leaves the machine. Starting what runs
# and stopping what does not are fine.
set -euo pipefail
umask 022 # the servers' users read their configuration; what is secret says so itself

PROGRAM=${PROGRAM:-servers}
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in common tls postgres dovecot postfix; do
	# shellcheck source=/dev/null
	. "$HERE/servers/$part.sh"
done
POSTGRES_FSYNC=${POSTGRES_FSYNC:-on}
MAIL_FSYNC=${MAIL_FSYNC:-optimized}

main() {
	local act=${1:-} server
	[ $# -ge 2 ] || die "usage: servers.sh start|stop|reload DIR [SERVER...]"
	case "$2" in
	/*) DIR=$2 ;;
	*) DIR=$PWD/$2 ;;
	esac
	shift 2
	ports_from "${PORT_BASE:-25000}"
	case "$act" in
	start)
		[ $# -gt 0 ] || set -- postgres dovecot postfix
		prepare_folder
		for server; do "${server}_start"; done
		;;
	stop) for server in postfix dovecot postgres; do "${server}_stop"; done ;;
	reload) dovecot_reload ;;
	*) die "usage: servers.sh start|stop|reload DIR [SERVER...]" ;;
	esac
}

# The folder itself can be passed through by the servers' users, what is secret in it cannot be looked into.
prepare_folder() {
	check_folder
	mkdir -p "$DIR" || die "cannot make $DIR"
	chmod 711 "$DIR"
	mkdir -p "$DIR/log" "$DIR/secrets"
	chmod 700 "$DIR/log" "$DIR/secrets"
	tls_make
}

main "$@"
