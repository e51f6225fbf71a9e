# SPDX-License-Identifier: Apache-2.0
"""A cluster of three loses one broker while mail passes: nothing is lost, and nothing comes twice."""

import collections

import pytest

from harness.kafka import Broker
from harness.letters import letter
from harness.smtp_sink import SmtpSink
from harness.wait import wait_until
from harness.whole_desk import WholeDesk

MAILS = 1000

pytestmark = pytest.mark.engines("kafka")


@pytest.fixture
def brokers():
    # As an operator would have them: a record that is acknowledged is on two of them.
    with Broker(nodes=3, properties={"default.replication.factor": 3, "min.insync.replicas": 2,
                                     "offsets.topic.replication.factor": 3, "transaction.state.log.replication.factor": 3,
                                     "transaction.state.log.min.isr": 2}) as running:
        yield running


@pytest.mark.parametrize("victims", ["the leaders of most partitions", "one after the other"])
def test_a_broker_dies_while_a_thousand_mails_pass(postgres, mail_servers, brokers, tmp_path, victims):
    settings = {**brokers.service_settings(), "MAILCASE_KAFKA_REPLICATION": "3", "MAILCASE_KAFKA_SESSION_MS": "6000",
                "MAILCASE_SMTP_CONNECTIONS": "16"}
    domain = f"three{len(victims)}.example"
    with SmtpSink() as sink, WholeDesk(postgres, tmp_path, mail_servers, domain, settings=settings) as desk:
        desk.set_up(sink.port)
        desk.start_all()
        if victims == "one after the other":
            for node in (1, 2, 3):
                deliver(desk, range((node - 1) * 300, node * 300))
                wait_decided(desk, (node - 1) * 300 + 50)
                brokers.kill(node)
                wait_decided(desk, node * 300)  # with two of three
                brokers.start()
            deliver(desk, range(900, MAILS))
        else:
            deliver(desk, range(MAILS))
            wait_decided(desk, 100)
            brokers.kill(busiest(brokers, desk))
        desk.wait_settled(MAILS, seconds=180)
        wait_answered(desk)

        assert desk.value("SELECT count(*) FROM case_file") == MAILS
        assert desk.value("SELECT count(*) FROM message WHERE direction = 'in'") == MAILS
        answered = collections.Counter(address for m in sink.messages for address in m.recipients if "@client" in address)
        assert len(answered) == MAILS and set(answered.values()) == {1}
        accepted = tmp_path / "accepted"
        accepted.write_text("".join(f"{line}\n" for line in sink.accepted()), encoding="utf-8")
        desk.audit_clean("--deep", "--accepted", accepted)


def deliver(desk, numbers):
    for n in numbers:
        desk.box.deliver(letter(f"c{n}@client{n}.example", desk.address, f"Mail {n}").as_bytes())


def decided(desk):
    return desk.value("SELECT count(*) FROM intake WHERE state NOT IN ('received', 'retrying', 'action_needed')")


def wait_decided(desk, count):
    wait_until(lambda: decided(desk) >= count, 120, lambda: f"{count} mails decided: {decided(desk)}; {desk.troubles()}")


def wait_answered(desk):
    desk.wait_caught_up(seconds=180, busy="EXISTS (SELECT FROM outbound_copy WHERE state IN ('queued', 'sending', 'deferred'))")


def busiest(brokers, desk):
    """The node that leads most partitions of the desk's topics."""
    topics = brokers.admin().list_topics(timeout=30).topics
    leaders = [part.leader for name, topic in topics.items() if name.startswith(desk.prefix) for part in topic.partitions.values()]
    assert leaders, "the desk has topics there"
    return collections.Counter(leaders).most_common(1)[0][0]
