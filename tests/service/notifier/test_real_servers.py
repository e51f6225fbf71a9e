# SPDX-License-Identifier: Apache-2.0
"""Through a real Postfix into a real Dovecot: in clear on loopback, by STARTTLS and by implicit TLS with a login."""

import pytest

from harness.mail_servers import MailServers
from harness.wait import wait_until
from outbound_desk import OutboundDesk

ANNA = "anna@client.example"


@pytest.fixture(name="servers", scope="module")
def make_servers():
    with MailServers() as servers:
        yield servers


class At:
    def __init__(self, port):
        self.port = port


def test_what_arrives_is_what_was_written(postgres, tmp_path, servers):
    anna = servers.mailbox(ANNA)
    with OutboundDesk(postgres, tmp_path, At(servers.port["smtp"])) as desk:
        desk.start("notifier")
        number = desk.write(ANNA, text="Grüße,\n.\n..\nund mehr.")
        assert desk.wait_state(ANNA, "accepted", number)["reply_code"] == 250
        [mail] = wait_until(anna.mails, 30, "it arrives")
        assert mail.get_content().replace("\r\n", "\n") == "Grüße,\n.\n..\nund mehr.\n"
        assert mail["Subject"] == f"[#{number}] A question"


@pytest.mark.once
@pytest.mark.parametrize("tls,port", [("starttls", "submission"), ("implicit", "smtps")])
def test_with_a_login(postgres, tmp_path, servers, tls, port):
    servers.mailbox("support@demo.example", "right")
    ben = servers.mailbox(f"{tls}@client.example")
    with OutboundDesk(postgres, tmp_path, At(servers.port["smtp"])) as desk:
        right = desk.secret_file("right", "right")
        desk.casectl("outbound-mailbox", "add", "tls", "--host", "localhost", "--port", servers.port[port], "--tls", tls,
                     "--sender-address", "support@demo.example", "--user", "support@demo.example", "--password-file", right,
                     "--ca-file", servers.ca_file)
        desk.start("notifier")
        desk.write(f"{tls}@client.example", outbound="tls")
        desk.wait_state(f"{tls}@client.example", "accepted")
        wait_until(ben.mails, 30, "it arrives")
