# SPDX-License-Identifier: Apache-2.0
"""A consumer that is slow, or far behind, does not grow: what it has no hands for stays with the brokers."""

import re
from pathlib import Path

import pytest

from harness.wait import wait_until
from kafka.on_kafka import KafkaBus

RECORDS = 50_000
MEMORY_MIB = 64  # what a service may have at rest

pytestmark = pytest.mark.engines("kafka")


def peak_mib(process):
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def test_a_slow_consumer_far_behind_stays_small_and_loses_nothing(postgres, tmp_path, kafka):
    with KafkaBus(postgres, tmp_path, kafka) as bus:
        bus.keys(500)
        bus.start_peer("relay")
        with bus.connect() as db:
            # Large ones, so that a client that took all of them would be seen.
            db.execute("INSERT INTO outbox (ce_id, tenant_id, topic, key, key_hash, type, subject, sequence, value)"
                       " SELECT gen_random_uuid(), gen_random_uuid(), 'mailcase.case.events.v1', substr(md5(mod(n, 500)::text), 1, 16), 1,"
                       " 'test.storm', 's', 1 + n / 500, decode(repeat('ab', 4000), 'hex') FROM generate_series(0, %s - 1) AS n", (RECORDS,))
            db.execute("SELECT pg_notify('mailcase_outbox', '')")
        wait_until(lambda: not bus.unsent(), 120, lambda: f"all are on the topic: {bus.unsent()} are not; {bus.troubles()}")
        slow = bus.start_peer("consume", MAILCASE_PEER_PAUSE_MS="1000")
        wait_until(lambda: bus.value("SELECT count(*) FROM peer_seen") >= 2000, 60, "the slow one is at work")
        assert bus.lag() > RECORDS / 2
        slow_mib = peak_mib(slow.process)
        bus.stop(slow)
        quick = bus.start_peer("consume")
        bus.wait_caught_up(seconds=120)
        print(f"peak MiB with {RECORDS} records of 4 KB waiting: slow {slow_mib:.0f}, quick {peak_mib(quick.process):.0f}")
        assert slow_mib < MEMORY_MIB and peak_mib(quick.process) < MEMORY_MIB
        assert bus.value("SELECT count(DISTINCT ce_id) FROM peer_seen") == RECORDS
