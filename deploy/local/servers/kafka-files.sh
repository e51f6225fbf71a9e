# shellcheck shell=bash disable=SC2034 # names are used by kafka_start and by render
# SPDX-License-Identifier: Apache-2.0
# The broker's files: jars from its published Maven artifacts in KAFKA_HOME/lib, and an archive of loaded classes that
# halves the time of a start. Once for this machine; sourced by kafka.sh. Whoever comes while another fetches waits, and
# what is there is whole: folder and archive get their names when they are complete.

KAFKA_VERSION=4.4.0
KAFKA_CACHE=${MAILCASE_CACHE:-${HOME:-/root}/.cache/mailcase}
case "$KAFKA_CACHE" in
/*) ;;
*) KAFKA_CACHE=$PWD/$KAFKA_CACHE ;;
esac
KAFKA_HOME=$KAFKA_CACHE/kafka-$KAFKA_VERSION

# The class archive suits one Java machine: it has that one's name.
kafka_prepare() {
	local java machine
	java=${JAVA_HOME:+$JAVA_HOME/bin/}java
	command -v "$java" >/dev/null || die "java is missing: \`deploy/local/deps.sh kafka\` installs what a broker needs"
	machine=$(readlink -f "$(command -v "$java")")
	KAFKA_JAVA=("$java" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Djava.awt.headless=true
		-Dlog4j2.configurationFile="$HERE/servers/kafka-log4j2.properties" -cp "$KAFKA_HOME/lib/*")
	KAFKA_ARCHIVE=$KAFKA_HOME/classes-$(stat -c '%n %s %Y' "${machine%/bin/java}"/lib/{modules,server/libjvm.so} 2>/dev/null |
		cksum | cut -d ' ' -f 1).jsa
}

# Without locks where all is there, so that a broker starts also where the cache cannot be written to.
kafka_fetch() {
	kafka_prepare
	[ ! -d "$KAFKA_HOME/lib" ] || [ ! -s "$KAFKA_ARCHIVE" ] || return 0
	need_commands flock
	mkdir -p "$KAFKA_HOME" || die "cannot make $KAFKA_HOME: set MAILCASE_CACHE to a folder that can be written to"
	(
		flock 9
		[ -d "$KAFKA_HOME/lib" ] || kafka_fetch_jars 9>&-
		[ -s "$KAFKA_ARCHIVE" ] || kafka_make_archive 9>&-
	) 9>"$KAFKA_HOME/lock"
}

kafka_fetch_jars() {
	local work=$KAFKA_HOME/new
	command -v mvn >/dev/null || die "mvn is missing: \`deploy/local/deps.sh kafka\` installs what a broker needs"
	say "fetching Apache Kafka $KAFKA_VERSION into $KAFKA_HOME"
	rm -rf "$work"
	mkdir "$work"
	render "$HERE/servers/kafka-pom.xml.in" >"$work/pom.xml"
	# -C: what does not have its checksum is refused.
	if ! (cd "$work" && mvn -B -q -C -Dmaven.repo.local="$work/repository" -Dmaven.wagon.http.retryHandler.count=3 \
		org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory="$work/lib" -DincludeScope=runtime) </dev/null >"$KAFKA_HOME/fetch.log" 2>&1 ||
		[ ! -s "$work/lib/kafka_2.13-$KAFKA_VERSION.jar" ]; then
		rm -rf "$work"
		die "Apache Kafka could not be fetched ($(kafka_fetch_reason)); see $KAFKA_HOME/fetch.log"
	fi
	mv "$work/lib" "$KAFKA_HOME/lib"
	rm -rf "$work"
}

# The last clause of Maven's first, very long line.
kafka_fetch_reason() { sed -n 's/\x1b\[[0-9;]*m//g; s/ *-> \[Help.*//; /ERROR/ { s/.*: //p; q }' "$KAFKA_HOME/fetch.log"; }

# A broker of its own that starts, answers and ends writes it.
kafka_make_archive() (
	DIR=$KAFKA_HOME/new
	KAFKA_LISTENERS='' KAFKA_EXTRA='' KAFKA_SCRAM_USERS=''
	KAFKA_JAVA_OPTIONS="-XX:ArchiveClassesAtExit=$DIR/classes.jsa -Xlog:cds=off -Xlog:cds+dynamic=off"
	rm -rf "$DIR"
	kafka_start 1 "$(kafka_free_ports)"
	kafka_stop
	[ -s "$DIR/classes.jsa" ] || die "Java wrote no archive of classes: $(tail -n 1 "$DIR/node1/kafka.log")"
	rm -f "$KAFKA_HOME"/classes-*.jsa
	mv "$DIR/classes.jsa" "$KAFKA_ARCHIVE"
	rm -rf "$DIR"
)

# The first of four ports where nobody listens.
kafka_free_ports() {
	local base port
	while :; do
		base=$((20000 + RANDOM % 2500 * 4))
		for port in "$base" $((base + 1)) $((base + 2)) $((base + 3)); do
			! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || continue 2
		done
		echo "$base"
		return
	done
}
