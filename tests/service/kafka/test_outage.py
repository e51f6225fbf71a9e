# SPDX-License-Identifier: Apache-2.0
"""Brokers and the database go away and come back under load: nothing is lost, the order stays, who is to stop stops."""

import pytest

from harness.postgres import PrivatePostgres
from harness.wait import wait_until
from kafka.on_kafka import KafkaBus

pytestmark = pytest.mark.engines("kafka")


@pytest.fixture
def bus(postgres, tmp_path, broker):
    with KafkaBus(postgres, tmp_path, broker) as bus:
        yield bus


def grows(bus, group="alpha", by=100):
    """The group has read more than it had."""
    query = "SELECT count(*) FROM peer_seen WHERE group_name = %s"
    before = bus.value(query, group)
    wait_until(lambda: bus.value(query, group) >= before + by, 60, lambda: f"{group} reads on; {bus.troubles()}")


def test_broker_and_database_restart_under_load(tmp_path, broker):
    with PrivatePostgres() as server, KafkaBus(server, tmp_path, broker) as bus:
        bus.start_peer("relay")
        bus.start_peer("consume")
        load = bus.start_load()
        grows(bus)
        broker.kill()
        broker.start()
        grows(bus)
        load.kill()  # it does not outlive its database
        bus.drop(load)
        server.restart("immediate")
        load = bus.go_on_with_load()
        grows(bus)
        broker.restart()
        grows(bus)
        bus.stop(load)
        bus.wait_caught_up()
        records, repeats = bus.check_books()
        print(f"{records} records, {repeats} of them again")


def test_a_broker_that_is_frozen_for_a_while_costs_nothing(bus, broker):
    relay, consumer = bus.start_peer("relay"), bus.start_peer("consume")
    load = bus.start_load()
    grows(bus)
    broker.pause()
    wait_until(lambda: consumer.get("/readyz") is None or len(relay.logs("relay.retried")) >= 3, 30, "somebody notices")
    assert consumer.get("/livez") and relay.get("/livez")
    broker.resume()
    grows(bus)
    bus.stop(load)
    bus.wait_caught_up()
    bus.check_books()


@pytest.mark.parametrize("blow", ["pause", "kill"])
def test_services_stop_in_time_while_the_broker_is_away(bus, broker, blow):
    relay, consumer = bus.start_peer("relay"), bus.start_peer("consume")
    load = bus.start_load()
    grows(bus)
    getattr(broker, blow)()
    bus.wait_rows("SELECT 1 FROM outbox", count=50)
    assert consumer.get("/livez") and relay.get("/livez")
    bus.stop(consumer, relay, load)  # each within 20 s and with status 0
    broker.resume()
    broker.start()
    bus.start_peer("relay")
    bus.start_peer("consume")
    bus.wait_caught_up()
    bus.check_books()


def test_services_that_start_without_a_broker_wait_for_it(bus, broker):
    broker.stop()
    consumer, relay = bus.start_peer("consume", ready=False), bus.start_peer("relay", ready=False)
    ids = bus.put("test.storm")
    wait_until(lambda: consumer.logs("bus.waiting") and relay.logs("relay.retried"), what="both say what they wait for")
    assert "MAILCASE_KAFKA_BROKERS" in consumer.logs("bus.waiting")[-1]["error"]
    assert consumer.get("/livez") and consumer.get("/readyz") is None
    broker.start()
    bus.wait_seen(ids)


def test_a_missing_topic_is_named_with_its_remedy_and_heals(bus, broker):
    relay, consumer = bus.start_peer("relay"), bus.start_peer("consume")
    bus.wait_seen(bus.put("test.storm"))
    bus.delete_topic()
    ids = bus.put("test.storm")
    remedy = "casectl topics"
    wait_until(lambda: remedy in relay.log_tail(3), 30, "the relay names the remedy")
    bus.casectl("topics")
    bus.wait_seen(ids, seconds=60)
    assert relay.is_running() and consumer.is_running()
