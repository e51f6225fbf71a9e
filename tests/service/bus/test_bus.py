# SPDX-License-Identifier: Apache-2.0
"""What a group may rely on, one sentence a test."""

from datetime import datetime

import pytest
from harness.wait import wait_until

from peers import TOPIC, Bus


@pytest.fixture
def bus(postgres, tmp_path):
    with Bus(postgres, tmp_path) as bus:
        yield bus


@pytest.mark.smoke
def test_records_arrive_in_order_and_positions_follow(bus):
    bus.keys(20)
    bus.start_peer("relay")
    bus.start_peer("consume")
    bus.run("produce", MAILCASE_PEER_COUNT="500", MAILCASE_PEER_KEYS="20")
    bus.wait_caught_up()
    wrong = bus.rows("SELECT * FROM (SELECT key, sequence, row_number() OVER (PARTITION BY key ORDER BY id) AS place"
                     " FROM peer_seen) AS s WHERE sequence <> place")
    assert wrong == []
    assert bus.value("SELECT count(*) FROM peer_seen") == bus.value("SELECT sum(version)::bigint FROM peer_key")


def test_two_groups_do_not_know_of_each_other(postgres, tmp_path):
    with Bus(postgres, tmp_path, groups=("alpha", "beta")) as bus:
        bus.start_peer("relay")
        bus.start_peer("consume", MAILCASE_PEER_GROUP="alpha")
        first = bus.put("test.storm", "test.storm")
        bus.wait_seen(first)
        assert bus.seen("beta") == []
        bus.start_peer("consume", MAILCASE_PEER_GROUP="beta")
        bus.wait_seen(first, "beta")
        assert bus.seen("beta") == first


def test_a_group_that_comes_later_starts_at_the_end(bus):
    bus.start_peer("relay")
    bus.start_peer("consume")
    bus.wait_seen(bus.put("test.storm"))
    late = bus.start_peer("consume", MAILCASE_PEER_GROUP="late")
    wait_until(lambda: late.logs("bus.took"), what="the late group has its partitions")
    new = bus.put("test.storm")
    bus.wait_seen(new, "late")
    assert bus.seen("late") == new


def test_a_restart_resumes_and_an_orderly_leave_hands_over_at_once(postgres, tmp_path):
    # With leases of a minute, only what was given up can be taken.
    slow = {"MAILCASE_MEMBER_EXPIRY_MS": "60000", "MAILCASE_POSITION_EXPIRY_MS": "60000", "MAILCASE_RELAY_LEASE_MS": "60000"}
    with Bus(postgres, tmp_path, settings=slow) as bus:
        relay, consumer = bus.start_peer("relay"), bus.start_peer("consume")
        first = bus.put("test.storm", "test.storm")
        bus.wait_seen(first)
        bus.stop(relay, consumer)
        second = bus.put("test.storm")
        bus.start_peer("relay")
        bus.start_peer("consume")
        bus.wait_seen(second, seconds=10)
        assert bus.seen() == first + second
        assert bus.value("SELECT count(*) FROM bus_position WHERE crashes > 0") == 0


@pytest.mark.smoke
def test_partitions_of_the_dead_are_taken_over(bus):
    bus.start_peer("relay")
    victim = bus.start_peer("consume")
    bus.wait_seen(bus.put("test.storm"))
    wait_until(lambda: bus.owners() == [bus.partitions],
               what="the first has all")
    victim.kill()
    bus.drop(victim)
    heir = bus.start_peer("consume")
    bus.wait_seen(bus.put("test.storm"))
    assert heir.logs("bus.took")[-1]["unclean"] > 0


def test_members_share_the_partitions(bus):
    consumers = [bus.start_peer("consume") for _ in range(3)]
    wait_until(lambda: bus.owners() == [1, 1, 2], what=lambda: f"4 partitions on 3 members: {bus.owners()}")
    bus.stop(consumers[0])
    wait_until(lambda: bus.owners() == [2, 2], what=lambda: f"4 partitions on 2 members: {bus.owners()}")


@pytest.mark.smoke
def test_a_verdict_sets_one_record_aside_and_a_replay_brings_it_back(bus):
    bus.start_peer("relay")
    consumer = bus.start_peer("consume")
    before, bad, after = bus.put("test.storm", "test.verdict", "test.storm")
    bus.wait_seen([before, after])
    dead = bus.dead()
    assert [(d["ce_id"], d["reason"], d["ended_at"]) for d in dead] == [(bad, "the verdict", None)]
    assert bus.lag() == 0
    assert consumer.metrics()['mailcase_dead_letters_total{group="alpha"}'] == 1

    # Asked back too early: dead again, with its reason, and not a second row.
    bus.rows("UPDATE dead_letter SET replay_at = now() RETURNING 1")
    wait_until(lambda: bus.dead()[0]["replays"] == 1 and bus.dead()[0]["replay_at"] is None, what="replayed in vain")
    assert bus.dead()[0]["ended_at"] is None and len(bus.dead()) == 1

    bus.rows("INSERT INTO peer_cured VALUES ('test.verdict') RETURNING 1")
    bus.rows("UPDATE dead_letter SET replay_at = now() RETURNING 1")
    bus.wait_seen([bad])
    wait_until(lambda: bus.dead()[0]["ended_at"], what="the dead letter has ended")
    assert bus.dead()[0]["replay_at"] is None
    assert bus.rows("SELECT is_replay FROM peer_seen WHERE ce_id = %s", bad) == [{"is_replay": True}]


@pytest.mark.smoke
def test_a_batch_that_fails_is_run_one_by_one(bus):
    bus.start_peer("relay")
    ids = bus.put("test.storm", "test.perm", "test.storm", "test.perm", "test.storm")
    bus.start_peer("consume")
    bus.wait_seen([ids[0], ids[2], ids[4]])
    bus.wait_caught_up()
    assert bus.seen() == [ids[0], ids[2], ids[4]]
    assert [d["ce_id"] for d in bus.dead()] == [ids[1], ids[3]]
    assert bus.dead()[0]["reason"].startswith("cannot handle")


def test_a_failure_that_may_pass_is_waited_for(bus):
    bus.start_peer("relay")
    consumer = bus.start_peer("consume")
    ids = bus.put("test.storm", "test.temp", "test.storm")
    wait_until(lambda: len(consumer.logs("turn.retried")) >= 3, what="three retries")
    assert bus.dead() == [] and ids[2] not in bus.seen()
    bus.rows("INSERT INTO peer_cured VALUES ('test.temp') RETURNING 1")
    bus.wait_seen(ids)
    bus.wait_caught_up()
    assert bus.dead() == []


@pytest.mark.parametrize("kind, status", [("test.crash", 99), ("test.fatal", 1)])
def test_the_third_crash_at_one_record_sets_it_aside(bus, kind, status):
    bus.start_peer("relay")
    ids = bus.put("test.storm", kind, "test.storm")
    wait_until(lambda: not bus.unsent(), what="the records are in the log")
    crashes = 0
    while ids[2] not in bus.seen():
        consumer = bus.start_peer("consume", ready=False)
        wait_until(lambda: ids[2] in bus.seen() or not consumer.is_running(), 30, "an end or the last record")
        if not consumer.is_running():
            assert consumer.process.returncode == status, consumer.log_tail()
            bus.drop(consumer)
            crashes += 1
        assert crashes < 6
    # One in a batch, three alone.
    assert crashes == 4
    bus.wait_caught_up()
    assert [d["ce_id"] for d in bus.dead()] == [ids[1]]
    assert "crashed three times" in bus.dead()[0]["reason"]
    assert bus.seen() == [ids[0], ids[2]]


def test_a_dead_letter_that_kills_comes_again_ever_later(bus):
    bus.start_peer("relay")
    bus.rows("INSERT INTO peer_cured VALUES ('test.crash') RETURNING 1")
    consumer = bus.start_peer("consume")
    ids = bus.put("test.verdict")
    wait_until(bus.dead, what="a dead letter")
    bus.rows("DELETE FROM peer_cured RETURNING 1")
    bus.rows("UPDATE dead_letter SET type = 'test.crash', replay_at = now() RETURNING 1")
    wait_until(lambda: not consumer.is_running(), what="the crash")
    bus.drop(consumer)
    row = bus.rows("SELECT replay_at > now() + interval '30 seconds' AS is_later, replays FROM dead_letter")[0]
    assert row == {"is_later": True, "replays": 1}
    assert ids[0] == bus.dead()[0]["ce_id"]


def test_a_confirm_after_the_loss_is_refused(bus):
    bus.start_peer("relay")
    slow = bus.start_peer("consume")
    first = bus.put("test.storm")
    bus.wait_seen(first)
    epoch = "SELECT max(epoch) AS e FROM bus_position WHERE group_name = 'alpha'"
    slow.pause()
    before = bus.value(epoch)
    other = bus.start_peer("consume")
    second = bus.put("test.storm")
    bus.wait_seen(second)
    assert bus.value(epoch) > before
    slow.go_on()
    third = bus.put("test.storm", "test.storm")
    bus.wait_seen(third)
    bus.wait_caught_up()
    assert bus.seen() == first + second + third
    assert other.is_running() and slow.is_running()


@pytest.mark.engines("postgres")  # the brokers trim by themselves
def test_the_log_is_trimmed_behind_every_group(postgres, tmp_path):
    with Bus(postgres, tmp_path, groups=("alpha", "beta")) as bus:
        bus.rows("DELETE FROM bus_position WHERE group_name NOT IN ('alpha', 'beta') RETURNING 1")
        bus.start_peer("relay")
        bus.start_peer("consume", MAILCASE_PEER_GROUP="alpha")
        bus.wait_seen(bus.put("test.storm", "test.storm", "test.storm"))
        bus.wait_caught_up("alpha")
        age = "UPDATE bus_log SET created_at = created_at - interval '800 hours' RETURNING 1"
        bus.rows(age)
        bus.run("trim")
        assert bus.value("SELECT count(*) FROM bus_log") == 3  # beta has read nothing
        beta = bus.start_peer("consume", MAILCASE_PEER_GROUP="beta")
        bus.wait_caught_up("beta")
        bus.stop(beta)
        young = bus.put("test.storm")
        bus.wait_seen(young)
        bus.run("trim")
        assert [row["ce_id"] for row in bus.rows("SELECT ce_id FROM bus_log")] == young
        assert bus.value("SELECT max(first_offset) FROM bus_partition") == 3
        bus.start_peer("consume", MAILCASE_PEER_GROUP="beta")
        bus.wait_seen(young, "beta")


def test_installing_again_adds_partitions_and_moves_no_position(bus):
    bus.start_peer("relay")
    bus.start_peer("consume")
    bus.wait_seen(bus.put("test.storm"))
    positions = "SELECT topic, partition, next_offset FROM bus_position WHERE group_name = 'alpha' ORDER BY 1, 2"
    before = bus.rows(positions)
    bus.run("install", MAILCASE_PEER_COUNT="2")
    assert bus.rows(positions) == before
    bus.run("install", MAILCASE_PEER_COUNT="6")
    assert bus.value("SELECT count(*) FROM bus_partition WHERE topic = %s", TOPIC) == 6
    wait_until(lambda: len(bus.rows(positions)) == 6, what="the group has the new partitions")
    router = bus.rows("SELECT count(*) AS n, max(next_offset) AS m FROM bus_position WHERE group_name = 'router'")
    assert router == [{"n": 6, "m": 0}]


def test_a_restart_of_the_server_is_survived(tmp_path):
    from harness.postgres import PrivatePostgres
    with PrivatePostgres() as server, Bus(server, tmp_path) as bus:
        relay, consumer = bus.start_peer("relay"), bus.start_peer("consume")
        first = bus.put("test.storm")
        bus.wait_seen(first)
        server.restart("immediate")
        second = bus.put("test.storm")
        bus.wait_seen(second)
        assert relay.is_running() and consumer.is_running()
        # What the relay had sent and not yet deleted comes again: a repeat, by its id.
        assert list(dict.fromkeys(bus.seen())) == first + second
        assert bus.engine == "kafka" or len(bus.seen()) == 2


def test_an_idle_hop_is_quick(bus):
    """From commit to the consumer's commit, two wake-ups; a scan instead of a wake-up would take hundreds of ms."""
    bus.start_peer("relay")
    bus.start_peer("consume")
    with bus.connect() as db:
        db.execute("ALTER TABLE peer_seen ADD at timestamptz DEFAULT clock_timestamp()")
    for _ in range(40):
        bus.wait_seen(bus.put("test.storm"))
    seen = {str(row["ce_id"]): row["at"] for row in bus.rows("SELECT ce_id, at FROM peer_seen")}
    took = sorted((seen[record["ce_id"]] - datetime.fromisoformat(record["ce_time"])).total_seconds() * 1000
                  for record in bus.events())
    print(f"hop ms: p50 {took[20]:.1f}, worst {took[-1]:.1f}")
    assert took[20] < 100
