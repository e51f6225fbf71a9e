# SPDX-License-Identifier: Apache-2.0
"""What is taken from a mailbox, and that it is taken whole and once."""

import hashlib
import time

import pytest

from harness.wait import wait_until


def mail(number, text="hello", size=0):
    body = text + "\r\n" + ("x" * 70 + "\r\n") * (size // 72)
    return (f"From: a{number}@client.example\r\nTo: support@demo.example\r\nSubject: mail {number}\r\n"
            f"Message-ID: <m{number}@client.example>\r\nDate: Mon, 6 Jan 2025 10:00:00 +0000\r\n\r\n{body}").encode()


@pytest.mark.once
@pytest.mark.parametrize("tls", ["clear", "starttls", "implicit"])
def test_mail_comes_over_every_kind_of_line(fetching, box, tls):
    box.append(mail(1))
    host = "127.0.0.1" if tls == "clear" else "localhost"
    fetching.add(box, tls=tls, host=host)
    fetching.start("fetcher")
    row, = fetching.wait_rows("SELECT * FROM intake")
    assert (row["state"], row["uid"]) == ("received", 1)
    wait_until(lambda: fetching.state(box)["state"] == "ok", what="state ok")
    assert fetching.state(box)["has_idle"] is True
    assert bytes(fetching.blobs()[0]["bytes"]) == mail(1)


def test_five_hundred_mails_are_byte_exact(fetching, box):
    mails = [mail(n, size=(n * 397) % 60000) for n in range(500)]
    box.append_all(mails)
    fetching.add(box)
    fetching.start("fetcher")
    fetching.wait_rows("SELECT uid FROM intake", count=500)
    rows = fetching.blobs()
    assert [r["uid"] for r in rows] == list(range(1, 501))
    for row, raw in zip(rows, mails):
        assert bytes(row["sha256"]) == hashlib.sha256(raw).digest()
        assert bytes(row["bytes"]) == raw
    assert len(fetching.wait_events("mail.received", count=500)) == 500
    assert fetching.value("SELECT last_uid FROM mailbox_folder") == 500
    assert box.flags()[1] - {"\\Recent"} == set()  # EXAMINE and PEEK leave no trace


@pytest.mark.once
def test_a_mail_with_nul_and_strange_bytes_is_kept_as_it_is_served(fetching, box):
    raw = b"From: a@client.example\nSubject: nul\n\nbefore\x00after \xff\xfe\nlone\rcr\n"
    box.deliver(raw)
    fetching.add(box)
    fetching.start("fetcher")
    fetching.wait_rows("SELECT 1 FROM intake")
    served, = box.raw_mails()
    row, = fetching.blobs()
    assert bytes(row["bytes"]) == served
    assert bytes(row["sha256"]) == hashlib.sha256(served).digest()


def test_a_new_mail_is_noticed_by_push(fetching, box):
    fetching.add(box)
    fetching.start("fetcher")
    wait_until(lambda: fetching.state(box)["state"] == "ok", what="state ok")
    lags = []
    for number in range(5):
        began = time.monotonic()
        box.append(mail(number))
        fetching.wait_rows("SELECT 1 FROM intake", count=number + 1)
        lags.append(time.monotonic() - began)
    # Dovecot itself gathers notifications for half a second.
    assert min(lags) < 0.8 and max(lags) < 3, lags
    rows = fetching.rows("SELECT extract(epoch FROM received_at - noticed_at) AS s FROM intake")
    assert max(r["s"] for r in rows) < 0.5, rows


@pytest.mark.once
def test_several_folders_with_strange_names(fetching, box):
    box.append(mail(1))
    for number, name in enumerate(("Auftr&AOQ-ge", "R&-D", "plain"), 2):
        box.create(f'"{name}"')
        box.append(mail(number), folder=f'"{name}"')
    fetching.add(box, "--folder", "INBOX", "--folder", "Aufträge", "--folder", "R&D", "--folder", "plain")
    fetching.start("fetcher")
    rows = fetching.wait_rows("SELECT f.name FROM intake i JOIN mailbox_folder f ON f.id = i.folder_id", count=4)
    assert sorted(r["name"] for r in rows) == sorted(["INBOX", "Aufträge", "R&D", "plain"])


@pytest.mark.once
def test_from_now_skips_what_was_there(fetching, box):
    box.append_all([mail(1), mail(2)])
    fetching.add(box, start="now")
    fetching.start("fetcher")
    wait_until(lambda: fetching.state(box)["state"] == "ok", what="state ok")
    box.append(mail(3))
    row, = fetching.wait_rows("SELECT * FROM intake")
    assert (row["uid"], row["is_quiet"]) == (3, False)
    assert fetching.value("SELECT floor_uid FROM mailbox_folder") == 3


@pytest.mark.once
def test_from_a_date_begins_there_and_is_quiet(fetching, box):
    with box.imap() as imap:
        for number, day in enumerate(("01-Jan-2024", "01-Feb-2024", "01-Mar-2024", "02-Mar-2024"), 1):
            assert imap.append("INBOX", "", f'"{day} 12:00:00 +0000"', mail(number))[0] == "OK"
    fetching.add(box, start="2024-03-01")
    fetching.start("fetcher")
    rows = fetching.wait_rows("SELECT uid, is_quiet FROM intake ORDER BY uid", count=2)
    assert [(r["uid"], r["is_quiet"]) for r in rows] == [(3, True), (4, True)]


@pytest.mark.once
def test_all_takes_all_and_loud_is_loud(fetching, box):
    with box.imap() as imap:
        assert imap.append("INBOX", "", '"01-Jan-2024 12:00:00 +0000"', mail(1))[0] == "OK"
    fetching.add(box, "--loud")
    fetching.start("fetcher")
    row, = fetching.wait_rows("SELECT uid, is_quiet FROM intake")
    assert (row["uid"], row["is_quiet"]) == (1, False)


def test_too_big_is_quarantined_with_its_header(fetching, box):
    box.append_all([mail(1), mail(2, size=9000), mail(3)])
    fetching.add(box, "--size-limit", "4096")
    fetching.start("fetcher")
    rows = fetching.wait_rows("SELECT uid, state, reason FROM intake ORDER BY uid", count=3)
    assert [(r["uid"], r["state"], r["reason"]) for r in rows] == [
        (1, "received", ""), (2, "quarantined", "too_big"), (3, "received", "")]
    header = bytes(fetching.blobs()[1]["bytes"])
    assert header.startswith(b"From: a2@") and header.endswith(b"\r\n\r\n") and len(header) < 400
    assert fetching.rows("SELECT reason FROM quarantine") == [{"reason": "too_big"}]
    wait_until(lambda: not fetching.unsent(), what="an empty outbox")
    assert len(fetching.events("mail.received")) == 2


def test_seen_is_set_after_intake_and_only_then(fetching, box):
    box.append_all([mail(1), mail(2)])
    fetching.add(box, "--after", "seen")
    fetching.start("fetcher")
    wait_until(lambda: all("\\Seen" in f for f in box.flags().values()), what="all seen")
    wait_until(lambda: fetching.rows("SELECT DISTINCT state FROM server_action") == [{"state": "done"}], what="actions done")
    box.append(mail(3))
    wait_until(lambda: "\\Seen" in box.flags().get(3, ()), what="the third seen")


def test_credit_holds_intake_back(fetching, box):
    box.append_all([mail(n) for n in range(30)])
    fetching.add(box, "--credit", "10")
    fetching.start("fetcher")
    fetching.wait_rows("SELECT 1 FROM intake", count=10)
    wait_until(lambda: fetching.state(box)["state"] == "ok", what="state ok")
    assert fetching.value("SELECT count(*) FROM intake") == 10
    fetching.rows("UPDATE intake SET state = 'case' RETURNING 1")
    fetching.wait_rows("SELECT 1 FROM intake", count=20)
    fetching.rows("UPDATE intake SET state = 'case' RETURNING 1")
    fetching.wait_rows("SELECT 1 FROM intake", count=30)


def test_a_changed_uidvalidity_downloads_only_what_is_not_known(fetching, box):
    box.append_all([mail(1), mail(2), mail(3)])
    fetching.add(box)
    fetcher = fetching.start("fetcher")
    fetching.wait_rows("SELECT 1 FROM intake", count=3)
    fetching.stop(fetcher)
    # What a threader would have said of the first two.
    fetching.rows("""WITH decided AS (UPDATE intake SET state = 'case', message_id = gen_random_uuid() WHERE uid < 3
        RETURNING tenant_id, message_id, uid)
        INSERT INTO message (id, tenant_id, identity, direction, message_id, created_at)
        SELECT message_id, tenant_id, gen_random_uuid(), 'in', 'm' || uid || '@client.example', now() FROM decided RETURNING 1""")
    box.renumber()
    box.append(mail(4))
    fetching.start("fetcher")
    rows = fetching.wait_rows("""SELECT uid, state, reason, blob_id IS NULL AS bare, message_id IS NOT NULL AS known
        FROM intake WHERE uidvalidity = (SELECT uidvalidity FROM mailbox_folder)
        AND uidvalidity <> (SELECT min(uidvalidity) FROM intake) ORDER BY uid""", count=4)
    assert [tuple(r.values()) for r in rows] == [
        (1, "duplicate", "uidvalidity_changed", True, True), (2, "duplicate", "uidvalidity_changed", True, True),
        (3, "received", "", False, False), (4, "received", "", False, False)]
    assert fetching.value("SELECT count(*) FROM intake") == 7
