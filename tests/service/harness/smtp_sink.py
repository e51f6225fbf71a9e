# SPDX-License-Identifier: Apache-2.0
"""An SMTP server that keeps what it is given and can be told to refuse.

    with SmtpSink() as sink:
        sink.answers["RCPT"] = "452 4.2.2 mailbox full"     # until deleted again
        wait_until(lambda: sink.messages)
"""

import email
import email.policy
import socket
import threading
import time
from dataclasses import dataclass, field

from aiosmtpd.controller import Controller


@dataclass
class Message:
    sender: str
    recipients: list
    raw: bytes
    accepted_at: float = field(default_factory=time.time)

    @property
    def mail(self):
        return email.message_from_bytes(self.raw, policy=email.policy.default)


class SmtpSink:
    def __init__(self, port=None, **controller_options):
        self.port = port or _free_port()
        self.options = controller_options
        self.messages = []
        self.answers = {}  # by command (MAIL, RCPT, DATA): the reply instead of 250
        self.lock = threading.Lock()
        self.controller = None

    def start(self):
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port, data_size_limit=None,
                                     enable_SMTPUTF8=True, **self.options)
        self.controller.start()
        return self

    def stop(self):
        if self.controller:
            self.controller.stop()
            self.controller = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def to(self, address):
        with self.lock:
            return [m for m in self.messages if address in m.recipients]

    def accepted(self):
        """What `casectl audit --accepted` reads, a line for each recipient of each mail."""
        with self.lock:
            return [f"{m.mail['Message-ID']}\t{to}" for m in self.messages for to in m.recipients]

    # ---- aiosmtpd's names

    async def handle_MAIL(self, _server, _session, envelope, address, options):
        if "MAIL" in self.answers:
            return self.answers["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 fine"

    async def handle_RCPT(self, _server, _session, envelope, address, options):
        if "RCPT" in self.answers:
            return self.answers["RCPT"]
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 fine"

    async def handle_DATA(self, _server, _session, envelope):
        if "DATA" in self.answers:
            return self.answers["DATA"]
        with self.lock:
            self.messages.append(Message(envelope.mail_from or "", list(envelope.rcpt_tos), envelope.original_content))
        return "250 2.0.0 kept"


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
