#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh - measure latency, throughput and CPU of the whole pipeline on this machine; figures are read, never asserted
#
#	tests/bench/run.sh         one mail at a time, then a batch
#	tests/bench/run.sh soak    batches for SOAK_SECONDS (2 hours), with the memory of every service
#
#	BENCH_MAILS=5000           mails of a batch
#	BENCH_SINGLES=100          mails one at a time
#	BENCH_COPIES="fetcher=1 threader=1 router=1 notifier=1"
#	MAILCASE_...               settings of the services; MAILCASE_SMTP_CONNECTIONS is 16 here
#	BENCH_ENGINES="postgres kafka"    one after the other, and their figures side by side
#	BENCH_STATEMENTS=1         print the statements that cost PostgreSQL most
#
# Each result is a line of JSON in build/bench/results.jsonl too.
set -euo pipefail
cd "$(dirname "$0")/../.."

unset MAKEFLAGS MFLAGS MAKELEVEL
deploy/local/deps.sh test
deploy/local/deps.sh kafka || echo "no broker to be had: the kafka engine is left out" >&2
"${MAKE:-make}" -s -j"$(nproc)" all
mkdir -p build/bench
exec /usr/bin/python3 tests/bench/bench.py "$@" </dev/null
