# SPDX-License-Identifier: Apache-2.0
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.kafka import Broker  # noqa: E402
from harness.postgres import PrivatePostgres  # noqa: E402


# Folders whose tests need no bus, or bring the engine that they are about.
APART = {"contract", "edge", "local"}


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: the one path that also runs under the sanitizers")
    config.addinivalue_line("markers", "engines(name, ...): only where the bus has one of these; BUS says which it has")
    config.addinivalue_line("markers", "once: the bus takes no part, so it is not run for another engine of it again")


def pytest_collection_modifyitems(config, items):
    """What is not about this engine is not there, rather than skipped: nothing is missing."""
    engine = os.environ.get("BUS") or "postgres"

    def fits(item):
        marker = item.get_closest_marker("engines")
        if item.get_closest_marker("once") or item.path.parent.name in APART:
            return engine == "postgres"
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


@pytest.fixture(scope="session", autouse=True)
def bus_broker(request):
    """Where BUS=kafka and no KAFKA_BROKERS are given, all installations of the run share the broker above."""
    if os.environ.get("BUS") != "kafka" or os.environ.get("KAFKA_BROKERS"):
        yield
        return
    os.environ["KAFKA_BROKERS"] = request.getfixturevalue("kafka").bootstrap
    yield
    del os.environ["KAFKA_BROKERS"]
