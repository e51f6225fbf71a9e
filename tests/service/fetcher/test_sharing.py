# SPDX-License-Identifier: Apache-2.0
"""Several fetchers, and fetchers that die: nothing twice, nothing lost."""

import os
import signal

from fetcher.test_intake import mail
from harness.wait import wait_until

OWNERS = """SELECT owner, count(*) AS mailboxes FROM lease WHERE kind = 'mailbox' AND expires > clock_timestamp()
    GROUP BY owner ORDER BY owner"""


def test_killed_during_intake_nothing_is_lost_or_doubled(fetching, box):
    box.append_all([mail(n, size=20000) for n in range(300)])
    fetching.settings["MAILCASE_MAILBOX_LEASE_MS"] = "1000"
    fetching.add(box)
    for _ in range(4):
        fetcher = fetching.start("fetcher")
        before = fetching.value("SELECT count(*) FROM intake")
        if before < 300:
            fetching.wait_rows("SELECT 1 FROM intake", count=min(before + 1, 300))
        fetcher.kill()
        fetching.services.remove(fetcher)
    fetching.start("fetcher")
    fetching.wait_rows("SELECT 1 FROM intake", count=300)
    rows = fetching.rows("SELECT count(*) AS n, count(DISTINCT uid) AS uids FROM intake")
    assert rows == [{"n": 300, "uids": 300}]
    assert fetching.value("SELECT count(*) FROM blob") == 300
    wait_until(lambda: not fetching.unsent(), what="an empty outbox")
    assert len({event["ce_id"] for event in fetching.events("mail.received")}) == 300


def test_two_fetchers_share_and_take_over(fetching, servers):
    boxes = [servers.mailbox(f"share{n}@demo.example") for n in range(6)]
    fetching.settings["MAILCASE_MAILBOX_LEASE_MS"] = "3000"
    for box in boxes:
        fetching.add(box)
    first, second = fetching.start("fetcher", "fetcher")
    wait_until(lambda: [r["mailboxes"] for r in fetching.rows(OWNERS)] == [3, 3], what=lambda: f"3 and 3: {fetching.rows(OWNERS)}")
    for number, box in enumerate(boxes):
        box.append(mail(number))
    fetching.wait_rows("SELECT 1 FROM intake", count=6)
    second.kill()
    fetching.services.remove(second)
    wait_until(lambda: [r["mailboxes"] for r in fetching.rows(OWNERS)] == [6], what=lambda: f"6: {fetching.rows(OWNERS)}")
    for number, box in enumerate(boxes, 10):
        box.append(mail(number))
    fetching.wait_rows("SELECT 1 FROM intake", count=12)
    assert fetching.value("SELECT count(*) FROM blob") == 12
    assert first.is_running()


def test_one_that_slept_past_its_lease_writes_nothing_on_waking(fetching, box):
    fetching.settings["MAILCASE_MAILBOX_LEASE_MS"] = "2000"
    fetching.add(box)
    sleeper = fetching.start("fetcher")
    wait_until(lambda: fetching.state(box)["state"] == "ok", what="state ok")
    os.killpg(sleeper.process.pid, signal.SIGSTOP)
    try:
        fetching.start("fetcher")
        box.append(mail(1))
        fetching.wait_rows("SELECT 1 FROM intake")
        owner = fetching.value("SELECT owner FROM lease WHERE kind = 'mailbox'")
        box.append(mail(2))
        fetching.wait_rows("SELECT 1 FROM intake", count=2)
    finally:
        os.killpg(sleeper.process.pid, signal.SIGCONT)
    wait_until(lambda: sleeper.logs("mailbox.dropped"), what="the sleeper to notice")
    box.append(mail(3))
    fetching.wait_rows("SELECT 1 FROM intake", count=3)
    assert fetching.value("SELECT owner FROM lease WHERE kind = 'mailbox'") == owner
    assert not sleeper.logs("mail.received")
    assert fetching.value("SELECT count(*) FROM blob") == 3


def test_a_stopped_fetcher_gives_its_mailboxes_back_at_once(fetching, box):
    fetching.add(box)
    first = fetching.start("fetcher")
    wait_until(lambda: fetching.state(box)["state"] == "ok", what="state ok")
    fetching.stop(first)
    assert fetching.rows(OWNERS) == []
    fetching.start("fetcher")
    box.append(mail(1))
    fetching.wait_rows("SELECT 1 FROM intake", seconds=10)


def test_the_database_goes_and_comes(fetching, postgres, box):
    fetching.add(box)
    fetching.start("fetcher")
    wait_until(lambda: fetching.state(box)["state"] == "ok", what="state ok")
    postgres.stop()
    box.append_all([mail(1), mail(2)])
    postgres.start()
    fetching.wait_rows("SELECT 1 FROM intake", count=2)
    assert fetching.value("SELECT count(*) FROM blob") == 2
