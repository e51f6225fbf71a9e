# SPDX-License-Identifier: Apache-2.0
"""The consumers of examples/, as their README tells to run them, beside a desk at work: they know the contract alone, and
what they make of the events is what casectl says of the cases."""

import json
import os
import re
import shutil
import signal
import subprocess
from datetime import datetime

import pytest

from harness.letters import answer, bare, letter
from harness.mail_servers import MailServers
from harness.programs import ROOT
from harness.wait import wait_until
from harness.whole_desk import WholeDesk

LINES_MOST = 59
PROGRAMS = sorted(path for pattern in ("*.py", "*.java", "*.sh") for path in (ROOT / "examples").rglob(pattern)
                  if "target" not in path.parts and "_pb2" not in path.name)
CUSTOMER, OTHER = "customer@client.example", "other@client.example"
PREFIX = "examples."
OFFLINE = re.compile(r"Could not (resolve|transfer)|could not be resolved|Unknown host", re.IGNORECASE)


@pytest.fixture(scope="module")
def desk(postgres, kafka, tmp_path_factory):
    """A desk with three cases, of which the first has lived through everything."""
    settings = {"MAILCASE_BUS": "kafka", "MAILCASE_KAFKA_BROKERS": kafka.bootstrap, "MAILCASE_KAFKA_PREFIX": PREFIX}
    with MailServers() as servers, WholeDesk(postgres, tmp_path_factory.mktemp("desk"), servers, "examples.example",
                                             agents=("anna", "ben"), settings=settings) as demo:
        demo.set_up(servers.port["smtp"], queue_options=("--closed-policy", "reopen_within"))
        demo.start_all()
        demo.wait_mailbox("ok")
        live(demo, servers)
        yield demo


def live(desk, servers):
    customer = servers.mailbox(CUSTOMER)

    def send(mail, sender):
        servers.submit(sender, [desk.address], mail.as_bytes())
        return desk.wait_case_of(bare(mail["Message-ID"]))
    first = send(letter(CUSTOMER, desk.address, "The printer is stuck"), CUSTOMER)
    send(letter(OTHER, desk.address, "An order"), OTHER)
    desk.casectl("case", "new", "--subject", "By hand", "--to", CUSTOMER, "--text", "We call you.", "--queue", "support")
    wait_until(lambda: desk.case(first)["assignee"], what="the case is assigned")
    desk.casectl("case", "reply", first, text="We are looking into it.\n")
    reply = wait_until(lambda: next((m for m in customer.mails() if "looking into it" in m.get_body().get_content()), None),
                       60, "the agent's reply")
    assert send(answer(reply, CUSTOMER), CUSTOMER) == first
    desk.casectl("case", "note", first, text="He has an old one.\n")
    desk.casectl("case", "assign", first, "--to", "ben")
    desk.casectl("case", "follow", first, user="anna")
    desk.casectl("case", "follow", first, user="ben")
    desk.casectl("case", "unfollow", first, user="anna")
    desk.casectl("case", "close", first)
    desk.wait_settled(3)
    wait_until(lambda: not desk.value("SELECT count(*) FROM outbound_copy WHERE state IN ('queued', 'sending')"), 60,
               "all mails are sent")
    desk.wait_settled(3)


@pytest.fixture(scope="module")
def cases(desk):
    """What casectl says, with ids in place of names, as the examples print it."""
    def ids(query):
        return {row["name"]: row["id"] for row in desk.rows(query)} | {None: ""}
    queues, teams = ids("SELECT name, id::text FROM queue"), ids("SELECT name, id::text FROM team")
    users = ids("SELECT login AS name, id::text FROM app_user")
    found = {}
    for listed in desk.cases():
        case = desk.case(listed["number"])
        found[case["id"]] = {**{name: case[name] for name in ("id", "number", "version", "state", "messages")},
                             "queue_id": queues[case["queue"]], "team_id": teams[case["team"]],
                             "assignee_id": users[case["assignee"]],
                             "follower_ids": sorted(users[name] for name in case["followers"]),
                             "created_at": moment(case["created_at"]), "changed_at": moment(case["changed_at"])}
    assert len(found) == 3
    return found


@pytest.fixture(scope="module")
def published(desk):
    """The records of case.events by their id, as casectl prints them."""
    return {event["ce_id"]: event for event in desk.parse_json(desk.casectl("events").stdout)}


@pytest.fixture(scope="module")
def env(desk):
    return dict(os.environ, MAILCASE_KAFKA_BROKERS=desk.settings["MAILCASE_KAFKA_BROKERS"], MAILCASE_KAFKA_PREFIX=PREFIX)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """What a foreign developer has: the examples and the protos."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "proto", folder / "proto")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("target", "mailcase"))
    return folder / "examples"


@pytest.fixture(scope="module")
def python(copy):
    subprocess.run(["protoc", "-I../../proto", "--python_out=.", "mailcase/v1/case_record.proto"], cwd=copy / "python", check=True)
    return {name: ["/usr/bin/python3", copy / "python" / f"{name}.py"] for name in ("print_events", "rebuild_case")}


@pytest.fixture(scope="module")
def java(copy):
    for tool in ("javac", "mvn"):
        if not shutil.which(tool):
            pytest.skip(f"the example in Java: no {tool}")
    done = subprocess.run(["mvn", "-B", "-q", "package"], cwd=copy / "java", stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=600, check=False)
    if done.returncode != 0 and OFFLINE.search(done.stdout + done.stderr):
        pytest.skip("the example in Java: its libraries could not be had")
    assert done.returncode == 0, done.stdout + done.stderr
    run = ["java", "-cp", f"{copy}/java/target/classes:{copy}/java/target/lib/*"]
    return {"print_events": [*run, "PrintEvents"], "rebuild_case": [*run, "RebuildCase"]}


@pytest.fixture(scope="module")
def kcat(copy):
    if not shutil.which("kcat"):
        pytest.skip("the example with kcat: no kcat")
    return {"print_events": [copy / "kcat" / "print-events.sh"], "rebuild_case": [copy / "kcat" / "rebuild-case.sh"]}


def moment(text):
    return datetime.fromisoformat(text)


def run(command, env):
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rebuilt(text):
    """The cases that an example printed, by id."""
    found = {}
    for line in text.splitlines():
        case = json.loads(line)
        found[case["id"]] = case | {name: moment(case[name]) for name in ("created_at", "changed_at")}
    return found


def printed(command, env, until, folder):
    """What an example that runs for ever has printed by the time that `until` says so of it."""
    output = folder / "output"
    with open(output, "wb") as out:
        # Where tests run in the background, a child would not hear Ctrl-C.
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        def enough():
            assert process.poll() is None, output.read_text()
            return until(output.read_text().splitlines())
        wait_until(enough, 60, lambda: f"what the example should print: {output.read_text()}")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    return [json.loads(line) for line in output.read_text().splitlines()]


def assert_printed(events, published):
    assert len(events) == len({event["ce_id"] for event in events}) == len(published)
    for event in events:
        assert event["data"] == published[event["ce_id"]]["data"]
        assert moment(event["ce_time"]) == moment(published[event["ce_id"]]["ce_time"])


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_each_is_short(program):
    assert len(program.read_text().splitlines()) <= LINES_MOST


def test_the_first_case_has_lived(cases, desk):
    first = next(case for case in cases.values() if case["number"] == min(c["number"] for c in cases.values()))
    kinds = {entry["kind"] for entry in desk.case(first["number"])["timeline"]}
    assert {"case_opened", "message_added", "assigned", "state_changed", "followed", "notice_planned",
            "copy_state_changed"} <= kinds
    assert first["state"] == "closed" and first["messages"] == 4 and len(first["follower_ids"]) == 1


def test_python_rebuilds_every_case(python, env, cases):
    assert rebuilt(run(python["rebuild_case"], env)) == cases


def test_python_rebuilds_one_case(python, env, cases):
    wanted = next(iter(cases))
    assert rebuilt(run([*python["rebuild_case"], wanted], env)) == {wanted: cases[wanted]}


def test_java_rebuilds_every_case(java, env, cases):
    assert rebuilt(run(java["rebuild_case"], env)) == cases


def test_java_prints_every_event(java, env, published, tmp_path):
    assert_printed(printed(java["print_events"], env, lambda lines: len(lines) == len(published), tmp_path), published)


def test_kcat_rebuilds_every_case(kcat, env, cases):
    for wanted in cases:
        assert rebuilt(run([*kcat["rebuild_case"], wanted], env)) == {wanted: cases[wanted]}


def test_kcat_knows_no_case_that_is_not_there(kcat, env, desk):
    done = subprocess.run([*kcat["rebuild_case"], "nobody"], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 1 and not done.stdout


def test_kcat_prints_every_event(kcat, env, published):
    text = run([*kcat["print_events"], "-e"], env)
    assert set(re.findall(r"ce_id=([0-9a-f-]{36})", text)) == set(published)
    assert text.count("case_opened {") == 3


def test_python_prints_every_event_and_goes_on_where_it_stopped(python, env, published, kafka, desk, tmp_path):
    def all_confirmed(_):
        offsets = kafka.group_offsets("example.print-events.python", PREFIX + "mailcase.case.events.v1")
        return sum(offsets.values()) == len(published)
    assert_printed(printed(python["print_events"], env, all_confirmed, tmp_path), published)
    desk.casectl("case", "note", 1, text="One more.\n")
    more = printed(python["print_events"], env, len, tmp_path)
    assert more and not published.keys() & {event["ce_id"] for event in more}
