#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh CASECTL [accept]: what CASECTL parse says about each mail below this folder, against NAME.expect beside it.
# With "accept" the expectations are rewritten. Both ways of parsing, in a child and in the process, must agree.
set -u

casectl=$(realpath "$1")
accept=${2:-}
cd "$(dirname "$0")" || exit 1
passed=0 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for topic in */; do
	topic=${topic%/}
	cd "$topic" || exit 1
	for mail in *.eml; do
		name=${mail%.eml}
		if ! echo "$mail" | "$casectl" parse >"$work/child" || ! echo "$mail" | "$casectl" parse --in-process >"$work/process"; then
			echo "---- $topic/$name: casectl failed"
			failed=$((failed + 1))
			continue
		fi
		[ -n "$accept" ] && cp "$work/child" "$name.expect"
		if diff -u "$name.expect" "$work/child" >"$work/diff" 2>&1 && diff -u "$work/process" "$work/child" >"$work/diff"; then
			passed=$((passed + 1))
		else
			echo "---- $topic/$name"
			cat "$work/diff"
			failed=$((failed + 1))
		fi
	done
	cd ..
done

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
