# SPDX-License-Identifier: Apache-2.0
"""A real Apache Kafka on loopback: deploy/local/kafka.sh, driven by tests.

    with Broker(nodes=3) as broker:
        broker.create_topic("t", partitions=12)
        broker.produce("t", b"key", b"value")
        broker.kill(2)
        broker.start()                          # the nodes that are not there
        [m.value() for m in broker.records("t")]

    with Broker(security="mtls", users=["threader"], acls=True) as broker:
        broker.allow("threader", "Read", topic="t", group="g")
        broker.service_settings("threader")     # MAILCASE_KAFKA_... for the programs
        broker.client_settings("threader")      # librdkafka's names, for confluent_kafka

There is always a plain listener within, for the nodes themselves and for the test's own hands: with `acls` whoever comes
that way may do everything. What `security` says is a second listener, and `bootstrap` is its addresses.

Where no broker can be had, `unavailable()` says why: such tests are skipped.
"""

import functools
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness.authority import Authority
from harness.mail_servers import free_port_base
from harness.programs import ROOT
from harness.server import Server
from harness.wait import wait_until

try:
    import confluent_kafka
    import confluent_kafka.admin
except ImportError:
    confluent_kafka = None

SCRIPT = ROOT / "deploy" / "local" / "kafka.sh"
FETCH_SECONDS = 300
START_SECONDS = 120
LOOPBACK = "IP:127.0.0.1,DNS:localhost"
# kind: (protocol of the listener, MAILCASE_KAFKA_SECURITY)
SECURITY = {
    "plaintext": (None, "plaintext"),
    "ssl": ("SSL", "ssl"),
    "mtls": ("SSL", "ssl"),
    "sasl": ("SASL_SSL", "sasl_ssl"),
    "sasl_plaintext": ("SASL_PLAINTEXT", "sasl_plaintext"),
}
SCRAM_SINCE = (2, 6, 1)


@functools.cache
def unavailable():
    """Why there can be no broker here, or None. The first call may fetch the broker's files."""
    if confluent_kafka is None:
        return "no confluent_kafka for this Python: deploy/local/deps.sh kafka"
    try:
        done = subprocess.run([SCRIPT, "fetch"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=FETCH_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"the broker's files could not be had within {FETCH_SECONDS} s"
    return None if done.returncode == 0 else (done.stderr.strip() or "kafka.sh fetch failed").splitlines()[-1]


def need():
    """Skip the test that asks where there can be no broker."""
    reason = unavailable()
    if reason:
        pytest.skip(f"no Kafka: {reason}")


def make_topic(bootstrap, name, partitions=1):
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": bootstrap})
    topic = confluent_kafka.admin.NewTopic(name, partitions, 1)
    admin.create_topics([topic], operation_timeout=30)[name].result(30)


def commit_offsets(bootstrap, group, places):
    """Where a group without members goes on: (topic, partition, offset) each."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
    try:
        for place in consumer.commit(offsets=[confluent_kafka.TopicPartition(*p) for p in places], asynchronous=False):
            if place.error:
                raise confluent_kafka.KafkaException(place.error)
    finally:
        consumer.close()


def scram_unavailable():
    """SCRAM of older librdkafka is refused by Kafka 4."""
    version = confluent_kafka.libversion()[1]
    have = (version >> 24, version >> 16 & 0xFF, version >> 8 & 0xFF)
    return None if have >= SCRAM_SINCE else f"SCRAM needs librdkafka {'.'.join(map(str, SCRAM_SINCE))}, here is {'.'.join(map(str, have))}"


class Broker(Server):
    """`users` get certificates (mtls) or passwords (sasl); `properties` are further lines of server.properties."""

    def __init__(self, nodes=1, security="plaintext", users=(), acls=False, properties=None, alternatives=LOOPBACK,
                 certificate_dates=(None, None)):
        need()
        self.protocol, self.security = SECURITY[security]
        self.nodes, self.kind = nodes, security
        self.port_base = free_port_base()
        self.folder = Path(tempfile.mkdtemp(prefix="mailcase-kafka-"))
        self.passwords = {user: secrets.token_hex(8) for user in users} if security.startswith("sasl") else {}
        self.certificates = {}
        self.authority = None
        self.properties = dict(properties or {})
        if self.protocol and "SSL" in self.protocol:
            self._offer_tls(users if security == "mtls" else (), alternatives, certificate_dates)
        if self.passwords:
            self._offer_sasl()
        if acls:
            self.properties.update({"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                                    "super.users": "User:ANONYMOUS"})
        self.extra = self._write("extra.properties", (f"{name}={value}" for name, value in self.properties.items()))
        self.scram_users = self._write("scram", (f"{name} {password}" for name, password in self.passwords.items()))

    def _write(self, name, lines):
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        path.chmod(0o600)
        return path

    def _offer_tls(self, users, alternatives, dates):
        self.authority = Authority(self.folder / "tls")
        self.certificates = {user: self.authority.issue(user) for user in users}
        certificate, key = self.authority.issue("broker", alternatives, *dates)
        store = self._write("tls/broker-store.pem", [key.read_text(), certificate.read_text()])
        self._listener_properties({
            "ssl.keystore.type": "PEM", "ssl.keystore.location": store,
            "ssl.truststore.type": "PEM", "ssl.truststore.location": self.authority.ca_file,
            "ssl.client.auth": "required" if self.kind == "mtls" else "none",
            "ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/,DEFAULT",
        })

    def _offer_sasl(self):
        package = "org.apache.kafka.common.security"
        users = " ".join(f'user_{name}="{password}"' for name, password in self.passwords.items())
        scram = f"{package}.scram.ScramLoginModule required;"
        self._listener_properties({
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "plain.sasl.jaas.config": f"{package}.plain.PlainLoginModule required {users};",
            "scram-sha-256.sasl.jaas.config": scram, "scram-sha-512.sasl.jaas.config": scram,
        })

    def _listener_properties(self, values):
        self.properties.update({f"listener.name.client.{name}": value for name, value in values.items()})

    # ---- processes

    def start(self):
        """Every node that does not run; ready when all of them answer."""
        env = dict(os.environ, KAFKA_EXTRA=str(self.extra), KAFKA_SCRAM_USERS=str(self.scram_users),
                   KAFKA_LISTENERS=f"CLIENT={self.protocol}" if self.protocol else "")
        self._script("start", str(self.nodes), str(self.port_base), env=env)
        return self

    def stop(self, *nodes):
        self._script("stop", *map(str, nodes))

    def restart(self):
        self.stop()
        return self.start()

    def kill(self, *nodes):
        """kill -9 of these nodes, or of all."""
        pids = self._pids(nodes)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(_runs(pid) for pid in pids), 10, "the end of the killed nodes")

    def pause(self, *nodes):
        for pid in self._pids(nodes):
            os.kill(pid, signal.SIGSTOP)

    def resume(self, *nodes):
        for pid in self._pids(nodes):
            os.kill(pid, signal.SIGCONT)

    def _pids(self, nodes=()):
        files = [self.folder / f"node{node}" / "pid" for node in nodes or range(1, self.nodes + 1)]
        pids = [int(path.read_text()) for path in files if path.exists()]
        return [pid for pid in pids if _runs(pid)]

    def _script(self, act, *args, env=None):
        log = self.folder / "kafka.sh.log"
        with open(log, "ab") as out:
            done = subprocess.run([SCRIPT, act, self.folder, *args], env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                  timeout=START_SECONDS, check=False)
        if done.returncode != 0:
            raise RuntimeError(log.read_text(errors="replace")[-2000:])

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- who comes, and how

    def _addresses(self, listener):
        return ",".join(f"127.0.0.1:{self.port_base + 4 * node + listener}" for node in range(self.nodes))

    @property
    def internal(self):
        """The addresses of the plain listener within."""
        return self._addresses(0)

    @property
    def bootstrap(self):
        return self._addresses(1 if self.protocol else 0)

    def port(self, node=1):
        """Where clients reach a node."""
        return self.port_base + 4 * (node - 1) + (1 if self.protocol else 0)

    def service_settings(self, user=None, sasl="plain"):
        found = {"MAILCASE_KAFKA_BROKERS": self.bootstrap, "MAILCASE_KAFKA_SECURITY": self.security}
        if self.authority:
            found["MAILCASE_KAFKA_CA_FILE"] = str(self.authority.ca_file)
        if user in self.certificates:
            found["MAILCASE_KAFKA_CERT_FILE"], found["MAILCASE_KAFKA_KEY_FILE"] = map(str, self.certificates[user])
        if user in self.passwords:
            found.update(MAILCASE_KAFKA_SASL=sasl, MAILCASE_KAFKA_USER=user, MAILCASE_KAFKA_PASSWORD=self.passwords[user])
        return found

    def client_settings(self, user=None, sasl="PLAIN"):
        found = {"bootstrap.servers": self.bootstrap, "security.protocol": self.security}
        if self.authority:
            found.update({"ssl.ca.location": str(self.authority.ca_file), "ssl.endpoint.identification.algorithm": "https"})
        if user in self.certificates:
            found["ssl.certificate.location"], found["ssl.key.location"] = map(str, self.certificates[user])
        if user in self.passwords:
            found.update({"sasl.mechanism": sasl, "sasl.username": user, "sasl.password": self.passwords[user]})
        return found

    def allow(self, user, *operations, topic=(), group=(), cluster=False, prefixed=False):
        """Let the user do that; topic and group are a name or several."""
        words = ["--add", "--allow-principal", f"User:{user}"]
        for option, names in (("--operation", operations), ("--topic", topic), ("--group", group)):
            words += [word for name in ([names] if isinstance(names, str) else names) for word in (option, name)]
        words += ["--cluster"] if cluster else []
        words += ["--resource-pattern-type", "prefixed"] if prefixed else []
        self.tool("AclCommand", *words)

    def tool(self, name, *args):
        """One of Kafka's own tools, by the listener within; what it prints."""
        done = subprocess.run([SCRIPT, "tool", name, "--bootstrap-server", self.internal, *args], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr)
        return done.stdout

    # ---- the test's own hands, by the listener within

    def admin(self):
        return confluent_kafka.admin.AdminClient({"bootstrap.servers": self.internal})

    def topics(self):
        """Partition counts by topic, without Kafka's own."""
        found = self.admin().list_topics(timeout=30).topics
        return {name: len(topic.partitions) for name, topic in found.items() if not name.startswith("__")}

    def create_topic(self, name, partitions=1, **config):
        topic = confluent_kafka.admin.NewTopic(name, partitions, self.nodes,
                                               config={key.replace("_", "."): str(value) for key, value in config.items()})
        admin = self.admin()
        for future in admin.create_topics([topic], operation_timeout=30).values():
            future.result(30)

    def producer(self, **settings):
        """One that loses nothing and doubles nothing. With more requests under way librdkafka 2.0.2 loses count when several
        are refused for want of replicas, and gives up."""
        return confluent_kafka.Producer({"bootstrap.servers": self.internal, "acks": "all", "enable.idempotence": True,
                                         "max.in.flight.requests.per.connection": 1, "linger.ms": 0, **_dotted(settings)})

    def produce(self, topic, key, value, headers=None, partition=-1):
        """One record, acknowledged; its (partition, offset)."""
        told = []
        producer = self.producer(message_timeout_ms=20000, topic_metadata_propagation_max_ms=1000)
        producer.produce(topic, key=key, value=value, headers=headers, partition=partition,
                         on_delivery=lambda error, message: told.append((error, message)))
        assert producer.flush(30) == 0 and told, f"nobody took the record for {topic}"
        if told[0][0]:
            raise confluent_kafka.KafkaException(told[0][0])
        return told[0][1].partition(), told[0][1].offset()

    def consumer(self, group="test", **settings):
        return confluent_kafka.Consumer({"bootstrap.servers": self.internal, "group.id": group, "enable.auto.commit": False,
                                         "auto.offset.reset": "earliest", **_dotted(settings)})

    def records(self, topic, seconds=30):
        """All records of the topic up to now, partition by partition."""
        consumer = self.consumer("reader-" + secrets.token_hex(4), enable_partition_eof=True, fetch_wait_max_ms=50)
        try:
            numbers = set(consumer.list_topics(topic, timeout=seconds).topics[topic].partitions)
            consumer.assign([confluent_kafka.TopicPartition(topic, n, confluent_kafka.OFFSET_BEGINNING) for n in numbers])
            found, read = [], set()

            def all_read():
                for message in consumer.consume(1000, 0.1):
                    if not message.error():
                        found.append(message)
                    elif message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                        read.add(message.partition())
                    else:
                        raise confluent_kafka.KafkaException(message.error())
                return read == numbers
            wait_until(all_read, seconds, lambda: f"the ends of {topic}: of {sorted(read)}, {len(found)} records")
            return sorted(found, key=lambda message: (message.partition(), message.offset()))
        finally:
            consumer.close()

    def group_offsets(self, group, topic):
        """Committed offsets by partition; those that there are."""
        consumer = self.consumer(group)
        try:
            numbers = consumer.list_topics(topic, timeout=30).topics[topic].partitions
            places = consumer.committed([confluent_kafka.TopicPartition(topic, n) for n in numbers], timeout=30)
            return {place.partition: place.offset for place in places if place.offset >= 0}
        finally:
            consumer.close()


def _dotted(settings):
    return {name.replace("_", "."): value for name, value in settings.items()}


def _runs(pid):
    try:
        os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return False
    return True
