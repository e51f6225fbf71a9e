# SPDX-License-Identifier: Apache-2.0
"""`casectl audit`: clean after a day at the desk, and each thing that is broken on purpose is named by its rule."""

import json
import os

import pytest

from harness.letters import answer, bare, letter
from harness.smtp_sink import SmtpSink
from harness.wait import wait_until
from harness.whole_desk import WholeDesk

CUSTOMERS = [f"customer{i}@client.example" for i in range(1, 6)]


class Desk(WholeDesk):
    """A whole desk whose database can be copied and broken."""

    copies = 0

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
    assert summary["totals"]["server_mails"] == len(CUSTOMERS) + 3


def test_people_get_a_line_of_counts(desk):
    shown = desk.casectl("audit").stdout
    assert shown.splitlines()[-1].startswith("0 lost, 0 doubled, 0 unexplained, 0 inconsistent;")
    assert shown.splitlines()[-1].endswith("clean")


A_MAIL = "(SELECT id FROM intake WHERE state = 'case' ORDER BY id LIMIT 1)"
A_MESSAGE = "(SELECT message_id FROM intake WHERE state = 'case' ORDER BY id LIMIT 1)"
A_CASE = "(SELECT case_id FROM intake WHERE state = 'case' ORDER BY id LIMIT 1)"

BREAKAGES = {
    "a ledger row is gone": (f"DELETE FROM intake WHERE id = {A_MAIL}", ("unexplained", "message.ledger")),
    "a mail on the server has no row": (f"DELETE FROM intake WHERE id = {A_MAIL}", ("lost", "server.uid")),
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
    "what is published is not in the timeline": (f"DELETE FROM case_event WHERE case_id = {A_CASE} AND version = 2",
                                                 ("unexplained", "published.unknown")),
    "what is published is not in the ledger": (f"DELETE FROM intake WHERE id = {A_MAIL}", ("unexplained", "published.unknown")),
    "the timeline has another fact": ("UPDATE case_event SET data = data || jsonb_build_object('reason', 'other') WHERE case_id ="
                                      f" {A_CASE} AND version = 2",
                                      ("inconsistent", "published.content")),
    "the ledger has another time": (f"UPDATE intake SET received_at = received_at + interval '1 s' WHERE id = {A_MAIL}",
                                    ("inconsistent", "published.content")),
    "a version was never published": (f"INSERT INTO case_event SELECT case_id, version + 1, 0, tenant_id, 'followed', author_kind,"
                                      f" author_id, cause, hop, '{{}}', NULL, created_at FROM case_event WHERE case_id = {A_CASE}"
                                      " ORDER BY version DESC LIMIT 1; UPDATE case_file SET version = version + 1 WHERE id ="
                                      f" {A_CASE}", ("lost", "published.missing")),
    "a copy twice": ("ALTER TABLE outbound_copy DROP CONSTRAINT outbound_copy_outbound_id_recipient_key; INSERT INTO outbound_copy"
                     " SELECT gen_random_uuid(), tenant_id, outbound_id, outbound_mailbox_id, recipient, role, state, attempts,"
                     " next_attempt_at, owner, epoch, expires, reply_code, reply_text, changed_at FROM outbound_copy LIMIT 1",
                     ("doubled", "copy.once")),
    "a mail of ours twice": ("DROP INDEX outbound_once; DROP INDEX outbound_one_auto_reply; INSERT INTO outbound_message SELECT"
                             " gen_random_uuid(), tenant_id, serial + 1000, case_id, case_version, audience, kind, reason, user_id,"
                             " message_id, outbound_mailbox_id, mailbox_reason, 'other@id', envelope_from, bytes, created_at FROM"
                             " outbound_message LIMIT 1", ("doubled", "outbound.once")),
    "a copy that its case knows otherwise": ("UPDATE outbound_copy SET state = 'failed' WHERE id = (SELECT id FROM outbound_copy"
                                             " LIMIT 1)", ("inconsistent", "copy.state")),
    "an accepted copy is due again": ("UPDATE outbound_copy SET state = 'queued' WHERE id = (SELECT id FROM outbound_copy LIMIT 1)",
                                      ("inconsistent", "copy.state")),
    "a copy is gone": ("DELETE FROM outbound_copy WHERE id = (SELECT id FROM outbound_copy LIMIT 1)", ("lost", "copy.row")),
    "a notice that nobody planned": ("DELETE FROM case_event WHERE kind = 'notice_planned'", ("unexplained", "outbound.fact")),
    "a mail that is decided by nobody": (f"UPDATE intake SET state = 'received', decided_at = NULL WHERE id = {A_MAIL}",
                                         ("unexplained", "ledger.waiting")),
    "a lease without an end": ("INSERT INTO lease (kind, name, owner, epoch, expires) VALUES ('relay', 'x', 'x', 1, now() +"
                               " interval '1 day')", ("inconsistent", "lease.expires")),
}
if (os.environ.get("BUS") or "postgres") == "postgres":
    # The records of the embedded engine can be reached by SQL.
    A_RECORD = "(SELECT min(ctid) FROM bus_log WHERE topic = 'mailcase.case.events.v1' AND sequence = 2)"
    AGAIN = ("INSERT INTO bus_log SELECT l.topic, l.partition, p.next_offset, {ce_id}, l.tenant_id, l.key, l.type, l.subject,"
             " l.sequence, l.traceparent, {value}, l.created_at FROM bus_log l JOIN bus_partition p USING (topic, partition) WHERE"
             f" l.ctid = {A_RECORD}; UPDATE bus_partition p SET next_offset = (SELECT max(log_offset) + 1 FROM bus_log l WHERE"
             " l.topic = p.topic AND l.partition = p.partition) WHERE EXISTS (SELECT FROM bus_log l WHERE l.topic = p.topic AND"
             " l.partition = p.partition); UPDATE bus_position g SET next_offset = p.next_offset FROM bus_partition p WHERE"
             " p.topic = g.topic AND p.partition = g.partition")
    BREAKAGES.update({
        "a record is gone": (f"DELETE FROM bus_log WHERE ctid = {A_RECORD}", ("lost", "published.missing")),
        "the log has a hole": (f"DELETE FROM bus_log WHERE ctid = {A_RECORD}", ("lost", "bus.log")),
        "a mail's record is gone": ("DELETE FROM bus_log WHERE ctid = (SELECT min(ctid) FROM bus_log WHERE topic ="
                                    " 'mailcase.mail.received.v1')", ("lost", "published.missing")),
        "a record under another id": (AGAIN.format(ce_id="gen_random_uuid()", value="l.value"), ("doubled", "published.record")),
        "a record with other bytes": (AGAIN.format(ce_id="l.ce_id", value="l.value || '\\xf80101'::bytea"),
                                      ("doubled", "published.record")),
        "an id for two records": ("UPDATE bus_log SET ce_id = (SELECT min(ce_id::text)::uuid FROM bus_log WHERE topic ="
                                  " 'mailcase.case.events.v1') WHERE topic = 'mailcase.case.events.v1'",
                                  ("doubled", "published.ce_id")),
        "records out of order": ("UPDATE bus_log SET log_offset = -1 - log_offset; UPDATE bus_log l SET log_offset = p.next_offset +"
                                 " log_offset FROM bus_partition p WHERE p.topic = l.topic AND p.partition = l.partition",
                                 ("inconsistent", "published.order")),
        "a record that nobody can read": (f"UPDATE bus_log SET value = 'x' WHERE ctid = {A_RECORD}",
                                          ("unexplained", "published.record")),
        "a record that contradicts itself": (f"UPDATE bus_log SET sequence = 77 WHERE ctid = {A_RECORD}",
                                             ("unexplained", "published.record")),
        "a position past the end": ("UPDATE bus_position SET next_offset = next_offset + 1", ("inconsistent", "bus.position")),
    })


@pytest.mark.parametrize("what", BREAKAGES)
def test_what_is_broken_is_named(desk, what):
    sql, expected = BREAKAGES[what]
    findings, _ = desk.audit(url=desk.broken(sql))
    assert expected in told(findings), findings


@pytest.mark.engines("postgres")  # where a test can write to the log
def test_a_record_that_came_twice_is_no_difference(desk):
    findings, summary = desk.audit(url=desk.broken(AGAIN.format(ce_id="l.ce_id", value="l.value")))
    assert not told(findings), findings
    assert summary["totals"]["records_repeated"] == 1


@pytest.mark.engines("postgres")  # the brokers trim by themselves
def test_a_beginning_that_was_trimmed_is_said_and_is_no_loss(desk):
    findings, _ = desk.audit(url=desk.broken(
        "DELETE FROM bus_log WHERE log_offset < 3; UPDATE bus_partition SET first_offset = least(3, next_offset)"))
    assert not told(findings), findings
    assert ("noted", "published.trimmed") in {(f["finding"], f["rule"]) for f in findings}


def accepted_file(sink, tmp_path, extra=()):
    path = tmp_path / "accepted"
    lines = sink.accepted()
    path.write_text("".join(f"{line}\n" for line in [*lines, *extra]), encoding="utf-8")
    return path, lines


def test_what_the_server_accepted_is_what_was_sent(desk, sink, tmp_path):
    path, lines = accepted_file(sink, tmp_path)
    findings, summary = desk.audit("--accepted", path)
    assert not told(findings), findings
    assert summary["totals"]["accepted"] == len(lines) > 0
    path.write_text("".join(json.dumps(dict(zip(("message_id", "recipient"), line.split("\t")))) + "\n" for line in lines),
                    encoding="utf-8")
    assert not told(desk.audit("--accepted", path)[0])


def test_a_mail_that_was_accepted_twice_or_never_is_named(desk, sink, tmp_path):
    path, lines = accepted_file(sink, tmp_path)
    path.write_text("\n".join([*lines, lines[0]]), encoding="utf-8")
    assert told(desk.audit("--accepted", path)[0]) == {("doubled", "accepted.once")}
    path.write_text("\n".join(lines[1:]), encoding="utf-8")
    assert told(desk.audit("--accepted", path)[0]) == {("lost", "accepted.missing")}
    path.write_text("\n".join([*lines, "<other@id>\tsomebody@client.example"]), encoding="utf-8")
    assert told(desk.audit("--accepted", path)[0]) == {("unexplained", "accepted.unknown_mail")}


def test_an_unknown_copy_excuses_a_second_acceptance(desk, sink, tmp_path):
    path, lines = accepted_file(sink, tmp_path)
    path.write_text("\n".join([*lines, lines[0]]), encoding="utf-8")
    url = desk.broken("UPDATE outbound_copy SET state = 'unknown'; UPDATE case_event SET data = data || jsonb_build_object('to',"
                      " 'unknown') WHERE kind = 'copy_state_changed'")
    findings, summary = desk.audit("--accepted", path, url=url)
    assert told(findings) == {("inconsistent", "published.content")}, findings
    assert summary["rules"]["accepted.unknown"] == 1
    assert summary["totals"]["accepted_unknown"] == summary["totals"]["copies_unknown"] > 0


def test_a_mail_whose_threader_stands_still_waits_and_is_explained(postgres, mail_servers, tmp_path, sink):
    with Desk(postgres, tmp_path, mail_servers, "auditwait.example") as demo:
        demo.set_up(sink.port)
        demo.start("fetcher")
        demo.box.deliver(letter("a@client.example", demo.address, "Hello").as_bytes())
        demo.wait_rows("SELECT 1 FROM intake")
        wait_until(lambda: not demo.rows("SELECT 1 FROM outbox"), what="its record is published")
        findings, summary = demo.audit()
        assert not told(findings), findings
        waits = {f["rule"]: f["text"] for f in findings if f["finding"] == "waits"}
        assert "nobody reads it" in waits["ledger.waiting"], findings
        assert "threader" in waits["bus.unread"]
        assert summary["totals"]["mails_waiting"] == 1
        demo.start("threader")
        demo.wait_rows("SELECT 1 FROM intake WHERE state = 'case'")
        assert not told(demo.audit()[0])


def test_a_mail_that_nobody_has_fetched_waits(postgres, mail_servers, tmp_path, sink):
    with Desk(postgres, tmp_path, mail_servers, "auditnew.example") as demo:
        demo.set_up(sink.port)
        fetcher = demo.start("fetcher")
        demo.wait_mailbox("ok")
        wait_until(lambda: demo.rows("SELECT 1 FROM mailbox_folder WHERE uidvalidity IS NOT NULL"), what="the folder was opened")
        demo.stop(fetcher)
        demo.box.deliver(letter("a@client.example", demo.address, "Hello").as_bytes())
        findings, summary = demo.audit()
        assert not told(findings), findings
        assert [f["text"] for f in findings if f["rule"] == "server.uid" and "no fetcher has it" in f["text"]], findings
        assert summary["totals"]["server_mails"] == 1


def test_a_server_that_cannot_be_asked_is_noted(desk):
    findings, _ = desk.audit(url=desk.broken("UPDATE mailbox SET port = 1"))
    assert not told(findings), findings
    assert ("noted", "server.asked") in {(f["finding"], f["rule"]) for f in findings}
    findings, _ = desk.audit("--server", "off")
    assert ("noted", "server.asked") in {(f["finding"], f["rule"]) for f in findings}
