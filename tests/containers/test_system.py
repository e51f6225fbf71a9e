# SPDX-License-Identifier: Apache-2.0
"""The whole system in containers: the demo, more of a service, restarts of everything while mail passes, both buses."""

import email
import imaplib
import json
import re
import smtplib
import threading
import time
from contextlib import contextmanager
from email import policy

import pytest

from harness.letters import bare, letter
from harness.wait import wait_until
from stack import SERVICES, Stack

SUPPORT, CUSTOMER, AGENT = "support@demo.example", "customer@client.example", "agent@demo.example"
IMAP_PORT, SMTP_PORT = 25000, 25002
MAILS = 500
FOLLOW_UPS = MAILS // 5
WAITING = ("received", "retrying", "action_needed")


class Demo(Stack):
    """With the profile demo: its mail servers as a customer and an agent use them."""

    @contextmanager
    def smtp(self):
        with self.engine.in_network():
            connection = smtplib.SMTP("127.0.0.1", SMTP_PORT, timeout=30)
        with connection:
            yield connection

    def send(self, mail):
        with self.smtp() as smtp:
            smtp.sendmail(mail["From"], [SUPPORT], mail.as_bytes())
        return mail

    def mails(self, address):
        """The mails in a mailbox that has a password, oldest first."""
        password = (self.folder / "secrets" / "demo-password").read_text(encoding="utf-8").strip()
        with self.engine.in_network():
            imap = imaplib.IMAP4("127.0.0.1", IMAP_PORT, timeout=30)
        with imap:
            imap.login(address, password)
            imap.select("INBOX", readonly=True)
            _, parts = imap.fetch("1:*", "(BODY.PEEK[])")
            return [email.message_from_bytes(part[1], policy=policy.default) for part in parts if isinstance(part, tuple)]

    def delivered(self):
        """(mailbox, Message-ID) of every mail in any mailbox but ours."""
        script = """cd /var/lib/mailcase/mail && find . -type f -path '*/Maildir/[nc]*/*' ! -path './demo.example/support/*' -print0 |
            xargs -0 -r grep -i -m 1 -H '^Message-ID:'"""
        found = self.engine.docker("exec", self.container("demo-mail"), "bash", "-c", script).stdout
        return re.findall(r"^\./(.*)/Maildir/.*:Message-ID: *(\S+)", found, re.MULTILINE | re.IGNORECASE)

    def wait_desk(self):
        """The demo's desk has sent the samples and has seen what came of them."""
        def ended():
            state = self.engine.inspect(self.containers("demo-desk")[0])["State"]
            return state["Status"] == "exited" and state
        state = wait_until(ended, 120, lambda: f"the desk is done: {self.logs('demo-desk')}", 0.2)
        assert state["ExitCode"] == 0, self.logs("demo-desk")
        return self.logs("demo-desk")

    def wait_settled(self, mails, seconds=120):
        """Every mail is decided, everything told, every copy sent."""
        waiting = ", ".join(f"'{state}'" for state in WAITING)
        query = f"""SELECT (SELECT count(*) FROM intake) AS mails,
            (SELECT count(*) FROM intake WHERE state IN ({waiting})) AS undecided, (SELECT count(*) FROM outbox) AS unsent,
            (SELECT count(*) FROM outbound_copy WHERE state NOT IN ('accepted', 'unknown', 'failed', 'bounced')) AS unsent_copies"""
        last = {}

        def settled():
            last.update(self.rows(query)[0])
            return last["mails"] >= mails and not any(v for k, v in last.items() if k != "mails") and self.lag() == 0
        wait_until(settled, seconds, lambda: f"{mails} mails settled: {last}, lag {self.lag()}\n{self.troubles(30)}", 0.5)

    def lag(self):
        return sum(row["lag"] for row in self.casectl_json("lag"))


@pytest.fixture(scope="module")
def demo(images):
    with Demo(images, "mailcase-demo", MAILCASE_SMTP_CONNECTIONS="16") as stack:
        stack.up()
        yield stack


def test_the_demo_answers_and_tells(demo):
    said = demo.wait_desk()
    assert "mailcase is ready" in said
    demo.wait_healthy()
    assert len(demo.casectl_json("case", "list")) == 5
    assert demo.value("SELECT count(*) FROM case_message") == 6
    assert [mail["Subject"].split("] ")[1] for mail in demo.mails(CUSTOMER)] == ["We have received your message"]
    assert demo.mails(AGENT)


def test_settings_of_the_env_file_reach_the_programs(demo):
    assert demo.engine.docker("exec", demo.container("notifier"), "printenv", "MAILCASE_SMTP_CONNECTIONS").stdout == "16\n"
    assert demo.engine.docker("exec", demo.container("fetcher"), "printenv", "MAILCASE_BATCH_MAX", check=False).stdout == ""
    assert '"bus":"kafka"' in demo.logs("router")


def test_a_mail_goes_through_the_whole_system(demo):
    mail = demo.send(letter("whole@client.example", SUPPORT, "Through the whole system"))

    def case():
        done = demo.engine.docker("exec", demo.container("router"), "casectl", "where-is", "--message-id", bare(mail["Message-ID"]),
                                  "--json", check=False)
        return next((row["case"] for row in map(json.loads, done.stdout.splitlines()) if row["case"]), None)
    number = wait_until(case, 30, lambda: f"its case\n{demo.troubles(20)}", 0.2)
    wait_until(lambda: [m for m in demo.delivered() if m[0] == "client.example/whole"], 30, "the automatic reply", 0.2)
    demo.casectl("case", "reply", number, "--as", "agent", "--text", "We are looking into it.")
    wait_until(lambda: len([m for m in demo.delivered() if m[0] == "client.example/whole"]) == 2, 30, "the agent's reply", 0.2)


def test_administration_as_the_manual_has_it(demo):
    shown = demo.compose("run", "--rm", "-T", "casectl", "--tenant", "demo", "case", "list").stdout
    assert "Through the whole system" in shown
    demo.compose("run", "--rm", "-T", "casectl", "health")


def test_the_services_scale(demo):
    demo.up("--no-recreate", "--scale", "fetcher=2", "--scale", "threader=2", *SERVICES)
    demo.wait_healthy("fetcher", "threader", count=2)
    owners = "SELECT count(DISTINCT owner) FROM lease WHERE kind = 'mailbox' AND expires > clock_timestamp()"
    assert demo.value(owners) == 1, "one mailbox has one fetcher"

    def threaders():
        return len({row["owner"] for row in demo.casectl_json("lag") if row["group"].endswith("threader") and row["owner"]})
    wait_until(lambda: threaders() == 2, 60, lambda: f"two threaders share the partitions: {demo.casectl('lag', '--all')}", 0.5)


class Sender(threading.Thread):
    """Sends its mails one after another, spread over so many seconds."""

    def __init__(self, demo, mails, seconds):
        super().__init__()
        self.demo, self.pending, self.seconds, self.failure = demo, mails, seconds, None

    def run(self):
        try:
            with self.demo.smtp() as smtp:
                begun = time.monotonic()
                for n, mail in enumerate(self.pending):
                    smtp.sendmail(mail["From"], [SUPPORT], mail.as_bytes())
                    # This is a pace, not a wait for something.
                    time.sleep(max(0.0, begun + (n + 1) * self.seconds / len(self.pending) - time.monotonic()))
        except (OSError, smtplib.SMTPException) as why:
            self.failure = why


def five_hundred():
    """400 customers of 25 domains who open a case; every fourth of them writes again."""
    openers = [letter(f"customer{n}@client{n % 25}.example", SUPPORT, f"Restarts {n}") for n in range(MAILS - FOLLOW_UPS)]
    mails = []
    for n, mail in enumerate(openers):
        mails.append(mail)
        if n % 4 == 3:
            earlier = openers[n - 3]
            mails.append(letter(earlier["From"], SUPPORT, f"Re: {earlier['Subject']}", "And more.\n", answers=earlier))
    assert len(mails) == MAILS
    return mails


def test_everything_is_restarted_while_mail_passes(demo):
    before = demo.rows("SELECT (SELECT count(*) FROM intake) AS mails, (SELECT count(*) FROM case_file) AS cases")[0]
    targets = [*SERVICES, "postgres", "kafka"]
    mails = five_hundred()
    share = -(-len(mails) // len(targets))
    for n, target in enumerate(targets):
        sender = Sender(demo, mails[n * share:(n + 1) * share], 3)
        sender.start()
        demo.compose("restart", "-t", "30", target)
        sender.join(60)
        assert not sender.is_alive() and sender.failure is None, sender.failure
        demo.wait_healthy(target)
        if target in SERVICES:
            # A container that runs again has no exit status: the service's own last lines tell how it ended.
            said = demo.logs(target)
            assert said.count('"service.stopped"') >= len(demo.containers(target)) and '"service.overdue"' not in said, \
                f"{target} ended in time\n{demo.troubles(30)}"
    demo.wait_healthy()
    demo.wait_settled(before["mails"] + MAILS)
    check_exactly_once(demo, mails, before)


def check_exactly_once(demo, mails, before):
    assert demo.value("SELECT count(*) FROM intake") == before["mails"] + MAILS
    assert demo.value("SELECT count(*) FROM dead_letter") == 0
    rows = demo.rows("""SELECT m.message_id, count(*) AS times, min(c.case_id::text) AS case, count(c.case_id) AS cases
        FROM message m LEFT JOIN case_message c ON c.message_id = m.id WHERE m.direction = 'in' GROUP BY m.message_id""")
    found = {row["message_id"]: row for row in rows}
    wrong = [(mail["Message-ID"], found.get(bare(mail["Message-ID"]))) for mail in mails
             if (lambda row: not row or row["times"] != 1 or row["cases"] != 1)(found.get(bare(mail["Message-ID"])))]
    assert wrong == []
    for mail in mails:
        if mail["In-Reply-To"]:
            assert found[bare(mail["Message-ID"])]["case"] == found[bare(mail["In-Reply-To"])]["case"]
    assert demo.value("SELECT count(*) FROM case_file") == before["cases"] + MAILS - FOLLOW_UPS

    states = demo.rows("SELECT state, reply_text, count(*) AS copies FROM outbound_copy GROUP BY 1, 2 ORDER BY 1, 2")
    assert {row["state"] for row in states} == {"accepted"}, f"{states}\n{demo.logs('notifier')[-3000:]}"
    wanted = demo.value("SELECT count(*) FROM outbound_copy")
    wait_until(lambda: len(demo.delivered()) >= wanted, 60, lambda: f"{wanted} mails delivered, there are {len(demo.delivered())}", 0.5)
    delivered = demo.delivered()
    assert len(set(delivered)) == len(delivered) == wanted, "every copy once"
    answered = [mailbox for mailbox, _ in delivered if mailbox.split("/")[1].removeprefix("customer").isdigit()]
    assert len(answered) == len(set(answered)) == MAILS - FOLLOW_UPS, "every customer one automatic reply"


def test_the_bus_in_postgresql_with_compose_v2(images, compose_v2):
    """The smallest system, by the other docker-compose: PostgreSQL and the services."""
    with Demo(images, "mailcase-small", compose_v2, MAILCASE_BUS="postgres", KAFKA_SCALE="0", DEMO_IMAP_PORT="26000",
              DEMO_SMTP_PORT="26002") as stack:
        stack.up()
        assert "mailcase is ready" in stack.wait_desk()
        assert stack.containers("kafka") == [] and '"bus":"postgres"' in stack.logs("router")
        assert len(stack.casectl_json("case", "list")) == 5
        assert "engine postgres" in stack.compose("run", "--rm", "-T", "casectl", "health").stdout
        stack.up("--no-recreate", "--scale", "fetcher=2")
        stack.wait_healthy("fetcher", count=2)
