# SPDX-License-Identifier: Apache-2.0
"""Faults that only a server of our own making has."""

import time
from types import SimpleNamespace

import pytest

from fetcher.scripted import ScriptedServer
from fetcher.test_intake import mail
from fetcher.test_trouble import wait_state
from harness.wait import wait_until

pytestmark = pytest.mark.once

LEDGER = "SELECT uid, state, reason FROM intake ORDER BY uid"


@pytest.fixture
def server():
    with ScriptedServer({1: mail(1), 2: mail(2), 3: mail(3)}) as scripted:
        yield scripted


@pytest.fixture
def box(server):
    return SimpleNamespace(address="scripted@demo.example", password="secret",
                           servers=SimpleNamespace(port={"imap": server.port}, ca_file=""))


def ledger(fetching, count):
    return [(r["uid"], r["state"]) for r in fetching.wait_rows(LEDGER, count=count)]


def test_listed_but_never_delivered_is_gone_after_a_second_question(fetching, server, box):
    server.hide.add(2)
    fetching.add(box)
    fetching.start("fetcher")
    assert ledger(fetching, 3) == [(1, "received"), (2, "gone"), (3, "received")]
    assert sum(c.startswith("UID FETCH 2 ") for c in server.commands) == 1
    assert "no longer has it" in fetching.rows(LEDGER)[1]["reason"]


def test_a_refused_mail_is_left_out_only_after_three_visits(fetching, server, box):
    server.refuse[2] = "[UNAVAILABLE] UID FETCH Server error"
    fetching.add(box)
    fetching.start("fetcher")
    assert ledger(fetching, 3) == [(1, "received"), (2, "gone"), (3, "received")]
    assert "refuses it: UID FETCH Server error" in fetching.rows(LEDGER)[1]["reason"]
    assert sum(c.startswith("UID FETCH 2 ") for c in server.commands) == 3


def test_a_throttled_mailbox_waits_as_long_as_it_was_told(fetching, server, box):
    server.refuse[1] = "Request is throttled. Suggested Backoff Time: 1500 milliseconds"
    fetching.add(box)
    fetching.start("fetcher")
    wait_state(fetching, box, "backing_off", "slow down")
    began = time.monotonic()
    server.refuse.clear()
    assert len(ledger(fetching, 3)) == 3
    assert time.monotonic() - began > 0.5


def test_answers_in_any_order_with_the_uid_last(fetching, server, box):
    server.reverse = True
    fetching.add(box)
    fetching.start("fetcher")
    assert ledger(fetching, 3) == [(n, "received") for n in (1, 2, 3)]
    assert [bytes(r["bytes"]) for r in fetching.blobs()] == [server.mails[n] for n in (1, 2, 3)]


def test_a_size_that_was_a_lie(fetching, server, box):
    server.mails[2] = mail(2, size=200000)
    server.sizes[2] = 100
    fetching.add(box, "--size-limit", "10000")
    fetching.start("fetcher")
    assert ledger(fetching, 3) == [(1, "received"), (2, "quarantined"), (3, "received")]


def test_many_sparse_mails_are_searched_and_listed_in_windows(fetching, server, box):
    server.mails = {n * 1000: mail(n) for n in range(1, 2501)}
    server.volunteer = 2500000
    fetching.add(box, "--credit", "10000")
    fetching.start("fetcher")
    fetching.wait_rows("SELECT uid FROM intake", count=2500)
    assert any(c.startswith("UID SEARCH") for c in server.commands)
    assert max(map(len, server.commands)) < 1500
    # Every window holds mail: two listings in a row mean that the answers to the first were passed over.
    listings = ["RFC822.SIZE" in c for c in server.commands]
    assert not any(one and next_one for one, next_one in zip(listings, listings[1:]))


def test_a_server_that_stops_answering_is_given_up(fetching, server, box):
    server.deaf_to = "BODY.PEEK[]"
    fetching.settings["MAILCASE_SILENCE_MS"] = "300"
    fetching.add(box)
    fetching.start("fetcher")
    wait_state(fetching, box, "backing_off", "does not answer")
    server.deaf_to = None
    assert len(ledger(fetching, 3)) == 3


def test_a_server_that_does_not_greet_is_given_up(fetching, server, box):
    server.deaf_to = "CAPABILITY"
    fetching.settings["MAILCASE_LOGIN_TIMEOUT_MS"] = "300"
    fetching.add(box)
    fetching.start("fetcher")
    wait_state(fetching, box, "backing_off", "does not answer")


@pytest.mark.parametrize("manners, state, reason", [
    ({"garbage": "HTTP/1.1 400 Bad Request"}, "backing_off", "was no IMAP"),
    ({"garbage": "* BYE going down"}, "backing_off", "ended the connection"),
    ({"greeting": "* BYE overloaded"}, "backing_off", "ended the connection"),
    ({"login_answer": "NO [UNAVAILABLE] try again later"}, "backing_off", "not available just now"),
    ({"login_answer": "NO [ALERT] Too many simultaneous connections"}, "backing_off", "too many connections"),
    ({"login_answer": "NO [AUTHENTICATIONFAILED] no"}, "auth_failed", "refused user name or password"),
    ({"login_answer": "NO Application-specific password required"}, "auth_failed", "made for this program"),
    ({"capabilities": "IMAP4rev1 LOGINDISABLED"}, "auth_failed", "takes no password"),
    ({"capabilities": "IMAP4rev1 AUTH=XOAUTH2 LOGINDISABLED"}, "auth_failed", ""),
])
def test_refusals_are_understood(fetching, server, box, manners, state, reason):
    for name, value in manners.items():
        setattr(server, name, value)
    fetching.add(box)
    fetching.start("fetcher")
    wait_state(fetching, box, state, reason)


def test_without_idle_it_is_polled(fetching, server, box):
    fetching.add(box, "--poll", "1")
    fetching.start("fetcher")
    assert len(ledger(fetching, 3)) == 3
    wait_until(lambda: fetching.state(box)["state"] == "ok", what="state ok")
    assert fetching.state(box)["has_idle"] is False
    server.mails[4] = mail(4)
    assert len(ledger(fetching, 4)) == 4


def test_no_uidvalidity_is_refused(fetching, server, box):
    server.uidvalidity = 0
    fetching.add(box)
    fetching.start("fetcher")
    wait_state(fetching, box, "backing_off", "no UIDVALIDITY")


def test_a_uidvalidity_that_comes_back_stalls_nobody(fetching, server, box):
    """What the ledger has already is left out, and the database connection that met it goes on."""
    fetching.add(box)
    fetching.start("fetcher")
    ledger(fetching, 3)
    server.uidvalidity = 8
    fetching.set(box, "--poll", "61")
    ledger(fetching, 6)
    server.uidvalidity = 7
    server.mails[4] = mail(4)
    fetching.set(box, "--poll", "62")
    rows = fetching.wait_rows("SELECT uid, state FROM intake WHERE uidvalidity = 7 ORDER BY uid", count=4)
    assert [(r["uid"], r["state"]) for r in rows] == [(n, "received") for n in (1, 2, 3, 4)]


def test_two_refused_mails_of_a_batch_are_both_left_out(fetching, server, box):
    server.refuse = {1: "cannot", 2: "cannot"}
    fetching.add(box)
    fetching.start("fetcher")
    assert ledger(fetching, 3) == [(1, "gone"), (2, "gone"), (3, "received")]


def test_nothing_is_given_up_while_the_server_refuses_everything(fetching, server, box):
    server.refuse = {n: "[UNAVAILABLE] Temporary System Error" for n in (1, 2, 3)}
    fetching.add(box)
    fetching.start("fetcher")
    wait_until(lambda: sum(c.startswith("UID FETCH 1 ") for c in server.commands) >= 6, what="six visits")
    assert fetching.rows(LEDGER) == []
    server.refuse = {}
    assert ledger(fetching, 3) == [(n, "received") for n in (1, 2, 3)]


def test_a_mail_that_comes_late_and_too_large_is_quarantined(fetching, server, box):
    server.mails[2] = mail(2, size=200000)
    server.sizes[2] = 100
    server.hide_once.add(2)
    fetching.add(box, "--size-limit", "10000")
    fetching.start("fetcher")
    assert ledger(fetching, 3) == [(1, "received"), (2, "quarantined"), (3, "received")]


def test_a_mark_without_an_answer_is_made_again(fetching, server, box):
    server.deaf_to = "STORE"
    fetching.settings["MAILCASE_SILENCE_MS"] = "300"
    fetching.add(box, "--after", "seen", "--poll", "1")
    fetching.start("fetcher")
    wait_state(fetching, box, "backing_off", "does not answer")
    server.deaf_to = None
    wait_until(lambda: fetching.rows("SELECT DISTINCT state FROM server_action") == [{"state": "done"}],
               what="actions done")


def test_a_refused_mark_waits_and_intake_goes_on(fetching, server, box):
    server.store_answer = "NO [READ-ONLY] not here"
    fetching.add(box, "--after", "seen", "--poll", "1")
    fetching.start("fetcher")
    wait_until(lambda: fetching.value("SELECT min(attempts) FROM server_action") == 1, what="one attempt")
    server.mails[4] = mail(4)
    assert len(ledger(fetching, 4)) == 4
    assert server.logins == 1
    assert fetching.value("SELECT min(due_at) - now() > interval '30 seconds' FROM server_action WHERE uid < 4")


def test_a_uidvalidity_that_changes_voids_the_marks(fetching, server, box):
    fetching.settings["MAILCASE_ACTION_DELAY_S"] = "3600"
    fetching.add(box, "--after", "seen")
    fetching.start("fetcher")
    ledger(fetching, 3)
    server.uidvalidity = 8
    fetching.set(box, "--poll", "61")
    ledger(fetching, 6)
    rows = fetching.rows("SELECT uidvalidity, state, count(*) AS n FROM server_action GROUP BY 1, 2 ORDER BY 1")
    assert [tuple(r.values()) for r in rows] == [(7, "void", 3), (8, "due", 3)]


def test_the_connection_is_kept_while_credit_is_used_up(fetching, server, box):
    fetching.settings["MAILCASE_SAFETY_SYNC_S"] = "1"
    fetching.add(box, "--credit", "1")
    fetching.start("fetcher")
    wait_until(lambda: server.commands.count("NOOP") >= 2, what="two NOOPs")
    fetching.rows("UPDATE intake SET state = 'case' RETURNING 1")
    assert len(ledger(fetching, 2)) == 2
    assert server.logins == 1


def test_a_refused_login_is_not_repeated_for_every_folder(fetching, server, box):
    server.login_answer = "NO [AUTHENTICATIONFAILED] no"
    fetching.settings["MAILCASE_RETRY_MOST_MS"] = "3600000"
    folders = [option for name in ("a", "b", "c", "d", "e") for option in ("--folder", name)]
    fetching.add(box, *folders)
    fetcher = fetching.start("fetcher")
    wait_state(fetching, box, "auth_failed", "refused user name or password")
    fetching.stop(fetcher)
    assert server.logins == 1
    server.login_answer = "OK done"
    fetching.set(box, "--password-file", fetching.secret_file("right", box.password))
    fetching.start("fetcher")
    fetching.wait_rows("SELECT 1 FROM intake", count=15)
    assert server.logins == 6


def test_a_restart_does_not_repeat_a_refused_login(fetching, server, box):
    server.login_answer = "NO [AUTHENTICATIONFAILED] no"
    fetching.settings["MAILCASE_RETRY_MOST_MS"] = "3600000"
    fetching.add(box)
    fetcher = fetching.start("fetcher")
    wait_state(fetching, box, "auth_failed")
    fetching.stop(fetcher)
    fetcher = fetching.start("fetcher")
    wait_until(lambda: fetcher.logs("mailbox.taken"), what="the mailbox taken again")
    other = SimpleNamespace(address="other@demo.example", password="x", servers=box.servers)
    fetching.add(other)
    wait_until(lambda: fetching.state(other)["state"] == "auth_failed", what="the other's login refused")
    assert server.logins == 2


@pytest.mark.parametrize("manners", ["refuse", "end"])
def test_an_idle_that_does_not_last_is_no_idle(fetching, server, box, manners):
    server.capabilities += " IDLE"
    server.idle = manners
    fetching.add(box, "--poll", "1")
    fetching.start("fetcher")
    ledger(fetching, 3)
    server.mails[4] = mail(4)
    assert len(ledger(fetching, 4)) == 4
    wait_until(lambda: server.commands.count("UID FETCH 5:* (UID RFC822.SIZE INTERNALDATE)") >= 2, what="two looks")
    assert server.commands.count("IDLE") == 1 and server.logins == 1
    assert fetching.state(box)["has_idle"] is False


def test_a_server_that_hangs_up_after_every_look_is_visited_less_and_less(fetching, server, box):
    server.capabilities += " IDLE"
    server.idle = "drop"
    fetching.add(box)
    fetching.start("fetcher")
    wait_until(lambda: fetching.state(box).get("failures", 0) >= 3, what="three failures in a row")


def test_a_search_that_is_told_in_two_lines(fetching, server, box):
    server.capabilities = "IMAP4rev1 AUTH=PLAIN SASL-IR"
    server.search_lines = ["* SEARCH 3 2", "* SEARCH"]
    fetching.add(box, start="2024-03-01")
    fetching.start("fetcher")
    assert ledger(fetching, 2) == [(2, "received"), (3, "received")]


def test_sizes_that_are_all_lies_do_not_fill_the_memory(fetching, server, box):
    server.mails = {n: mail(n, size=200000) for n in range(1, 61)}
    server.sizes = {n: 1 for n in server.mails}
    fetching.add(box, "--size-limit", "300000")
    fetcher = fetching.start("fetcher")
    assert {state for _, state in ledger(fetching, 60)} == {"received"}
    assert fetcher.logs("mailbox.trouble")


def test_an_endless_listing_does_not_delay_another(fetching, server, box):
    server.flood = 60000
    server.capabilities = "IMAP4rev1 AUTH=PLAIN SASL-IR"
    with ScriptedServer({1: mail(1)}) as calm:
        fetching.add(box)
        other = SimpleNamespace(address="calm@demo.example", password="x",
                                servers=SimpleNamespace(port={"imap": calm.port}))
        fetching.start("fetcher")
        wait_until(lambda: any("RFC822.SIZE" in c for c in server.commands), what="the listing asked for")
        fetching.add(other)
        fetching.wait_rows("SELECT 1 FROM intake i JOIN mailbox m ON m.id = i.mailbox_id WHERE m.address LIKE 'calm%'",
                           seconds=5)


def test_what_the_server_repeats_of_the_login_is_not_shown(fetching, server, box):
    server.login_answer = "BAD what do you mean by AHNjcmlwdGVkQGRlbW8uZXhhbXBsZQBzZWNyZXQ= or secret"
    fetching.add(box)
    fetching.start("fetcher")
    row = wait_state(fetching, box, "auth_failed")
    assert "secret" not in row["reason"] and "AHNj" not in row["reason"], row["reason"]


def test_a_short_lease_is_renewed_in_time(fetching, server, box):
    fetching.settings["MAILCASE_MAILBOX_LEASE_MS"] = "1000"
    fetching.add(box)
    fetcher = fetching.start("fetcher")
    ledger(fetching, 3)
    expires = fetching.value("SELECT expires FROM lease WHERE kind = 'mailbox'")
    later = "SELECT expires > %s + interval '3 seconds' FROM lease WHERE kind = 'mailbox'"
    wait_until(lambda: fetching.value(later, expires), what="a lease renewed for three seconds")
    assert not fetcher.logs("mailbox.dropped")
