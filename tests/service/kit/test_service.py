# SPDX-License-Identifier: Apache-2.0
"""What every service has from the kit, shown on bus_peer; and the relay."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from harness import kafka
from harness.programs import test_program
from harness.wait import wait_until

sys.path.insert(0, str(Path(__file__).parents[1] / "bus"))

from peers import Bus  # noqa: E402

NOWHERE = "postgresql://me:hunter2@127.0.0.1:1/none"


@pytest.fixture
def bus(postgres, tmp_path):
    with Bus(postgres, tmp_path) as bus:
        yield bus


def call(*args, **env):
    return subprocess.run([test_program("service/bus/bus_peer"), *args], env=env, capture_output=True, text=True,
                          timeout=30, check=False)


def status_of(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


@pytest.mark.once
def test_help_version_and_settings_need_no_environment():
    done = call("--help")
    assert done.returncode == 0 and "Usage: bus_peer" in done.stdout and "Examples:" in done.stdout
    done = call("--version")
    assert done.returncode == 0 and done.stdout.startswith("bus_peer (mailcase) ")
    done = call("--settings")
    assert done.returncode == 0 and "MAILCASE_DATABASE_URL" in done.stdout and "MAILCASE_PEER_MODE" in done.stdout
    assert "MAILCASE_BATCH_MAX" in call("--settings=markdown").stdout


@pytest.mark.once
@pytest.mark.parametrize("args", [["extra"], ["--nonsense"], ["--settings=xml"]])
def test_wrong_usage_is_status_2(args):
    done = call(*args)
    assert done.returncode == 2 and "--help" in done.stderr and done.stdout == ""


@pytest.mark.once
def test_all_wrong_settings_are_told_at_once():
    done = call(MAILCASE_BATCH_MAX="many", MAILCASE_PEER_MODE="dance", MAILCASE_BUS="pigeon")
    assert done.returncode == 2
    for name in ("MAILCASE_DATABASE_URL", "MAILCASE_BATCH_MAX", "MAILCASE_PEER_MODE", "MAILCASE_BUS"):
        assert name in done.stderr


@pytest.mark.once
def test_an_ops_address_that_cannot_be_had_ends_the_program():
    done = call(MAILCASE_DATABASE_URL=NOWHERE, MAILCASE_PEER_MODE="relay", MAILCASE_OPS_LISTEN="192.0.2.1:80")
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "service.failed"


def test_probes_and_metrics(bus):
    relay = bus.start_peer("relay")
    consumer = bus.start_peer("consume")
    bus.wait_seen(bus.put("test.storm"))
    base = f"http://127.0.0.1:{consumer.ops_port}"
    assert status_of(base + "/livez")[0] == 200
    assert status_of(base + "/readyz") == (200, "ready\n")
    assert status_of(base + "/")[0] == 404
    wait_until(lambda: consumer.metrics().get("mailcase_records_total") == 1, what="the record is counted")
    assert consumer.metrics()["mailcase_turn_seconds_count"] >= 1
    assert relay.metrics()["mailcase_relay_moved_total"] == 1
    assert relay.metrics()["mailcase_relay_holds"] == 1
    assert "mailcase_outbox_oldest_seconds" in relay.metrics()
    request = urllib.request.Request(base + "/livez", data=b"x" * 100000, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)
    assert refused.value.code == 405


def test_without_a_database_it_waits_and_says_so_and_still_stops(bus):
    peer = bus.start_peer("consume", ready=False, MAILCASE_DATABASE_URL=NOWHERE)
    base = f"http://127.0.0.1:{peer.ops_port}"
    wait_until(lambda: len(peer.logs("db.waiting")) >= 2, what="it waits")
    assert status_of(base + "/readyz") == (503, "database or its schema\n")
    assert status_of(base + "/livez")[0] == 200
    bus.stop(peer)
    assert "hunter2" not in peer.log_file.read_text(encoding="utf-8")


def test_without_a_schema_it_waits(bus, postgres):
    peer = bus.start_peer("consume", ready=False, MAILCASE_DATABASE_URL=postgres.new_database())
    wait_until(lambda: peer.logs("db.waiting"), what="it waits")
    assert "casectl migrate" in peer.logs("db.waiting")[0]["error"]


@pytest.mark.once
def test_it_has_no_core_and_is_closed_to_others(bus):
    peer = bus.start_peer("relay")
    limits = Path(f"/proc/{peer.process.pid}/limits").read_text(encoding="utf-8")
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    peer.signal(signal.SIGPIPE)
    assert peer.get("/livez")


def test_sigterm_in_the_middle_of_a_pause_is_obeyed_at_once(bus):
    bus.start_peer("relay")
    consumer = bus.start_peer("consume")
    bus.put("test.temp")
    wait_until(lambda: len(consumer.logs("turn.retried")) >= 4, what="some retries")
    bus.stop(consumer)
    assert bus.value("SELECT bool_and(is_clean) AND count(owner) = 0 FROM bus_position WHERE group_name = 'alpha'")
    # An heir is dealt everything at once, without waiting for a membership to run out.
    bus.start_peer("consume", MAILCASE_MEMBER_EXPIRY_MS="60000", MAILCASE_KAFKA_SESSION_MS="60000")
    wait_until(lambda: bus.owners() == [bus.partitions], 10, what=lambda: f"the heir has all: {bus.owners()}")


def test_a_stop_that_takes_too_long_ends_by_itself(bus):
    peer = bus.start_peer("relay")
    with bus.connect() as db, db.transaction():
        # The relay waits for this lock, and its thread is waited for.
        db.execute("LOCK TABLE outbox, lease IN ACCESS EXCLUSIVE MODE")
        wait_until(lambda: bus.value("SELECT count(*) FROM pg_locks WHERE NOT granted"), what="the relay waits")
        peer.process.terminate()
        assert peer.process.wait(25) == 1
    bus.drop(peer)
    assert peer.logs("service.overdue")


def test_the_second_relay_takes_over(bus):
    first = bus.start_peer("relay")
    wait_until(lambda: first.logs("relay.taken"), what="the first is the relay")
    second = bus.start_peer("relay")
    consumer = bus.start_peer("consume")
    bus.wait_seen(bus.put("test.storm"))
    assert second.metrics().get("mailcase_relay_moved_total", 0) == 0
    first.pause()
    bus.wait_seen(bus.put("test.storm"))
    assert second.logs("relay.taken")
    first.go_on()
    wait_until(lambda: first.logs("relay.lost"), what="the first has noticed")
    bus.wait_seen(bus.put("test.storm"))
    # An orderly end gives the lease up at once.
    bus.stop(second)
    assert second.logs("relay.released")
    bus.wait_seen(bus.put("test.storm"))
    assert consumer.is_running()


def test_what_the_last_turn_wrote_is_still_moved(postgres, tmp_path):
    with Bus(postgres, tmp_path) as bus:
        bus.keys(10)
        bus.run("produce", MAILCASE_PEER_COUNT="2000", MAILCASE_PEER_KEYS="10", MAILCASE_RELAY="on")
        assert bus.unsent() == 0
        assert len(bus.events()) == bus.value("SELECT sum(version)::bigint FROM peer_key")


def test_records_of_a_topic_that_is_not_installed_hold_up_nothing(bus):
    relay = bus.start_peer("relay")
    bus.start_peer("consume")
    with bus.connect() as db:
        db.execute("INSERT INTO outbox (ce_id, tenant_id, topic, key, key_hash, type, subject, value)"
                   " VALUES (gen_random_uuid(), gen_random_uuid(), 'mailcase.later.v1', 'k', 1, 't', 's', '')")
    bus.wait_seen(bus.put("test.storm"))
    wait_until(lambda: bus.unsent() == 1, 2, "only that record waits")
    if bus.engine == "kafka":
        kafka.make_topic(os.environ["KAFKA_BROKERS"], f"{bus.prefix}mailcase.later.v1")
    with bus.connect() as db:
        db.execute("INSERT INTO bus_topic VALUES ('mailcase.later.v1', 1)")
        db.execute("INSERT INTO bus_partition VALUES ('mailcase.later.v1', 0)")
    wait_until(lambda: bus.unsent() == 0, what="the record follows once its topic is there")
    assert relay.logs("relay.retried") == []
    assert relay.is_running()
