# SPDX-License-Identifier: Apache-2.0
import pytest

from harness.mail_servers import MailServers


@pytest.fixture(scope="session")
def mail_servers():
    with MailServers(postfix=False) as running:
        yield running
