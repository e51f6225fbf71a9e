# SPDX-License-Identifier: Apache-2.0
"""The servers that everything else stands on do what the tests take for granted."""

import smtplib
import socket
import ssl

import pytest

from harness.authority import EXPIRED
from harness.mail_servers import MailServers
from harness.smtp_sink import SmtpSink
from harness.wait import wait_until

MAIL = b"From: c@client.example\r\nTo: support@demo.example\r\nSubject: hello\r\nMessage-ID: <one@client.example>\r\n\r\ntext\r\n"


@pytest.fixture(scope="module")
def servers():
    with MailServers() as running:
        yield running


def test_smtp_delivers_into_the_mailbox_of_a_plus_address(servers):
    box = servers.mailbox("support@demo.example")
    servers.submit("c@client.example", ["support+c.token@demo.example"], MAIL)
    mails = wait_until(box.mails, what="the mail in the mailbox")
    assert [m["Message-ID"] for m in mails] == ["<one@client.example>"]
    assert mails[0]["Return-Path"] == "<c@client.example>"


def test_mail_for_anybody_stays_on_this_machine(servers):
    servers.submit("c@client.example", ["Who.Ever@else.where.example"], MAIL)
    box = servers.mailbox("who.ever@else.where.example")
    wait_until(box.raw_mails, what="the mail in the stranger's mailbox")


def test_submission_logs_in_over_tls_and_refuses_a_wrong_password(servers):
    servers.mailbox("agent@demo.example")
    context = ssl.create_default_context(cafile=servers.ca_file)
    with smtplib.SMTP("localhost", servers.port["submission"]) as smtp:
        smtp.starttls(context=context)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.login("agent@demo.example", "wrong")
        smtp.login("agent@demo.example", "secret")


def test_a_mail_put_into_the_maildir_keeps_its_bytes(servers):
    box = servers.mailbox("bytes@demo.example")
    raw = b"Subject: nul\n\na\0b\rc\n"
    box.deliver(raw)
    # IMAP knows no NUL in a literal: Dovecot says 0x80 for it.
    assert [m.replace(b"\r\n", b"\n") for m in box.raw_mails()] == [raw.replace(b"\0", b"\x80")]


def test_renumbering_changes_uid_validity_and_keeps_the_mail(servers):
    box = servers.mailbox("renumbered@demo.example")
    box.append(MAIL)
    before = box.uid_validity()
    box.renumber()
    assert box.uid_validity() != before
    assert len(box.raw_mails()) == 1


def test_an_expired_certificate_is_served_until_it_is_renewed(servers):
    def verified():
        context = ssl.create_default_context(cafile=servers.ca_file)
        try:
            with socket.create_connection(("127.0.0.1", servers.port["imaps"])) as plain, \
                    context.wrap_socket(plain, server_hostname="localhost"):
                return True
        except ssl.SSLCertVerificationError as error:
            assert "expired" in str(error)
            return False

    assert verified()
    servers.certificate(*EXPIRED)
    wait_until(lambda: not verified(), what="the expired certificate")
    servers.certificate()
    wait_until(verified, what="the renewed certificate")


def test_the_sink_keeps_and_refuses():
    with SmtpSink() as sink, smtplib.SMTP("127.0.0.1", sink.port) as smtp:
        smtp.sendmail("a@x.example", ["b@y.example"], MAIL)
        assert sink.to("b@y.example")[0].mail["Subject"] == "hello"
        sink.answers["DATA"] = "451 4.3.0 later"
        with pytest.raises(smtplib.SMTPDataError):
            smtp.sendmail("a@x.example", ["b@y.example"], MAIL)
        assert len(sink.messages) == 1
