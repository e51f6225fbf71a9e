# SPDX-License-Identifier: Apache-2.0
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.kafka import Broker  # noqa: E402
from harness.postgres import PrivatePostgres  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: the one path that also runs under the sanitizers")
    config.addinivalue_line("markers", "engines(name, ...): only where the bus has one of these; BUS says which it has")


def pytest_collection_modifyitems(config, items):
    """What is not about this engine is not there, rather than skipped: nothing is missing."""
    engine = os.environ.get("BUS") or "postgres"

    def fits(item):
        marker = item.get_closest_marker("engines")
        return marker is None or engine in marker.args
    gone = [item for item in items if not fits(item)]
    if gone:
        config.hook.pytest_deselected(items=gone)
        items[:] = [item for item in items if fits(item)]


@pytest.fixture(scope="session")
def postgres():
    """One server for the whole run; tests take a database of their own from it."""
    with PrivatePostgres() as server:
        yield server


@pytest.fixture(scope="session")
def kafka():
    """One broker of one node for the whole run, if anybody asks; tests take topics and groups of their own names."""
    with Broker() as broker:
        yield broker
