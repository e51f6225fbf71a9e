# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A private PostgreSQL in DIR/postgres; sourced by servers.sh.

postgres_prepare() {
	POSTGRES_BIN=$(find /usr/lib/postgresql -maxdepth 1 -mindepth 1 -printf '%f\n' 2>/dev/null | sort -n | tail -n 1)
	POSTGRES_BIN=/usr/lib/postgresql/$POSTGRES_BIN/bin
	[ -x "$POSTGRES_BIN/initdb" ] || die "postgresql is missing: deploy/local/deps.sh installs what is needed"
	POSTGRES_USER=$(server_user postgres)
	POSTGRES_DATA=$DIR/postgres/data
	POSTGRES_SOCKETS=$DIR/postgres/socket
}

postgres_start() {
	postgres_prepare
	check_passage "$POSTGRES_USER"
	if is_ours "$(read_pid "$POSTGRES_DATA/postmaster.pid")"; then
		return 0
	fi
	check_port "$POSTGRES_PORT" PostgreSQL
	[ -s "$DIR/secrets/postgres" ] || (umask 077 && secret >"$DIR/secrets/postgres")
	[ -s "$DIR/secrets/database" ] || (umask 077 && secret >"$DIR/secrets/database")
	[ -e "$POSTGRES_DATA/PG_VERSION" ] || postgres_create
	render "$HERE/servers/postgresql.conf.in" | as_server "$POSTGRES_USER" tee "$POSTGRES_DATA/mailcase.conf" >/dev/null
	(cd / && as_server "$POSTGRES_USER" "$POSTGRES_BIN/pg_ctl" -s -w -t 60 -D "$POSTGRES_DATA" \
		-l "$DIR/postgres/postgres.log" start) </dev/null >/dev/null ||
		die "PostgreSQL did not start: $(tail -n 1 "$DIR/postgres/postgres.log" 2>/dev/null)"
	postgres_make_database
}

postgres_create() {
	local password=$DIR/postgres/password
	install -d -m 700 -o "$POSTGRES_USER" "$DIR/postgres" "$POSTGRES_SOCKETS"
	rm -rf "$POSTGRES_DATA" # what an interrupted first start left
	install -m 600 -o "$POSTGRES_USER" "$DIR/secrets/postgres" "$password"
	(cd / && as_server "$POSTGRES_USER" "$POSTGRES_BIN/initdb" --no-sync --auth=scram-sha-256 --username=postgres \
		--pwfile="$password" --encoding=UTF8 --locale=C.UTF-8 -D "$POSTGRES_DATA") >"$DIR/log/initdb.log" 2>&1 </dev/null ||
		die "PostgreSQL could not be set up: $(tail -n 1 "$DIR/log/initdb.log")"
	rm -f "$password"
	echo "include 'mailcase.conf'" | as_server "$POSTGRES_USER" tee -a "$POSTGRES_DATA/postgresql.conf" >/dev/null
}

# The programs' role owns its database and nothing else.
postgres_make_database() {
	local password
	password=$(cat "$DIR/secrets/database")
	postgres_query postgres "SELECT 1 FROM pg_database WHERE datname = 'mailcase'" | grep -q 1 && return
	postgres_query postgres "DO \$\$ BEGIN CREATE ROLE mailcase LOGIN PASSWORD '$password';
		EXCEPTION WHEN duplicate_object THEN NULL; END \$\$"
	postgres_query postgres "CREATE DATABASE mailcase OWNER mailcase"
}

postgres_query() {
	PGPASSWORD=$(cat "$DIR/secrets/postgres") "$POSTGRES_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 \
		-p "$POSTGRES_PORT" -U postgres -d "$1" -c "$2" </dev/null
}

postgres_stop() {
	local pid
	postgres_prepare
	pid=$(as_root cat "$POSTGRES_DATA/postmaster.pid" 2>/dev/null | head -n 1) || true
	# SIGINT is PostgreSQL's fast shutdown: it ends sessions instead of waiting for them.
	! is_ours "$pid" || signal_process INT "$pid" || true
	stop_process "$pid" 30
}
