#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh - every test there is, on a machine that needs nothing but Debian's packages
#
# The parts: packages, build, unit tests with layering and headers, the Kubernetes manifests, the programs against real
# servers with each engine of the bus, the whole system in containers, and the same unit tests and one smoke path of the
# programs under the sanitizers. A part that breaks is counted and the next one runs. The last line is the sum: `N passed,
# N failed, N skipped`; the status is 1 when anything failed or nothing ran.
#
#	PARTS="check service"    only these of: check manifests service service-kafka containers sanitizer
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
exec </dev/null

# BUS=kafka make test: the programs on that engine alone.
case "${BUS:-}" in
"") ENGINES="service service-kafka" ;;
kafka) ENGINES=service-kafka ;;
*) ENGINES=service ;;
esac
PARTS=${PARTS:-check manifests $ENGINES containers sanitizer}
SERVICE_SECONDS=${SERVICE_SECONDS:-2100}
RESULTS=build/test
# Debian's own interpreter has Debian's modules; another python3 may come first on the path.
PYTHON=/usr/bin/python3
MAKE=${MAKE:-make}
JOBS=$(nproc)
# What was given on make's command line stands in the environment too; its job server does not reach this far.
unset MAKEFLAGS MFLAGS MAKELEVEL

passed=0 failed=0 skipped=0
started=$SECONDS

main() {
	mkdir -p "$RESULTS"
	part packages deploy/local/deps.sh test || finish
	deploy/local/deps.sh kafka || echo "== no broker can be run here: the tests that need one are skipped"
	part build "$MAKE" -s -j"$JOBS" all test-programs || finish
	wanted check && check_part check
	wanted manifests && service_part manifests build tests/k8s
	wanted service && service_part service build tests/service
	wanted service-kafka && BUS=kafka service_part service-kafka build tests/service
	wanted containers && containers_part
	if wanted sanitizer; then
		SANITIZE=address,undefined part sanitizer-build "$MAKE" -s -j"$JOBS" all test-programs
		# A sanitized parser child takes long to start, and a test that kills children starts a hundred.
		SANITIZE=address,undefined UNIT_TEST_SECONDS=600 check_part sanitizer-check
		service_part sanitizer-service build-san tests/service -m smoke
	fi
	finish
}

wanted() {
	case " $PARTS " in
	*" $1 "*) return 0 ;;
	*) return 1 ;;
	esac
}

# part NAME COMMAND...: run it, keep what it says, tell how long it took; a failure counts as one.
part() {
	local name=$1 begun=$SECONDS status
	shift
	echo "== $name"
	"$@" 2>&1 | tee "$RESULTS/$name.log"
	status=${PIPESTATUS[0]}
	echo "== $name: status $status after $((SECONDS - begun)) s"
	[ "$status" -eq 0 ] || failed=$((failed + 1))
	return "$status"
}

# The unit tests sum up in their last line, `N passed, N failed, N skipped`; where it is missing, something before them
# broke and the part itself is the failure.
check_part() {
	local name=$1 before=$failed sum
	part "$name" "$MAKE" -s -j"$JOBS" check
	sum=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$RESULTS/$name.log" | tail -n 1)
	[ -n "$sum" ] || return
	[ "${sum#* passed, 0 failed}" != "$sum" ] || failed=$before
	add "$sum"
}

# service_part NAME BUILD PYTEST-ARGUMENT...: tests in Python, which drive the programs of that build
service_part() {
	local name=$1 build=$2 before=$failed sum
	shift 2
	rm -f "$RESULTS/$name.xml"
	BUILD=$build part "$name" timeout -k 30 "$SERVICE_SECONDS" "$PYTHON" -m pytest -p no:cacheprovider -v -rfEs \
		--junitxml="$RESULTS/$name.xml" "$@"
	sum=$("$PYTHON" tests/junit_sum.py "$RESULTS/$name.xml") || return
	[ "${sum#* passed, 0 failed}" != "$sum" ] || failed=$before
	add "$sum"
}

# Where Docker cannot be had, or cannot run, the tests say so and are skipped.
containers_part() {
	deploy/local/deps.sh containers kafka || echo "not all that the containers need could be installed"
	service_part containers build tests/containers
}

add() {
	local n
	read -r -a n <<<"${1//[!0-9]/ }"
	passed=$((passed + n[0])) failed=$((failed + n[1])) skipped=$((skipped + n[2]))
}

finish() {
	echo "== all after $((SECONDS - started)) s"
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
	exit
}

main
