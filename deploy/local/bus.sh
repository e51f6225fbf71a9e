# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Which engine the bus of `make run` has: PostgreSQL, which is there anyhow, or a Kafka broker in DIR/kafka. A folder that
# ran on the other engine is moved as a system in operation would be. Sourced by run.sh.

# As BUS says, else as it was the last time.
bus_choose() {
	[ -n "${BUS:-}" ] || BUS=$(sed -n 's/^MAILCASE_BUS=//p' "$DIR/env" 2>/dev/null) || true
	BUS=${BUS:-postgres}
	case "$BUS" in
	postgres | kafka) ;;
	*) die "BUS=$BUS is no engine: postgres or kafka" ;;
	esac
}

bus_need_kafka() {
	"$HERE/deps.sh" kafka
	"$HERE/kafka.sh" fetch
}

# The topics, on the engine that is wanted. Which one there is, the database knows.
bus_set_up() {
	local is
	is=$(casectl bus show --json 2>/dev/null | json_value engine) || true
	case "$BUS $is" in
	*kafka*)
		bus_need_kafka
		say "starting Kafka in $DIR/kafka"
		"$HERE/kafka.sh" start "$DIR/kafka" 1 "$KAFKA_PORT"
		;;
	esac
	[ "${is:-$BUS}" = "$BUS" ] || bus_move "$is"
	casectl topics
}

# What is still on the old engine is read by services that run on it.
bus_move() {
	say "the bus of this folder is $1 and becomes $BUS"
	start_services "$1"
	wait_services
	casectl bus move "$BUS" || die "the bus could not be moved; \`make run BUS=$1\` goes on as before"
	stop_services
	[ "$BUS" = kafka ] || "$HERE/kafka.sh" stop "$DIR/kafka"
}
