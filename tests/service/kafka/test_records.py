# SPDX-License-Identifier: Apache-2.0
"""What is on the topics, and what strangers put there."""

import re
import uuid

import pytest

from bus.peers import TOPIC
from harness import kafka as kafka_harness
from harness.wait import wait_until
from kafka.on_kafka import KafkaBus

kafka_harness.need()
import confluent_kafka  # noqa: E402

pytestmark = pytest.mark.engines("kafka")


@pytest.fixture
def bus(postgres, tmp_path, kafka):
    with KafkaBus(postgres, tmp_path, kafka) as bus:
        yield bus


def test_records_of_60_kib_and_their_headers(bus):
    value, case, tenant, ce_id = bytes(range(256)) * 240, str(uuid.uuid4()), uuid.uuid4(), uuid.uuid4()
    with bus.connect() as db:
        db.execute("INSERT INTO outbox (ce_id, tenant_id, topic, key, key_hash, type, subject, sequence, value)"
                   " VALUES (%s, %s, %s, %s, 1, 'test.storm', %s, 7, %s)", (ce_id, tenant, TOPIC, case, case, value))
    bus.start_peer("relay")
    bus.start_peer("consume")
    bus.wait_seen([ce_id])
    [record] = bus.records()
    assert (record.key().decode(), record.value()) == (case, value)
    headers = dict(record.headers())
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", headers.pop("ce_time"))
    assert headers == {"ce_specversion": b"1.0", "ce_id": str(ce_id).encode(), "ce_source": b"/mailcase",
                       "ce_type": b"test.storm", "ce_subject": case.encode(), "ce_sequence": b"7",
                       "ce_tenant": str(tenant).encode(), "content-type": b"application/protobuf"}


def test_the_lag_is_the_brokers_own(bus, kafka):
    bus.start_peer("relay")
    consumer = bus.start_peer("consume")
    bus.wait_seen(bus.put("test.storm", "test.storm"))
    bus.wait_caught_up()
    bus.stop(consumer)
    bus.put(*["test.storm"] * 5)
    wait_until(lambda: not bus.unsent(), what="the records are on the topic")
    ends = {}
    for record in bus.records():
        ends[record.partition()] = record.offset() + 1
    offsets = kafka.group_offsets(bus.group(), bus.topic)
    assert bus.lag() == sum(end - offsets.get(partition, 0) for partition, end in ends.items()) == 5


@pytest.mark.parametrize("key, value, headers", [
    (b"k", b"\xff\xfe garbage", None),
    (None, b"", None),
    (b"\xff\x00", None, [("ce_id", b"no id"), ("ce_tenant", b"nobody")]),
    (b"k" * 10000, b"v", [("ce_type", b"t" * 100000), ("ce_subject", b"s" * 100000), ("traceparent", b"\xff" * 100000)]),
    (b"k", b"v", [("ce_time", b"9999999-01-01T00:00:00Z"), ("ce_sequence", b"-9999999999999999999999")]),
], ids=["no headers", "nothing at all", "no value", "huge", "senseless"])
def test_what_strangers_put_there_stops_nothing(bus, kafka, key, value, headers):
    bus.start_peer("relay")
    consumer = bus.start_peer("consume")
    kafka.produce(bus.topic, key, value, headers=headers, partition=0)
    ids = bus.put("test.storm", "test.verdict", "test.storm")
    bus.wait_seen([ids[0], ids[2]])
    bus.wait_caught_up()
    assert consumer.is_running()


def test_a_topic_that_was_made_anew_is_read_from_its_start(bus, kafka):
    bus.start_peer("relay")
    consumer = bus.start_peer("consume")
    bus.wait_seen(bus.put(*["test.storm"] * 20))
    bus.wait_caught_up()
    bus.stop(consumer)
    bus.delete_topic()
    bus.casectl("topics")
    # As if a broker had come back without the end of its log: the group is past it.
    member = kafka.consumer(bus.group())
    member.commit(offsets=[confluent_kafka.TopicPartition(bus.topic, n, 1000) for n in range(bus.partitions)],
                  asynchronous=False)
    member.close()
    ids = bus.put("test.storm", "test.storm")
    heir = bus.start_peer("consume")
    bus.wait_seen(ids)
    assert heir.logs("bus.offset_gone")


def test_a_late_group_begins_at_the_end_even_when_two_members_come_at_once(bus):
    bus.start_peer("relay")
    bus.put(*["test.storm"] * 10)
    wait_until(lambda: not bus.unsent(), what="the records are on the topic")
    members = [bus.peer("consume", MAILCASE_PEER_GROUP="late").start() for _ in range(2)]
    wait_until(lambda: sum(bus.owners("late")) == bus.partitions, what="both share the partitions")
    ids = bus.put("test.storm", "test.storm")
    bus.wait_seen(ids, "late")
    assert bus.seen("late") == ids and all(member.is_running() for member in members)
