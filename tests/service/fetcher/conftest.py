# SPDX-License-Identifier: Apache-2.0
"""One Dovecot for all fetcher tests; each test has an installation, and mailboxes, of its own."""

import itertools

import pytest

from harness.mail_servers import MailServers
from harness.services import Installation

SERIAL = itertools.count(1)


@pytest.fixture(scope="package")
def servers():
    with MailServers(postfix=False) as mail:
        yield mail


@pytest.fixture
def box(servers):
    return servers.mailbox(f"box{next(SERIAL)}@demo.example")


class Fetching(Installation):
    """An installation that only fetches: nothing reads what arrives."""

    def __enter__(self):
        super().__enter__()
        self.casectl("tenant", "add", "demo")
        self.casectl("team", "add", "support")
        self.casectl("queue", "add", "support", "--team", "support")
        return self

    def add(self, box, *options, tls="clear", start="all", password=None, host="127.0.0.1", port=None):
        port = port or box.servers.port["imaps" if tls == "implicit" else "imap"]
        secret = self.secret_file(box.address, password or box.password)
        more = [] if tls == "clear" or "--insecure" in options else ["--ca-file", box.servers.ca_file]
        self.casectl("mailbox", "add", box.address, "--host", host, "--port", port, "--tls", tls, "--user", box.address,
                     "--password-file", secret, "--queue", "support", "--from", start, *more, *options)

    def set(self, box, *options):
        self.casectl("mailbox", "set", box.address, *options)

    def state(self, box):
        rows = self.rows("SELECT s.* FROM mailbox_state s JOIN mailbox m ON m.id = s.mailbox_id WHERE m.address = %s",
                         box.address)
        return rows[0] if rows else {"state": "", "reason": "", "remedy": ""}

    def blobs(self, box=None):
        """The raw mails by UID."""
        query = """SELECT i.uid, i.state, b.bytes, b.sha256, i.size FROM intake i LEFT JOIN blob b ON b.id = i.blob_id
            JOIN mailbox m ON m.id = i.mailbox_id WHERE m.address LIKE %s ORDER BY m.address, i.uid"""
        return self.rows(query, box.address if box else "%")


@pytest.fixture
def fetching(postgres, tmp_path):
    with Fetching(postgres, tmp_path, settings={"MAILCASE_RETRY_MOST_MS": "300", "MAILCASE_ACTION_DELAY_S": "0"}) as case:
        yield case
