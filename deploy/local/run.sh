#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh - all of mailcase on this machine, from Debian packages, with sample mail: `make run` and `make stop`
#
#	RUN_DIR=folder    all state is there, and nowhere else    (run)
#	PORT_BASE=port    the first of 16 loopback ports          (25000)
#	DETACH=1          return once it is ready; `make stop` ends it
#	RUN_SAMPLES=0     send no sample mail
#	BUS=kafka         the bus is a Kafka broker (or postgres); a RUN_DIR of the other engine is moved over, and keeps
#	                  its engine where BUS is not set
#
# RUN_DIR/env says to other programs where everything is (mode 0600); RUN_DIR/casectl is casectl with these settings.
# Ctrl-C stops what was started. Starting again finds the state of the last time.
set -euo pipefail
umask 022

PROGRAM=mailcase
export PROGRAM
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
for part in servers/common setup bus demo; do
	# shellcheck source=/dev/null
	. "$HERE/$part.sh"
done

SERVICES=(fetcher threader router notifier)
BIN=$ROOT/${BUILD:-build}/bin
PORT_BASE=${PORT_BASE:-25000}
DETACH=${DETACH:-0}
RUN_SAMPLES=${RUN_SAMPLES:-1}
DIR=${RUN_DIR:-$ROOT/run}
case "$DIR" in
/*) ;;
*) DIR=$PWD/$DIR ;;
esac
DIR=${DIR%/}
PIDS=$DIR/pid

main() {
	case "${1:-}" in
	start) start ;;
	stop) stop ;;
	*) die "usage: run.sh start|stop" ;;
	esac
}

start() {
	[[ $PORT_BASE =~ ^[0-9]+$ && $PORT_BASE -ge 1024 && $PORT_BASE -le 65519 ]] ||
		die "PORT_BASE=$PORT_BASE is no port between 1024 and 65519"
	check_folder
	ports_from "$PORT_BASE"
	bus_choose
	! is_running || die "it runs already in $DIR: \`$(stop_command)\` ends it"
	"$HERE/deps.sh"
	[ "$BUS" != kafka ] || bus_need_kafka
	build
	check_service_ports
	mkdir -p "$DIR" "$PIDS" || die "cannot make $DIR"
	trap 'end $?' EXIT
	trap 'exit 0' INT TERM HUP
	start_servers
	set_up
	start_services "$BUS"
	[ "$DETACH" = 1 ] || show_logs
	wait_services
	[ "$RUN_SAMPLES" = 0 ] || demo_send
	demo_show
	if [ "$DETACH" = 1 ]; then
		trap - EXIT
		return
	fi
	echo $$ >"$PIDS/run"
	watch_services
}

# The build says what it does; only the first one takes time.
build() {
	say "building"
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL "${MAKE:-make}" -s -C "$ROOT" -j"$(nproc)" all || die "the build failed"
}

start_servers() {
	say "starting PostgreSQL, Dovecot and Postfix in $DIR"
	stop_servers # what a crash left
	PORT_BASE=$PORT_BASE "$HERE/servers.sh" start "$DIR"
}

stop_servers() {
	"$HERE/kafka.sh" stop "$DIR/kafka"
	"$HERE/servers.sh" stop "$DIR"
}

is_running() {
	local name
	for name in run "${SERVICES[@]}"; do
		is_ours "$(read_pid "$PIDS/$name")" && return 0
	done
	return 1
}

check_service_ports() {
	local name
	for name in "${SERVICES[@]}"; do check_port "$(ops_port "$name")" "the $name's probes"; done
}

ops_port() {
	local name=${1^^}_PORT
	echo "${!name}"
}

# start_services ENGINE: each in a session of its own, so that Ctrl-C reaches this script alone; its working folder tells
# that it is ours.
start_services() {
	local engine=$1 name
	for name in "${SERVICES[@]}"; do
		say "starting $name"
		(
			cd "$DIR"
			set -a
			# shellcheck source=/dev/null
			. "$DIR/env"
			OPS_PORT=$(ops_port "$name")
			MAILCASE_BUS=$engine MAILCASE_OPS_LISTEN=127.0.0.1:$OPS_PORT exec setsid "$BIN/$name" </dev/null >"$DIR/log/$name.log" 2>&1
		) &
		echo $! >"$PIDS/$name"
	done
}

wait_services() {
	local name tries=600
	for name in "${SERVICES[@]}"; do
		until curl -fs -o /dev/null --max-time 2 "http://127.0.0.1:$(ops_port "$name")/readyz"; do
			is_ours "$(read_pid "$PIDS/$name")" || die "$name ended: $(tail -n 1 "$DIR/log/$name.log")"
			tries=$((tries - 1))
			[ "$tries" -gt 0 ] || die "$name is not ready: $(curl -s --max-time 2 "http://127.0.0.1:$(ops_port "$name")/readyz" | head -n 1); see $DIR/log/$name.log"
			sleep 0.1
		done
	done
}

# All logs in one stream, each line with its service's name. It ends with this script.
show_logs() {
	local files=() name
	for name in "${SERVICES[@]}"; do files+=("$DIR/log/$name.log"); done
	tail -n +1 -F --pid=$$ "${files[@]}" 2>/dev/null | prefix_logs &
}

prefix_logs() {
	local line name='' colour='' plain='' n
	trap '' INT TERM HUP
	while IFS= read -r line; do
		case "$line" in
		"==> $DIR/log/"*".log <==")
			name=${line#"==> $DIR/log/"}
			name=${name%".log <=="}
			if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
				for n in "${!SERVICES[@]}"; do
					[ "${SERVICES[n]}" != "$name" ] || colour=$'\e['$((32 + n))m
				done
				plain=$'\e[0m'
			fi
			;;
		"") ;;
		*) printf '%s%-8s |%s %s\n' "$colour" "$name" "$plain" "$line" ;;
		esac
	done
}

# Until somebody stops us, or a service ends that should not.
watch_services() {
	local name
	say "Ctrl-C stops everything"
	while :; do
		for name in "${SERVICES[@]}"; do
			is_ours "$(read_pid "$PIDS/$name")" || die "$name ended: $(tail -n 1 "$DIR/log/$name.log")"
		done
		sleep 1 &
		wait $! || true
	done
}

# The end of a start that stays, or that failed: nothing is left behind.
end() {
	trap '' INT TERM HUP
	trap - EXIT
	say "stopping"
	stop_all
	exit "$1"
}

# make stop: the script that stays in another terminal stops by itself; else, or after that, whatever is left.
stop() {
	check_folder
	[ -d "$DIR" ] || return 0
	stop_process "$(read_pid "$PIDS/run")" 60
	stop_all
}

# The services first: each finishes the turn in hand while database and broker are still there.
stop_all() {
	stop_services
	stop_servers
	rm -rf "$PIDS"
}

# All at once.
stop_services() {
	local name pid
	for name in "${SERVICES[@]}"; do
		pid=$(read_pid "$PIDS/$name")
		! is_ours "$pid" || signal_process TERM "$pid" || true
	done
	for name in "${SERVICES[@]}"; do
		stop_process "$(read_pid "$PIDS/$name")" 20
	done
}

main "$@"
