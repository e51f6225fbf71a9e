# SPDX-License-Identifier: Apache-2.0
"""A desk whose mail leaves through a scripted server: an installation without mailboxes that anybody reads."""

import email
import email.policy

from harness.services import Installation
from harness.wait import wait_until

SUPPORT = "support@demo.example"
AGENT, OTHER = "agent@staff.example", "other@staff.example"


class OutboundDesk(Installation):
    def __init__(self, postgres, folder, server, **settings):
        super().__init__(postgres, folder, settings)
        self.server = server

    def __enter__(self):
        super().__enter__()
        self.casectl("tenant", "add", "demo")
        self.casectl("user", "add", "agent", "--address", AGENT)
        self.casectl("user", "add", "other", "--address", OTHER)
        self.casectl("queue", "add", "support")
        self.outbound_mailbox("out", self.server, "--default")
        return self

    def outbound_mailbox(self, name, server, *options, address=SUPPORT, tls="clear"):
        self.casectl("outbound-mailbox", "add", name, "--host", "127.0.0.1", "--port", server.port, "--tls", tls,
                     "--sender-address", address, "--sender-name", "Demo Support", *options)

    def write(self, *recipients, text="Hello.", outbound=None):
        """A new case by hand, with its first mail to these; its number."""
        options = [part for address in recipients for part in ("--to", address)]
        options += ["--outbound", outbound] if outbound else []
        return self.casectl_json("case", "new", "--queue", "support", "--subject", "A question", "--text", text, *options,
                                 user="agent")[0]["case"]

    def copies(self, number=None):
        """State of each copy by recipient."""
        return {row["recipient"]: row for row in self.rows(
            "SELECT c.*, m.kind, m.header_id, m.audience FROM outbound_copy c JOIN outbound_message m ON m.id = c.outbound_id"
            " JOIN case_file f ON f.id = m.case_id WHERE %s::bigint IS NULL OR f.number = %s", number, number)}

    def wait_state(self, recipient, state, number=None, seconds=30):
        def reached():
            return (self.copies(number).get(recipient) or {}).get("state") == state
        wait_until(reached, seconds, lambda: f"{recipient} {state}: {self.copies(number).get(recipient)}; {self.troubles()}")
        return self.copies(number)[recipient]

    def facts(self, kind):
        return self.rows("SELECT e.*, f.number FROM case_event e JOIN case_file f ON f.id = e.case_id WHERE e.kind = %s"
                         " ORDER BY e.case_id, e.version, e.ordinal", kind)

    def make_due(self):
        """What waits for its next attempt is due now."""
        with self.connect() as db:
            db.execute("UPDATE outbound_copy SET next_attempt_at = now() WHERE state = 'deferred'")
            db.execute("NOTIFY mailcase_outbound")

    def mailbox_state(self, name="out"):
        rows = self.rows("SELECT s.* FROM outbound_mailbox_state s JOIN outbound_mailbox o ON o.id = s.outbound_mailbox_id"
                         " WHERE o.name = %s", name)
        return rows[0] if rows else {"state": None}


def parsed(mail):
    return email.message_from_bytes(mail["raw"], policy=email.policy.default)
