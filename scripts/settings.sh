#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# settings.sh FOLDER PROGRAM...: docs/settings.md, from what each program says of its own settings.
set -eu

folder=$1
shift
cat <<'END'
# Settings

Made by `make docs` from the programs' own tables (`PROGRAM --settings`). All settings are environment variables; one
that is set to nothing counts as not set. A secret may also be given as a file, whose name is in `NAME_FILE`.
END
for program; do
	printf '\n## %s\n\n| setting | value | default | meaning |\n| --- | --- | --- | --- |\n' "$program"
	"$folder/$program" --settings=markdown
done
