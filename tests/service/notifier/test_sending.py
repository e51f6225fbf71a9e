# SPDX-License-Identifier: Apache-2.0
"""Copies on their way out: each reply at each state, connections lost before and after the final dot, TLS and logins,
dead hosts, kills. Never sent twice, never lost."""

import os
import signal
import subprocess

import pytest

from harness.wait import wait_until
from outbound_desk import OutboundDesk, parsed
from scripted_smtp import ScriptedSmtp

ANNA, BOB, EVE = "anna@client.example", "bob@client.example", "eve@elsewhere.example"


@pytest.fixture(name="server")
def make_server():
    with ScriptedSmtp() as server:
        yield server


@pytest.fixture(name="desk")
def make_desk(postgres, tmp_path, server):
    with OutboundDesk(postgres, tmp_path, server) as desk:
        yield desk


def nothing_doubled(server):
    """Of each mail and recipient at most one copy was taken."""
    taken = [(parsed(mail)["Message-ID"], recipient) for mail in server.accepted for recipient in mail["recipients"]]
    assert len(taken) == len(set(taken))


@pytest.mark.smoke
def test_a_mail_leaves_and_is_recorded(desk, server):
    desk.start("notifier")
    number = desk.write(ANNA, BOB, text="Hello,\n.\nthis line began with a dot.")
    assert desk.wait_state(ANNA, "accepted", number)["reply_code"] == 250
    desk.wait_state(BOB, "accepted", number)
    [mail] = server.accepted                          # one byte string, two recipients
    assert sorted(mail["recipients"]) == [ANNA, BOB]
    assert "\n.\nthis line" in parsed(mail).get_content().replace("\r\n", "\n")
    facts = [f for f in desk.facts("copy_state_changed") if f["number"] == number]
    assert [(f["data"]["from"], f["data"]["to"]) for f in facts] == [("sending", "accepted")] * 2
    assert desk.mailbox_state()["state"] == "ok"
    copy = desk.copies(number)[ANNA]
    assert copy["attempts"] == 1 and copy["expires"] is None


@pytest.fixture(name="running", scope="module", params=["pipelining", "one by one"])
def make_running(request, postgres, tmp_path_factory):
    """A desk whose notifier runs, for all tests that only need another answer of the server."""
    with ScriptedSmtp(pipelining=request.param == "pipelining") as server, \
            OutboundDesk(postgres, tmp_path_factory.mktemp("desk"), server) as desk:
        desk.start("notifier")
        yield desk


@pytest.mark.once
@pytest.mark.parametrize("state,reply,expected", [
    ("mail", "451 4.3.0 later", "deferred"), ("mail", "550 5.7.1 not you", "failed"),
    ("rcpt", "450 4.2.0 greylisted", "deferred"), ("rcpt", "550 5.1.1 unknown", "failed"),
    ("data", "451 4.3.0 later", "deferred"), ("data", "554 5.6.0 no", "failed"),
    ("dot", "452 4.3.1 full", "deferred"), ("dot", "554 5.7.1 spam", "failed"),
    ("body", "552 5.3.4 too big", "failed"), ("dot", "drop", "unknown")])
def test_what_a_reply_means(running, state, reply, expected):
    server = running.server
    unique = f"{len(running.copies())}@client.example"
    first, second = f"first{unique}", f"second{unique}"
    server.script[state] = reply
    running.write(first)
    copy = running.wait_state(first, expected)
    if reply[0].isdigit():
        assert copy["reply_code"] == int(reply[:3])
    server.script.clear()
    if expected == "deferred":
        running.make_due()
        assert running.wait_state(first, "accepted")["attempts"] == 2
    else:
        # The connection, or the next, is as good as new; what is settled stays.
        running.write(second)
        running.wait_state(second, "accepted")
        assert running.copies()[first]["state"] == expected
    nothing_doubled(server)
    # It went over the wire once, or twice where the server had asked for that.
    assert sum(first in mail["recipients"] for mail in server.complete) <= (2 if expected == "deferred" else 1)


@pytest.mark.once
def test_each_recipient_has_its_own_fate(desk, server):
    server.script[f"rcpt:{BOB}"] = "550 5.1.1 unknown"
    server.script[f"rcpt:{EVE}"] = "450 4.2.1 greylisted"
    desk.start("notifier")
    desk.write(ANNA, BOB, EVE)
    desk.wait_state(ANNA, "accepted")
    desk.wait_state(BOB, "failed")
    desk.wait_state(EVE, "deferred")
    server.script.clear()
    desk.make_due()
    desk.wait_state(EVE, "accepted")
    [to_anna], [to_eve] = server.to(ANNA), server.to(EVE)
    assert (to_anna["recipients"], to_eve["recipients"]) == ([ANNA], [EVE])
    assert to_anna["raw"] == to_eve["raw"]


@pytest.mark.once
def test_nobody_taken_but_354(desk, server):
    server.script.update({"rcpt": "550 5.1.1 unknown", "data_without_rcpt": True})
    desk.start("notifier")
    desk.write(ANNA)
    desk.wait_state(ANNA, "failed")
    server.script.clear()
    desk.write(BOB)
    desk.wait_state(BOB, "accepted")
    assert not any(ANNA in mail["recipients"] for mail in server.complete) and len(server.to(BOB)) == 1


@pytest.mark.once
@pytest.mark.parametrize("state", ["mail", "rcpt", "data"])
def test_a_connection_lost_before_the_body_loses_nothing(desk, server, state):
    server.script[state] = "drop"
    desk.start("notifier")
    desk.write(ANNA)
    wait_until(lambda: server.connections >= 1 and desk.mailbox_state()["state"] == "backing_off", 30,
               lambda: f"trouble is seen: {desk.mailbox_state()}")
    server.script.clear()
    desk.make_due()
    wait_until(lambda: desk.make_due() or desk.copies()[ANNA]["state"] == "accepted", 30, "it left after all")
    assert len(server.accepted) == len(server.complete) == 1


@pytest.mark.once
def test_a_server_that_never_answers_the_dot(postgres, tmp_path, server):
    server.script["dot"] = "hang"
    with OutboundDesk(postgres, tmp_path, server, MAILCASE_SMTP_DOT_TIMEOUT_S="3", MAILCASE_SEND_LEASE_S="2") as desk:
        desk.start("notifier")
        desk.write(ANNA)
        desk.wait_state(ANNA, "sending")
        # Its lease is renewed while the answer is awaited: it is the time-out that makes it unknown.
        copy = desk.wait_state(ANNA, "unknown")
        assert "in time" in copy["reply_text"]
        # The author hears of it, by notification and by mail.
        server.script.clear()
        [notice] = desk.wait_rows("SELECT * FROM notification WHERE kind = 'copy_unknown'")
        assert notice["case_version"] > 1
        desk.wait_state("agent@staff.example", "accepted")
        assert len(server.to(ANNA)) == 0


def test_a_dead_mailbox_does_not_delay_another(desk, server):
    with ScriptedSmtp() as slow:
        slow.script["greeting"] = "hang"
        desk.outbound_mailbox("slow", slow, address="slow@demo.example")
        desk.outbound_mailbox("dead", type("Nobody", (), {"port": 1}), address="dead@demo.example")
        desk.start("notifier")
        for i in range(6):
            desk.write(f"slow{i}@client.example", outbound="slow")
            desk.write(f"dead{i}@client.example", outbound="dead")
        desk.write(ANNA)
        desk.wait_state(ANNA, "accepted", seconds=10)
        wait_until(lambda: desk.mailbox_state("dead")["state"] == "backing_off", 20, "the dead one backs off")
        state = desk.mailbox_state("dead")
        assert state["reason"] and state["remedy"] and state["next_try_at"]
        assert all(desk.copies()[f"dead{i}@client.example"]["state"] == "queued" for i in range(6))
        assert all(desk.copies()[f"dead{i}@client.example"]["attempts"] == 0 for i in range(6))
        slow.released.set()


def test_a_server_that_comes_back_gets_everything(desk, server):
    server.close()
    desk.start("notifier")
    for i in range(5):
        desk.write(f"a{i}@client.example")
    wait_until(lambda: desk.mailbox_state()["failures"] if desk.mailbox_state()["state"] else 0, 30, "it is noticed")
    server.listen()
    for i in range(5):
        desk.wait_state(f"a{i}@client.example", "accepted")
    assert desk.mailbox_state()["state"] == "ok"
    assert desk.mailbox_state()["reason"] == ""
    nothing_doubled(server)


def certificate(folder):
    def openssl(*args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key.pem", "-out", folder / "ca.pem",
            "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    return folder / "ca.pem", folder / "key.pem"


@pytest.mark.once
@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_tls_and_login(postgres, tmp_path, tls):
    ca_file, key_file = certificate(tmp_path)
    with ScriptedSmtp(certificate=(ca_file, key_file), implicit_tls=tls == "implicit", password="right") as server, \
            OutboundDesk(postgres, tmp_path, server) as desk:
        right, wrong = desk.secret_file("right", "right"), desk.secret_file("wrong", "wrong")
        desk.outbound_mailbox("tls", server, "--ca-file", ca_file, "--user", "desk", "--password-file", wrong, tls=tls,
                              address="tls@demo.example")
        desk.start("notifier")
        desk.write(ANNA, outbound="tls")
        wait_until(lambda: desk.mailbox_state("tls")["state"] == "auth_failed", 30, lambda: str(desk.mailbox_state("tls")))
        assert "535" in desk.mailbox_state("tls")["reason"] and "password" in desk.mailbox_state("tls")["remedy"]
        assert server.logins == [("desk", False)]          # one try, not four
        desk.casectl("outbound-mailbox", "set", "tls", "--password-file", right)
        desk.wait_state(ANNA, "accepted")
        assert server.logins[-1] == ("desk", True)
        assert desk.mailbox_state("tls")["state"] == "ok"


@pytest.mark.once
def test_a_certificate_nobody_knows(postgres, tmp_path):
    with ScriptedSmtp(certificate=certificate(tmp_path), implicit_tls=True) as server, \
            OutboundDesk(postgres, tmp_path, server) as desk:
        desk.outbound_mailbox("tls", server, tls="implicit", address="tls@demo.example")
        desk.start("notifier")
        desk.write(ANNA, outbound="tls")
        wait_until(lambda: desk.mailbox_state("tls")["state"] == "backing_off", 30, lambda: str(desk.mailbox_state("tls")))
        assert "authority" in desk.mailbox_state("tls")["reason"]
        assert desk.copies()[ANNA]["state"] == "queued"
        desk.casectl("outbound-mailbox", "set", "tls", "--ca-file", tmp_path / "ca.pem")
        desk.wait_state(ANNA, "accepted")


@pytest.mark.once
def test_a_stripped_starttls_sends_no_password(postgres, tmp_path):
    with ScriptedSmtp(password="right") as server, OutboundDesk(postgres, tmp_path, server) as desk:
        desk.outbound_mailbox("tls", server, "--user", "desk", "--password-file", desk.secret_file("p", "right"),
                              tls="starttls", address="tls@demo.example")
        desk.start("notifier")
        desk.write(ANNA, outbound="tls")
        wait_until(lambda: desk.mailbox_state("tls")["state"] == "backing_off", 30, lambda: str(desk.mailbox_state("tls")))
        assert server.logins == [] and server.accepted == []


def queue_many(desk, count):
    """`count` cases, each with one mail that is due: what a plan turn would have left."""
    desk.write("first@client.example")
    with desk.connect() as db, db.transaction():
        db.execute("""
            WITH made AS (INSERT INTO case_file SELECT gen_random_uuid() AS id, c.tenant_id, 1000000 + n AS number, 1, 'open',
                    c.subject, c.subject_base, c.queue_id, NULL, NULL, NULL, c.group_id, NULL, '', 0, false, false, NULL, now(),
                    now(), NULL FROM case_file c, generate_series(1, %s) n RETURNING id, number, tenant_id),
                mails AS (INSERT INTO outbound_message SELECT gen_random_uuid(), m.tenant_id, m.number, m.id, 1, 'customer',
                    'notice', 'test', NULL, NULL, o.id, 'test', 'id' || m.number || '@demo.example', '',
                    convert_to(E'Message-ID: <id' || m.number || E'@demo.example>\r\nSubject: x\r\n\r\n' || repeat('text ', 100) ||
                    E'\r\n', 'UTF8'), now() FROM made m, outbound_mailbox o WHERE o.is_default
                    RETURNING id, tenant_id, outbound_mailbox_id, serial)
            INSERT INTO outbound_copy (id, tenant_id, outbound_id, outbound_mailbox_id, recipient, role, state, next_attempt_at,
                changed_at) SELECT gen_random_uuid(), tenant_id, id, outbound_mailbox_id, 'to' || serial || '@client.example', 'to',
                'queued', now(), now() FROM mails""", (count,))
        db.execute("NOTIFY mailcase_outbound")


def states(desk):
    return {row["state"]: row["n"] for row in desk.rows("SELECT state, count(*) AS n FROM outbound_copy GROUP BY 1")}


def test_two_notifiers_send_nothing_twice(desk, server):
    desk.start("notifier", "notifier")
    queue_many(desk, 400)
    wait_until(lambda: states(desk) == {"accepted": 401}, 60, lambda: f"all have left: {states(desk)}; {desk.troubles()}")
    assert len(server.complete) == 401
    nothing_doubled(server)
    assert server.most_open <= 8
    versions = desk.rows("SELECT f.version, count(DISTINCT e.version) AS n FROM case_file f JOIN case_event e ON e.case_id = f.id"
                         " WHERE f.number > 1000000 AND e.kind = 'copy_state_changed' GROUP BY f.id, f.version")
    assert len(versions) == 400 and all(v["version"] == 2 and v["n"] == 1 for v in versions)


def test_killed_again_and_again(postgres, tmp_path, server):
    with OutboundDesk(postgres, tmp_path, server, MAILCASE_SEND_LEASE_S="2", MAILCASE_SMTP_CONNECTIONS="3") as desk:
        queue_many(desk, 600)
        kills = 0
        for round_ in range(4):
            notifier = desk.start("notifier")
            seen = len(server.complete)
            wait_until(lambda s=seen: len(server.complete) >= s + 50 or "queued" not in states(desk), 60,
                       lambda: f"some leave {states(desk)}")
            if round_ == 1:
                # Stopped for longer than its lease, then woken: it must not begin what is another's by now.
                rival = desk.start("notifier")
                os.killpg(notifier.process.pid, signal.SIGSTOP)
                wait_until(lambda: "sending" not in states(desk), 30, lambda: str(states(desk)))
                os.killpg(notifier.process.pid, signal.SIGCONT)
                rival.kill()
                desk.services.remove(rival)
                kills += 1
            notifier.kill()
            desk.services.remove(notifier)
            kills += 1
        desk.start("notifier")
        wait_until(lambda: not set(states(desk)) & {"queued", "sending", "deferred"}, 60, lambda: f"{states(desk)}")
        ended = states(desk)
        assert sum(ended.values()) == 601
        assert ended.get("unknown", 0) <= 3 * (kills + 1), ended
        assert set(ended) <= {"accepted", "unknown"}
        nothing_doubled(server)
        accepted = {r["recipient"] for r in desk.rows("SELECT recipient FROM outbound_copy WHERE state = 'accepted'")}
        assert accepted <= {recipient for mail in server.accepted for recipient in mail["recipients"]}


def test_it_drains(desk, server):
    server.script["dot"] = "hang"
    notifier = desk.start("notifier")
    desk.write(ANNA)
    desk.wait_state(ANNA, "sending")
    notifier.process.terminate()
    server.script.clear()
    server.released.set()
    desk.stop(notifier)
    assert desk.copies()[ANNA]["state"] == "unknown"   # the server hung up without an answer


@pytest.mark.once
def test_connections_are_reused_and_let_go(postgres, tmp_path, server):
    with OutboundDesk(postgres, tmp_path, server, MAILCASE_SMTP_IDLE_S="1", MAILCASE_SMTP_CONNECTION_MAILS="20") as desk:
        desk.start("notifier")
        queue_many(desk, 100)
        wait_until(lambda: states(desk) == {"accepted": 101}, 60, lambda: str(states(desk)))
        assert server.most_mails <= 20
        assert server.connections <= 12
        wait_until(lambda: server.open == 0, 20, "idle connections are closed")
