# SPDX-License-Identifier: Apache-2.0
"""`casectl mailbox test` and `folders` against a real server: what people look at before they look at anything else."""

import pytest

from harness.services import Refused
from harness.whole_desk import WholeDesk

pytestmark = pytest.mark.once


@pytest.fixture
def desk(postgres, mail_servers, tmp_path):
    with WholeDesk(postgres, tmp_path, mail_servers, "tools.example") as demo:
        demo.set_up(mail_servers.port["smtp"])
        yield demo


def test_a_mailbox_that_works_shows_its_dialogue_and_no_password(desk):
    shown = desk.casectl("mailbox", "test", desk.address).stdout
    assert "logged in after" in shown and "(login, not shown)" in shown
    assert desk.box.password not in shown
    assert desk.casectl_json("mailbox", "test", desk.address)[0]["ok"] is True


def test_folders_are_those_of_the_server(desk):
    with desk.box.imap() as imap:
        imap.create("Orders")
    assert {row["name"] for row in desk.casectl_json("mailbox", "folders", desk.address)} >= {"INBOX", "Orders"}


def test_a_wrong_password_is_named_with_its_remedy(desk, mail_servers):
    mail_servers.accept_only({**mail_servers.users, desk.address: "another"})
    with pytest.raises(Refused) as refused:
        desk.casectl("mailbox", "test", desk.address)
    mail_servers.accept_only(mail_servers.users)
    assert refused.value.status == 1
    assert "wrong_password" in refused.value.stderr and "remedy:" in refused.value.stderr
    assert desk.box.password not in refused.value.stdout + refused.value.stderr
