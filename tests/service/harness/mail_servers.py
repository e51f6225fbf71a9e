# SPDX-License-Identifier: Apache-2.0
"""A private Dovecot and, where wanted, a Postfix that delivers into it: those of `make run` (deploy/local/servers.sh).

    with MailServers() as servers:
        box = servers.mailbox("support@demo.example")
        box.deliver(raw)                       # into the Maildir, byte for byte
        servers.submit("a@x.example", ["support@demo.example"], raw)   # by SMTP, as the world does
"""

import contextlib
import imaplib
import os
import random
import shutil
import smtplib
import socket
import subprocess
import tempfile
from pathlib import Path

from harness.authority import openssl, sign
from harness.mailbox import Mailbox
from harness.programs import ROOT
from harness.server import Server
from harness.wait import wait_until

SCRIPT = ROOT / "deploy" / "local" / "servers.sh"
PORTS = ("imap", "imaps", "smtp", "submission", "smtps", "lmtp", "auth")


def free_port_base(count=16):
    """The first of `count` ports that nobody listens on; below those that the kernel deals out itself."""
    while True:
        base = random.randrange(20000, 31000, 16)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(base, base + count):
                    s = stack.enter_context(socket.socket())
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.bind(("127.0.0.1", port))
                return base
            except OSError:
                continue


class MailServers(Server):
    def __init__(self, folder=None, postfix=True):
        self.own_folder = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix="mailcase-mail-"))
        self.names = ["dovecot", "postfix"] if postfix else ["dovecot"]
        self.port_base = free_port_base()
        self.port = {name: self.port_base + i for i, name in enumerate(PORTS)}
        self.ca_file = self.folder / "tls" / "ca.pem"
        self.users = {}

    def _script(self, act, *args):
        env = dict(os.environ, PORT_BASE=str(self.port_base), MAIL_FSYNC="never")
        self.folder.mkdir(exist_ok=True)
        log = self.folder / "servers.log"
        # The servers inherit the script's streams: a pipe would never end.
        with open(log, "ab") as out:
            done = subprocess.run([SCRIPT, act, self.folder, *args], env=env, stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=out, check=False)
        if done.returncode != 0:
            raise RuntimeError(log.read_text(errors="replace")[-2000:])

    def start(self, *names):
        self._script("start", *(names or self.names))
        return self

    def stop(self, *names):
        self._script("stop", *names)

    def __exit__(self, *_):
        self.stop()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def set_password(self, address, password):
        self.users[address] = password
        self._write_users(self.users)

    def accept_only(self, passwords):
        """What the server accepts from now on; {} refuses everybody."""
        self._write_users(passwords)

    def _write_users(self, users):
        # In place: the file's owner is the server's user.
        with open(self.folder / "dovecot" / "users", "w", encoding="utf-8") as f:
            f.writelines(f"{address}:{{PLAIN}}{password}\n" for address, password in users.items())
        # Dovecot looks at the file once a second at most.
        for address, password in self.users.items():
            wait_until(lambda a=address, p=password: self.accepts(a, p) == (users.get(a) == p), 10,
                       f"the server's mind about {address}")

    def accepts(self, address, password):
        imap = imaplib.IMAP4("127.0.0.1", self.port["imap"], timeout=30)
        try:
            return imap.login(address, password)[0] == "OK"
        except imaplib.IMAP4.error:
            return False
        finally:
            imap.shutdown()

    def mailbox(self, address, password="secret"):
        """The mailbox of an address, which gets a password where it has none."""
        if address not in self.users:
            self.set_password(address, password)
        return Mailbox(self, address, self.users[address])

    def submit(self, sender, recipients, raw):
        with smtplib.SMTP("127.0.0.1", self.port["smtp"], timeout=30) as smtp:
            smtp.sendmail(sender, recipients, raw)

    def certificate(self, begin=None, end=None):
        """A new certificate for the same name; Dovecot serves it from now on."""
        tls = self.folder / "tls"
        with tempfile.TemporaryDirectory() as work:
            work = Path(work)
            openssl("req", "-new", "-key", tls / "server.key", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,DNS:mail.localhost,IP:127.0.0.1", "-out", work / "request")
            sign(tls / "ca.pem", tls / "ca.key", work / "request", work / "new.pem", begin, end)
            (tls / "server.pem").write_bytes((work / "new.pem").read_bytes())
        self._script("reload")
