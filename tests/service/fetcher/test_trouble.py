# SPDX-License-Identifier: Apache-2.0
"""Servers that refuse, lie or go away: the mailbox says why, waits, and comes back by itself."""

import pytest

from fetcher.test_intake import mail
from harness.authority import EXPIRED
from harness.mail_servers import free_port_base
from harness.wait import wait_until


def wait_state(fetching, box, state, reason=""):
    wait_until(lambda: fetching.state(box)["state"] == state and reason in fetching.state(box)["reason"],
               what=lambda: f"{state} {reason}: {fetching.state(box)}")
    return fetching.state(box)


def test_a_wrong_password_then_the_right_one(fetching, box):
    fetching.add(box, password="wrong")
    fetching.settings["MAILCASE_RETRY_MOST_MS"] = "3600000"  # only the change of settings may wake it
    fetching.start("fetcher")
    state = wait_state(fetching, box, "auth_failed", "refused user name or password")
    assert "password" in state["remedy"] and state["next_try_at"] is not None
    box.append(mail(1))
    fetching.set(box, "--password-file", fetching.secret_file("right", box.password))
    fetching.wait_rows("SELECT 1 FROM intake")
    wait_state(fetching, box, "ok")
    events = fetching.wait_events("mailbox.events", count=3)
    assert [e["ce_sequence"] for e in events] == [1, 2, 3]  # starting, auth_failed, ok


def test_the_server_goes_and_comes(fetching, servers, box):
    fetching.add(box)
    fetching.start("fetcher")
    wait_state(fetching, box, "ok")
    servers.stop("dovecot")
    wait_state(fetching, box, "backing_off")
    servers.start("dovecot")
    wait_state(fetching, box, "ok")
    box.append(mail(1))
    fetching.wait_rows("SELECT 1 FROM intake")


@pytest.mark.once
def test_an_expired_certificate_is_named(fetching, servers, box):
    fetching.add(box, tls="implicit", host="localhost")
    servers.certificate(*EXPIRED)
    try:
        fetching.start("fetcher")
        wait_state(fetching, box, "backing_off", "expired")
    finally:
        servers.certificate()
    wait_state(fetching, box, "ok")


@pytest.mark.once
def test_causes_are_told_apart(fetching, servers):
    boxes = {name: servers.mailbox(f"{name}@trouble.example") for name in ("ca", "host", "port", "tls", "name", "folder")}
    fetching.add(boxes["ca"], tls="implicit", host="localhost")
    fetching.set(boxes["ca"], "--ca-file", "/etc/ssl/certs/ca-certificates.crt")
    fetching.add(boxes["host"], tls="implicit", host="other.localhost")
    fetching.add(boxes["port"], host="127.0.0.1", port=free_port_base())
    fetching.add(boxes["tls"], tls="implicit", host="localhost", port=servers.port["imap"])
    fetching.add(boxes["name"], tls="starttls", host="no-such-host.invalid", port=143)
    fetching.add(boxes["folder"], "--folder", "Nowhere")
    fetching.start("fetcher")
    for name, reason in {"ca": "not from a known authority", "host": "for another host name", "port": "nothing listens",
                         "tls": "does not speak TLS", "name": "host name is not known",
                         "folder": "does not have the folder"}.items():
        wait_state(fetching, boxes[name], "backing_off", reason)


@pytest.mark.once
def test_a_dead_mailbox_does_not_delay_another(fetching, servers, box):
    dead = servers.mailbox("dead@trouble.example")
    fetching.add(dead, port=free_port_base())
    fetching.add(box)
    fetching.start("fetcher")
    wait_state(fetching, box, "ok")
    box.append(mail(1))
    fetching.wait_rows("SELECT 1 FROM intake", seconds=5)


@pytest.mark.once
def test_switched_off_and_on(fetching, box):
    fetching.add(box)
    fetching.start("fetcher")
    wait_state(fetching, box, "ok")
    fetching.set(box, "--active", "off")
    wait_state(fetching, box, "off")
    box.append(mail(1))
    fetching.set(box, "--active", "on")
    fetching.wait_rows("SELECT 1 FROM intake")
    wait_state(fetching, box, "ok")
