#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# print-events.sh [KCAT-OPTION...]: every case event from the oldest on, then what comes: a line with its place, key and
# headers, then the value as protoc reads it. With -e it stops at the end. CASE=id: of this case only.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
topic=${MAILCASE_KAFKA_PREFIX:-}mailcase.case.events.v1
kcat=(kcat -q -C -b "${MAILCASE_KAFKA_BROKERS:-127.0.0.1:9092}" -t "$topic" "$@")

# A value may hold any byte and a line of text may not: each value is fetched by its place.
"${kcat[@]}" -u -o beginning -f '%p %o %k %h\n' | while read -r partition offset key headers; do
	[ "$key" = "${CASE:-$key}" ] || continue
	echo "$partition:$offset $key $headers"
	"${kcat[@]}" -p "$partition" -o "$offset" -c 1 -f '%s' </dev/null |
		protoc -I "$here/../../proto" --decode=mailcase.v1.CaseRecord mailcase/v1/case_record.proto
done
