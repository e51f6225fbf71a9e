# SPDX-License-Identifier: Apache-2.0
"""One broker of three is killed, or only silent, while records pass."""

import pytest

from harness.kafka import Broker
from kafka.on_kafka import KafkaBus
from kafka.test_outage import grows

pytestmark = pytest.mark.engines("kafka")


@pytest.mark.parametrize("blow", ["kill", "pause"])
def test_one_of_three_goes(postgres, tmp_path, blow):
    with Broker(nodes=3) as broker:
        settings = {"MAILCASE_KAFKA_REPLICATION": "3", "MAILCASE_KAFKA_SESSION_MS": "6000"}
        with KafkaBus(postgres, tmp_path, broker, settings=settings, partitions=12) as bus:
            relay = bus.start_peer("relay")
            bus.start_peer("consume")
            bus.start_peer("consume")
            load = bus.start_load()
            grows(bus)
            leader = broker.admin().list_topics(bus.topic, timeout=30).topics[bus.topic].partitions[0].leader
            getattr(broker, blow)(leader)
            grows(bus, by=1000)
            broker.resume(leader)
            broker.start()
            bus.stop(load)
            bus.wait_caught_up(seconds=120)
            records, repeats = bus.check_books()
            print(f"{records} records, {repeats} of them again, {len(relay.logs('relay.retried'))} retries")
