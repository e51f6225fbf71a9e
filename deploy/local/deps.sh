#!/usr/bin/env bash
# deps.sh - install what is missing, from Debian packages only (bookworm and trixie)
#
#	deploy/local/deps.sh         what building and running need
#	deploy/local/deps.sh test    these, and what the tests need
#	deploy/local/deps.sh kafka   what a Kafka broker of our own needs (kafka.sh), and what tests speak to it with; may be
#	                             named beside test
#	deploy/local/deps.sh build   what building needs and nothing else, as in the image
#	deploy/local/deps.sh containers   what the test of the containers needs: Docker, and what makes base images
#
# Nothing is removed and no service is started: the servers of `make run` are private ones. Once all is there it is a
# look into dpkg's list and takes no time.
set -euo pipefail

BUILD_PACKAGES=(gcc libc6-dev make pkg-config
	libcurl4-openssl-dev libgmime-3.0-dev libgumbo-dev libjansson-dev libmicrohttpd-dev libpq-dev libprotobuf-c-dev
	librdkafka-dev libseccomp-dev libsodium-dev libssl-dev libuchardet-dev protobuf-c-compiler protobuf-compiler zlib1g-dev)
RUN_PACKAGES=(ca-certificates curl dovecot-core dovecot-imapd dovecot-lmtpd openssl postfix postgresql procps)
TEST_PACKAGES=(clang cppcheck default-jdk-headless git kcat libclang-rt-dev libcmocka-dev python3 python3-aiosmtpd python3-protobuf
	python3-jsonschema python3-pip python3-psycopg python3-pytest python3-yaml shellcheck)
CONTAINER_PACKAGES=(docker-compose docker.io iproute2 iptables mmdebstrap slirp4netns)
KAFKA_PACKAGES=(default-jre-headless maven openssl python3-confluent-kafka)

POLICY=/usr/sbin/policy-rc.d # Debian's way to say whether packages may start services

main() {
	local wanted=() missing set
	[ $# -gt 0 ] || set -- run
	for set; do
		case "$set" in
		run) wanted+=("${BUILD_PACKAGES[@]}" "${RUN_PACKAGES[@]}") ;;
		test) wanted+=("${BUILD_PACKAGES[@]}" "${RUN_PACKAGES[@]}" "${TEST_PACKAGES[@]}") ;;
		kafka) wanted+=("${KAFKA_PACKAGES[@]}") ;;
		build) wanted+=("${BUILD_PACKAGES[@]}") ;;
		containers) wanted+=("${CONTAINER_PACKAGES[@]}") ;;
		*) die "usage: deps.sh [run] [test] [kafka] [build] [containers]" ;;
		esac
	done
	command -v dpkg-query >/dev/null ||
		die "this is not Debian: please install the equivalents of ${wanted[*]}"
	mapfile -t missing < <(missing_of "${wanted[@]}")
	[ "${#missing[@]}" -gt 0 ] || return 0
	install_packages "${missing[@]}"
	mapfile -t missing < <(missing_of "${wanted[@]}")
	[ "${#missing[@]}" -eq 0 ] || die "still missing after the installation: ${missing[*]}"
}

# A package counts as there when it, or one that provides it (pkgconf for pkg-config), is installed.
missing_of() {
	local have name
	# shellcheck disable=SC2016 # the format is dpkg's
	have=$(dpkg-query -W -f='${db:Status-Status} ${Package} ${Provides}\n' | sed -n 's/^installed / /; T; s/([^)]*)//g; s/[,]/ /g; s/$/ /; p')
	for name in "$@"; do
		case "$have" in
		*" $name "*) ;;
		*) echo "$name" ;;
		esac
	done
}

install_packages() {
	local log
	[ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null; } ||
		die "missing: $* - run as root or with sudo to have them installed"
	say "installing $*"
	log=$(mktemp)
	trap 'rm -f "$log"; forbid_end' EXIT
	forbid_begin
	# Without an answer beforehand postfix asks what kind of mail server this machine shall become: none.
	echo 'postfix postfix/main_mailer_type select No configuration' | as_root debconf-set-selections 2>>"$log" || true
	apt update >"$log" 2>&1 || say "the package lists could not be renewed; trying with those at hand"
	if ! apt install --no-install-recommends --no-remove "$@" >>"$log" 2>&1; then
		tail -n 15 "$log" >&2
		die "the packages could not be installed: $*"
	fi
	rm -f "$log"
	forbid_end
	trap - EXIT
}

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null; }

as_root() {
	if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# 101: no. A policy that the machine already has stays.
FORBIDDEN=
forbid_begin() {
	[ ! -e "$POLICY" ] || return 0
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
	as_root chmod 755 "$POLICY"
	FORBIDDEN=1
}

forbid_end() {
	[ -z "$FORBIDDEN" ] || as_root rm -f "$POLICY"
	FORBIDDEN=
}

say() { echo "deps: $*"; }

die() {
	echo "deps: $*" >&2
	exit 1
}

main "$@"
