# SPDX-License-Identifier: Apache-2.0
"""scripts/check-contract.py finds what differs from contracts/topics.yaml, wherever it stands."""

import shutil
import subprocess
import sys

import pytest
import yaml

from harness.programs import ROOT

PARTS = ["contracts", "proto", "scripts/check-contract.py", "lib/edge", "lib/wire", "tools/casectl", "docs/integrate.md"]


@pytest.fixture
def tree(tmp_path):
    """What the script reads, to be changed."""
    for part in PARTS:
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tmp_path / part)
        else:
            shutil.copy(ROOT / part, tmp_path / part)
    return tmp_path


def check(tree, *options):
    done = subprocess.run([sys.executable, tree / "scripts" / "check-contract.py", *options], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def replace(tree, file, old, new):
    text = (tree / file).read_text()
    assert old in text, f"{file} has no {old}"
    (tree / file).write_text(text.replace(old, new))


def manifest(tree, *documents):
    path = tree / "deploy" / "k8s" / "kafka.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump_all(documents))


def test_all_say_the_same(tree):
    assert check(tree) == ""


@pytest.mark.parametrize("file, old, new, complaint", [
    ("lib/edge/bus.h", '"mailcase.case.events.v1"', '"mailcase.case.events.v2"', "lib/edge/bus.h: topics"),
    ("lib/edge/bus_admin.c", '{ "router", TOPIC_CASE_EVENTS }', '{ "router", TOPIC_MAIL_RECEIVED }', "bus_admin.c: groups"),
    ("lib/edge/bus_admin.c", "30 * 24", "7 * 24", "hours of retention of mailcase.case.events.v1"),
    ("lib/edge/bus_kafka_record.c", '"ce_tenant"', '"ce_owner"', "headers"),
    ("lib/wire/case_record_wire.h", "mailcase.case.record.v1", "mailcase.case.changed.v1", "lib/wire: types"),
    ("contracts/topics.yaml", "partitions: 12", "partitions: 24", "MAILCASE_PARTITIONS"),
    ("contracts/asyncapi.yaml", "retention.ms: 2592000000", "retention.ms: 604800000",
     "configuration of mailcase.case.events.v1"),
    ("contracts/asyncapi.yaml", "enum: [mailcase.router]", "enum: [mailcase.rooter]", "asyncapi.yaml: groups"),
    ("contracts/asyncapi.yaml", "        ce_subject:\n", "        ce_topic:\n", "asyncapi.yaml: headers"),
    ("proto/mailcase/v1/case_record.proto", "  uint32 hop = 7;              // how far from the root: 0 is the root\n",
     "  uint32 hop = 7;\n", "mailcase.v1.CaseRecord.hop has no comment"),
    ("proto/mailcase/v1/case_record.proto", "// a service, by itself", "// a service", "a proto in it is not that of proto/"),
    ("proto/mailcase/v1/case_record.proto", "// a service, by itself", "// a service", "docs/integrate.md: its tables"),
    ("docs/integrate.md", "mailcase.mailbox.events.v1`", "mailcase.mailboxes.v1`", "mailcase.mailboxes.v1 is neither"),
], ids=["topic", "group", "retention in the code", "header", "type", "partitions", "retention in asyncapi", "group in asyncapi",
        "header in asyncapi", "no comment", "proto in asyncapi", "table", "strange name"])
def test_a_difference_is_noticed(tree, file, old, new, complaint):
    replace(tree, file, old, new)
    assert complaint in check(tree)


def test_write_makes_documents_of_the_protos(tree):
    replace(tree, "proto/mailcase/v1/case_record.proto", "// a service, by itself", "// one of our programs")
    assert check(tree, "--write") == ""
    assert check(tree) == ""
    for file in ("docs/integrate.md", "contracts/asyncapi.yaml"):
        assert "one of our programs" in (tree / file).read_text()


def topic(name, **spec):
    return {"apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic", "metadata": {"name": name}, "spec": spec}


def test_manifests_of_topics_are_compared(tree):
    names = ("mailcase.mail.received.v1", "mailcase.case.events.v1", "mailcase.mailbox.events.v1")
    manifest(tree, *(topic(name, partitions=12) for name in names))
    assert check(tree) == ""
    shutil.rmtree(tree / "deploy")
    manifest(tree, topic(names[0], partitions=6), topic(names[1], config={"retention.ms": 1000}), topic("mailcase.news"))
    complaints = check(tree)
    for complaint in (f"partitions of {names[0]}", f"retention of {names[1]}", "topic mailcase.news is not in",
                      "deploy/k8s: topics"):
        assert complaint in complaints


def test_manifests_of_scaling_are_compared(tree):
    def scaled(group, name):
        trigger = {"type": "kafka", "metadata": {"consumerGroup": group, "topic": name}}
        return {"kind": "ScaledObject", "metadata": {"name": "x"}, "spec": {"triggers": [trigger]}}
    manifest(tree, scaled("mailcase.router", "mailcase.case.events.v1"))
    assert check(tree) == ""
    shutil.rmtree(tree / "deploy")
    manifest(tree, scaled("mailcase.router", "mailcase.mail.received.v1"))
    assert "group mailcase.router does not read mailcase.mail.received.v1" in check(tree)


def test_manifests_of_rights_are_compared(tree):
    contract = yaml.safe_load((tree / "contracts" / "topics.yaml").read_text())

    def user(name, more=()):
        acls = [{"resource": {"type": kind[:-1], "name": resource, "patternType": "literal"}, "operations": [operation]}
                for kind, rights in contract["access"][name].items() for operation, names in rights.items() for resource in names]
        return {"kind": "KafkaUser", "metadata": {"name": f"mailcase-{name}"},
                "spec": {"authorization": {"type": "simple", "acls": acls + list(more)}}}
    programs = [name for name in contract["access"] if name != "consumer"]
    manifest(tree, *map(user, programs))
    assert check(tree) == ""
    shutil.rmtree(tree / "deploy")
    too_much = {"resource": {"type": "topic", "name": "mailcase.case.events.v1"}, "operations": ["Delete"]}
    manifest(tree, user("fetcher", [too_much]), user("router"))
    complaints = check(tree)
    assert "user mailcase-fetcher need not Delete topic mailcase.case.events.v1" in complaints
    assert "deploy/k8s: users" in complaints
