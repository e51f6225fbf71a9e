# SPDX-License-Identifier: Apache-2.0
"""The private broker does what the tests of the Kafka engine take for granted."""

import pytest

from harness import kafka as kafka_harness
from harness.authority import EXPIRED
from harness.kafka import Broker
from harness.wait import wait_until

kafka_harness.need()
import confluent_kafka  # noqa: E402

UNREACHED = (confluent_kafka.KafkaError._TRANSPORT, confluent_kafka.KafkaError._ALL_BROKERS_DOWN, confluent_kafka.KafkaError._SSL,
             confluent_kafka.KafkaError._AUTHENTICATION, confluent_kafka.KafkaError._RESOLVE)


@pytest.fixture(scope="module")
def mutual():
    with Broker(security="mtls", users=["reader", "writer"], acls=True) as broker:
        broker.create_topic("facts")
        broker.create_topic("secrets")
        broker.allow("writer", "Write", topic="facts")
        broker.allow("reader", "Read", topic="facts", group="readers")
        yield broker


@pytest.fixture(scope="module")
def password():
    with Broker(security="sasl", users=["reader"]) as broker:
        broker.create_topic("facts")
        yield broker


def reached(settings, seconds=15):
    """Whether a client with these settings gets an answer; else its reasons."""
    reasons = []
    client = confluent_kafka.Producer({**settings, "error_cb": reasons.append, "log_level": 0})
    try:
        client.list_topics(timeout=seconds)
        return True, reasons
    except confluent_kafka.KafkaException as error:
        assert error.args[0].code() in UNREACHED
        client.poll(0)
        return False, reasons


def delivered(broker, user, topic):
    """None, or the error of a record that the user sends."""
    told = []
    producer = confluent_kafka.Producer({**broker.client_settings(user), "message.timeout.ms": 10000})
    producer.produce(topic, b"value", on_delivery=lambda error, _: told.append(error))
    producer.flush(20)
    return told[0]


def read_first(broker, user, topic, group):
    """The first record, or the error that the user meets."""
    consumer = confluent_kafka.Consumer({**broker.client_settings(user), "group.id": group, "auto.offset.reset": "earliest",
                                         "enable.auto.commit": False})
    consumer.subscribe([topic])
    try:
        message = wait_until(lambda: consumer.poll(0.2), 20, f"a record of {topic}, or an error")
        return message.error() or message
    finally:
        consumer.close()


def test_records_come_out_as_they_went_in(kafka):
    kafka.create_topic("broker-test", partitions=3)
    sent = [(b"key-%d" % (n % 5), b"\0value %d" % n, [("ce_id", b"%d" % n)]) for n in range(20)]
    for key, value, headers in sent:
        kafka.produce("broker-test", key, value, headers)
    found = [(m.key(), m.value(), m.headers()) for m in kafka.records("broker-test")]
    assert sorted(found) == sorted(sent)
    assert kafka.topics()["broker-test"] == 3


def test_a_topic_that_nobody_made_is_not_there(kafka):
    with pytest.raises(confluent_kafka.KafkaException):
        kafka.produce("never-made", b"k", b"v")
    assert "never-made" not in kafka.topics()


def test_what_was_acknowledged_outlives_kill_9():
    with Broker() as broker:
        broker.create_topic("t")
        for n in range(10):
            broker.produce("t", b"k", b"%d" % n)
        consumer = broker.consumer("g")
        consumer.subscribe(["t"])
        message = wait_until(lambda: consumer.poll(0.2), what="a record")
        consumer.commit(message, asynchronous=False)
        broker.kill()
        assert not reached(broker.client_settings(), seconds=1)[0]
        broker.start()
        consumer.close()
        assert [m.value() for m in broker.records("t")] == [b"%d" % n for n in range(10)]
        assert broker.group_offsets("g", "t") == {0: 1}
        broker.restart()
        assert len(broker.records("t")) == 10


def test_a_paused_broker_says_nothing_and_goes_on(kafka):
    kafka.pause()
    try:
        assert not reached(kafka.client_settings(), seconds=1)[0]
    finally:
        kafka.resume()
    assert reached(kafka.client_settings())[0]


def test_three_nodes_outlive_the_death_of_any_one():
    with Broker(nodes=3) as broker:
        broker.create_topic("t", partitions=3)
        sent = []
        told = []
        producer = broker.producer()
        for victim in (1, 2, 3):
            for n in range(300):
                value = b"%d-%d" % (victim, n)
                sent.append(value)
                producer.produce("t", key=b"%d" % n, value=value, on_delivery=lambda error, _: told.append(error))
                if n == 100:
                    broker.kill(victim)
            assert producer.flush(60) == 0
            assert len(broker.admin().list_topics(timeout=30).brokers) >= 2
            broker.start()
        assert told == [None] * len(sent)
        assert sorted(m.value() for m in broker.records("t")) == sorted(sent)


def test_a_certificate_opens_what_its_name_may(mutual):
    assert delivered(mutual, "writer", "facts") is None
    assert read_first(mutual, "reader", "facts", "readers").value() == b"value"
    assert delivered(mutual, "reader", "facts").code() == confluent_kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert read_first(mutual, "reader", "facts", "others").code() == confluent_kafka.KafkaError.GROUP_AUTHORIZATION_FAILED
    assert delivered(mutual, "writer", "secrets").code() == confluent_kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_without_a_certificate_nobody_comes_in(mutual):
    assert reached(mutual.client_settings("reader"))[0]
    assert not reached(mutual.client_settings(), seconds=3)[0]


def test_the_broker_must_have_the_name_and_the_date():
    with Broker(security="ssl", alternatives="DNS:kafka.elsewhere.example") as broker:
        found, reasons = reached(broker.client_settings(), seconds=3)
        assert not found and any("verify failed" in str(reason) for reason in reasons), reasons
        assert reached({**broker.client_settings(), "ssl.endpoint.identification.algorithm": "none"})[0]
    with Broker(security="ssl", certificate_dates=EXPIRED) as broker:
        found, reasons = reached(broker.client_settings(), seconds=3)
        assert not found and any("verify failed" in str(reason) for reason in reasons), reasons
        assert reached({**broker.client_settings(), "enable.ssl.certificate.verification": False})[0]


def test_a_password_opens_and_a_wrong_one_does_not(password):
    settings = password.client_settings("reader")
    assert reached(settings)[0]
    found, reasons = reached({**settings, "sasl.password": "wrong"}, seconds=3)
    assert not found and any("uthentication" in str(reason) for reason in reasons), reasons


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_scram_opens_and_a_wrong_password_does_not(password, mechanism):
    reason = kafka_harness.scram_unavailable()
    if reason:
        pytest.skip(reason)
    settings = password.client_settings("reader", mechanism)
    assert reached(settings)[0]
    assert not reached({**settings, "sasl.password": "wrong"}, seconds=3)[0]
