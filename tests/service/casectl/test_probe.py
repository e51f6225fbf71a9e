# SPDX-License-Identifier: Apache-2.0
"""`casectl probe`, which health checks run: what it makes of each kind of answer."""

import json
import socket
import subprocess
import threading
from contextlib import contextmanager

import pytest
from harness.programs import program

pytestmark = pytest.mark.once


@contextmanager
def answering(words, requests=None):
    """host:port of one who says `words` to whoever connects; None: nothing at all, and stays."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def serve():
            try:
                while True:
                    client, _ = server.accept()
                    held.append(client)
                    request = client.recv(4096)
                    if requests is not None:
                        requests.append(request)
                    if words is not None:
                        client.sendall(words)
                        client.close()
            except OSError:
                pass
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for client in held:
                client.close()


def probe(*args, **env):
    return subprocess.run([program("casectl"), "probe", *args], env=env, capture_output=True, text=True, timeout=30, check=False)


READY = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nready\n"
WAITING = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 23\r\n\r\ndatabase or its schema\n"


def test_the_setting_or_the_operand_says_whom_and_the_path_is_readyz_or_livez():
    requests = []
    with answering(READY, requests) as listen:
        done = probe(MAILCASE_OPS_LISTEN=listen)
        assert (done.returncode, done.stdout, done.stderr) == (0, "ready\n", "")
        assert probe(listen, "--live", MAILCASE_OPS_LISTEN="127.0.0.1:1").returncode == 0
    assert [r.split(b"\r\n")[0] for r in requests] == [b"GET /readyz HTTP/1.0", b"GET /livez HTTP/1.0"]


@pytest.mark.parametrize("everywhere", ["0.0.0.0", ""])
def test_an_address_that_means_all_is_asked_on_loopback(everywhere):
    with answering(READY) as listen:
        assert probe(MAILCASE_OPS_LISTEN=f"{everywhere}:{listen.split(':')[1]}").returncode == 0


def test_not_ready_is_status_1_with_the_reason():
    with answering(WAITING) as listen:
        done = probe(listen)
        assert (done.returncode, done.stdout) == (1, "database or its schema\n")
        shown = json.loads(probe(listen, "--json").stdout)
        assert shown == {"path": "/readyz", "status": 503, "detail": "database or its schema"}


@pytest.mark.parametrize("words,reason", [(b"220 mail ESMTP\r\n", "HTTP"), (b"", "HTTP"), (None, "timed out")])
def test_other_kinds_of_servers_are_status_1(words, reason):
    with answering(words) as listen:
        done = probe(listen, "--timeout", "1")
        assert done.returncode == 1 and reason in done.stderr and done.stdout == ""


def test_nobody_there_and_nothing_said():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = probe(f"127.0.0.1:{port}")
    assert done.returncode == 1 and "refused" in done.stderr
    done = probe()
    assert done.returncode == 2 and "MAILCASE_OPS_LISTEN" in done.stderr
    assert probe("no-port").returncode == 1
