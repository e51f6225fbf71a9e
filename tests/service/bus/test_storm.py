# SPDX-License-Identifier: Apache-2.0
"""The storm: relays, producers and consumers killed and stopped at random, then the books are checked.

STORM_SEED=n repeats the same sequence of blows (not of their effects); STORM_SECONDS=n makes it last.
"""

import os
import random
import time

from harness.wait import wait_until

from peers import LEASES_SECONDS, TOPIC, Bus

SECONDS = float(os.environ.get("STORM_SECONDS", "30"))
KEYS = 300
PRODUCE = {"MAILCASE_PEER_COUNT": "100000000", "MAILCASE_PEER_KEYS": str(KEYS), "MAILCASE_PEER_PAUSE_MS": "10"}
LINGER = {"MAILCASE_PEER_PAUSE_MS": "20"}  # between commit and confirm: where a crash makes repeats
PARTITIONS = 12


def test_storm(postgres, tmp_path):
    seed = int(os.environ.get("STORM_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"STORM_SEED={seed}")
    with Bus(postgres, tmp_path, partitions=PARTITIONS, groups=("alpha", "beta")) as bus:
        bus.keys(KEYS)
        cast = [bus.start_peer("relay") for _ in range(2)]
        cast += [bus.start_peer("consume", MAILCASE_PEER_GROUP="alpha", **LINGER) for _ in range(4)]
        calm = bus.start_peer("consume", MAILCASE_PEER_GROUP="beta")
        producers = [bus.start_peer("produce", ready=False, **PRODUCE) for _ in range(4)]
        blows = rage(bus, random.Random(seed), cast, producers)
        for producer in producers:
            bus.stop(producer)
        bus.wait_caught_up("alpha", 120)
        bus.wait_caught_up("beta", 120)
        assert calm.is_running() and all(peer.is_running() for peer in cast)
        repeats = check_books(bus)
        records = bus.value("SELECT count(*) FROM bus_log")
        print(f"storm: {records} records, {blows}, {repeats} repeats")
        assert records > 1000 and repeats and all(blows.values())


def rage(bus, dice, cast, producers):
    """Blow after blow for a while; at the end everybody stands."""
    blows = {"killed": 0, "stopped": 0, "producers killed": 0}
    paused = []  # (when to go on, peer)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        step = time.monotonic() + dice.uniform(0.1, 0.7)
        wait_until(lambda: time.monotonic() >= step, 5)  # the pace of the blows, no wait for an effect
        for when, peer in [p for p in paused if p[0] <= time.monotonic()]:
            peer.go_on()
            paused.remove((when, peer))
        blow, place = dice.choice(["kill", "stop", "stop", "producer"]), dice.randrange(len(cast))
        if blow == "producer":
            place = dice.randrange(len(producers))
            bus.drop(producers[place])
            producers[place].kill()
            producers[place] = bus.start_peer("produce", ready=False, **PRODUCE)
            blows["producers killed"] += 1
        elif any(peer is cast[place] for _, peer in paused):
            continue
        elif blow == "stop":
            cast[place].pause()
            paused.append((time.monotonic() + dice.uniform(0.2, 2.5) * LEASES_SECONDS, cast[place]))
            blows["stopped"] += 1
        else:
            bus.drop(cast[place])
            cast[place].kill()
            mode = cast[place].env["MAILCASE_PEER_MODE"]
            cast[place] = bus.start_peer(mode, ready=False, **(LINGER if mode == "consume" else {}))
            blows["killed"] += 1
    for _, peer in paused:
        peer.go_on()
    return blows


def check_books(bus):
    """Returns how many records came more than once."""
    # What was committed is in the log, once, in order per key, at offsets without a gap.
    assert bus.rows("SELECT p.partition FROM bus_partition p LEFT JOIN bus_log l USING (topic, partition)"
                    " WHERE topic = %s GROUP BY p.partition, p.next_offset"
                    " HAVING count(l.log_offset) <> p.next_offset"
                    " OR coalesce(max(l.log_offset), -1) <> p.next_offset - 1", TOPIC) == []
    assert bus.rows("SELECT * FROM (SELECT key, sequence, row_number() OVER (PARTITION BY key ORDER BY partition, log_offset)"
                    " AS place FROM bus_log) AS l WHERE sequence <> place") == []
    assert bus.rows("SELECT k.key FROM peer_key k WHERE version <> (SELECT count(*) FROM bus_log l WHERE l.key = k.key)") == []
    assert bus.rows("SELECT key FROM bus_log GROUP BY key HAVING count(DISTINCT partition) > 1") == []

    repeats = 0
    for group in ("alpha", "beta"):
        # Nothing skipped, nothing set aside, nothing invented.
        assert bus.rows("SELECT partition, log_offset FROM bus_log WHERE NOT EXISTS (SELECT FROM peer_seen s"
                        " WHERE s.group_name = %s AND s.partition = bus_log.partition AND s.log_offset = bus_log.log_offset"
                        " AND s.ce_id = bus_log.ce_id AND s.sequence = bus_log.sequence)", group) == []
        assert bus.dead(group) == []
        # A repeat is the same record: one id a place, one place an id.
        assert bus.rows("SELECT ce_id FROM peer_seen WHERE group_name = %s GROUP BY ce_id"
                        " HAVING count(DISTINCT (partition, log_offset)) > 1", group) == []
        assert bus.rows("SELECT partition FROM peer_seen WHERE group_name = %s GROUP BY partition, log_offset"
                        " HAVING count(DISTINCT ce_id) > 1", group) == []
        # First occurrences come in the key's order.
        assert bus.rows("SELECT key FROM (SELECT key, sequence, lag(sequence) OVER (PARTITION BY key ORDER BY first) AS before"
                        " FROM (SELECT key, sequence, min(id) AS first FROM peer_seen WHERE group_name = %s"
                        " GROUP BY key, sequence) AS f) AS o WHERE before > sequence", group) == []
        repeats += bus.value("SELECT (count(*) - count(DISTINCT ce_id))::bigint FROM peer_seen WHERE group_name = %s", group)
    assert bus.value("SELECT count(*) - count(DISTINCT ce_id) FROM peer_seen WHERE group_name = 'beta'") == 0
    return repeats
