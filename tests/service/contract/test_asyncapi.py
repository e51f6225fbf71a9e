# SPDX-License-Identifier: Apache-2.0
"""contracts/asyncapi.yaml is AsyncAPI 3, and its payloads are read as protobuf by tools that know nothing of mailcase."""

import json
import subprocess
from pathlib import Path

import npm
from harness.programs import ROOT

HERE = Path(__file__).parent
DOCUMENT = ROOT / "contracts" / "asyncapi.yaml"


def validate(document):
    return subprocess.run(["node", HERE / "validate-asyncapi.js", npm.need(), document], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120, check=False)


def test_it_is_valid_and_its_messages_are_readable():
    done = validate(DOCUMENT)
    assert done.returncode == 0, done.stderr
    channels = json.loads(done.stdout)
    fields = channels["mailcase.case.events.v1"]["mailcase.v1.CaseRecord"]
    assert {"tenant_id", "case_id", "version", "facts"} <= set(fields)
    assert channels["mailcase.mail.received.v1"].keys() == {"mailcase.v1.MailReceived"}
    assert channels["mailcase.mailbox.events.v1"].keys() == {"mailcase.v1.MailboxEvent"}


def test_a_mistake_in_it_is_noticed(tmp_path):
    wrong = tmp_path / "asyncapi.yaml"
    wrong.write_text(DOCUMENT.read_text().replace("action: receive", "action: take"))
    assert "action" in validate(wrong).stderr
    wrong.write_text(DOCUMENT.read_text().replace("message CaseRecord {", "message CaseRecord {{"))
    assert validate(wrong).returncode == 1
