# shellcheck shell=bash disable=SC2034 # the names are used by those who source this, and by render
# SPDX-License-Identifier: Apache-2.0
# What the scripts of this folder share; sourced. The caller sets PROGRAM, DIR (absolute) and PORT_BASE.

# One list of ports, so that two instances differ by PORT_BASE alone.
ports_from() {
	IMAP_PORT=$1 IMAPS_PORT=$(($1 + 1)) SMTP_PORT=$(($1 + 2)) SUBMISSION_PORT=$(($1 + 3)) SMTPS_PORT=$(($1 + 4))
	LMTP_PORT=$(($1 + 5)) AUTH_PORT=$(($1 + 6)) POSTGRES_PORT=$(($1 + 7))
	FETCHER_PORT=$(($1 + 8)) THREADER_PORT=$(($1 + 9)) ROUTER_PORT=$(($1 + 10)) NOTIFIER_PORT=$(($1 + 11))
	KAFKA_PORT=$(($1 + 12)) # and, of its four, the last one
}

# Where the mail servers listen, whom Postfix trusts, and where they are to be found. In a container of their own
# (deploy/compose/demo.sh) that is another place than this machine's loopback.
LISTEN=${LISTEN:-127.0.0.1}
MAIL_CLIENTS=${MAIL_CLIENTS:-127.0.0.0/8}
MAIL_HOST=${MAIL_HOST:-127.0.0.1}

say() { echo "$PROGRAM: $*"; }

die() {
	echo "$PROGRAM: $*" >&2
	exit 1
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Who a server that refuses root runs as.
server_user() {
	if [ "$(id -u)" -eq 0 ]; then echo "$1"; else id -un; fi
}

# as_server USER COMMAND...: run as USER (root only; anybody else stays who he is). Where DIR lies below a folder that
# USER may not enter, such as root's home, the capability to pass through comes along.
as_server() {
	local user=$1 passage=()
	shift
	if [ "$(id -u)" -ne 0 ]; then
		"$@"
		return
	fi
	can_enter "$user" || passage=(--inh-caps=+dac_override --ambient-caps=+dac_override)
	setpriv --reuid="$user" --regid="$user" --init-groups "${passage[@]}" -- "$@"
}

# Going there is the test: access(2), which `test -x` asks, knows no capabilities.
can_enter() { setpriv --reuid="$1" --regid="$1" --init-groups -- env -C "$DIR" true 2>/dev/null; }

# Before anything is made: a folder that the servers cannot reach is one clear line.
check_passage() {
	local user
	[ "$(id -u)" -eq 0 ] || return 0
	for user; do
		can_enter "$user" || as_server "$user" env -C "$DIR" true 2>/dev/null ||
			die "user $user cannot enter $DIR, because a folder above it is closed to others; set RUN_DIR to another place, such as /var/tmp/mailcase"
	done
}

need_commands() {
	local command
	for command; do
		command -v "$command" >/dev/null || die "$command is missing: deploy/local/deps.sh installs what is needed"
	done
}

# The addresses of unix sockets are short, dovecot's are the longest; Postfix's settings know no quotes.
check_folder() {
	[ "${#DIR}" -le 70 ] || die "the path $DIR is too long for the servers' sockets (70 bytes at most): set RUN_DIR to a shorter one"
	case "$DIR" in
	*[!A-Za-z0-9/._+-]*) die "the path $DIR has characters that Postfix does not take (only letters, digits and /._+-): set RUN_DIR to another" ;;
	esac
}

check_port() {
	local port=$1 what=$2
	if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
		die "port $port ($what) is taken: set PORT_BASE to the first of 16 free ports"
	fi
}

# render TEMPLATE: fill in @NAME@ from the variable NAME.
render() {
	local line name
	while IFS= read -r line || [ -n "$line" ]; do
		while [[ $line =~ @([A-Z_]+)@ ]]; do
			name=${BASH_REMATCH[1]}
			line=${line/"@$name@"/"${!name}"}
		done
		printf '%s\n' "$line"
	done <"$1"
}

secret() { od -An -N"${1:-16}" -tx1 /dev/urandom | tr -d ' \n'; }

# A number in a pid file may be another's by now: ours has its working folder below DIR.
is_ours() {
	local pid=$1 where
	[ -n "$pid" ] || return 1
	where=$(readlink "/proc/$pid/cwd" 2>/dev/null || as_root readlink "/proc/$pid/cwd" 2>/dev/null) || return 1
	case "$where/" in
	"$DIR"/*) return 0 ;;
	*) return 1 ;;
	esac
}

read_pid() {
	local pid=''
	read -r pid _ 2>/dev/null <"$1" || true
	echo "${pid//[!0-9]/}"
}

# stop_process PID SECONDS: ask it, wait, then end its whole process group by force.
stop_process() {
	local pid=$1 tries=$(($2 * 20))
	is_ours "$pid" || return 0
	signal_process TERM "$pid" || true
	while [ "$tries" -gt 0 ] && is_ours "$pid"; do
		sleep 0.05
		tries=$((tries - 1))
	done
	is_ours "$pid" || return 0
	signal_process KILL "-$pid" || signal_process KILL "$pid" || true
}

signal_process() {
	kill "-$1" -- "$2" 2>/dev/null || as_root kill "-$1" -- "$2" 2>/dev/null
}

# wait_port PORT SECONDS: until somebody listens.
wait_port() {
	local tries=$(($2 * 20))
	until (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.05
	done
}
