# SPDX-License-Identifier: Apache-2.0
import pytest

from harness.mail_servers import MailServers


@pytest.fixture(scope="session")
def mail_servers():
    """One Dovecot and Postfix for all; each test has a domain of its own."""
    with MailServers() as running:
        yield running
