# SPDX-License-Identifier: Apache-2.0
"""The life of a conversation through real servers: Postfix hands to Dovecot, all four services run."""

import pytest

from harness.whole_desk import WholeDesk
from harness.letters import answer, bare, letter
from harness.wait import wait_until

pytestmark = pytest.mark.smoke

CUSTOMER = "customer@client.example"
COLLEAGUE = "colleague@client.example"


@pytest.fixture(scope="module")
def desk(postgres, mail_servers, tmp_path_factory):
    """One conversation, told in the order of the tests below."""
    with WholeDesk(postgres, tmp_path_factory.mktemp("conversation"), mail_servers, "talk.example") as demo:
        demo.set_up(mail_servers.port["smtp"], queue_options=("--closed-policy", "reopen_within"))
        demo.start_all()
        demo.wait_mailbox("ok")
        demo.customer = mail_servers.mailbox(CUSTOMER)
        demo.colleague = mail_servers.mailbox(COLLEAGUE)
        demo.agent_box = mail_servers.mailbox(demo.agent_address())
        demo.opener = letter(f"Customer <{CUSTOMER}>", f"Support <{demo.address}>", "The printer is stuck",
                             cc=[COLLEAGUE])
        yield demo


def send(desk, mail, sender):
    recipients = [a.addr_spec for name in ("To", "Cc") if mail[name] for a in mail[name].addresses]
    desk.servers.submit(sender, recipients, mail.as_bytes())


def arrived(box, condition, what):
    """The mail in the mailbox that fits."""
    return wait_until(lambda: next((m for m in box.mails() if condition(m)), None), 60, what)


def own_id(mail):
    return bare(mail["Message-ID"])


def test_a_mail_becomes_a_case_that_is_assigned(desk):
    send(desk, desk.opener, CUSTOMER)
    desk.number = desk.wait_case_of(own_id(desk.opener))
    wait_until(lambda: desk.case(desk.number)["assignee"] == "agent", what="the case is assigned")
    case = desk.case(desk.number)
    assert (case["subject"], case["state"], case["queue"], case["team"]) == ("The printer is stuck", "open", "support", "support")
    assert [m["direction"] for m in case["message_list"]] == ["in"]


def test_the_customer_gets_the_number(desk):
    auto = arrived(desk.customer, lambda m: f"[#{desk.number}]" in m["Subject"], "the automatic reply")
    assert auto["Auto-Submitted"] == "auto-replied"
    assert bare(auto["In-Reply-To"]) == own_id(desk.opener)
    assert own_id(desk.opener) in auto["References"]
    assert auto["Return-Path"] == "<>" or "+c." in auto["Return-Path"]
    desk.auto = auto


def test_the_agent_is_told(desk):
    notice = arrived(desk.agent_box, lambda m: str(desk.number) in m["Subject"], "the notice of the assignment")
    assert notice["Auto-Submitted"], "a notice is marked as automatic"
    assert CUSTOMER not in str(notice["To"])


def test_the_answer_of_the_agent_reaches_the_customer(desk):
    desk.casectl("case", "reply", desk.number, text="We are looking into it.\n")
    reply = arrived(desk.customer, lambda m: "looking into it" in m.get_body().get_content(), "the agent's reply")
    assert f"[#{desk.number}]" in reply["Subject"]
    assert own_id(desk.opener) in reply["References"]
    assert bare(reply["In-Reply-To"]) == own_id(desk.opener)
    assert reply["From"].addresses[0].addr_spec == desk.address
    assert "Demo Support" in str(reply["From"])
    reply_to = (reply["Reply-To"] or reply["From"]).addresses[0].addr_spec
    assert reply_to == desk.address or reply_to.startswith("support+c.")
    assert not reply["Auto-Submitted"], "a person wrote it"
    assert desk.case(desk.number)["state"] == "waiting"
    assert not [m for m in desk.colleague.mails() if "looking into it" in m.get_body().get_content()], \
        "who stands in Cc of an incoming mail has no right to the answer"
    desk.reply = reply


def test_the_customer_s_answer_joins(desk):
    mail = answer(desk.reply, CUSTOMER, "It prints again.\n")
    send(desk, mail, CUSTOMER)
    assert desk.wait_case_of(own_id(mail)) == desk.number
    joined = desk.message(desk.number, own_id(mail))
    assert joined["matched_by"] in ("token", "ids") and not joined["pending"]
    wait_until(lambda: desk.case(desk.number)["state"] == "open", what="the case is open again")
    arrived(desk.agent_box, lambda m: "prints again" in m.as_string() or "Re: " in m["Subject"] or
            len(desk.agent_box.mails()) > 1, "the notice of the answer")


def test_a_colleague_who_answers_all_is_pending_until_confirmed(desk):
    mail = answer(desk.opener, COLLEAGUE, "Me too.\n", reply_all=True)
    send(desk, mail, COLLEAGUE)
    assert desk.wait_case_of(own_id(mail)) == desk.number
    waiting = desk.message(desk.number, own_id(mail))
    assert waiting["pending"], waiting
    assert COLLEAGUE not in [o["to"] for o in desk.outbound(desk.number)], "nothing goes out to them"
    desk.casectl("case", "confirm", desk.number, "--message", waiting["id"])
    assert not desk.message(desk.number, own_id(mail))["pending"]


def test_a_confirmed_colleague_joins_in_full(desk):
    mail = answer(desk.opener, COLLEAGUE, "And another thing.\n", reply_all=True)
    send(desk, mail, COLLEAGUE)
    assert desk.wait_case_of(own_id(mail)) == desk.number
    assert not desk.message(desk.number, own_id(mail))["pending"]


def test_nobody_was_told_twice(desk):
    desk.wait_settled(4)
    assert len(desk.outbound(desk.number, "auto_reply")) == 1
    assert len([m for m in desk.customer.mails() if m["Auto-Submitted"]]) == 1
    states = {o["state"] for o in desk.outbound(desk.number)}
    assert states == {"accepted"}


def test_an_answer_to_a_closed_case_reopens_it_within_the_days_of_its_queue(desk):
    desk.casectl("case", "close", desk.number)
    assert desk.case(desk.number)["state"] == "closed"
    mail = answer(desk.reply, CUSTOMER, "Stuck again.\n")
    send(desk, mail, CUSTOMER)
    assert desk.wait_case_of(own_id(mail)) == desk.number
    wait_until(lambda: desk.case(desk.number)["state"] == "open", what="the case is open again")


def test_where_the_queue_says_so_an_answer_to_a_closed_case_opens_another(desk):
    desk.casectl("queue", "set", "support", "--closed-policy", "new_case")
    desk.casectl("case", "close", desk.number)
    mail = answer(desk.reply, CUSTOMER, "One more.\n")
    send(desk, mail, CUSTOMER)
    other = desk.wait_case_of(own_id(mail))
    assert other != desk.number
    assert desk.case(desk.number)["state"] == "closed"


def test_the_timeline_is_the_record_of_versions_without_gaps(desk):
    versions = desk.rows("SELECT DISTINCT e.version FROM case_event e JOIN case_file c ON c.id = e.case_id WHERE c.number = %s"
                         " ORDER BY 1", desk.number)
    assert [v["version"] for v in versions] == list(range(1, len(versions) + 1))
    assert len(desk.case(desk.number)["timeline"]) > 5


def test_nothing_is_lost_doubled_or_unexplained(desk):
    desk.audit_clean("--deep")
