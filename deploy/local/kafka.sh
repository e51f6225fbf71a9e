#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kafka.sh - a private Apache Kafka in one folder, on loopback ports of its own: the real broker, one node or three
#
#	kafka.sh fetch                               have the broker's files, once for this machine
#	kafka.sh start DIR [NODES] [PORT_BASE]       1 or 3 nodes that are broker and controller both; ports from 9092
#	kafka.sh stop DIR [NODE...]                  whatever of it runs, or these nodes (1, 2, 3)
#	kafka.sh restart DIR [NODES] [PORT_BASE]
#	kafka.sh tool CLASS ARGUMENT...              one of Kafka's own tools: TopicCommand, AclCommand, ConsoleConsumer
#
# What is not said is as it was at the last start of DIR. Each node has four ports: a plain one within (`INTERNAL`, the
# first; the only one where nothing else is asked for), up to two more listeners, and the controller's. Starting what
# runs and stopping what does not are fine: `start` starts the nodes that are not there.
#
#	MAILCASE_CACHE=folder       where the files are kept               ($HOME/.cache/mailcase)
#	KAFKA_LISTENERS="NAME=PROTOCOL..."   listeners beside INTERNAL, such as CLIENT=SSL
#	KAFKA_EXTRA=file            further lines of server.properties; @NODE@, @NODE_DIR@ and @DIR@ are filled in
#	KAFKA_SCRAM_USERS=file      `NAME PASSWORD` a line: made when the folder is
#	KAFKA_JAVA_OPTIONS=options  more of them for the Java machine
set -euo pipefail
umask 022

PROGRAM=${PROGRAM:-kafka}
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in common kafka-files kafka; do
	# shellcheck source=/dev/null
	. "$HERE/servers/$part.sh"
done

main() {
	local act=${1:-}
	if [ "$*" = fetch ]; then
		kafka_fetch
		return
	fi
	[ $# -ge 2 ] || usage
	[ "$act" != tool ] || kafka_tool "${@:2}"
	# shellcheck disable=SC2034 # the parts use it
	case "$2" in
	/*) DIR=$2 ;;
	*) DIR=$PWD/$2 ;;
	esac
	shift 2
	case "$act" in
	start)
		kafka_fetch
		kafka_start "$@"
		;;
	stop) kafka_stop "$@" ;;
	restart)
		kafka_fetch
		kafka_stop
		kafka_start "$@"
		;;
	*) usage ;;
	esac
}

usage() { die "usage: kafka.sh fetch | start|restart DIR [NODES] [PORT_BASE] | stop DIR [NODE...] | tool CLASS ARGUMENT..."; }

main "$@"
