#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# As root: folders for the server's user, and on as him. As him: a new database where there is none, made by a server that
# listens on its Unix socket alone; then the server.
set -euo pipefail

[ "${1#-}" = "$1" ] || set -- postgres "$@"
[ "$1" = postgres ] || exec "$@"

if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
	POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
	export POSTGRES_PASSWORD
	unset POSTGRES_PASSWORD_FILE
fi
: "${POSTGRES_PASSWORD:?is needed}" "${POSTGRES_USER:=postgres}"
: "${POSTGRES_DB:=$POSTGRES_USER}"

if [ "$(id -u)" -eq 0 ]; then
	mkdir -p "$PGDATA"
	chmod 700 "$PGDATA"
	chmod 3775 /var/run/postgresql
	find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres {} +
	exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
	read -r -a options <<<"${POSTGRES_INITDB_ARGS:-}"
	initdb --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") "${options[@]}" -D "$PGDATA"
	echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
	echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
	pg_ctl -D "$PGDATA" -o "$(printf '%q ' "${@:2}" -c listen_addresses=)" -w start
	[ "$POSTGRES_DB" = postgres ] ||
		psql -X -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres -c "CREATE DATABASE \"$POSTGRES_DB\""
	pg_ctl -D "$PGDATA" -m fast -w stop
fi
unset POSTGRES_PASSWORD
exec "$@"
