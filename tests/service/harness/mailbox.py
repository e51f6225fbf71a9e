# SPDX-License-Identifier: Apache-2.0
"""One mailbox of the private Dovecot: what a mail program, and what its file system, can do with it."""

import contextlib
import email
import email.policy
import imaplib
import itertools
import os
import re
import shutil
import time

from harness.wait import wait_until

SERIAL = itertools.count(1)


class Mailbox:
    def __init__(self, servers, address, password):
        self.servers = servers
        self.address, self.password = address, password
        local, domain = address.lower().rsplit("@", 1)
        self.home = servers.folder / "mail" / domain / local
        self.maildir = self.home / "Maildir"

    # ---- as a mail program

    @contextlib.contextmanager
    def imap(self):
        connection = imaplib.IMAP4("127.0.0.1", self.servers.port["imap"], timeout=30)
        try:
            connection.login(self.address, self.password)
            yield connection
        finally:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                connection.logout()

    def append(self, raw, folder="INBOX", flags=""):
        with self.imap() as imap:
            _must(imap.append(folder, flags, None, raw))

    def append_all(self, mails, folder="INBOX"):
        with self.imap() as imap:
            for raw in mails:
                _must(imap.append(folder, "", None, raw))

    def create(self, folder):
        with self.imap() as imap:
            _must(imap.create(folder))

    def raw_mails(self, folder="INBOX"):
        """The mails, oldest first, as bytes; reading does not mark them."""
        with self.imap() as imap:
            _must(imap.select(folder, readonly=True))
            uids = _must(imap.uid("SEARCH", "ALL"))[0].split()
            if not uids:
                return []
            parts = _must(imap.uid("FETCH", b",".join(uids).decode(), "(BODY.PEEK[])"))
            return [part[1] for part in parts if isinstance(part, tuple)]

    def mails(self, folder="INBOX"):
        return [email.message_from_bytes(raw, policy=email.policy.default) for raw in self.raw_mails(folder)]

    def flags(self, folder="INBOX"):
        """Flags by UID."""
        with self.imap() as imap:
            _must(imap.select(folder, readonly=True))
            found = {}
            for line in _must(imap.uid("FETCH", "1:*", "(FLAGS)")):
                if line:
                    uid, flags = re.search(rb"UID (\d+)", line), re.search(rb"FLAGS \(([^)]*)\)", line)
                    found[int(uid[1])] = set(flags[1].decode().split())
            return found

    def uid_validity(self, folder="INBOX"):
        with self.imap() as imap:
            _must(imap.select(folder, readonly=True))
            return int(imap.response("UIDVALIDITY")[1][0])

    # ---- behind the server's back

    def make(self):
        """The folders of an empty Maildir, owned by the server's user."""
        for folder in [*reversed([p for p in self.maildir.parents if not p.exists()]), self.maildir,
                       *(self.maildir / name for name in ("tmp", "new", "cur"))]:
            folder.mkdir(exist_ok=True)
            self._give(folder)
        return self

    def deliver(self, raw):
        """Put a mail into the Maildir as it is: APPEND refuses NUL and mends line ends."""
        if not (self.maildir / "new").exists():
            self.make()
        name = f"{int(time.time())}.M{next(SERIAL)}P{os.getpid()}.test"
        path = self.maildir / "tmp" / name
        path.write_bytes(raw)
        self._give(path)
        path.rename(self.maildir / "new" / name)

    def renumber(self):
        """Forget all UIDs: the server starts again under another UIDVALIDITY. Nobody should be connected."""
        before = self.uid_validity()
        for path in self.maildir.glob("dovecot*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        # A UIDVALIDITY is a time in seconds: wait until it can differ.
        wait_until(lambda: int(time.time()) > before, what="the next second")
        assert self.uid_validity() != before

    def _give(self, path):
        if os.geteuid() == 0:
            owner = os.stat(self.servers.folder / "mail")
            os.chown(path, owner.st_uid, owner.st_gid)


def _must(answer):
    status, data = answer
    if status != "OK":
        raise RuntimeError(f"the server said {status}: {data}")
    return data
