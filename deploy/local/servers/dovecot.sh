# shellcheck shell=bash disable=SC2034 # names are used by render
# SPDX-License-Identifier: Apache-2.0
# A private Dovecot in DIR/dovecot, its mail in DIR/mail; sourced by servers.sh. DIR/dovecot/users says who has a
# password ("address:password" a line) and may be changed at any time.

dovecot_prepare() {
	local version
	PATH=$PATH:/usr/sbin:/sbin
	need_commands dovecot doveconf
	DOVECOT_USER=$(server_user dovecot)
	DOVECOT_GROUP=$(id -gn "$DOVECOT_USER")
	DOVECOT_CONF=$DIR/dovecot/dovecot.conf
	version=$(dovecot --version | cut -d ' ' -f 1)
	DOVECOT_TEMPLATE=$HERE/servers/dovecot-2.3.conf.in
	case "$version" in
	2.[4-9]*) DOVECOT_TEMPLATE=$HERE/servers/dovecot-2.4.conf.in ;;
	esac
	DOVECOT_VERSION=${version%%-*}
}

dovecot_start() {
	dovecot_prepare
	check_passage "$DOVECOT_USER"
	if is_ours "$(read_pid "$DIR/dovecot/base/master.pid")"; then
		return 0
	fi
	check_port "$IMAP_PORT" IMAP
	check_port "$IMAPS_PORT" IMAPS
	check_port "$LMTP_PORT" LMTP
	check_port "$AUTH_PORT" "Dovecot's logins"
	install -d -m 711 -o "$DOVECOT_USER" "$DIR/dovecot" "$DIR/dovecot/state" "$DIR/mail"
	install -d -m 755 -o "$DOVECOT_USER" "$DIR/dovecot/base"
	[ -e "$DIR/dovecot/users" ] || install -m 600 -o "$DOVECOT_USER" /dev/null "$DIR/dovecot/users"
	install -m 600 -o "$DOVECOT_USER" "$DIR/tls/server.key" "$DIR/dovecot/server.key"
	render "$DOVECOT_TEMPLATE" >"$DOVECOT_CONF"
	if ! (cd / && as_server "$DOVECOT_USER" dovecot -c "$DOVECOT_CONF") </dev/null >"$DIR/log/dovecot-start.log" 2>&1 ||
		! wait_port "$IMAP_PORT" 10 || ! wait_port "$LMTP_PORT" 10; then
		die "Dovecot did not start: $(cat "$DIR/log/dovecot-start.log" "$DIR/dovecot/dovecot.log" 2>/dev/null | tail -n 1)"
	fi
}

dovecot_stop() {
	stop_process "$(read_pid "$DIR/dovecot/base/master.pid")" 15
}

# After the certificate was renewed; connections that stand stay.
dovecot_reload() {
	dovecot_prepare
	install -m 600 -o "$DOVECOT_USER" "$DIR/tls/server.key" "$DIR/dovecot/server.key"
	signal_process HUP "$(read_pid "$DIR/dovecot/base/master.pid")"
}
