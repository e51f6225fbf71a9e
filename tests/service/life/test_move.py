# SPDX-License-Identifier: Apache-2.0
"""The whole desk goes from one engine of the bus to the other and back while mail comes in: no mail is lost, none is sent
twice, and every case's versions are on the two engines together without a gap."""

import threading
from collections import Counter

import pytest

from harness.letters import answer, bare, letter
from harness.smtp_sink import SmtpSink
from harness.wait import wait_until
from harness.whole_desk import WholeDesk

pytestmark = pytest.mark.engines("kafka")  # both are there only where a broker is

MAILS_A_SECOND = 10
DECIDED = "SELECT count(*) FROM intake WHERE state IN ('case', 'attached')"
SENDING = "SELECT EXISTS (SELECT FROM outbound_copy WHERE state IN ('queued', 'sending'))"


class Customers(threading.Thread):
    """Each writes once, and answers his own mail some mails later; until told to stop."""

    def __init__(self, desk):
        super().__init__(daemon=True)
        self.desk, self.ended = desk, threading.Event()
        self.openers, self.answers = [], []

    def run(self):
        while not self.ended.wait(1 / MAILS_A_SECOND):
            count = len(self.openers)
            if count % 3 == 2 and len(self.answers) < count // 3:
                opener = self.openers[len(self.answers)]
                mail = answer(opener, str(opener["From"]))
                self.answers.append(mail)
            else:
                mail = letter(f"c{count}@client{count % 7}.example", self.desk.address, f"Question {count}")
                self.openers.append(mail)
            self.desk.box.deliver(mail.as_bytes())

    def stop(self):
        self.ended.set()
        self.join()
        return len(self.openers) + len(self.answers)


@pytest.fixture
def desk(postgres, mail_servers, tmp_path):
    with SmtpSink() as sink, WholeDesk(postgres, tmp_path, mail_servers, "move.example", settings={"MAILCASE_BUS": "postgres"}) as demo:
        demo.sink = sink
        demo.set_up(sink.port)
        yield demo


def wait_decided(desk, more, seconds=60):
    wanted = desk.value(DECIDED) + more
    wait_until(lambda: desk.value(DECIDED) >= wanted, seconds, lambda: f"{wanted} mails in cases: {desk.value(DECIDED)}; {desk.troubles()}")


def move(desk, engine, order):
    """As docs/operations.md tells it; `order` is that of the restarts."""
    told = desk.casectl("bus", "move", engine).stdout
    assert told.startswith(f"the bus is {engine} now"), told
    # Mail goes on coming in: it waits in the outbox for the first service of the new engine.
    wait_until(lambda: desk.unsent() >= 5, 30, "mail that waits in the outbox")
    wait_until(lambda: all(service.logs("relay.other_engine") for service in desk.services), what="all relays stand by")
    desk.settings["MAILCASE_BUS"] = engine
    for name in order:
        desk.stop(desk.service(name))
        desk.start(name)


def test_there_and_back_while_mail_comes_in(desk):
    desk.start_all()
    customers = Customers(desk)
    customers.start()
    try:
        wait_decided(desk, 30)
        move(desk, "kafka", ["notifier", "threader", "router", "fetcher"])
        wait_decided(desk, 30)
        move(desk, "postgres", ["fetcher", "router", "threader", "notifier"])
        wait_decided(desk, 30)
        move(desk, "kafka", ["threader", "fetcher", "notifier", "router"])
        wait_decided(desk, 30)
    finally:
        mails = customers.stop()
    desk.wait_settled(mails, seconds=120)
    desk.wait_caught_up(busy=SENDING)
    check_mails(desk, customers)
    check_sent(desk, customers)
    check_versions(desk)


def check_mails(desk, customers):
    states = {row["state"]: row["n"] for row in desk.rows("SELECT state, count(*) AS n FROM intake GROUP BY 1")}
    assert states == {"case": len(customers.openers), "attached": len(customers.answers)}
    cases = {row["message_id"]: row["case_id"] for row in desk.rows(
        "SELECT m.message_id, c.case_id FROM message m JOIN case_message c ON c.message_id = m.id WHERE m.direction = 'in'")}
    for mail in customers.answers:
        assert cases[bare(mail["Message-ID"])] == cases[bare(mail["In-Reply-To"])]
    assert desk.value("SELECT count(*) FROM case_file WHERE assignee_id IS NULL") == 0
    assert desk.value("SELECT count(*) FROM dead_letter") == 0


def check_sent(desk, customers):
    """The sink has each copy that the database says was accepted, once, and nothing else."""
    accepted = Counter((bare(m.mail["Message-ID"]), to) for m in desk.sink.messages for to in m.recipients)
    assert not [copy for copy, times in accepted.items() if times > 1]
    copies = desk.rows("SELECT o.header_id, c.recipient, c.state FROM outbound_copy c JOIN outbound_message o ON o.id = c.outbound_id")
    assert {row["state"] for row in copies} == {"accepted"}
    assert set(accepted) == {(row["header_id"], row["recipient"]) for row in copies} and len(accepted) == len(copies)
    replies = Counter(bare(m.mail["In-Reply-To"]) for m in desk.sink.messages if m.mail["Auto-Submitted"] == "auto-replied")
    assert replies == Counter(bare(mail["Message-ID"]) for mail in customers.openers)


def check_versions(desk):
    """Of both engines together no version is missing. What a relay had on its way when it was stopped may come twice: it is
    the same record then, and first occurrences come in order."""
    found, repeats = {}, []
    for engine in ("postgres", "kafka"):
        events = desk.events(engine=engine)
        assert len(events) > 60, engine
        last = {}
        for event in events:
            case, version, place = event["ce_subject"], event["ce_sequence"], (engine, event["partition"], event["offset"])
            known = found.setdefault(case, {}).setdefault(version, (event["ce_id"], place))
            if known[1] != place:
                repeats.append((case, version, known[1], place))
                assert known[0] == event["ce_id"]
            else:
                assert last.get(case, 0) < version
                last[case] = version
    print(f"repeats: {repeats}")
    versions = {str(row["id"]): row["version"] for row in desk.rows("SELECT id, version FROM case_file")}
    assert {case: sorted(seen) for case, seen in found.items()} == {case: list(range(1, n + 1)) for case, n in versions.items()}
