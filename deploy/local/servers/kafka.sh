# shellcheck shell=bash disable=SC2034 # names are used by render
# SPDX-License-Identifier: Apache-2.0
# The nodes of a private Kafka, DIR/node1 and so on, each broker and controller; sourced by kafka.sh.

# kafka_start [NODES] [PORT_BASE]: nodes that run already are left alone; all that are meant to run answer in the end.
kafka_start() {
	local node started=()
	kafka_layout "$@"
	for ((node = 1; node <= NODES; node++)); do
		is_ours "$(read_pid "$DIR/node$node/pid")" || started+=("$node")
	done
	for node in ${started[@]+"${started[@]}"}; do kafka_check_ports "$node"; done
	for node in ${started[@]+"${started[@]}"}; do kafka_configure "$node"; done
	kafka_format ${started[@]+"${started[@]}"}
	for node in ${started[@]+"${started[@]}"}; do kafka_run "$node"; done
	for ((node = 1; node <= NODES; node++)); do kafka_wait "$node"; done
}

# How many nodes and where: as told, or as it was, or one at Kafka's usual port. DIR/layout remembers it.
kafka_layout() {
	local had_nodes='' had_base='' node
	read -r had_nodes had_base 2>/dev/null <"$DIR/layout" || true
	NODES=${1:-${had_nodes:-1}}
	KAFKA_PORT_BASE=${2:-${had_base:-9092}}
	[[ $NODES =~ ^[13]$ ]] || die "NODES is 1 or 3, not $NODES"
	[ "${had_nodes:-$NODES}" = "$NODES" ] || die "$DIR holds a broker of $had_nodes node(s), not of $NODES"
	[[ $KAFKA_PORT_BASE =~ ^[0-9]+$ && $KAFKA_PORT_BASE -ge 1024 && $KAFKA_PORT_BASE -le $((65536 - 4 * NODES)) ]] ||
		die "$KAFKA_PORT_BASE is no port between 1024 and $((65536 - 4 * NODES))"
	mkdir -p "$DIR" || die "cannot make $DIR"
	[ -s "$DIR/id" ] || secret 16 >"$DIR/id"
	echo "$NODES $KAFKA_PORT_BASE" >"$DIR/layout"
	VOTERS=
	for ((node = 1; node <= NODES; node++)); do VOTERS+=${VOTERS:+,}$node@127.0.0.1:$(kafka_port "$node" 3); done
	REPLICAS=$NODES
	IN_SYNC=$(((NODES + 1) / 2))
}

# kafka_port NODE N: the node's N-th port; 0 is INTERNAL's, 3 the controller's.
kafka_port() { echo $((KAFKA_PORT_BASE + ($1 - 1) * 4 + $2)); }

kafka_check_ports() {
	local n
	check_port "$(kafka_port "$1" 0)" "Kafka"
	check_port "$(kafka_port "$1" 3)" "Kafka's controller"
	for ((n = 1; n <= $(wc -w <<<"${KAFKA_LISTENERS:-}"); n++)); do check_port "$(kafka_port "$1" "$n")" "Kafka"; done
}

kafka_configure() {
	local NODE=$1 NODE_DIR=$DIR/node$1 CONTROLLER_PORT LISTENERS PROTOCOLS listener n=0
	mkdir -p "$NODE_DIR"
	CONTROLLER_PORT=$(kafka_port "$NODE" 3)
	LISTENERS=INTERNAL://127.0.0.1:$(kafka_port "$NODE" 0)
	PROTOCOLS=INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT
	for listener in ${KAFKA_LISTENERS:-}; do
		n=$((n + 1))
		[ "$n" -le 2 ] || die "at most two listeners can be had beside INTERNAL: $KAFKA_LISTENERS"
		LISTENERS+=,${listener%%=*}://127.0.0.1:$(kafka_port "$NODE" "$n")
		PROTOCOLS+=,${listener/=/:}
	done
	(
		umask 077 # there may be passwords in what is added
		render "$HERE/servers/kafka-server.properties.in" >"$NODE_DIR/server.properties"
		[ -z "${KAFKA_EXTRA:-}" ] || render "$KAFKA_EXTRA" >>"$NODE_DIR/server.properties"
	)
}

# The folders of nodes that are new, all at once: it takes a second each.
kafka_format() {
	local node name password users=() jobs=() status=0
	while [ -n "${KAFKA_SCRAM_USERS:-}" ] && read -r name password; do
		users+=(--add-scram "SCRAM-SHA-256=[name=$name,password=$password]" --add-scram "SCRAM-SHA-512=[name=$name,password=$password]")
	done <"${KAFKA_SCRAM_USERS:-/dev/null}"
	for node; do
		[ ! -e "$DIR/node$node/data/meta.properties" ] || continue
		rm -rf "$DIR/node$node/data" # what an interrupted first start left
		(
			cd "$DIR/node$node" || exit
			exec "${KAFKA_JAVA[@]}" -Xmx64m kafka.tools.StorageTool format --cluster-id="$(kafka_cluster_id)" -c server.properties ${users[@]+"${users[@]}"}
		) </dev/null >"$DIR/node$node/format.log" 2>&1 &
		jobs+=($!)
	done
	for node in ${jobs[@]+"${jobs[@]}"}; do wait "$node" || status=1; done
	[ "$status" = 0 ] || die "Kafka's folder could not be made: $(cat "$DIR"/node*/format.log | grep -v '^ *at ' | tail -n 1)"
}

# 22 characters of base64, as Kafka wants it; one that begins with a dash would be taken for an option.
kafka_cluster_id() { sed 's/../\\x&/g' "$DIR/id" | xargs -0 printf '%b' | base64 | tr '+/' 'ab' | cut -c 1-22; }

# In its own folder, where it also finds its data, and in a session of its own: Ctrl-C is not meant for it.
kafka_run() {
	local archive=()
	[ ! -s "$KAFKA_ARCHIVE" ] || archive=(-XX:SharedArchiveFile="$KAFKA_ARCHIVE")
	(
		cd "$DIR/node$1" || exit # before there is a process: its folder tells that it is ours
		[ ! -e kafka.log ] || mv kafka.log kafka.log.old
		# shellcheck disable=SC2086 # they are several words
		setsid "${KAFKA_JAVA[@]}" -Xms64m -Xmx256m -XX:+ExitOnOutOfMemoryError ${archive[@]+"${archive[@]}"} ${KAFKA_JAVA_OPTIONS:-} \
			kafka.Kafka server.properties </dev/null >kafka.log 2>&1 &
		echo $! >pid
	)
}

# A node that answers what brokers there are has joined the others.
kafka_wait() {
	local node=$1 port tries=600 pid
	port=$(kafka_port "$node" 0)
	pid=$(read_pid "$DIR/node$node/pid")
	until [ "$(kafka_count_brokers "$port")" -ge "$NODES" ]; do
		is_ours "$pid" || die "Kafka ended: $(kafka_last_words "$node")"
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || die "Kafka is not ready at 127.0.0.1:$port: $(kafka_last_words "$node")"
		sleep 0.1
	done
}

kafka_last_words() { grep -E ' (ERROR|FATAL) |Exception|Error:' "$DIR/node$1/kafka.log" | tail -n 1 || tail -n 1 "$DIR/node$1/kafka.log"; }

# Kafka's own protocol: a Metadata request (3), version 1, for no topics. The answer begins with length, correlation id
# and the number of brokers, four bytes each.
kafka_count_brokers() {
	local answer=()
	if exec 8<>"/dev/tcp/127.0.0.1/$1"; then
		printf '\0\0\0\x0e\0\3\0\1\0\0\0\1\xff\xff\0\0\0\0' >&8 || true
		read -r -a answer < <(timeout 5 head -c 12 <&8 | od -An -tu1) || true
		exec 8>&-
	fi 2>/dev/null
	echo "${answer[11]:-0}"
}

# kafka_stop [NODE...]: all at once, for a node alone may wait for the others.
kafka_stop() {
	local node pid
	[ $# -gt 0 ] || set -- 1 2 3
	for node; do
		pid=$(read_pid "$DIR/node$node/pid")
		! is_ours "$pid" || signal_process TERM "$pid" || true
	done
	for node; do
		stop_process "$(read_pid "$DIR/node$node/pid")" 20
		rm -f "$DIR/node$node/pid"
	done
}

kafka_tool() {
	local class=org.apache.kafka.tools.$1
	shift
	kafka_fetch
	exec "${KAFKA_JAVA[@]}" -Xmx128m -XX:SharedArchiveFile="$KAFKA_ARCHIVE" "$class" "$@"
}
