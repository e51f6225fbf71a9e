# SPDX-License-Identifier: Apache-2.0
"""What the threader writes: identity, authority, states, records, and what becomes of mails that cannot be handled."""

import pytest

from desk import PERSONAL, SECOND, STAFF, SUPPORT, Desk, letter
from harness.wait import wait_until

ANNA, BOB, EVE = "anna@client.example", "bob@client.example", "eve@elsewhere.example"


@pytest.fixture(name="desk")
def make_desk(postgres, tmp_path):
    with Desk(postgres, tmp_path) as desk:
        desk.start("threader")
        yield desk
        desk.check_consistent()


def open_case(desk, header_id="root@client.example", **options):
    desk.thread([letter(ANNA, "Printer", header_id)], **options)
    return desk.place(header_id)["number"]


def facts(desk, number):
    return [row["kind"] for row in desk.rows("""
        SELECT e.kind FROM case_event e JOIN case_file f ON f.id = e.case_id
        WHERE f.number = %s ORDER BY e.version, e.ordinal""", number)]


def set_state(desk, number, to, closed_days=0):
    with desk.connect() as db:
        db.execute("""
            UPDATE case_file SET state = %s,
                closed_at = CASE WHEN %s = 'closed' THEN now() - make_interval(days => %s) END
            WHERE number = %s""", (to, to, closed_days, number))


def state(desk, number):
    return desk.value("SELECT state FROM case_file WHERE number = %s", number)


def test_an_opener_becomes_a_case_with_its_record(desk):
    number = open_case(desk)
    case = desk.rows("SELECT * FROM case_file")[0]
    assert (case["number"], case["state"], case["version"], case["message_count"]) == (number, "open", 1, 1)
    assert (case["subject"], case["subject_base"]) == ("Printer", "printer")
    assert case["root_header_id"] == "root@client.example"
    assert case["queue_id"] and case["mailbox_id"] and case["opener_message_id"]
    assert facts(desk, number) == ["case_opened", "message_added", "participant_added"]
    event = desk.rows("SELECT DISTINCT cause, hop, author_kind FROM case_event")[0]
    cause = desk.events("mail.received")[0]["ce_id"]
    assert (str(event["cause"]), event["hop"], event["author_kind"]) == (cause, 1, "sender")
    desk.wait_events(ce_sequence=1, key=str(case["id"]))
    ledger = desk.rows("SELECT * FROM intake")[0]
    assert (ledger["state"], ledger["case_id"]) == ("case", case["id"])
    assert ledger["decided_at"] and ledger["message_id"]
    assert desk.rows("SELECT address, role FROM participant") == [{"address": ANNA, "role": "opener"}]


def test_the_same_mail_through_two_mailboxes_is_one_message(desk):
    raw = letter(ANNA, "Printer", "root@client.example")
    desk.thread([raw], mailbox=SUPPORT)
    desk.thread([b"Received: from another way\r\n" + raw], mailbox=SECOND)
    assert desk.value("SELECT count(*) FROM message") == 1
    assert [r["state"] for r in desk.rows("SELECT state FROM intake ORDER BY received_at")] == ["case", "duplicate"]


def test_the_same_mail_without_message_id_is_one_message(desk):
    desk.thread([letter(ANNA, "Printer"), letter(ANNA, "Printer")])
    desk.thread([letter(ANNA, "Printer"), letter(ANNA, "Printer", body="Another day.")])
    assert desk.value("SELECT count(*) FROM message") == 2


def test_a_variant_is_kept_beside_its_twin(desk):
    number = open_case(desk)
    desk.thread([letter(ANNA, "Printer", "root@client.example", body="Good day.\r\n-- \r\nfooter of a list")])
    rows = desk.rows("""
        SELECT m.variant_of, f.number FROM message m JOIN case_message c ON c.message_id = m.id
        JOIN case_file f ON f.id = c.case_id ORDER BY m.id""")
    assert [r["number"] for r in rows] == [number, number]
    assert rows[1]["variant_of"] is not None


@pytest.mark.parametrize("sender", ["From: root", "Reply-To: <printer@client.example>"])
def test_a_variant_of_a_mail_without_a_valid_sender_is_kept_beside_its_twin(desk, sender):
    mails = [letter(ANNA, "Printer", "root@client.example", body=body).replace(f"From: <{ANNA}>".encode(), sender.encode())
             for body in ("Paper is out.", "Paper is out.\r\n-- \r\nfooter of a list")]
    for mail in mails:
        desk.thread([mail])
    assert desk.value("SELECT count(*) FROM case_file") == 1
    assert desk.value("SELECT count(*) FROM message WHERE variant_of IS NOT NULL AND NOT is_suspicious") == 1


def test_another_sender_under_a_known_id_is_suspicious(desk):
    number = open_case(desk)
    desk.thread([letter(EVE, "Printer", "root@client.example")])
    desk.thread([letter(ANNA, "Re: Printer", "reply@client.example", headers=["In-Reply-To: <root@client.example>"])])
    forged = desk.rows("""
        SELECT f.number, m.is_suspicious FROM message m JOIN case_message c ON c.message_id = m.id
        JOIN case_file f ON f.id = c.case_id WHERE m.from_address = %s""", EVE)[0]
    assert forged["is_suspicious"] and forged["number"] != number
    assert desk.place("reply@client.example")["number"] == number


def test_a_recipient_of_our_mail_joins_in_full_and_a_stranger_waits(desk):
    number = open_case(desk)
    sent, _ = desk.send(number, [ANNA, BOB], kind="reply")
    set_state(desk, number, "waiting")
    answer = [f"In-Reply-To: <{sent}>"]
    desk.thread([letter(EVE, "Re: Printer", "eve@x.example", headers=answer)])
    assert state(desk, number) == "waiting"
    desk.thread([letter(BOB, "Re: Printer", "bob@x.example", headers=answer)])
    assert state(desk, number) == "open"
    eve, bob = desk.place("eve@x.example"), desk.place("bob@x.example")
    assert (eve["number"], eve["is_pending"], eve["is_external"], eve["matched_by"]) == (number, True, True, "token")
    assert (bob["number"], bob["is_pending"], bob["matched_by"]) == (number, False, "token")
    assert bob["evidence"]["why"] == "recipient_of_answered_mail"
    assert facts(desk, number)[3:] == ["message_added", "message_added", "state_changed"]
    assert desk.value("SELECT count(*) FROM participant") == 1


def test_a_token_comes_back_in_a_plus_address(desk):
    number = open_case(desk)
    token = desk.send(number, [ANNA])[0].split("@")[0]
    desk.thread([letter(ANNA, "something else", "plus@x.example", to=f"support+c.{token.upper()}@example.test")])
    place = desk.place("plus@x.example")
    assert (place["number"], place["matched_by"], place["is_pending"]) == (number, "token", False)


def test_a_forged_token_is_refused_and_said_so(desk):
    number = open_case(desk)
    token = desk.send(number, [ANNA])[0].split("@")[0]
    forged = token[:-1] + ("a" if token[-1] != "a" else "b")
    desk.thread([letter(EVE, "let me in", "forged@x.example", to=f"support+c.{forged}@example.test")])
    place = desk.place("forged@x.example")
    assert place["number"] != number
    assert "token_refused" in facts(desk, place["number"])


def test_an_agent_who_answers_a_notice_waits_as_internal(desk):
    number = open_case(desk)
    notice, _ = desk.send(number, [STAFF], audience="staff", kind="notice")
    desk.thread([letter(STAFF, "Re: notice", "agent@x.example", headers=[f"In-Reply-To: <{notice}>"])])
    place = desk.place("agent@x.example")
    assert (place["number"], place["is_pending"], place["is_external"]) == (number, True, False)


def test_a_stranger_with_a_subject_that_we_sent_waits(desk):
    number = open_case(desk)
    desk.send(number, [ANNA], subject="=?utf-8?B?TWVzc2FnZSByZWNlaXZlZCDinJM=?=")
    desk.thread([letter(EVE, f"Re: [#{number}] =?utf-8?B?TWVzc2FnZSByZWNlaXZlZCDinJM=?=", "known@x.example"),
                 letter(EVE, f"Re: [#{number}] something else", "unknown@x.example")])
    known, unknown = desk.place("known@x.example"), desk.place("unknown@x.example")
    assert (known["number"], known["is_pending"], known["matched_by"]) == (number, True, "number")
    assert unknown["number"] != number
    assert "match_suggested" in facts(desk, unknown["number"])


@pytest.mark.parametrize("days, expected", [(3, "reopened"), (45, "followed")])
def test_an_answer_to_a_closed_case_follows_the_queue(desk, days, expected):
    number = open_case(desk)
    set_state(desk, number, "closed", days)
    desk.thread([letter(ANNA, "Re: Printer", "late@x.example", headers=["In-Reply-To: <root@client.example>"])])
    place = desk.place("late@x.example")
    if expected == "reopened":
        assert place["number"] == number and state(desk, number) == "open"
    else:
        assert place["number"] != number and state(desk, number) == "closed"
        opened = desk.value("SELECT data FROM case_event WHERE kind = 'case_opened' ORDER BY created_at DESC LIMIT 1")
        assert desk.value("SELECT id::text FROM case_file WHERE number = %s", number) in str(opened)


def test_automatic_mail_is_filed_and_moves_nothing(desk):
    number = open_case(desk)
    set_state(desk, number, "closed")
    desk.thread([letter(ANNA, "Out of office", "auto@x.example",
                        headers=["In-Reply-To: <root@client.example>", "Auto-Submitted: auto-replied"])])
    place = desk.place("auto@x.example")
    assert place["number"] == number and place["is_automatic"] and state(desk, number) == "closed"


def test_quiet_mail_opens_a_closed_case_quietly(desk):
    number = open_case(desk, quiet=True)
    case = desk.rows("SELECT state, is_quiet FROM case_file WHERE number = %s", number)[0]
    assert case == {"state": "closed", "is_quiet": True}


def test_our_own_mail_that_comes_back_is_filtered_and_a_forgery_is_not(desk):
    number = open_case(desk)
    _, raw = desk.send(number, [ANNA])
    desk.thread([b"Delivered-To: support@example.test\r\n" + raw, raw.replace(b"Thank you.", b"Send money.")])
    states = [r["state"] for r in desk.rows("SELECT state FROM intake ORDER BY received_at")]
    assert states == ["case", "filtered", "attached"]
    assert desk.value("SELECT reason FROM intake WHERE state = 'filtered'") == "own_mail"
    forged = desk.rows("""
        SELECT c.is_pending FROM message m JOIN case_message c ON c.message_id = m.id WHERE m.is_suspicious""")
    assert forged == [{"is_pending": True}]
    assert desk.value("SELECT count(*) FROM participant WHERE address = %s", SUPPORT) == 0


def test_personal_mail_has_no_case_until_the_desk_gets_it_too(desk):
    raw = letter(ANNA, "For you", "both@client.example")
    desk.thread([raw], mailbox=PERSONAL)
    assert desk.rows("SELECT state, case_id FROM intake") == [{"state": "personal", "case_id": None}]
    desk.thread([raw], mailbox=SUPPORT)
    assert desk.value("SELECT count(*) FROM message") == 1
    assert desk.place("both@client.example")["number"]
    desk.thread([raw], mailbox=SECOND)
    assert desk.value("SELECT count(*) FROM intake WHERE state = 'duplicate'") == 1


def test_siblings_and_a_late_parent_meet_across_turns(desk):
    headers = ["References: <unseen@client.example>"]
    desk.thread([letter(ANNA, "Re: lunch", "child1@client.example", headers=headers)])
    desk.thread([letter(ANNA, "Re: lunch", "child2@client.example", headers=headers)])
    desk.thread([letter(ANNA, "lunch", "unseen@client.example")])
    family = ("child1@client.example", "child2@client.example", "unseen@client.example")
    assert len({desk.place(member)["number"] for member in family}) == 1


def test_nobody_pre_empts_a_conversation(desk):
    desk.thread([letter(EVE, "mine", "evil@x.example", headers=["References: <next@client.example>"])])
    desk.thread([letter(ANNA, "My problem", "next@client.example")])
    desk.thread([letter(ANNA, "Re: My problem", "more@client.example", headers=["In-Reply-To: <next@client.example>"])])
    evil, parent, more = (desk.place(i) for i in ("evil@x.example", "next@client.example", "more@client.example"))
    assert parent["number"] != evil["number"] and more["number"] == parent["number"] and not more["is_pending"]


def test_a_record_without_a_ledger_row_is_set_aside_and_the_next_goes_on(desk):
    with desk.connect() as db:
        db.execute("""
            INSERT INTO outbox (ce_id, tenant_id, topic, key, key_hash, type, subject, value)
            SELECT gen_random_uuid(), id, 'mailcase.mail.received.v1', '0123456789abcdef', 1, 'x',
                gen_random_uuid()::text, '\\x0102' FROM tenant""")
    open_case(desk)
    wait_until(lambda: desk.value("SELECT count(*) FROM dead_letter") == 1, 30, "a dead letter")


def test_a_record_that_comes_again_changes_nothing(desk):
    desk.stop(desk.service("threader"))
    desk.put([letter(ANNA, "Printer", "root@client.example")])
    with desk.connect() as db:
        db.execute("CREATE TABLE sent AS SELECT ce_id, tenant_id, topic, key, key_hash, type, subject, value FROM outbox")
    desk.start("threader")
    desk.settle()
    before = desk.snapshot()
    with desk.connect() as db:
        db.execute("INSERT INTO outbox (ce_id, tenant_id, topic, key, key_hash, type, subject, value) SELECT * FROM sent")
    desk.wait_events("mail.received", count=2)
    desk.wait_caught_up("threader")
    assert desk.snapshot() == before
    assert len({event["ce_id"] for event in desk.events("mail.received")}) == 1
    assert desk.rows("SELECT state FROM intake") == [{"state": "case"}]


def test_a_topic_from_zero_again_changes_nothing(desk):
    desk.thread([letter(ANNA, f"Mail {n}", f"m{n}@client.example") for n in range(12)])
    desk.thread([letter(ANNA, f"Re: Mail {n}", f"r{n}@client.example", headers=[f"In-Reply-To: <m{n}@client.example>"])
                 for n in range(6)])
    desk.stop(desk.service("threader"))
    before, ledger = desk.snapshot(), desk.rows("SELECT * FROM intake ORDER BY id")
    desk.read_again("threader")
    assert desk.lag("threader") == len(desk.events("mail.received")) == 18
    desk.start("threader")
    desk.wait_caught_up("threader")
    assert desk.snapshot() == before and desk.rows("SELECT * FROM intake ORDER BY id") == ledger


def test_rival_threaders_give_one_conversation_one_case(postgres, tmp_path):
    """Every mail has a hint of its own and names one mail that nobody has seen: the turns collide."""
    with Desk(postgres, tmp_path) as desk:
        desk.put(letter(ANNA, "Re: lunch", f"child{n}@client.example",
                        headers=[f"References: <first{n}@client.example> <unseen@client.example>"]) for n in range(300))
        desk.start(*["threader"] * 4, MAILCASE_BATCH_MAX="5")
        desk.settle()
        assert desk.value("SELECT count(*) FROM case_file") == 1
        assert desk.value("SELECT count(*) FROM case_message WHERE NOT is_pending") == 300
        desk.check_consistent()
        assert "deadlock" not in postgres.log()


def test_a_mail_whose_bytes_are_gone_is_dead_and_comes_back_on_replay(desk):
    threader = desk.service("threader")
    desk.stop(threader)
    desk.put([letter(ANNA, "lost", "lost@client.example"), letter(ANNA, "kept", "kept@client.example")])
    with desk.connect() as db:
        db.execute("""
            CREATE TABLE hidden AS SELECT * FROM blob WHERE position('lost@client' in encode(bytes, 'escape')) > 0""")
        db.execute("DELETE FROM blob WHERE id IN (SELECT id FROM hidden)")
    desk.start("threader")
    desk.settle()
    assert sorted(r["state"] for r in desk.rows("SELECT state FROM intake")) == ["case", "dead"]
    assert desk.value("SELECT reason FROM dead_letter") == "raw mail is missing"
    with desk.connect() as db:
        db.execute("INSERT INTO blob SELECT * FROM hidden")
    desk.casectl("dlq", "replay", "--group", "threader")
    desk.wait_rows("SELECT 1 FROM intake WHERE state = 'case'", count=2)
    assert desk.place("lost@client.example")["number"]
    desk.wait_rows("SELECT 1 FROM dead_letter WHERE ended_at IS NOT NULL")
