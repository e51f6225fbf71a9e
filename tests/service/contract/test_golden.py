# SPDX-License-Identifier: Apache-2.0
"""The published bytes in a second language: what our C encoders wrote is read by Python's protobuf and compared with the
JSON view beside it; old readers read new records and new readers old ones. The C side of the same files is
tests/unit/wire/golden_events_test.c."""

import json

import pytest
from google.protobuf import json_format

from generated import module
from harness.programs import ROOT

GOLDEN = ROOT / "contracts" / "golden"
RECORDS = ROOT / "tests" / "contract"
FILES = sorted(path.stem for path in GOLDEN.glob("*.bin"))
# The message that a file's first word stands for.
MESSAGES = {"case-record": "CaseRecord", "mail-received": "MailReceived", "mailbox-event": "MailboxEvent"}


@pytest.fixture(scope="module")
def today():
    names = {kind: f"mailcase/v1/{kind.replace('-', '_')}.proto" for kind in MESSAGES}
    return {kind: getattr(module(ROOT / "proto", names[kind]), message) for kind, message in MESSAGES.items()}


@pytest.fixture(scope="module")
def older():
    made = module(RECORDS / "older", "older.proto")
    return {kind: getattr(made, message) for kind, message in MESSAGES.items()}


@pytest.fixture(scope="module")
def newer():
    made = module(RECORDS / "newer", "newer.proto")
    return {kind: getattr(made, message) for kind, message in MESSAGES.items()}


def kind_of(name):
    return name.split(".")[0]


def known_facts(record):
    return [fact.WhichOneof("body") for fact in record.facts if fact.WhichOneof("body")]


@pytest.mark.parametrize("name", FILES)
def test_the_bytes_say_what_the_json_view_says(today, name):
    data, view = (GOLDEN / f"{name}.bin").read_bytes(), (GOLDEN / f"{name}.json").read_text()
    record = today[kind_of(name)].FromString(data)
    assert json_format.MessageToDict(record) == json.loads(view)
    assert json_format.Parse(view, today[kind_of(name)]()).SerializeToString(deterministic=True) == data
    assert not record.UnknownFields(), "a field that the protos do not have"


def test_every_fact_and_every_body_is_there(today):
    there = set()
    for name in FILES:
        record = today[kind_of(name)].FromString((GOLDEN / f"{name}.bin").read_bytes())
        there |= set(known_facts(record)) if kind_of(name) == "case-record" else {record.WhichOneof("body")}
    messages = [today["case-record"].DESCRIPTOR.fields_by_name["facts"].message_type,
                today["mail-received"].DESCRIPTOR, today["mailbox-event"].DESCRIPTOR]
    assert there == {field.name for message in messages for field in message.oneofs_by_name["body"].fields}


@pytest.mark.parametrize("name", FILES)
def test_an_old_reader_reads_today_s_records(today, older, name):
    data = (GOLDEN / f"{name}.bin").read_bytes()
    new, old = today[kind_of(name)].FromString(data), older[kind_of(name)].FromString(data)
    assert old.tenant_id == new.tenant_id
    if kind_of(name) == "case-record":
        assert (old.case_id, old.version, old.number) == (new.case_id, new.version, new.number)
        understood = {field.name for field in old.DESCRIPTOR.fields_by_name["facts"].message_type.fields}
        assert known_facts(old) == [fact for fact in known_facts(new) if fact in understood]
    elif kind_of(name) == "mailbox-event":
        assert old.state_changed.to == new.state_changed.to, "also a value that it has no name for"
    # Passed on by an old reader, nothing is lost.
    assert today[kind_of(name)].FromString(old.SerializeToString()) == new


@pytest.mark.parametrize("name", FILES)
def test_a_reader_of_a_later_day_reads_today_s_records(today, newer, name):
    data = (GOLDEN / f"{name}.bin").read_bytes()
    assert today[kind_of(name)].FromString(newer[kind_of(name)].FromString(data).SerializeToString()) == \
        today[kind_of(name)].FromString(data)


@pytest.mark.parametrize("path", sorted(RECORDS.glob("older/*.bin")), ids=lambda path: path.stem)
def test_today_s_reader_reads_an_older_record(today, path):
    record = today[kind_of(path.stem)].FromString(path.read_bytes())
    assert record.tenant_id and not record.UnknownFields()
    json_format.MessageToJson(record)


@pytest.mark.parametrize("path", sorted(RECORDS.glob("newer/*.bin")), ids=lambda path: path.stem)
def test_today_s_reader_reads_a_newer_record(today, newer, path):
    data = path.read_bytes()
    record = today[kind_of(path.stem)].FromString(data)
    json_format.MessageToJson(record)
    assert newer[kind_of(path.stem)].FromString(record.SerializeToString()) == newer[kind_of(path.stem)].FromString(data)
    if kind_of(path.stem) == "case-record":
        assert known_facts(record) == ["case_opened", "message_added", "state_changed"], "the unknown ones are skipped"
        assert record.facts[1].case_opened.state == 90, "a value without a name is a number"
    elif path.stem.endswith("other-body"):
        assert record.WhichOneof("body") is None


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*/*.txtpb")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_those_records_are_what_stands_beside_them_as_text(older, newer, path):
    from google.protobuf import text_format
    message = {"older": older, "newer": newer}[path.parent.name][kind_of(path.stem)]
    record = text_format.Parse(path.read_text(), message())
    assert message.FromString(path.with_suffix(".bin").read_bytes()) == record, "run `make contract-accept`"
