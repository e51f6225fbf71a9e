# SPDX-License-Identifier: Apache-2.0
"""The rights of contracts/topics.yaml on a broker that grants nothing else, to principals known by their certificates:
each program does its work with its own, and has no more than it needs."""

import subprocess

import confluent_kafka
import pytest
import yaml

from harness.kafka import Broker
from harness.letters import bare, letter
from harness.mail_servers import MailServers
from harness.programs import ROOT
from harness.wait import wait_until
from harness.whole_desk import WholeDesk

CONTRACT = yaml.safe_load((ROOT / "contracts" / "topics.yaml").read_text())
ACCESS = CONTRACT["access"]
TOPICS = [topic["name"] for topic in CONTRACT["topics"]]
PREFIX = "desk7."
CUSTOMER = "customer@client.example"
DENIED = (confluent_kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED, confluent_kafka.KafkaError.GROUP_AUTHORIZATION_FAILED)


@pytest.fixture(scope="module")
def broker():
    with Broker(security="mtls", users=list(ACCESS), acls=True) as running:
        for user, rights in ACCESS.items():
            for operation, names in rights["topics"].items():
                running.allow(user, operation, topic=[PREFIX + name for name in names])
            for operation, names in rights.get("groups", {}).items():
                running.allow(user, operation, group=["reports" if name == "their own" else PREFIX + name for name in names])
        yield running


@pytest.fixture(scope="module")
def desk(postgres, broker, tmp_path_factory):
    """casectl has its own certificate in it; each service is started with another."""
    settings = {"MAILCASE_BUS": "kafka", "MAILCASE_KAFKA_PREFIX": PREFIX, **broker.service_settings("casectl")}
    with MailServers() as servers, WholeDesk(postgres, tmp_path_factory.mktemp("rights"), servers, "rights.example",
                                             settings=settings) as demo:
        demo.set_up(servers.port["smtp"])
        servers.mailbox(demo.agent_address())
        yield demo


def alone(desk, broker, program, until, what):
    """The program runs alone, so that it is the relay too, until it has done that and nothing is left in the outbox."""
    service = desk.start(program, **broker.service_settings(program))
    wait_until(lambda: until() and not desk.value("SELECT count(*) FROM outbox"), 60, lambda: f"{what}; {desk.troubles()}")
    assert service.metrics()["mailcase_relay_holds"] == 1
    troubles = [line for line in service.logs() if "uthoriz" in str(line.get("error", ""))]
    desk.stop(service)
    assert not troubles


def client(broker, user, group="reports"):
    return confluent_kafka.Consumer({**broker.client_settings(user), "group.id": group, "enable.auto.commit": False,
                                     "auto.offset.reset": "earliest"})


def refusal(consumer, topic):
    """What the broker says to one who wants to read; fails where it lets them."""
    consumer.subscribe([topic])
    try:
        def answer():
            message = consumer.poll(0.1)
            if message is None:
                return None
            assert message.error(), "it may read"
            return message.error() if message.error().code() in DENIED else None
        return wait_until(answer, 30, "the broker's refusal").code()
    finally:
        consumer.close()


def test_every_program_has_rights():
    assert set(ACCESS) == {"fetcher", "threader", "router", "notifier", "casectl", "keda", "consumer"}


def test_casectl_made_the_topics(desk, broker):
    def there(partitions):
        return broker.topics() == {PREFIX + topic: partitions for topic in TOPICS}
    wait_until(lambda: there(12), 30, "the topics")
    # Once more: more partitions need the right to alter.
    desk.casectl("topics", "--partitions", 13)
    wait_until(lambda: there(13), 30, "13 partitions each")


def test_each_service_works_with_its_own_rights(desk, broker):
    mail = letter(CUSTOMER, desk.address, "The printer is stuck")
    desk.servers.mailbox(CUSTOMER)
    desk.servers.submit(CUSTOMER, [desk.address], mail.as_bytes())
    alone(desk, broker, "fetcher", lambda: desk.value("SELECT count(*) FROM intake") == 1, "the mail is stored")
    alone(desk, broker, "threader", lambda: desk.where_is(bare(mail["Message-ID"])) and desk.lag("threader") == 0,
          "the mail has a case")
    alone(desk, broker, "router", lambda: desk.case(1)["assignee"] and desk.lag("router") == 0, "the case is assigned")
    alone(desk, broker, "notifier", lambda: desk.lag("notifier") == 0 and len(desk.outbound(1)) == 2 and
          {o["state"] for o in desk.outbound(1)} == {"accepted"}, "the mails are sent")


def test_casectl_reads_every_topic(desk):
    for topic in TOPICS:
        assert desk.parse_json(desk.casectl("events", "--topic", topic).stdout), f"{topic} holds events"


def test_a_consumer_reads_with_its_own_group(desk, broker):
    consumer = client(broker, "consumer")
    consumer.subscribe([PREFIX + topic for topic in TOPICS])
    found = []

    def all_read():
        found.extend(m for m in consumer.consume(100, 0.1) if not m.error())
        return {m.topic() for m in found} == {PREFIX + topic for topic in TOPICS}
    wait_until(all_read, 60, lambda: f"records of every topic: {len(found)}")
    consumer.commit(asynchronous=False)
    consumer.close()


@pytest.mark.parametrize("user, group, topic, code", [
    ("fetcher", "reports", "mailcase.mail.received.v1", "GROUP_AUTHORIZATION_FAILED"),
    ("router", "mailcase.router", "mailcase.mail.received.v1", "TOPIC_AUTHORIZATION_FAILED"),
    ("threader", "mailcase.threader", "mailcase.case.events.v1", "TOPIC_AUTHORIZATION_FAILED"),
    ("consumer", "mailcase.notifier", "mailcase.case.events.v1", "GROUP_AUTHORIZATION_FAILED"),
    ("notifier", "mailcase.router", "mailcase.case.events.v1", "GROUP_AUTHORIZATION_FAILED"),
])
def test_nobody_reads_what_is_not_theirs(broker, desk, user, group, topic, code):
    name = group if group == "reports" else PREFIX + group
    assert refusal(client(broker, user, name), PREFIX + topic) == getattr(confluent_kafka.KafkaError, code)


def test_an_autoscaler_sees_how_far_the_groups_are(broker, desk):
    for group in CONTRACT["groups"]:
        consumer = client(broker, "keda", PREFIX + group["name"])
        places = [confluent_kafka.TopicPartition(PREFIX + group["topics"][0], n) for n in range(13)]
        known = [place for place in consumer.committed(places, timeout=30) if place.offset >= 0]
        assert known and all(place.error is None for place in known)
        assert all(consumer.get_watermark_offsets(place, timeout=30)[1] >= place.offset for place in known)
        consumer.close()
    assert refusal(client(broker, "keda", PREFIX + "mailcase.router"), PREFIX + "mailcase.case.events.v1") in DENIED


def test_a_consumer_may_not_write(broker, desk):
    told = []
    producer = confluent_kafka.Producer(broker.client_settings("consumer"))
    producer.produce(PREFIX + TOPICS[0], b"x", on_delivery=lambda error, _: told.append(error))
    assert producer.flush(30) == 0
    assert told[0].code() == confluent_kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_the_examples_take_the_names_of_the_client_s_settings(broker, desk, tmp_path):
    """As examples/README.md tells: mutual TLS by further arguments."""
    subprocess.run(["protoc", f"-I{ROOT}/proto", f"--python_out={tmp_path}", "mailcase/v1/case_record.proto"], check=True)
    (tmp_path / "rebuild_case.py").write_bytes((ROOT / "examples" / "python" / "rebuild_case.py").read_bytes())
    settings = {**broker.client_settings("consumer"), "group.id": "reports"}
    case = desk.case(1)
    command = ["/usr/bin/python3", tmp_path / "rebuild_case.py", case["id"], *(f"{k}={v}" for k, v in settings.items())]
    done = subprocess.run(command, env={"MAILCASE_KAFKA_PREFIX": PREFIX, "PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert f'"version": {case["version"]}' in done.stdout
