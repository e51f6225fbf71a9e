# SPDX-License-Identifier: Apache-2.0
"""A bus on a broker that the test may hit, and its books."""

from bus.peers import TOPIC, Bus
from harness.wait import wait_until


class KafkaBus(Bus):
    """The settings of `user` are what reaches the broker."""

    def __init__(self, postgres, folder, broker, user=None, settings=None, **options):
        super().__init__(postgres, folder, settings={**broker.service_settings(user), **(settings or {})}, **options)
        self.broker = broker
        self.settings["MAILCASE_KAFKA_PREFIX"] = self.prefix
        self.topic = self.prefix + TOPIC

    def group(self, name="alpha"):
        return f"{self.prefix}mailcase.{name}"

    def records(self):
        return self.broker.records(self.topic)

    def delete_topic(self):
        admin = self.broker.admin()  # lives as long as its answer is waited for
        admin.delete_topics([self.topic], operation_timeout=30)[self.topic].result(30)
        wait_until(lambda: self.topic not in self.broker.topics(), what="the topic is gone")

    def start_load(self, keys=50):
        """A producer that goes on until it is stopped."""
        self.keys(keys)
        return self.go_on_with_load(keys)

    def go_on_with_load(self, keys=50):
        return self.start_peer("produce", ready=False, MAILCASE_PEER_COUNT="100000000", MAILCASE_PEER_KEYS=str(keys),
                               MAILCASE_PEER_PAUSE_MS="10")

    def check_books(self, group="alpha"):
        """Everything is on the topic and was seen, first occurrences in order per key. How many records there are, and how
        many places of the topic hold one again."""
        wanted = {row["key"]: row["version"] for row in self.rows("SELECT key, version FROM peer_key WHERE version > 0")}
        log = self.records()
        found = {}
        for message in log:
            sequence = int(dict(message.headers())["ce_sequence"])
            found.setdefault(message.key().decode(), {})[sequence] = True
        assert {key: list(sequences) for key, sequences in found.items()} == {
            key: list(range(1, version + 1)) for key, version in wanted.items()}
        seen = {}
        for row in self.rows("SELECT key, sequence FROM peer_seen WHERE group_name = %s ORDER BY id", group):
            seen.setdefault(row["key"], {})[row["sequence"]] = True
        assert {key: list(sequences) for key, sequences in seen.items()} == {
            key: list(range(1, version + 1)) for key, version in wanted.items()}
        assert self.dead(group) == []
        records = sum(wanted.values())
        return records, len(log) - records
