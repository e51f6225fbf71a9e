# SPDX-License-Identifier: Apache-2.0
"""`casectl audit`: clean after a day at the desk, and each thing that is broken on purpose is named by its rule."""

import subprocess

import pytest

from harness.letters import answer, bare, letter
from harness.programs import program
from harness.smtp_sink import SmtpSink
from harness.wait import wait_until
from harness.whole_desk import WholeDesk

CUSTOMERS = [f"customer{i}@client.example" for i in range(1, 6)]


class Desk(WholeDesk):
    """A whole desk whose database can be copied and broken."""

    copies = 0

    def audit(self, *options, url=None):
        """Findings and the summary."""
        done = subprocess.run([program("casectl"), "audit", "--json", *map(str, options)], text=True, capture_output=True,
                              env=self.env(**({"MAILCASE_DATABASE_URL": url} if url else {})), timeout=120, check=False)
        lines = self.parse_json(done.stdout)
        assert lines and "summary" in lines[-1], done.stdout + done.stderr
        assert done.returncode == (1 if lines[-1]["differences"] else 0), (lines, done.stderr)
        return lines[:-1], lines[-1]

    def broken(self, sql):
        """The URL of a copy of the database in which this was done."""
        Desk.copies += 1
        name = f"broken{Desk.copies}"
        own = self.url.rsplit("/", 1)[1]
        with self.postgres.connect() as db:
            db.execute(f'CREATE DATABASE "{name}" TEMPLATE "{own}"')
        url = self.postgres.url(name)
        with self.postgres.connect(url) as db:
            db.execute(sql)
        return url


@pytest.fixture(scope="module")
def sink():
    with SmtpSink() as running:
        yield running


@pytest.fixture(scope="module")
def desk(postgres, mail_servers, tmp_path_factory, sink):
    """A day at the desk, all services stopped after it."""
    with Desk(postgres, tmp_path_factory.mktemp("audit"), mail_servers, "audit.example") as demo:
        demo.set_up(sink.port, auto_reply="on")
        demo.start_all()
        openers = [letter(f"Customer <{address}>", demo.address, f"Question of {address}") for address in CUSTOMERS]
        for mail in openers:
            demo.box.deliver(mail.as_bytes())
        numbers = [demo.wait_case_of(bare(mail["Message-ID"])) for mail in openers]
        wait_until(lambda: all(demo.case(n)["assignee"] == "agent" for n in numbers), what="all are assigned")
        for number in numbers[:3]:
            demo.casectl("case", "reply", number, text="We are looking into it.\n")
        demo.casectl("case", "note", numbers[3], text="To be seen to.\n")
        demo.casectl("case", "close", numbers[0])
        for mail in openers[1:3]:
            demo.box.deliver(answer(mail, str(mail["From"])).as_bytes())
        demo.box.deliver(openers[4].as_bytes())  # the same once more
        demo.wait_settled(len(openers) + 3)
        wait_until(lambda: not demo.rows("SELECT 1 FROM outbound_copy WHERE state <> 'accepted'"), what="all is sent")
        demo.wait_settled(len(openers) + 3)
        demo.stop()
        demo.numbers = numbers
        yield demo


def told(findings):
    return {(f["finding"], f["rule"]) for f in findings if f["is_difference"]}


def test_a_day_at_the_desk_leaves_nothing_to_be_told(desk):
    findings, summary = desk.audit("--deep")
    assert not told(findings), findings
    assert summary["totals"]["mails"] == len(CUSTOMERS) + 3
    assert summary["totals"]["cases"] == len(CUSTOMERS)


def test_people_get_a_line_of_counts(desk):
    shown = desk.casectl("audit").stdout
    assert shown.splitlines()[-1].startswith("0 lost, 0 doubled, 0 unexplained, 0 inconsistent;")
    assert shown.splitlines()[-1].endswith("clean")


A_MAIL = "(SELECT id FROM intake WHERE state = 'case' ORDER BY id LIMIT 1)"
A_MESSAGE = "(SELECT message_id FROM intake WHERE state = 'case' ORDER BY id LIMIT 1)"
A_CASE = "(SELECT case_id FROM intake WHERE state = 'case' ORDER BY id LIMIT 1)"

BREAKAGES = {
    "a ledger row is gone": (f"DELETE FROM intake WHERE id = {A_MAIL}", ("unexplained", "message.ledger")),
    "a UID has two rows": ("ALTER TABLE intake DROP CONSTRAINT intake_folder_id_uidvalidity_uid_key;"
                           " INSERT INTO intake SELECT gen_random_uuid(), tenant_id, mailbox_id, folder_id, uidvalidity, uid,"
                           " 'filtered', '', blob_id, size, internal_date, noticed_at, received_at, decided_at, is_quiet FROM"
                           f" intake WHERE id = {A_MAIL}", ("doubled", "ledger.uid")),
    "a row lies beyond the cursor": ("UPDATE mailbox_folder SET last_uid = 1", ("inconsistent", "ledger.cursor")),
    "a message is gone": (f"DELETE FROM message WHERE id = {A_MESSAGE}", ("lost", "ledger.message")),
    "a message is in no case": (f"DELETE FROM case_message WHERE message_id = {A_MESSAGE}", ("lost", "ledger.case")),
    "a message is in two cases": ("INSERT INTO case_message (message_id, case_id, tenant_id, position, matched_by, created_at)"
                                  f" SELECT {A_MESSAGE}, id, tenant_id, message_count + 1, '', now() FROM case_file WHERE id <>"
                                  f" {A_CASE} LIMIT 1", ("doubled", "message.case")),
    "an identity twice": ("ALTER TABLE message DROP CONSTRAINT message_identity_key; UPDATE message SET identity ="
                          f" (SELECT identity FROM message WHERE id = {A_MESSAGE}) WHERE direction = 'in'",
                          ("doubled", "message.identity")),
    "raw mail is gone": ("DELETE FROM blob WHERE id = (SELECT min(blob_id::text)::uuid FROM intake)", ("lost", "ledger.blob")),
    "raw mail is not what came in": ("UPDATE blob SET bytes = set_byte(bytes, 10, 0) WHERE id ="
                                     " (SELECT min(blob_id::text)::uuid FROM intake)", ("inconsistent", "blob.sha256")),
    "a version is gone": (f"DELETE FROM case_event WHERE case_id = {A_CASE} AND version = 2", ("lost", "case.version")),
    "a fact is gone": (f"DELETE FROM case_event WHERE case_id = {A_CASE} AND version = 1 AND ordinal = 1",
                       ("lost", "case.ordinal")),
    "the last version is gone": (f"DELETE FROM case_event e USING case_file c WHERE c.id = {A_CASE} AND e.case_id = c.id"
                                 " AND e.version = c.version", ("lost", "case.version")),
    "a case is gone": (f"DELETE FROM case_file WHERE id = {A_CASE}", ("lost", "case.row")),
    "a timeline is gone": (f"DELETE FROM case_event WHERE case_id = {A_CASE}", ("lost", "case.version")),
    "a case has another owner": (f"UPDATE case_file SET assignee_id = NULL WHERE id = {A_CASE}", ("inconsistent", "case.row")),
    "a case counts wrong": (f"UPDATE case_file SET message_count = 9 WHERE id = {A_CASE}", ("inconsistent", "case.row")),
    "a case is closed and no fact says so": ("UPDATE case_file SET state = 'closed', closed_at = now() WHERE id = (SELECT id"
                                             " FROM case_file WHERE state = 'open' LIMIT 1)", ("inconsistent", "case.row")),
    "two cases have one number": ("ALTER TABLE case_file DROP CONSTRAINT case_file_number_tenant_id_key; UPDATE case_file SET"
                                  " number = 1", ("doubled", "case.number")),
    "the outbox tells of what never was": ("INSERT INTO outbox (ce_id, tenant_id, topic, key, key_hash, type, subject, sequence,"
                                           " value) SELECT gen_random_uuid(), tenant_id, 'mailcase.case.events.v1', id::text, 0,"
                                           " '', id::text, 99, '' FROM case_file LIMIT 1", ("unexplained", "outbox.about")),
}


@pytest.mark.parametrize("what", BREAKAGES)
def test_what_is_broken_is_named(desk, what):
    sql, expected = BREAKAGES[what]
    findings, _ = desk.audit(url=desk.broken(sql))
    assert expected in told(findings), findings
