#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# embed-migrations.sh db/migrations/0001_tenancy.sql ... > migrations.c
# Numbers count from 1 without gaps: a gap is a file that somebody forgot to add.
set -eu

echo '#include "record/migrations.h"'
echo 'const struct migration migrations[] = {'
expected=1
for file; do
	name=$(basename "$file" .sql)
	number=${name%%_*}
	version=$(echo "$number" | sed 's/^0*//')
	if [ "$version" != "$expected" ]; then
		echo "$file: its number should be $expected" >&2
		exit 1
	fi
	printf '{ %s, "%s",\n' "$version" "${name#*_}"
	sed 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$/\\n"/' "$file"
	echo '""},'
	expected=$((expected + 1))
done
echo '};'
echo 'const size_t migrations_count = sizeof migrations / sizeof migrations[0];'
