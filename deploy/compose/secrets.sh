#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# secrets.sh - make the secrets of docker-compose.yml, each a file; those that are there already stay as they are
#
#	deploy/compose/secrets.sh [FOLDER]      default: MAILCASE_SECRETS, else secrets/ beside this script
#
#	database-password    of PostgreSQL's role mailcase
#	database-url         where the database is, with this password
#	seal-key             seals the mailboxes' passwords: keep a copy apart from the database
#	demo-password        of the sample mailboxes (profile demo)
#
# The containers' user has the group 65532 and may read them, nobody else but their owner. Only root can give a file to a
# group that he is not in: for others a container of the image does it, so build the image first.
set -euo pipefail
umask 077

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DIR=${1:-${MAILCASE_SECRETS:-$HERE/secrets}}
IMAGE=${MAILCASE_IMAGE:-mailcase:0.1.0}
GROUP=65532

main() {
	[ $# -le 1 ] || die "usage: secrets.sh [FOLDER]"
	mkdir -p "$DIR" || die "cannot make $DIR"
	DIR=$(cd "$DIR" && pwd)
	made=()
	make_secret database-password "$(random 24)"
	make_secret database-url "postgresql://mailcase:$(cat "$DIR/database-password")@postgres/mailcase"
	make_secret seal-key "$(random 32)"
	make_secret demo-password "$(random 12)"
	give
	if [ "${#made[@]}" -gt 0 ]; then
		say "made ${made[*]} in $DIR; keep a copy of seal-key apart from the database"
	else
		say "all secrets are in $DIR already"
	fi
}

# Written aside first: a file that is there is whole.
make_secret() {
	[ ! -d "$DIR/$1" ] || rmdir "$DIR/$1" 2>/dev/null || die "$DIR/$1 is a folder" # docker makes one for a missing file
	[ ! -s "$DIR/$1" ] || return 0
	printf '%s\n' "$2" >"$DIR/$1.new"
	mv "$DIR/$1.new" "$DIR/$1"
	made+=("$1")
}

give() {
	local files=(database-password database-url seal-key demo-password)
	if [ "$(cd "$DIR" && stat -c '%g %a' "${files[@]}" | sort -u)" = "$GROUP 640" ]; then
		return
	elif [ "$(id -u)" -eq 0 ]; then
		(cd "$DIR" && chgrp "$GROUP" "${files[@]}" && chmod 640 "${files[@]}")
	else
		docker run --rm --network none --user 0 --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add FOWNER \
			-v "$DIR:/secrets" -w /secrets "$IMAGE" sh -c "chgrp $GROUP ${files[*]} && chmod 640 ${files[*]}" ||
			die "the secrets could not be given to group $GROUP: build the image first, or run this as root"
	fi
}

random() { od -An -v -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

say() { echo "secrets: $*"; }

die() {
	echo "secrets: $*" >&2
	exit 1
}

main "$@"
