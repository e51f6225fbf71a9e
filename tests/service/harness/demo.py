# SPDX-License-Identifier: Apache-2.0
"""The demo desk: a tenant, users, a team, a queue, an outbound mailbox and a mailbox, whose servers need not exist."""

from contextlib import contextmanager
from email import message_from_bytes, policy

from harness.services import Installation
from harness.wait import wait_until

SUPPORT = "support@demo.example"
CUSTOMER = "customer@client.example"
ARCHIVE = "archive@demo.example"


class DemoDesk(Installation):
    users = ("ada", "bo", "cy")

    def __enter__(self):
        super().__enter__()
        password = self.secret_file("mail", "secret")
        self.casectl("tenant", "add", "demo")
        for user in self.users:
            self.casectl("user", "add", user, "--name", user.title(), "--address", f"{user}@demo.example")
        members = [word for user in self.users for word in ("--member", user)]
        self.casectl("team", "add", "support", *members)
        self.casectl("queue", "add", "support", "--team", "support")
        self.casectl("outbound-mailbox", "add", "support", "--host", "127.0.0.1", "--port", "25", "--tls", "clear",
                     "--sender-address", SUPPORT, "--sender-name", "Demo Support", "--default",
                     "--bcc-archive", ARCHIVE)
        self.casectl("mailbox", "add", SUPPORT, "--host", "127.0.0.1", "--port", "143", "--tls", "clear",
                     "--user", "support", "--password-file", password, "--queue", "support")
        return self

    def new_case(self, subject="A question", text="What is it?", user="ada", **options):
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
        return self.casectl_json("case", "new", "--queue", "support", "--subject", subject, "--text", text, *words,
                                 user=user)[0]["case"]

    def incoming(self, number, header_id, sender=CUSTOMER, pending=False):
        """A mail of a customer on a case, as the threader leaves it. Its id."""
        with self.connect() as db, db.transaction():
            case = db.execute("SELECT * FROM case_file WHERE number = %s FOR UPDATE", (number,)).fetchone()
            message = db.execute(
                """INSERT INTO message (id, tenant_id, identity, direction, message_id, from_address, subject, body,
                   created_at) VALUES (gen_random_uuid(), %s, gen_random_uuid(), 'in', %s, %s, 'Re: it', 'Hello?',
                   now()) RETURNING id""", (case["tenant_id"], header_id, sender)).fetchone()["id"]
            db.execute("""INSERT INTO case_message (message_id, case_id, tenant_id, position, is_pending, is_external,
                matched_by, created_at) VALUES (%s, %s, %s, %s, %s, %s, 'ids', now())""",
                       (message, case["id"], case["tenant_id"], case["message_count"] + 1, pending, pending))
            db.execute("UPDATE case_file SET message_count = message_count + 1 WHERE id = %s", (case["id"],))
        return str(message)

    @contextmanager
    def told(self, channel):
        """What is notified on the channel meanwhile; at least one notification must come."""
        with self.connect() as db:
            heard = []
            db.add_notify_handler(lambda notify: heard.append(notify.payload))
            db.execute(f"LISTEN {channel}")
            yield heard
            wait_until(lambda: db.execute("SELECT 1") and heard, 10, f"a notification on {channel}")

    def mail(self, header_id):
        """A mail of ours, parsed."""
        row = self.rows("SELECT bytes FROM outbound_message WHERE header_id = %s", header_id)[0]
        return message_from_bytes(bytes(row["bytes"]), policy=policy.default)
