# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.postgres import PrivatePostgres  # noqa: E402


@pytest.fixture(scope="session")
def postgres():
    """One server for the whole run; tests take a database of their own from it."""
    with PrivatePostgres() as server:
        yield server
