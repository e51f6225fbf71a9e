# SPDX-License-Identifier: Apache-2.0
"""A desk for the tests of the threader: an installation, mails put in as by a fetcher, and sent as by a notifier."""

import hashlib
import json
import subprocess
import sys
import uuid
from pathlib import Path

from harness.programs import test_program
from harness.services import Installation
from harness.shared import bench_module, folder

SUPPORT = "support@example.test"
SECOND = "second@example.test"
PERSONAL = "agent@example.test"
STAFF = "agent@staff.example"


class Desk(Installation):
    def __enter__(self):
        super().__enter__()
        password = self.secret_file("imap", "x")
        server = ("--host", "imap.invalid", "--port", "993", "--tls", "implicit", "--user", "x",
                  "--password-file", password)
        self.casectl("tenant", "add", "demo")
        self.casectl("user", "add", "agent", "--address", STAFF)
        self.casectl("queue", "add", "support")
        self.casectl("outbound-mailbox", "add", "out", "--host", "smtp.invalid", "--port", "465", "--tls", "implicit",
                     "--sender-address", SUPPORT, "--default")
        for address in (SUPPORT, SECOND, PERSONAL):
            self.casectl("mailbox", "add", address, "--queue", "support", "--rung5", "on", *server)
        with self.connect() as db:
            db.execute("UPDATE mailbox SET kind = 'personal' WHERE address = %s", (PERSONAL,))
        self.post = subprocess.Popen([test_program("service/threader/post"), self.url, self.key_file],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.uid, self.mails = 0, 0
        return self

    def __exit__(self, *args):
        self.post.stdin.close()
        self.post.wait()
        super().__exit__(*args)

    def _ask(self, line):
        self.post.stdin.write(line + "\n")
        self.post.stdin.flush()
        answer = self.post.stdout.readline().strip()
        assert answer, "post ended"
        return answer

    def token(self, serial):
        return self._ask(f"token {serial} {SUPPORT}")

    def put(self, raws, mailbox=SUPPORT, quiet=False):
        """Durably received: blob, ledger row, record."""
        for raw in raws:
            self.uid += 1
            path = self.folder / f"mail{self.uid % 5000}.eml"
            path.write_bytes(raw)
            self.post.stdin.write(f"mail {mailbox} 1 {self.uid} {'q' if quiet else '-'} {path}\n")
            self.mails += 1
            if self.uid % 1000 == 0:
                assert self._ask("go") == "done"
        assert self._ask("go") == "done"

    def settle(self, seconds=120):
        """All of ours decided; the later groups' lag is not ours."""
        self.wait_rows("""SELECT 1 FROM intake HAVING count(*) = %s AND
            count(*) FILTER (WHERE state IN ('received', 'retrying', 'action_needed')) = 0""",
                       self.mails, seconds=seconds)

    def thread(self, raws, **options):
        self.put(raws, **options)
        self.settle()

    def send(self, case_number, recipients, audience="customer", kind="auto_reply", subject="We have your message"):
        """A mail of ours, stored as sent; its Message-ID."""
        with self.connect() as db:
            serial = db.execute("SELECT nextval('outbound_serial') AS n").fetchone()["n"]
        header = f"{self.token(serial)}@example.test"
        raw = f"Message-ID: <{header}>\r\nFrom: {SUPPORT}\r\nSubject: [#{case_number}] {subject}\r\n\r\nThank you.\r\n"
        with self.connect() as db, db.transaction():
            case = db.execute("SELECT id, tenant_id, version FROM case_file WHERE number = %s",
                              (case_number,)).fetchone()
            user = db.execute("SELECT id FROM app_user").fetchone()["id"] if audience == "staff" else None
            outbound = db.execute("""
                INSERT INTO outbound_message (id, tenant_id, serial, case_id, case_version, audience, kind, reason,
                    user_id, outbound_mailbox_id, mailbox_reason, header_id, envelope_from, bytes, created_at)
                SELECT %s, %s, %s, %s, %s, %s, %s, 'case_opened', %s, id, 'tenant_default', %s, '', %s, now()
                FROM outbound_mailbox RETURNING id, outbound_mailbox_id AS mailbox""",
                (uuid.uuid4(), case["tenant_id"], serial, case["id"], case["version"], audience, kind, user, header,
                 raw.encode())).fetchone()
            for recipient in recipients:
                db.execute("""
                    INSERT INTO outbound_copy (id, tenant_id, outbound_id, outbound_mailbox_id, recipient, role, state,
                        next_attempt_at, changed_at)
                    VALUES (%s, %s, %s, %s, %s, 'to', 'accepted', now(), now())""",
                    (uuid.uuid4(), case["tenant_id"], outbound["id"], outbound["mailbox"], recipient))
        return header, raw.encode()

    def place(self, header_id):
        """Where the message of that Message-ID (without brackets) is."""
        rows = self.rows("""
            SELECT c.number, cm.is_pending, cm.is_external, cm.matched_by, cm.evidence, m.* FROM message m
            LEFT JOIN case_message cm ON cm.message_id = m.id LEFT JOIN case_file c ON c.id = cm.case_id
            WHERE m.message_id = %s ORDER BY m.id""", header_id)
        assert len(rows) == 1, rows
        return rows[0]

    def snapshot(self):
        """What must not change when something is delivered again, as one digest: all but the ledger."""
        tables = {"message": "id", "case_message": "message_id, case_id", "case_file": "id",
                  "participant": "case_id, address", "message_ref": "id", "case_event": "case_id, version, ordinal",
                  "attachment": "message_id, position"}
        digest = hashlib.sha256()
        for table, order in tables.items():
            for row in self.rows(f"SELECT * FROM {table} ORDER BY {order}"):
                digest.update(json.dumps(row, default=str, sort_keys=True).encode())
        return digest.hexdigest()

    def check_consistent(self):
        """What holds of every store, whatever happened to it."""
        with self.connect() as db:
            for name, query in INVARIANTS.items():
                bad = db.execute(query).fetchall()
                assert not bad, f"{name}: {bad[:3]}"


INVARIANTS = {
    "every ledger row of a case has its message there": """
        SELECT i.id FROM intake i WHERE i.state IN ('case', 'attached') AND NOT EXISTS
            (SELECT 1 FROM case_message c WHERE c.message_id = i.message_id AND c.case_id = i.case_id)""",
    "every duplicate names a message": "SELECT id FROM intake WHERE state = 'duplicate' AND message_id IS NULL",
    "a message is in at most one case": "SELECT message_id FROM case_message GROUP BY 1 HAVING count(*) > 1",
    "every case has an opener": "SELECT id FROM case_file WHERE message_count = 0",
    "messages are counted": """
        SELECT f.id FROM case_file f
        WHERE message_count <> (SELECT count(*) FROM case_message c WHERE c.case_id = f.id)""",
    "positions have no gaps": """
        SELECT case_id FROM case_message GROUP BY 1
        HAVING max(position) <> count(*) OR count(DISTINCT position) <> count(*)""",
    "versions have no gaps": """
        SELECT f.id FROM case_file f
        WHERE version <> (SELECT count(DISTINCT e.version) FROM case_event e WHERE e.case_id = f.id)""",
    "every id leads to a case that is there":
        "SELECT r.id FROM message_ref r WHERE NOT EXISTS (SELECT 1 FROM case_file f WHERE f.id = r.case_id)",
    "the bearer of an id is in the case where it leads": """
        SELECT r.id FROM message_ref r WHERE message_id IS NOT NULL AND NOT EXISTS
            (SELECT 1 FROM case_message c WHERE c.message_id = r.message_id AND c.case_id = r.case_id)""",
    "a dead mail has a dead letter": """
        SELECT id FROM intake i WHERE state = 'dead' AND NOT EXISTS
            (SELECT 1 FROM dead_letter d WHERE d.subject = i.id::text)""",
}


def letter(sender, subject, header_id=None, to=SUPPORT, headers=(), body="Good day."):
    lines = [f"From: <{sender}>", f"To: <{to}>", f"Subject: {subject}", "Date: Thu, 09 Oct 2025 09:00:00 +0000"]
    if header_id:
        lines.append(f"Message-ID: <{header_id}>")
    lines += [*headers, "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "", body, ""]
    return "\r\n".join(lines).encode()


class Bench:
    """The bench mailbox: templates and their truth."""

    def __init__(self, target, mails=500, traps=False):
        program = folder("bench", "gen_trap.py" if traps else "gen.py")
        arguments = [] if traps else [str(mails)]
        subprocess.run([sys.executable, program, target, *arguments], check=True, capture_output=True)
        self.folder = Path(target)
        self.gen = bench_module()
        self.meta = [json.loads(line) for line in (self.folder / "meta.jsonl").read_text(encoding="utf-8").splitlines()]
        self.sysrefs = {}

    def template(self, meta):
        return (self.folder / "tmpl" / meta["file"]).read_bytes()

    def openers(self):
        return [m for m in self.meta if m["kind"] == "new"]

    def replies(self):
        return [m for m in self.meta if m["kind"] == "reply"]

    def render(self, meta, numbers):
        tag = f"[#{numbers[meta['conv']]}]" if numbers else ""
        sysref = f"<{self.sysrefs[meta['conv']]}>" if numbers else ""
        return self.gen.render(meta, self.template(meta), tag, sysref).replace(b"\n", b"\r\n")

    def answer_all(self, desk):
        """A mail of ours to each opener, as an auto-reply would be; the numbers of their cases."""
        numbers = {}
        for meta in self.openers():
            number = desk.place(meta["msgid"].strip("<>"))["number"]
            numbers[meta["conv"]] = number
            self.sysrefs[meta["conv"]] = desk.send(number, [meta["sender"]])[0]
        return numbers

    def misplaced(self, desk, numbers):
        """Replies that are not where their conversation is."""
        places = {row["message_id"]: row["number"] for row in desk.rows(
            "SELECT m.message_id, f.number FROM message m JOIN case_message c ON c.message_id = m.id"
            " JOIN case_file f ON f.id = c.case_id")}
        return [(m["mode"], m["file"]) for m in self.replies()
                if places.get(m["msgid"].strip("<>")) != numbers[m["conv"]]]
