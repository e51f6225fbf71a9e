# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A private Postfix in DIR/postfix; sourced by servers.sh. Its master insists on root and gives root up for its children.

postfix_prepare() {
	PATH=$PATH:/usr/sbin:/sbin
	need_commands postfix postconf
	[ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null || die "Postfix needs root: run as root or with sudo"
	POSTFIX_ETC=$DIR/postfix/etc
}

postfix_start() {
	postfix_prepare
	if is_ours "$(read_pid "$DIR/postfix/queue/pid/master.pid")"; then
		return 0
	fi
	check_port "$SMTP_PORT" SMTP
	check_port "$SUBMISSION_PORT" "SMTP submission"
	check_port "$SMTPS_PORT" SMTPS
	as_root install -d -m 755 -o root "$DIR/postfix" "$POSTFIX_ETC" "$DIR/postfix/queue"
	as_root install -d -m 700 -o postfix "$DIR/postfix/data"
	render "$HERE/servers/postfix-main.cf.in" | as_root tee "$POSTFIX_ETC/main.cf" >/dev/null
	render "$HERE/servers/postfix-master.cf.in" | as_root tee "$POSTFIX_ETC/master.cf" >/dev/null
	if ! (cd / && as_root postfix -c "$POSTFIX_ETC" start) </dev/null >"$DIR/log/postfix-start.log" 2>&1 ||
		! wait_port "$SMTP_PORT" 10; then
		die "Postfix did not start: $(cat "$DIR/log/postfix-start.log" "$DIR/postfix/postfix.log" 2>/dev/null | tail -n 1)"
	fi
}

postfix_stop() {
	local pid
	pid=$(as_root head -n 1 "$DIR/postfix/queue/pid/master.pid" 2>/dev/null | tr -dc 0-9) || true
	stop_process "$pid" 15
}
