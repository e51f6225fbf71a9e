# SPDX-License-Identifier: Apache-2.0
"""An IMAP server that does what a test tells it to: the faults that a real one does not offer.

    with ScriptedServer({1: b"...", 2: b"..."}) as server:
        server.hide.add(2)        # listed, but never delivered
"""

import contextlib
import re
import socket
import socketserver
import threading


class ScriptedServer:
    """Mails by UID. Attributes change its manners at any time, for all its connections."""

    def __init__(self, mails=None, uidvalidity=7):
        self.mails = dict(mails or {})
        self.uidvalidity = uidvalidity
        self.capabilities = "IMAP4rev1 AUTH=PLAIN SASL-IR ESEARCH"
        self.greeting = "* OK ready"
        self.login_answer = "OK done"
        self.hide = set()          # listed but not delivered
        self.hide_once = set()     # the same, the first time
        self.refuse = {}           # UID: the words of the NO
        self.sizes = {}            # UID: a lie about the size
        self.deaf_to = None        # a word: commands with it get no answer
        self.garbage = None        # sent in place of the answer to SELECT
        self.reverse = False       # answers come in descending order, UID last
        self.store_answer = "OK done"
        self.idle = None           # "refuse", "end" (at once), "drop" (the connection); else it holds until DONE
        self.search_lines = None   # what a search by date finds, line by line
        self.volunteer = 0         # a UID that is told of in every listing
        self.flood = 0             # so many mails more in a listing, the last first
        self.logins = 0
        self.commands = []

    def __enter__(self):
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError):
                    outer._talk(self)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def _talk(self, handler):
        def say(text):
            handler.wfile.write(text if isinstance(text, bytes) else text.encode() + b"\r\n")

        handler.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        say(self.greeting)
        for line in handler.rfile:
            tag, _, command = line.decode().strip().partition(" ")
            if not command.startswith("AUTHENTICATE"):
                self.commands.append(command)
            if self.deaf_to and self.deaf_to in command:
                continue
            word = command.split(" ")[0].upper()
            answer = "OK done"
            if word == "CAPABILITY":
                say(f"* CAPABILITY {self.capabilities}")
            elif word == "AUTHENTICATE":
                self.logins += 1
                answer = self.login_answer
            elif word in ("SELECT", "EXAMINE"):
                if self.garbage is not None:
                    say(self.garbage)
                    continue
                say(f"* {len(self.mails)} EXISTS")
                say(f"* OK [UIDVALIDITY {self.uidvalidity}] so")
                say(f"* OK [UIDNEXT {max(self.mails, default=0) + 1}] so")
            elif command.startswith("UID SEARCH") and "SINCE" in command:
                for found in self.search_lines:
                    say(found)
            elif command.startswith("UID SEARCH"):
                found = self._in_set(re.search(r"UID (\S+)$", command)[1])
                say(f'* ESEARCH (TAG "{tag}") UID' + (" ALL " + ",".join(map(str, found)) if found else ""))
            elif command.startswith("UID FETCH"):
                answer = self._fetch(say, *re.match(r"UID FETCH (\S+) \((.*)\)$", command).groups())
            elif command.startswith("UID STORE"):
                answer = self.store_answer
            elif word == "IDLE" and self.idle == "refuse":
                answer = "NO not today"
            elif word == "IDLE" and self.idle == "drop":
                return
            elif word == "IDLE":
                say("+ idling")
                if self.idle != "end":
                    handler.rfile.readline()
            elif word == "LOGOUT":
                return
            say(f"{tag} {answer}")

    def _in_set(self, text):
        found = set()
        for piece in text.split(","):
            first, _, last = piece.partition(":")
            low, high = int(first), max(self.mails, default=0) if last == "*" else int(last or first)
            found |= {u for u in self.mails if min(low, high) <= u <= max(low, high)}
        return sorted(found)

    def _fetch(self, say, text, attributes):
        uids = self._in_set(text)
        if "RFC822.SIZE" in attributes and self.volunteer:
            say(f"* 1 FETCH (RFC822.SIZE 9 UID {self.volunteer})")
        if "RFC822.SIZE" in attributes:
            say(b"".join(b"* %d FETCH (RFC822.SIZE 9 UID %d)\r\n" % (uid, uid) for uid in range(self.flood + 9, 9, -1)))
        for uid in reversed(uids) if self.reverse else uids:
            raw = self.mails[uid]
            date = '"01-Jan-2030 00:00:00 +0000"'
            if "RFC822.SIZE" in attributes:
                say(f"* {uid} FETCH (RFC822.SIZE {self.sizes.get(uid, len(raw))} INTERNALDATE {date} UID {uid})")
                continue
            if uid in self.refuse:
                return f"NO {self.refuse[uid]}"
            if uid in self.hide or uid in self.hide_once:
                self.hide_once.discard(uid)
                continue
            body = raw if "BODY.PEEK[]" in attributes else raw.split(b"\r\n\r\n")[0] + b"\r\n\r\n"
            name = "BODY[]" if "BODY.PEEK[]" in attributes else "BODY[HEADER]"
            say(f"* {uid} FETCH ({name} {{{len(body)}}}")
            say(body + f" INTERNALDATE {date} UID {uid})\r\n".encode())
        return "OK done"
