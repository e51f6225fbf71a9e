#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh FOLDER SECONDS NAME...: each fuzzer gets its share of the time, starting from tests/fuzz/seeds/NAME and what
# earlier runs found. An input that crashes one is left in FOLDER/NAME-crash-* and can be given to FOLDER/NAME again.
set -u

folder=$1 seconds=$2
shift 2
if [ $# -eq 0 ]; then
	echo "0 passed, 0 failed, 0 skipped"
	exit 0
fi
share=$((seconds / $#))
[ "$share" -gt 0 ] || share=1
passed=0 failed=0

for name; do
	found=$folder/corpus/$name
	mkdir -p "$found"
	set -- "$found"
	[ -d "tests/fuzz/seeds/$name" ] && set -- "$@" "tests/fuzz/seeds/$name"
	[ -f "tests/fuzz/$name.dict" ] && set -- "$@" "-dict=tests/fuzz/$name.dict"
	echo "---- $name: $share s"
	if "$folder/$name" -max_total_time="$share" -timeout=10 -rss_limit_mb=2048 -print_final_stats=0 -verbosity=0 \
		-artifact_prefix="$folder/$name-" "$@" >"$folder/$name.log" 2>&1; then
		passed=$((passed + 1))
	else
		cat "$folder/$name.log"
		failed=$((failed + 1))
	fi
done

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
