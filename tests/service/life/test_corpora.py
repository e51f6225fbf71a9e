# SPDX-License-Identifier: Apache-2.0
"""Mail of the wild: whatever stands in a mailbox ends in a terminal row of the ledger, and nothing goes down by it."""

from harness import shared
from harness.whole_desk import WholeDesk
from harness.smtp_sink import SmtpSink

# Fetched = their sum.
TERMINAL = {"case", "attached", "personal", "filtered", "duplicate", "quarantined", "gone", "dead"}


def test_every_mail_of_the_parse_sets_has_a_terminal_row(postgres, mail_servers, tmp_path):
    mails = list(shared.parse_sets())
    with SmtpSink() as sink, WholeDesk(postgres, tmp_path, mail_servers, "wild.example") as demo:
        for _, raw in mails:
            demo.box.deliver(raw)
        demo.set_up(sink.port, auto_reply="off")
        services = demo.start_all()
        demo.wait_settled(len(mails), seconds=180)
        states = {r["state"]: r["n"] for r in demo.rows("SELECT state, count(*) AS n FROM intake GROUP BY state")}
        assert set(states) <= TERMINAL, states
        assert sum(states.values()) == len(mails) == demo.value("SELECT count(*) FROM intake WHERE reason IS NOT NULL")
        assert "dead" not in states and "gone" not in states, states
        assert demo.value("SELECT count(*) FROM intake WHERE state IN ('case', 'attached') AND case_id IS NULL") == 0
        assert all(s.is_running() for s in services)
        assert not [m for m in sink.messages if not any(r.endswith("@wild.example") for r in m.recipients)], \
            "nothing leaves but notices to our own people"
        demo.audit_clean("--deep")
