# SPDX-License-Identifier: Apache-2.0
"""Mutual TLS and passwords against a real broker; what is wrong is said in the words of our settings."""

import pytest

from harness.authority import Authority
from harness.kafka import Broker, scram_unavailable
from harness.wait import wait_until
from kafka.on_kafka import KafkaBus

pytestmark = pytest.mark.engines("kafka")


@pytest.fixture(scope="module")
def mutual():
    with Broker(security="mtls", users=["desk"]) as broker:
        yield broker


@pytest.fixture(scope="module")
def password():
    with Broker(security="sasl", users=["desk"]) as broker:
        yield broker


def passes(bus):
    bus.start_peer("relay")
    bus.start_peer("consume")
    bus.wait_seen(bus.put("test.storm"))


def words(bus, **settings):
    """What a consumer says that cannot reach the brokers with these settings."""
    peer = bus.start_peer("consume", ready=False, **settings)
    wait_until(lambda: any("see MAILCASE" in line["error"] for line in peer.logs("bus.waiting")), 30,
               lambda: f"its reason: {peer.log_tail()}")
    bus.stop(peer)
    return peer.logs("bus.waiting")[-1]["error"]


def test_mutual_tls(postgres, tmp_path, mutual):
    with KafkaBus(postgres, tmp_path, mutual, "desk") as bus:
        passes(bus)
        foreign = Authority(tmp_path / "foreign", "somebody else")
        assert "MAILCASE_KAFKA_CA_FILE" in words(bus, MAILCASE_KAFKA_CA_FILE=str(foreign.ca_file))
        missing = bus.start_peer("consume", ready=False, MAILCASE_KAFKA_CA_FILE="/nowhere/ca.pem")
        assert missing.process.wait(20) == 1 and "ssl.ca.location" in missing.log_tail()
        bus.drop(missing)


def test_a_missing_client_certificate_is_told(postgres, tmp_path, mutual):
    with KafkaBus(postgres, tmp_path, mutual, "desk") as bus:
        assert "MAILCASE_KAFKA" in words(bus, MAILCASE_KAFKA_CERT_FILE="", MAILCASE_KAFKA_KEY_FILE="")


def test_a_password_over_tls_and_a_wrong_one(postgres, tmp_path, password):
    with KafkaBus(postgres, tmp_path, password, "desk") as bus:
        passes(bus)
        assert "MAILCASE_KAFKA_SASL" in words(bus, MAILCASE_KAFKA_PASSWORD="wrong")


def test_scram(postgres, tmp_path, password):
    with KafkaBus(postgres, tmp_path, password, "desk") as bus:
        reason = scram_unavailable()
        if reason:
            peer = bus.start_peer("consume", ready=False, MAILCASE_KAFKA_SASL="scram-sha-256")
            wait_until(lambda: peer.logs("kafka.old_scram"), what="the remedy is told")
            assert "2.6.1" in peer.logs("kafka.old_scram")[0]["remedy"]
            bus.stop(peer)
            pytest.skip(reason)
        bus.settings["MAILCASE_KAFKA_SASL"] = "scram-sha-256"
        passes(bus)
