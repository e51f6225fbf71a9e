# SPDX-License-Identifier: Apache-2.0
"""All our groups from zero again, with every service: nothing changes, nothing is sent."""

from harness.letters import answer, letter
from harness.smtp_sink import SmtpSink
from harness.whole_desk import WholeDesk

OPENERS = 25
SENDING = "SELECT EXISTS (SELECT FROM outbound_copy WHERE state IN ('queued', 'sending'))"
TABLES = ("intake", "message", "case_message", "case_file", "case_event", "participant", "notification", "outbound_message",
          "outbound_copy")


def digest(desk):
    return {table: desk.value(f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t")
            for table in TABLES}


def test_every_topic_from_zero_changes_and_sends_nothing(postgres, mail_servers, tmp_path):
    with SmtpSink() as sink, WholeDesk(postgres, tmp_path, mail_servers, "replay.example") as desk:
        desk.set_up(sink.port)
        services = desk.start_all()
        openers = [letter(f"c{n}@client.example", desk.address, f"Question {n}") for n in range(OPENERS)]
        for mail in openers:
            desk.box.deliver(mail.as_bytes())
        desk.wait_settled(OPENERS)
        for mail in openers[:10]:
            desk.box.deliver(answer(mail, str(mail["From"])).as_bytes())
        desk.wait_settled(OPENERS + 10)
        for number in [case["number"] for case in desk.cases()][:5]:
            desk.casectl("case", "reply", number, text="We are looking into it.\n")
            desk.casectl("case", "close", number)
        desk.wait_caught_up(busy=SENDING)
        before, sent = digest(desk), len(sink.messages)
        records = len(desk.events()), len(desk.events("mail.received"))
        assert sent >= OPENERS

        desk.stop(*services)
        for group in ("threader", "router", "notifier"):
            desk.read_again(group)
        assert [desk.lag(group) for group in ("threader", "router", "notifier")] == [records[1], records[0], records[0]]
        desk.start_all()
        desk.wait_caught_up(busy=SENDING)
        assert digest(desk) == before
        assert len(sink.messages) == sent
        assert (len(desk.events()), len(desk.events("mail.received"))) == records
