#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Properties from the environment, storage formatted where it is not, then the broker.
set -euo pipefail

# Quick to start rather than quick at last: a test's broker lives for minutes.
JAVA=(java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -cp '/opt/kafka/libs/*')
said=$("${JAVA[@]}" kafka.docker.KafkaDockerWrapper setup --default-configs-dir /etc/kafka/docker \
	--mounted-configs-dir /mnt/shared/config --final-configs-dir /opt/kafka/config 2>&1) || {
	# The one failure that is none.
	grep -qi 'already formatted' <<<"$said" || { echo "$said" && exit 1; }
}
# shellcheck disable=SC2086 # options, several of them
exec "${JAVA[@]}" ${KAFKA_HEAP_OPTS:-} kafka.Kafka /opt/kafka/config/server.properties
