# SPDX-License-Identifier: Apache-2.0
import pytest

from harness.kafka import Broker
from harness.mail_servers import MailServers


@pytest.fixture(scope="session")
def mail_servers():
    with MailServers(postfix=False) as running:
        yield running


@pytest.fixture(scope="session")
def one_node():
    with Broker() as broker:
        yield broker


@pytest.fixture
def broker(one_node):
    """A broker that may be hit: whatever was done to it is undone."""
    yield one_node
    one_node.resume()
    one_node.start()
