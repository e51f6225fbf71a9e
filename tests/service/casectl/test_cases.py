# SPDX-License-Identifier: Apache-2.0
"""What people do with cases, through casectl: everything that an act must write, and what it must refuse."""

import json
import re
import subprocess
from unicodedata import combining, east_asian_width

import pytest

from harness.demo import ARCHIVE, CUSTOMER, SUPPORT, DemoDesk
from harness.programs import program

pytestmark = pytest.mark.once

CASE_KEYS = {"number", "subject", "state", "queue", "team", "assignee", "messages", "created_at"}
MESSAGE_KEYS = {"id", "direction", "from", "to", "subject", "message_id", "matched_by", "sender_level", "pending",
                "attachments"}
BOX = "SELECT m.id, m.tenant_id, f.id AS folder FROM mailbox m JOIN mailbox_folder f ON f.mailbox_id = m.id"
TOKEN_ID = re.compile(r"[a-z2-7]{40}@demo\.example")


@pytest.fixture(scope="module")
def desk(postgres, tmp_path_factory):
    with DemoDesk(postgres, tmp_path_factory.mktemp("cases")) as made:
        yield made


def facts(case):
    return [fact["kind"] for fact in case["timeline"]]


def check_record(desk, number):
    """The version counts the records without a gap, and each is in the outbox once, under the case's key."""
    row = desk.rows("SELECT id, version FROM case_file WHERE number = %s", number)[0]
    rows = desk.rows("SELECT DISTINCT version FROM case_event WHERE case_id = %s ORDER BY 1", row["id"])
    versions = [r["version"] for r in rows]
    assert versions == list(range(1, row["version"] + 1))
    sent = desk.rows("SELECT sequence, topic FROM outbox WHERE key = %s ORDER BY seq", str(row["id"]))
    assert [r["sequence"] for r in sent] == versions
    assert {r["topic"] for r in sent} == {"mailcase.case.events.v1"}


@pytest.mark.smoke
def test_a_case_by_hand_with_a_first_mail(desk):
    number = desk.new_case("Your order", "It has left.", to=CUSTOMER)
    case = desk.case(number)
    assert CASE_KEYS <= case.keys() and case["state"] == "waiting" and case["participants"] == [CUSTOMER]
    assert facts(case) == ["case_opened", "message_added", "participant_added"]
    message, = case["message_list"]
    assert MESSAGE_KEYS <= message.keys() and message["direction"] == "out" and message["matched_by"] == "opened"
    mail = desk.mail(message["message_id"])
    assert mail["Subject"] == f"[#{number}] Your order" and mail["To"] == CUSTOMER and mail["Reply-To"] == SUPPORT
    assert mail["References"] is None and TOKEN_ID.fullmatch(message["message_id"])
    # Later mails hang on it.
    root = desk.rows("SELECT root_header_id FROM case_file WHERE number = %s", number)[0]["root_header_id"]
    assert root == message["message_id"]
    check_record(desk, number)


@pytest.mark.smoke
def test_a_reply_writes_all_that_it_must(desk):
    number = desk.new_case("Printer", "We saw your printer.", to=CUSTOMER)
    root = desk.case(number)["message_list"][0]["message_id"]
    desk.incoming(number, "question@client.example")
    desk.incoming(number, "stranger@evil.example", sender="stranger@evil.example", pending=True)
    with desk.connect() as db:
        db.execute("UPDATE case_file SET state = 'open' WHERE number = %s", (number,))
    with desk.told("mailcase_outbound"):
        answer = desk.casectl_json("case", "reply", number, "--cc", "boss@client.example", "--to", SUPPORT, user="bo",
                                   text="Grüße\n.\nThe end\n")[0]

    mail = desk.mail(answer["message_id"])
    assert mail["Subject"] == f"Re: [#{number}] Printer"
    assert mail["From"] == f"Demo Support <{SUPPORT}>" and mail["Reply-To"] == SUPPORT
    assert mail["To"] == CUSTOMER and mail["Cc"] == "boss@client.example"
    assert mail["In-Reply-To"] == "<question@client.example>"
    # Root first, what is answered last; nothing of a stranger's.
    assert mail["References"].split() == [f"<{root}>", "<question@client.example>"]
    assert mail["Auto-Submitted"] is None and TOKEN_ID.fullmatch(answer["message_id"])
    assert mail.get_content().replace("\r\n", "\n") == "Grüße\n.\nThe end\n"

    sent = desk.rows("SELECT * FROM outbound_message WHERE header_id = %s", answer["message_id"])[0]
    assert (sent["audience"], sent["kind"], sent["envelope_from"]) == ("customer", "reply", SUPPORT)
    copies = desk.rows("SELECT recipient, role, state FROM outbound_copy WHERE outbound_id = %s", sent["id"])
    assert {(c["recipient"], c["role"], c["state"]) for c in copies} == {
        (CUSTOMER, "to", "queued"), ("boss@client.example", "cc", "queued"), (ARCHIVE, "archive", "queued")}

    case = desk.case(number)
    assert case["state"] == "waiting" and case["touched"] and case["messages"] == 4
    added, changed = case["timeline"][-2:]
    assert (added["kind"], added["data"]["direction"], added["author"]) == ("message_added", "out", "bo")
    # Whom it goes to and why is data; addresses stay in the timeline.
    reasons = {r["address"]: r["reason"] for r in added["detail"]["recipients"]}
    assert reasons == {CUSTOMER: "participant", "boss@client.example": "named", SUPPORT: "own_address"}
    assert "@" not in json.dumps(added["data"])
    assert changed["data"] == {"from": "open", "to": "waiting", "reason": "agent_replied"}
    assert desk.rows("SELECT 1 AS one FROM message_ref r JOIN message m ON m.id = r.message_id WHERE m.message_id = %s",
                     answer["message_id"])
    check_record(desk, number)


def test_a_reply_needs_somebody_to_reach(desk):
    number = desk.new_case("Only inside")
    done = desk.casectl("case", "reply", number, "--text", "Hello?", user="ada", check=False)
    assert done.returncode == 4 and "--to" in done.stderr
    assert desk.case(number)["messages"] == 1
    # What is not there was not half written.
    check_record(desk, number)
    desk.casectl("case", "reply", number, "--text", "Hello!", "--to", CUSTOMER, user="ada")
    assert desk.case(number)["participants"] == []  # being written to once makes nobody a participant


def test_a_closed_case_is_answered_only_when_asked_for(desk):
    number = desk.new_case(to=CUSTOMER)
    desk.casectl("case", "close", number, user="ada")
    closed = desk.case(number)
    assert closed["state"] == "closed" and closed["closed_at"]
    desk.casectl("case", "close", number, user="ada")
    assert desk.case(number)["version"] == closed["version"]  # it was so already
    done = desk.casectl("case", "reply", number, "--text", "More", user="ada", check=False)
    assert done.returncode == 4 and "--reopen" in done.stderr
    desk.casectl("case", "reply", number, "--text", "More", "--reopen", user="ada")
    case = desk.case(number)
    assert case["state"] == "waiting" and case["closed_at"] is None
    assert case["timeline"][-1]["data"]["reason"] == "reopened"
    check_record(desk, number)


def test_who_closes_a_case_has_worked_on_it(desk):
    number = desk.new_case()
    with desk.connect() as db:
        db.execute("UPDATE case_file SET is_touched = false WHERE number = %s", (number,))
    desk.casectl("case", "assign", number, "--to", "bo", user="ada")
    assert not desk.case(number)["touched"]
    desk.casectl("case", "close", number, user="ada")
    assert desk.case(number)["touched"]


def test_a_long_note_is_kept_whole(desk):
    number = desk.new_case()
    text = "Zeile äöü\n" * 1000
    desk.casectl("case", "note", number, user="cy", text=text)
    message = desk.case(number)["message_list"][-1]
    assert (message["direction"], message["author"], message["text_is_cut"]) == ("note", "cy", True)
    assert text.startswith(message["text"]) and len(message["text"]) > 1000
    kept = desk.rows("SELECT b.bytes FROM message m JOIN blob b ON b.id = m.blob_id WHERE m.id = %s", message["id"])[0]
    assert bytes(kept["bytes"]).decode() == text
    assert desk.casectl_json("outbound", "list", "--case", number) == []


def test_assigning_following_and_who_may(desk):
    number = desk.new_case(assign="bo")
    assert desk.case(number)["assignee"] == "bo"
    desk.casectl("case", "assign", number, "--to", "cy", user="ada")
    desk.casectl("case", "assign", number, "--nobody", user="ada")
    assert desk.case(number)["assignee"] is None
    desk.casectl("case", "follow", number, user="ada")
    desk.casectl("case", "follow", number, "--user", "bo", user="ada")
    desk.casectl("case", "follow", number, user="ada")
    assert desk.case(number)["followers"] == ["ada", "bo"]
    desk.casectl("case", "unfollow", number, user="ada")
    case = desk.case(number)
    assert case["followers"] == ["bo"] and facts(case).count("followed") == 3
    desk.casectl("user", "set", "cy", "--active", "off")
    try:
        assert desk.casectl("case", "assign", number, "--to", "cy", user="ada", check=False).returncode == 4
        done = desk.casectl("case", "note", number, "--text", "x", user="cy", check=False)
        assert done.returncode == 4 and "switched off" in done.stderr
    finally:
        desk.casectl("user", "set", "cy", "--active", "on")
    check_record(desk, number)


def test_confirming_lets_a_pending_message_in(desk):
    number = desk.new_case(to=CUSTOMER)
    first = desk.incoming(number, "one@other.example", sender="colleague@other.example", pending=True)
    second = desk.incoming(number, "two@other.example", sender="colleague@other.example", pending=True)
    done = desk.casectl("case", "confirm", number, user="ada", check=False)
    assert done.returncode == 4 and "several" in done.stderr
    shown = desk.casectl("case", "show", number).stdout
    assert f"casectl case confirm {number} --message {first}" in shown
    desk.casectl("case", "confirm", number, "--message", first, user="ada")
    case = desk.case(number)
    assert case["state"] == "open" and "colleague@other.example" in case["participants"] and case["touched"]
    assert facts(case)[-3:] == ["message_confirmed", "participant_added", "state_changed"]
    assert [m["pending"] for m in case["message_list"]] == [False, False, True]
    desk.casectl("case", "confirm", number, user="ada")
    assert facts(desk.case(number))[-1] == "message_confirmed"  # takes part already, and the case is open
    assert desk.casectl("case", "confirm", number, "--message", second, user="ada", check=False).returncode == 4
    assert desk.casectl("case", "confirm", number, user="ada", check=False).returncode == 3
    check_record(desk, number)

def test_a_named_address_that_cannot_be_written_to_stops_the_answer(desk):
    number = desk.new_case(to=CUSTOMER)
    for option in ("--to", "--cc"):
        done = desk.casectl("case", "reply", number, "--text", "Hello", option, "jürgen@exämple.example", user="ada",
                            check=False)
        assert done.returncode == 4 and "jürgen@exämple.example" in done.stderr and "xn--" in done.stderr
    assert desk.case(number)["messages"] == 1
    check_record(desk, number)


def test_a_confirmed_machine_takes_no_part(desk):
    number = desk.new_case(to=CUSTOMER)
    automatic = desk.incoming(number, "away@other.example", sender="away@other.example", pending=True)
    bounce = desk.incoming(number, "bounce@other.example", sender="mailer-daemon@other.example", pending=True)
    with desk.connect() as db:
        db.execute("UPDATE message SET is_automatic = true WHERE id = %s", (automatic,))
    for message in (automatic, bounce):
        desk.casectl("case", "confirm", number, "--message", message, user="ada")
    case = desk.case(number)
    assert case["participants"] == [CUSTOMER] and not any(m["pending"] for m in case["message_list"])
    desk.casectl("case", "reply", number, "--text", "Hello", user="ada")
    assert {c["to"] for c in desk.case(number)["message_list"][-1]["copies"]} == {CUSTOMER, ARCHIVE}
    check_record(desk, number)


@pytest.mark.parametrize("text, words", [(b"a\0b", "NUL"), (b"\xff", "iconv"), (b" \n", "no text"),
                                         (b"a" * 2000000, "1048576 bytes")])
def test_what_is_no_text_is_not_sent(desk, text, words):
    number = desk.new_case(to=CUSTOMER)
    done = subprocess.run([program("casectl"), "case", "reply", str(number), "--as", "ada"], env=desk.env(), input=text,
                          capture_output=True, check=False)
    assert done.returncode == 2 and words in done.stderr.decode()
    assert desk.case(number)["messages"] == 1


def test_lists_are_paged_and_filtered(desk):
    desk.new_case(to=CUSTOMER)
    numbers = [desk.new_case(f"Page {i}") for i in range(5)]
    first = desk.casectl_json("case", "list", "--limit", "2")
    assert [c["number"] for c in first] == numbers[:2:-1] and CASE_KEYS <= first[0].keys()
    rest = desk.casectl_json("case", "list", "--limit", "2", "--before", first[-1]["number"])
    assert [c["number"] for c in rest] == [numbers[2], numbers[1]]
    assert all(c["assignee"] is None for c in desk.casectl_json("case", "list", "--unassigned"))
    assert all(c["state"] == "waiting" for c in desk.casectl_json("case", "list", "--state", "waiting"))
    rows = desk.casectl_json("outbound", "list", "--limit", "1000")
    assert {"case", "to", "kind", "state", "message_id", "attempts"} <= rows[0].keys()


def test_strangers_bytes_move_no_cursor(desk):
    number = desk.new_case()
    with desk.connect() as db:
        db.execute("UPDATE case_file SET subject = %s WHERE number = %s", ("evil \x1b[2J\x9b2J end", number))
    for command in (["case", "list"], ["case", "show", number]):
        shown = desk.casectl(*command).stdout
        assert "\x1b" not in shown and "\x9b" not in shown and "evil" in shown


def columns_before(line, word):
    """Of a terminal, in front of the word."""
    before = line[:line.index(word)]
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in before)


def test_columns_are_straight_whatever_the_script(desk):
    subjects = ["Plain", "パスワードの再設定", "Ru\u0308ckfrage", "😀 smile", "비밀번호 재설정", "字" * 80,
                "invoice \u202efdp.exe"]
    numbers = {str(desk.new_case(subject)) for subject in subjects}
    lines = [line for line in desk.casectl("case", "list").stdout.splitlines() if line.split()[0] in numbers]
    assert len(lines) == len(subjects) and len({columns_before(line, " open ") for line in lines}) == 1
    assert not any("\u202e" in line for line in lines)


def test_a_long_case_is_shown_whole_and_a_list_says_that_it_was_cut(desk):
    number = desk.new_case(to=CUSTOMER)
    for i in range(3):
        desk.casectl("case", "note", number, "--text", f"note {i}", user="ada")
    case = desk.casectl_json("case", "show", number, "--limit", "2")[0]
    assert [m["text"] for m in case["message_list"]] == ["note 1", "note 2"]  # the latest
    assert [fact["version"] for fact in case["timeline"]] == [3, 4]
    with desk.connect() as db:
        db.execute("""WITH made AS (INSERT INTO message (id, tenant_id, identity, direction, message_id, from_address,
            subject, body, created_at) SELECT gen_random_uuid(), tenant_id, gen_random_uuid(), 'in', 'bulk' || n,
            'a@client.example', 'Re', 'text', now() FROM case_file, generate_series(1, 1200) n WHERE number = %s
            RETURNING id, tenant_id) INSERT INTO case_message (message_id, case_id, tenant_id, position, matched_by,
            created_at) SELECT made.id, c.id, made.tenant_id, 100 + row_number() OVER (), 'ids', now() FROM made,
            case_file c WHERE c.number = %s""", (number, number))
    assert len(desk.case(number)["message_list"]) == 1204
    for i in range(60):
        desk.new_case(f"many {i}")
    assert len(desk.casectl_json("case", "list")) > 60
    shown = desk.casectl("case", "list")
    assert len(shown.stdout.splitlines()) == 51 and "first 50" in shown.stderr and "--before" in shown.stderr


def test_the_timeline_is_for_people(desk):
    number = desk.new_case(to=CUSTOMER)
    desk.casectl("case", "assign", number, "--to", "bo", user="ada")
    desk.casectl("case", "assign", number, "--nobody", user="ada")
    shown = desk.casectl("case", "show", number).stdout.splitlines()
    first, second = [line for line in shown if " assigned " in line]
    assert "bo, method person" in first and "nobody, method person" in second and "{" not in first


def test_where_is(desk):
    number = desk.new_case()
    message = desk.incoming(number, "Where@client.example")
    with desk.connect() as db:
        box = db.execute(BOX).fetchone()
        case = db.execute("SELECT id FROM case_file WHERE number = %s", (number,)).fetchone()
        raw = b"From: Lost@client.example\r\nMessage-ID: <lost@client.example>\r\n\r\nx"
        blob = db.execute("""INSERT INTO blob (id, tenant_id, sha256, size, bytes)
            VALUES (gen_random_uuid(), %s, '', 1, %s) RETURNING id""", (box["tenant_id"], raw)).fetchone()
        add = """INSERT INTO intake (id, tenant_id, mailbox_id, folder_id, uidvalidity, uid, state, reason, received_at,
            message_id, case_id, blob_id) VALUES (gen_random_uuid(), %s, %s, %s, 1, %s, %s, %s, now(), %s, %s, %s)"""
        db.execute(add, (box["tenant_id"], box["id"], box["folder"], 7, "attached", "", message, case["id"], None))
        db.execute(add, (box["tenant_id"], box["id"], box["folder"], 8, "quarantined", "parser", None, None,
                         blob["id"]))
    found, = desk.casectl_json("where-is", "--message-id", "<Where@CLIENT.example>")
    assert (found["mailbox"], found["folder"], found["uid"]) == (SUPPORT, "INBOX", 7)
    assert (found["state"], found["case"]) == ("attached", number)
    # What was never understood is found by its raw header.
    lost, = desk.casectl_json("where-is", "--message-id", "lost@client.example")
    assert (lost["uid"], lost["state"], lost["reason"], lost["case"]) == (8, "quarantined", "parser", None)
    assert [m["uid"] for m in desk.casectl_json("where-is", "--from", "lost@client.example")] == [8]
    assert 7 in [m["uid"] for m in desk.casectl_json("where-is", "--from", CUSTOMER)]


def test_an_unknown_copy_is_resolved_by_a_person(desk):
    number = desk.new_case(to=CUSTOMER)
    copy = next(c for c in desk.casectl_json("outbound", "list", "--case", number) if c["to"] == CUSTOMER)
    resolve = ("outbound", "resolve", copy["id"], "--outcome", "accepted")
    assert desk.casectl(*resolve, user="ada", check=False).returncode == 4  # it is only queued
    with desk.connect() as db:
        db.execute("UPDATE outbound_copy SET state = 'unknown' WHERE id = %s", (copy["id"],))
    assert desk.casectl(*resolve, check=False).returncode == 4  # nobody says so
    desk.casectl(*resolve, user="ada")
    copies = desk.casectl_json("outbound", "list", "--case", number)
    assert [c["state"] for c in copies if c["to"] == CUSTOMER] == ["accepted"]
    assert desk.case(number)["timeline"][-1]["data"]["to"] == "accepted"
    check_record(desk, number)


def test_dead_letters_are_asked_back(desk):
    with desk.connect() as db:
        box = db.execute(BOX).fetchone()
        intake = db.execute("""INSERT INTO intake (id, tenant_id, mailbox_id, folder_id, uidvalidity, uid, state,
            reason, received_at) VALUES (gen_random_uuid(), %s, %s, %s, 1, 99, 'dead', 'undecodable', now()) RETURNING id""",
                            (box["tenant_id"], box["id"], box["folder"])).fetchone()["id"]
        db.execute("""INSERT INTO dead_letter (id, tenant_id, group_name, topic, partition, log_offset, ce_id, key,
            type, subject, sequence, traceparent, value, ce_time, reason) VALUES (gen_random_uuid(), %s, 'threader',
            'mailcase.mail.received.v1', 0, 5, gen_random_uuid(), 'k', 't', %s, 0, '', '\\x0102', now(),
            'undecodable')""",
                   (box["tenant_id"], str(intake)))
    letter, = desk.casectl_json("dlq", "list")
    assert (letter["group"], letter["reason"], letter["replay_at"]) == ("threader", "undecodable", None)
    assert desk.casectl_json("dlq", "show", letter["id"])[0]["value"] == "0102"
    assert desk.casectl("health", check=False).returncode == 1
    assert desk.casectl_json("dlq", "replay", letter["id"]) == [{"replayed": 1}]
    assert desk.casectl_json("dlq", "list")[0]["replay_at"]
    # A threader leaves alone what has ended.
    assert desk.value("SELECT state FROM intake WHERE id = %s", intake) == "received"
    assert desk.casectl("dlq", "replay", "01a1f0c3-0000-7000-8000-000000000000", check=False).returncode == 3
