# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.postgres import PrivatePostgres  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: the one path that also runs under the sanitizers")


@pytest.fixture(scope="session")
def postgres():
    """One server for the whole run; tests take a database of their own from it."""
    with PrivatePostgres() as server:
        yield server
