# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# The programs, and the material beside the repository, are found as the service tests find them.
sys.path[:0] = [str(HERE), str(HERE.parent / "service")]

from schemas import Schemas  # noqa: E402
from tools import Kustomize  # noqa: E402


@pytest.fixture(scope="session")
def kustomize(tmp_path_factory):
    return Kustomize(tmp_path_factory.mktemp("kustomize"))


@pytest.fixture(scope="session")
def schemas():
    return Schemas()
