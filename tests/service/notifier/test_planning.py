# SPDX-License-Identifier: Apache-2.0
"""Who hears of what: auto-replies and notices, their budgets and reasons, and records that come again."""

import re
import sys
from pathlib import Path

import pytest

from harness.wait import wait_until
from scripted_smtp import ScriptedSmtp
from outbound_desk import parsed

sys.path.insert(0, str(Path(__file__).parent.parent / "threader"))
from desk import STAFF, SUPPORT, Desk, letter  # noqa: E402

ANNA, BOB = "anna@client.example", "bob@client.example"


@pytest.fixture(name="server")
def make_server():
    with ScriptedSmtp() as server:
        yield server


def open_desk(postgres, folder, server, **settings):
    desk = Desk(postgres, folder, settings)
    desk.__enter__()
    desk.casectl("outbound-mailbox", "set", "out", "--host", "127.0.0.1", "--port", server.port, "--tls", "clear",
                 "--sender-name", "Demo Support")
    desk.start("threader", "notifier")
    return desk


@pytest.fixture(name="desk")
def make_desk(postgres, tmp_path, server):
    desk = open_desk(postgres, tmp_path, server)
    yield desk
    desk.check_consistent()
    desk.__exit__(None, None, None)


def quiet(desk):
    """Until all groups are through and nothing is due."""
    desk.wait_caught_up("notifier", busy="SELECT EXISTS (SELECT FROM outbound_copy WHERE state IN ('queued', 'sending'))")


def facts(desk, kind):
    return desk.rows("SELECT e.*, f.number FROM case_event e JOIN case_file f ON f.id = e.case_id WHERE e.kind = %s"
                     " ORDER BY f.number, e.version, e.ordinal", kind)


def suppressed(desk):
    return [row["data"]["suppressed_by"] for row in facts(desk, "notice_suppressed")]


def table_digest(desk):
    return {table: desk.value(f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t")
            for table in ("case_file", "case_event", "notification", "outbound_message", "outbound_copy")}


@pytest.mark.smoke
def test_one_auto_reply_with_the_number_and_without_the_senders_words(desk, server):
    desk.thread([letter(ANNA, "Buy pills now", "root@client.example", body="Visit http://spam.example")])
    wait_until(lambda: server.to(ANNA), 30, lambda: f"the auto-reply; {desk.troubles()}")
    [mail] = server.to(ANNA)
    reply = parsed(mail)
    assert mail["sender"] == ""
    assert re.match(r"\[#\d+\] We have received your message$", reply["Subject"])
    assert reply["From"] == f'Demo Support <{SUPPORT}>' and reply["To"] == ANNA
    assert reply["In-Reply-To"] == "<root@client.example>" and "<root@client.example>" in reply["References"]
    assert reply["Auto-Submitted"] == "auto-replied" and reply["X-Auto-Response-Suppress"] == "All"
    token = re.match(r"<([a-z2-7]{40})@example\.test>$", reply["Message-ID"])[1]
    assert reply["X-Mailcase-Token"] == token
    assert "pills" not in mail["raw"].decode() and "spam" not in mail["raw"].decode()
    quiet(desk)
    [fact] = facts(desk, "notice_planned")
    opened = facts(desk, "case_opened")[0]
    assert fact["data"]["kind"] == "auto_reply" and fact["hop"] == opened["hop"] + 1 and fact["cause"] == opened["cause"]
    # The answer to it joins the case and gets no second one.
    desk.thread([letter(ANNA, f"Re: {reply['Subject']}", "second@client.example",
                        headers=[f"In-Reply-To: {reply['Message-ID']}"])])
    assert desk.place("second@client.example")["matched_by"] == "token"
    quiet(desk)
    assert len(server.to(ANNA)) == 1


def test_who_gets_none_and_why(desk, server):
    desk.thread([letter(ANNA, "One", "auto@client.example", headers=["Auto-Submitted: auto-generated"]),
                 letter("no-reply@client.example", "Two", "two@client.example"),
                 letter(SUPPORT, "Three", "three@client.example")])
    desk.thread([letter(BOB, "Old", "old@client.example")], quiet=True)
    quiet(desk)
    assert sorted(suppressed(desk)) == ["automatic_mail", "own_address", "unattended_address"]
    assert not server.accepted
    desk.casectl("mailbox", "set", SUPPORT, "--sender-trust", "strict")
    desk.thread([letter(BOB, "Five", "five@client.example")])
    quiet(desk)
    assert suppressed(desk)[-1] == "sender_unknown" and not server.accepted
    # Whom an agent has answered is known.
    number = desk.place("five@client.example")["number"]
    desk.casectl("case", "reply", number, "--text", "Hello.", user="agent")
    wait_until(lambda: server.to(BOB), 30, "the answer")
    desk.thread([letter(BOB, "Six", "six@client.example")])
    wait_until(lambda: len(server.to(BOB)) == 2, 30, "an auto-reply to one who is known")


def test_budgets(postgres, tmp_path, server):
    desk = open_desk(postgres, tmp_path, server, MAILCASE_AUTO_REPLY_ADDRESS_BURST="3", MAILCASE_AUTO_REPLY_DOMAIN_BURST="5")
    try:
        desk.thread([letter(ANNA, f"Mail {i}", f"a{i}@client.example") for i in range(6)])
        quiet(desk)
        assert len(server.to(ANNA)) == 3 and suppressed(desk) == ["budget_address"] * 3
        desk.thread([letter(f"c{i}@client.example", f"Mail {i}", f"c{i}@client.example") for i in range(5)])
        desk.thread([letter(f"g{i}@gmail.com", f"Mail {i}", f"g{i}@gmail.com") for i in range(8)])
        quiet(desk)
        assert sum(len(server.to(f"c{i}@client.example")) for i in range(5)) == 2
        assert sum(len(server.to(f"g{i}@gmail.com")) for i in range(8)) == 8
        assert suppressed(desk).count("budget_domain") == 3
    finally:
        desk.__exit__(None, None, None)


def test_a_budget_that_another_notifier_has_just_spent_is_spent(desk, server):
    """Both find no bucket; the one that comes second must see what the first left."""
    tenant = desk.value("SELECT id FROM tenant")
    with desk.connect() as rival:
        with rival.transaction():
            rival.execute("INSERT INTO budget (key, tenant_id, tokens, updated_at) VALUES (%s, %s, 0, now())",
                          (f"address:{tenant}:{ANNA}", tenant))
            desk.thread([letter(ANNA, "Hello", "race@client.example")])
            wait_until(lambda: desk.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = "
                                         "current_database() AND query LIKE 'INSERT INTO budget%%'"), 30,
                       "the notifier at the same bucket")
    quiet(desk)
    assert suppressed(desk) == ["budget_address"] and not server.to(ANNA)


def test_staff_hears_of_what_others_did(desk, server):
    desk.casectl("user", "add", "other", "--address", "other@staff.example")
    desk.thread([letter(ANNA, "Printer", "root@client.example")])
    number = desk.place("root@client.example")["number"]
    quiet(desk)
    assert not server.to(STAFF)
    desk.casectl("case", "assign", number, "--to", "agent", user="other")
    desk.casectl("case", "follow", number, user="other")
    wait_until(lambda: server.to(STAFF), 30, "the notice of the assignment")
    notice = parsed(server.to(STAFF)[0])
    assert notice["Subject"] == f"[#{number}] Printer" and notice["Auto-Submitted"] == "auto-generated"
    assert "assigned to you" in notice.get_content() and "http" not in notice.get_content()
    desk.casectl("case", "note", number, "--text", "Careful with this one.", user="agent")
    wait_until(lambda: server.to("other@staff.example"), 30, "the follower's notice")
    assert "> Careful with this one." in parsed(server.to("other@staff.example")[0]).get_content()
    desk.thread([letter(ANNA, f"Re: [#{number}] Printer", "more@client.example", body="It still burns.",
                        headers=["In-Reply-To: <root@client.example>"])])
    wait_until(lambda: len(server.to(STAFF)) == 2 and len(server.to("other@staff.example")) == 2, 30, "both hear of it")
    quiet(desk)
    kinds = sorted((r["kind"], r["login"]) for r in desk.rows("SELECT n.kind, u.login FROM notification n JOIN app_user u ON"
                                                              " u.id = n.user_id"))
    assert kinds == [("assigned", "agent"), ("message_in", "agent"), ("message_in", "other"), ("note", "other")]
    # A notice's token is bound to whom it was sent.
    bound = desk.rows("SELECT m.audience, u.login, c.recipient FROM outbound_message m JOIN app_user u ON u.id = m.user_id JOIN"
                      " outbound_copy c ON c.outbound_id = m.id")
    assert all(b["audience"] == "staff" and b["recipient"] == f"{b['login']}@staff.example" for b in bound) and len(bound) == 4
    # Who wants none by mail still has them in the system.
    with desk.connect() as db:
        db.execute("UPDATE app_user SET mail_notices = false WHERE login = 'other'")
    desk.casectl("case", "note", number, "--text", "Again.", user="agent")
    desk.wait_rows("SELECT 1 FROM notification n JOIN app_user u ON u.id = n.user_id WHERE u.login = 'other'", count=3)
    quiet(desk)
    assert len(server.to("other@staff.example")) == 2


def test_a_topic_from_zero_changes_and_sends_nothing(desk, server):
    desk.casectl("user", "add", "other", "--address", "other@staff.example")
    desk.thread([letter(f"c{i}@client.example", f"Mail {i}", f"c{i}@client.example") for i in range(20)] +
                [letter(ANNA, "Auto", "auto@client.example", headers=["Auto-Submitted: auto-replied"])])
    for i in range(5):
        number = desk.place(f"c{i}@client.example")["number"]
        desk.casectl("case", "assign", number, "--to", "other", user="agent")
        desk.casectl("case", "note", number, "--text", "Note.", user="agent")
    quiet(desk)
    before, sent = table_digest(desk), len(server.complete)
    # What has changed meanwhile must not make old records due.
    with desk.connect() as db:
        db.execute("UPDATE app_user SET mail_notices = true")
        db.execute("UPDATE budget SET tokens = 1000")
    desk.stop(desk.service("notifier"))
    desk.read_again("notifier")
    assert desk.lag("notifier") == len(desk.events()) > 40
    desk.start("notifier")
    quiet(desk)
    assert table_digest(desk) == before
    assert len(server.complete) == sent


def test_without_an_outbound_mailbox_it_says_so(desk, server):
    desk.casectl("outbound-mailbox", "set", "out", "--active", "off")
    desk.thread([letter(ANNA, "Printer", "root@client.example")])
    quiet(desk)
    assert suppressed(desk) == ["no_outbound_mailbox"] and not server.accepted
