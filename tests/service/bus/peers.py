# SPDX-License-Identifier: Apache-2.0
"""An empty installation with a topic, groups at offset zero, and bus_peer processes."""

import os
import signal
import subprocess
import uuid

from harness.programs import test_program
from harness.services import Installation, Service
from harness.wait import wait_until

TOPIC = "mailcase.case.events.v1"
# Everything that waits for a silent process, shortened.
FAST = {"MAILCASE_RELAY_LEASE_MS": "800", "MAILCASE_MEMBER_EXPIRY_MS": "900", "MAILCASE_POSITION_EXPIRY_MS": "1200",
        "MAILCASE_KAFKA_SESSION_MS": "1200"}
LEASES_SECONDS = 1.3
# A relay on Kafka may wait for acknowledgements longer than that lease lasts, above all for the first ones.
FAST_KAFKA = {"MAILCASE_RELAY_LEASE_MS": "2500"}

TABLES = """
CREATE TABLE peer_key (n bigint PRIMARY KEY, key text NOT NULL, version bigint NOT NULL DEFAULT 0) WITH (fillfactor = 50);
CREATE TABLE peer_seen (id bigserial PRIMARY KEY, group_name text, ce_id uuid, key text, partition bigint,
    log_offset bigint, sequence bigint, is_replay boolean);
CREATE TABLE peer_cured (type text PRIMARY KEY);
"""


class Peer(Service):
    def start(self):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([test_program("service/bus/bus_peer")], env=self.env,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        return self

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def go_on(self):
        self.signal(signal.SIGCONT)


class Bus(Installation):
    """`groups` read the topic from zero; all our own are there too, and read nothing."""

    def __init__(self, postgres, folder, partitions=4, groups=("alpha",), settings=None):
        super().__init__(postgres, folder, settings=dict(FAST))
        self.settings.update({**(FAST_KAFKA if self.engine == "kafka" else {}), **(settings or {})})
        self.partitions, self.groups, self.peers = partitions, groups, 0

    def __enter__(self):
        self.casectl("migrate")
        with self.connect() as db:
            db.execute(TABLES)
        self.run("install", MAILCASE_PEER_COUNT=str(self.partitions))
        with self.connect() as db:
            for group in self.groups:
                db.execute("INSERT INTO bus_position (group_name, topic, partition)"
                           " SELECT %s, topic, partition FROM bus_partition WHERE topic = %s", (group, TOPIC))
        return self

    def peer(self, mode, **settings):
        """Not yet started."""
        self.peers += 1
        env = {"MAILCASE_PEER_MODE": mode, "MAILCASE_RELAY": "on" if mode == "relay" else "off"}
        peer = Peer("bus_peer", self.env(**{**env, **settings}), self.folder, f"{mode}-{self.peers}")
        self.services.append(peer)
        return peer

    def start_peer(self, mode, ready=True, **settings):
        peer = self.peer(mode, **settings).start()
        return peer.wait_ready() if ready else peer

    def drop(self, peer):
        """It may be dead already."""
        if peer in self.services:
            self.services.remove(peer)

    def run(self, mode, seconds=60, **settings):
        """To its end, which must be a good one."""
        peer = self.peer(mode, **settings).start()
        assert peer.process.wait(seconds) == 0, peer.log_tail()
        self.drop(peer)
        return peer

    def keys(self, count):
        with self.connect() as db:
            db.execute("INSERT INTO peer_key SELECT n, substr(md5(n::text), 1, 16) FROM generate_series(0, %s - 1) AS n",
                       (count,))

    def put(self, *types, key="0123456789abcdef"):
        """Records of these types, straight into the log's outbox; one key, so one partition. Their ids."""
        ids = [uuid.uuid4() for _ in types]
        with self.connect() as db, db.transaction():
            for ce_id, kind in zip(ids, types):
                db.execute(
                    "INSERT INTO outbox (ce_id, tenant_id, topic, key, key_hash, type, subject, sequence, value)"
                    " VALUES (%s, %s, %s, %s, 1, %s, %s, 1, 'v')", (ce_id, uuid.uuid4(), TOPIC, key, kind, key))
            db.execute("SELECT pg_notify('mailcase_outbox', '')")
        return ids

    def seen(self, group="alpha"):
        return [row["ce_id"] for row in self.rows("SELECT ce_id FROM peer_seen WHERE group_name = %s ORDER BY id", group)]

    def dead(self, group="alpha"):
        return self.rows("SELECT * FROM dead_letter WHERE group_name = %s ORDER BY partition, log_offset", group)

    def lag(self, group="alpha"):
        return super().lag(group)

    def owners(self, group="alpha"):
        """How many partitions each member has at this moment."""
        alive = "expires > now()" if self.engine == "postgres" else "owner IS NOT NULL"
        return sorted(row["n"] for row in self.rows("SELECT count(*) AS n FROM bus_position WHERE group_name = %s"
                                                    f" AND {alive} GROUP BY owner", group))

    def wait_seen(self, ids, group="alpha", seconds=30):
        wait_until(lambda: set(ids) <= set(self.seen(group)), seconds,
                   lambda: f"{group} sees {ids}: it saw {self.seen(group)}; {self.troubles()}")

    def wait_caught_up(self, group="alpha", seconds=60):
        super().wait_caught_up(group, seconds)
