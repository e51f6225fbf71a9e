# SPDX-License-Identifier: Apache-2.0
"""An SMTP server that does what a script says, at each state of the dialogue, and keeps exact books.

    with ScriptedSmtp() as server:
        server.script["rcpt"] = "452 4.2.2 full"      # a reply instead of the usual one
        server.script["dot"] = "drop"                 # close without an answer; "hang" never answers
        server.script["rcpt:bob@x.example"] = "550 5.1.1 unknown"

States: greeting, ehlo, auth, mail, rcpt, data (the reply to DATA), body (a line of the body has come), dot.
`complete` counts mails whose final dot was seen, `accepted` those that were answered with 250.
"""

import base64
import socket
import ssl
import threading

USUAL = {"greeting": "220 scripted ESMTP", "mail": "250 2.1.0 fine", "rcpt": "250 2.1.5 fine", "data": "354 go on",
         "dot": "250 2.0.0 kept", "auth": "235 2.7.0 welcome"}


class Ended(Exception):
    """The script closes this connection."""


class ScriptedSmtp:
    def __init__(self, pipelining=True, certificate=None, implicit_tls=False, password=None, offer_auth=None):
        self.script, self.pipelining, self.password = {}, pipelining, password
        self.offer_auth = password is not None if offer_auth is None else offer_auth
        self.implicit_tls, self.context = implicit_tls, None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
        self.lock = threading.Lock()
        self.complete, self.accepted, self.logins = [], [], []
        self.connections, self.open, self.most_open, self.most_mails = 0, 0, 0, 0
        self.released = threading.Event()
        self.socket = None
        self.port = None

    def __enter__(self):
        self.listen()
        return self

    def __exit__(self, *_):
        self.close()

    def listen(self, port=0):
        self.socket = socket.create_server(("127.0.0.1", self.port or port), reuse_port=False)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.socket,), daemon=True).start()

    def close(self):
        self.released.set()
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def to(self, address):
        with self.lock:
            return [mail for mail in self.accepted if address in mail["recipients"]]

    def _accept(self, listener):
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        with self.lock:
            self.connections += 1
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        try:
            if self.implicit_tls:
                peer = self.context.wrap_socket(peer, server_side=True)
            Dialogue(self, peer).run()
        except (Ended, OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.open -= 1
            peer.close()


class Dialogue:
    def __init__(self, server, peer):
        self.server, self.peer = server, peer
        self.file = peer.makefile("rb")
        self.is_secure = server.implicit_tls
        self.mails = 0

    def say(self, state, detail=None):
        """Answer as the script says; the code that was sent."""
        script = self.server.script
        answer = script.get(f"{state}:{detail}", script.get(state, USUAL.get(state)))
        if callable(answer):
            answer = answer(self, detail)
        if answer == "drop":
            raise Ended
        if answer == "hang":
            self.server.released.wait(120)
            raise Ended
        self.peer.sendall((answer + "\r\n").encode())
        return int(answer[:3])

    def line(self):
        line = self.file.readline()
        if not line:
            raise Ended
        return line

    def run(self):
        self.say("greeting")
        sender, recipients = None, []
        while True:
            line = self.line().decode().strip()
            verb = line.upper()
            if verb.startswith("EHLO"):
                features = ["scripted"]
                features += ["PIPELINING"] if self.server.pipelining else []
                features += ["STARTTLS"] if self.server.context and not self.is_secure else []
                features += ["AUTH PLAIN LOGIN"] if self.server.offer_auth else []
                for i, feature in enumerate(features):
                    self.peer.sendall(f"250{' ' if i + 1 == len(features) else '-'}{feature}\r\n".encode())
            elif verb == "STARTTLS":
                self.peer.sendall(b"220 go on\r\n")
                self.peer = self.server.context.wrap_socket(self.peer, server_side=True)
                self.file, self.is_secure = self.peer.makefile("rb"), True
            elif verb.startswith("AUTH PLAIN"):
                _, user, password = base64.b64decode(line.split()[2]).split(b"\0")
                good = password.decode() == self.server.password
                with self.server.lock:
                    self.server.logins.append((user.decode(), good))
                if good:
                    self.say("auth")
                else:
                    self.peer.sendall(b"535 5.7.8 authentication failed\r\n")
            elif verb.startswith("MAIL FROM:"):
                sender, recipients = line[line.index("<") + 1:line.index(">")], []
                if self.say("mail") >= 300:
                    sender = None
            elif verb.startswith("RCPT TO:"):
                address = line[line.index("<") + 1:line.index(">")]
                if sender is None:
                    self.peer.sendall(b"503 5.5.1 MAIL first\r\n")
                elif self.say("rcpt", address) < 300:
                    recipients.append(address)
            elif verb == "DATA":
                if sender is None or not recipients and not self.server.script.get("data_without_rcpt"):
                    self.peer.sendall(b"503 5.5.1 no recipients\r\n")
                elif self.say("data") == 354:
                    self.body(sender, recipients)
                sender, recipients = None, []
            elif verb == "RSET":
                sender, recipients = None, []
                self.peer.sendall(b"250 2.0.0 fine\r\n")
            elif verb == "QUIT":
                self.peer.sendall(b"221 2.0.0 bye\r\n")
                raise Ended
            else:
                self.peer.sendall(b"502 5.5.2 what\r\n")

    def body(self, sender, recipients):
        server, lines = self.server, []
        while (line := self.line()) != b".\r\n":
            assert line.endswith(b"\r\n")
            if "body" in server.script:
                self.say("body")
            lines.append(line[1:] if line.startswith(b".") else line)
        if not recipients:
            self.peer.sendall(b"554 5.5.1 no valid recipients\r\n")
            return
        mail = {"sender": sender, "recipients": recipients, "raw": b"".join(lines)}
        self.mails += 1
        with server.lock:
            server.complete.append(mail)
            server.most_mails = max(server.most_mails, self.mails)
        if self.say("dot", recipients[0]) == 250:
            with server.lock:
                server.accepted.append(mail)
