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
REPEATS = "SELECT count(*) - count(DISTINCT (partition, log_offset)) FROM peer_seen"


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
        records = bus.value("SELECT count(DISTINCT ce_id) FROM peer_log")
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
    """Returns how many records the group that was hit took more than once."""
    keep_log(bus)
    # What was committed is in the log, in order per key, at offsets without a gap. A record that comes again is the same.
    ends = {row["partition"]: row["end_offset"] for row in bus.casectl_json("lag")
            if (row["group"], row["topic"]) == ("alpha", TOPIC)}
    found = {row["partition"]: row["n"] for row in bus.rows(
        "SELECT partition, count(DISTINCT log_offset) AS n FROM peer_log GROUP BY 1 HAVING min(log_offset) = 0"
        " AND max(log_offset) = count(*) - 1")}
    assert found == {partition: end for partition, end in ends.items() if end}
    assert bus.rows("SELECT * FROM (SELECT key, sequence, row_number() OVER (PARTITION BY key ORDER BY first) AS place FROM"
                    " (SELECT key, sequence, min(log_offset) AS first FROM peer_log GROUP BY 1, 2) AS f) AS l"
                    " WHERE sequence <> place") == []
    assert bus.rows("SELECT k.key FROM peer_key k WHERE version <> (SELECT count(DISTINCT sequence) FROM peer_log l"
                    " WHERE l.key = k.key)") == []
    assert bus.rows("SELECT key FROM peer_log GROUP BY key HAVING count(DISTINCT partition) > 1") == []
    assert bus.rows("SELECT ce_id FROM peer_log GROUP BY ce_id HAVING count(DISTINCT (key, sequence)) > 1") == []
    assert bus.rows("SELECT key FROM peer_log GROUP BY key, sequence HAVING count(DISTINCT ce_id) > 1") == []
    if bus.engine == "postgres":
        assert bus.value("SELECT count(*) - count(DISTINCT ce_id) FROM peer_log") == 0

    repeats = 0
    for group in ("alpha", "beta"):
        # Nothing skipped, nothing set aside, nothing invented: each place was seen, with what stands there.
        assert bus.rows("SELECT partition, log_offset FROM peer_log l WHERE NOT EXISTS (SELECT FROM peer_seen s"
                        " WHERE s.group_name = %s AND s.partition = l.partition AND s.log_offset = l.log_offset"
                        " AND s.ce_id = l.ce_id AND s.sequence = l.sequence)", group) == []
        assert bus.dead(group) == []
        assert bus.rows("SELECT partition FROM peer_seen WHERE group_name = %s GROUP BY partition, log_offset"
                        " HAVING count(DISTINCT ce_id) > 1", group) == []
        # First occurrences come in the key's order.
        assert bus.rows("SELECT key FROM (SELECT key, sequence, lag(sequence) OVER (PARTITION BY key ORDER BY first) AS before"
                        " FROM (SELECT key, sequence, min(id) AS first FROM peer_seen WHERE group_name = %s"
                        " GROUP BY key, sequence) AS f) AS o WHERE before > sequence", group) == []
        repeats += bus.value(f"{REPEATS} WHERE group_name = %s", group)
    assert bus.value(f"{REPEATS} WHERE group_name = 'beta'") == 0
    return repeats


def keep_log(bus):
    """The whole topic as a table."""
    with bus.connect() as db:
        db.execute("CREATE TABLE peer_log (partition bigint, log_offset bigint, ce_id uuid, key text, sequence bigint)")
        with db.cursor() as cursor, cursor.copy("COPY peer_log FROM STDIN") as copy:
            for event in bus.events():
                copy.write_row([event[name] for name in ("partition", "offset", "ce_id", "key", "ce_sequence")])
        db.execute("CREATE INDEX ON peer_log (partition, log_offset)")
        db.execute("CREATE INDEX ON peer_seen (group_name, partition, log_offset)")
        db.execute("ANALYZE peer_log, peer_seen")
