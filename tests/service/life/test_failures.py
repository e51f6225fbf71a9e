# SPDX-License-Identifier: Apache-2.0
"""What breaks outside is told with its remedy, and mended without a restart; nothing is lost meanwhile."""

import subprocess

import pytest

from harness.whole_desk import WholeDesk
from harness.letters import bare, letter
from harness.authority import EXPIRED
from harness.programs import program
from harness.smtp_sink import SmtpSink
from harness.wait import wait_until


@pytest.fixture
def sink():
    with SmtpSink() as running:
        yield running


@pytest.fixture
def desk(request, postgres, mail_servers, tmp_path, sink):
    """desk(domain, mailbox options) makes one."""
    def make(domain, **mailbox):
        demo = WholeDesk(postgres, tmp_path, mail_servers, domain)
        request.addfinalizer(lambda: [service.kill() for service in demo.services])
        demo.__enter__()
        return demo.set_up(sink.port, **mailbox)
    return make


def mail_from_customer(demo):
    mail = letter("customer@client.example", demo.address, f"Case of {demo.domain}")
    demo.box.deliver(mail.as_bytes())
    return bare(mail["Message-ID"])


def counted(service, name):
    return service.metrics().get(name, 0) > 0


def check_trouble_and_recovery(demo, state, cause, mend):
    """A mail that waits behind the trouble becomes a case once it is mended."""
    waiting = mail_from_customer(demo)
    fetcher, _ = demo.start("fetcher", "threader")
    shown = demo.wait_mailbox(state)
    assert shown["reason"] and shown["remedy"], shown
    assert counted(fetcher, f'mailcase_fetcher_logins_total{{outcome="{cause}"}}'), fetcher.metrics()
    mend()
    assert demo.wait_mailbox("ok", seconds=120)["reason"] == ""
    demo.wait_case_of(waiting)
    assert fetcher.is_running()
    demo.stop()


@pytest.mark.once
def test_wrong_password(desk, mail_servers):
    demo = desk("password.example")
    mail_servers.accept_only({**mail_servers.users, demo.address: "changed"})
    demo.box.password = "changed"
    check_trouble_and_recovery(
        demo, "auth_failed", "wrong_password",
        lambda: demo.casectl("mailbox", "set", demo.address, "--password-file", demo.secret_file("new", "changed")))
    mail_servers.accept_only(mail_servers.users)


@pytest.mark.once
def test_unknown_host(desk, mail_servers):
    demo = desk("host.example", host="no-such-host.invalid", port=993, tls="implicit")
    check_trouble_and_recovery(
        demo, "backing_off", "unknown_host",
        lambda: demo.casectl("mailbox", "set", demo.address, "--host", "127.0.0.1", "--port", mail_servers.port["imap"],
                             "--tls", "clear"))


@pytest.mark.once
def test_expired_certificate(desk, mail_servers):
    mail_servers.certificate(*EXPIRED)
    demo = desk("expired.example", host="localhost", port=mail_servers.port["imaps"],
                tls="implicit", ca_file=mail_servers.ca_file)
    check_trouble_and_recovery(demo, "backing_off", "certificate_expired", mail_servers.certificate)


def test_smtp_server_down(postgres, mail_servers, tmp_path, sink):
    sink.stop()
    with WholeDesk(postgres, tmp_path, mail_servers, "down.example") as demo:
        demo.set_up(sink.port)
        demo.start_all()
        message_id = mail_from_customer(demo)
        number = demo.wait_case_of(message_id)

        def shown():
            return demo.casectl_json("outbound-mailbox", "show", "support")[0]
        wait_until(lambda: shown()["state"] == "backing_off", 60, lambda: f"the outbound mailbox backs off: {shown()}")
        assert shown()["reason"] and shown()["remedy"], shown()
        assert counted(demo.service("notifier"), 'mailcase_smtp_troubles_total{cause="refused"}')
        wait_until(lambda: demo.outbound(number, "auto_reply"), what="the automatic reply waits")
        sink.start()
        wait_until(lambda: demo.outbound(number, "auto_reply")[0]["state"] == "accepted", 120, "the automatic reply has left")
        assert len(sink.to("customer@client.example")) == 1
        wait_until(lambda: shown()["state"] == "ok", what="the outbound mailbox is well again")


@pytest.mark.once
def test_five_mistakes_in_the_settings_are_named_at_once(tmp_path):
    wrong = {"MAILCASE_DATABASE_URL": "", "MAILCASE_BUS": "pigeon", "MAILCASE_LOG_LEVEL": "loud", "MAILCASE_BATCH_MAX": "many",
             "MAILCASE_RELAY": "perhaps"}
    for name in ("fetcher", "threader", "router", "notifier"):
        done = subprocess.run([program(name)], env=wrong, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 2
        assert [setting for setting in wrong if setting not in done.stderr + done.stdout] == []
