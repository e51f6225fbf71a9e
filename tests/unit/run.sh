#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh PROGRAM...: runs cmocka programs, shows what failed in full, and sums up in the last line.
set -u

deadline=${UNIT_TEST_SECONDS:-120}
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The number in cmocka's summary lines of the kind $1, over all groups of a program.
count() {
	sed -n "s/^\[  $1 *\] \([0-9][0-9]*\) test(s).*/\1/p" "$log" | awk '{ n += $1 } END { print n + 0 }'
}

for program; do
	timeout "$deadline" "$program" >"$log" 2>&1
	status=$?
	good=$(count PASSED) bad=$(count FAILED) left=$(count SKIPPED)
	# A crash or an overrun has no summary.
	if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
		bad=1
	fi
	if [ "$bad" -ne 0 ]; then
		echo "---- $program: exit status $status"
		cat "$log"
	elif [ "$left" -ne 0 ]; then
		echo "---- $program: $left skipped"
		grep '^\[  SKIPPED' "$log"
	elif [ "$good" -eq 0 ]; then
		echo "---- $program: holds no test"
		bad=1
	fi
	passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + left))
done

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
