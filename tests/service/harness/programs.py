# SPDX-License-Identifier: Apache-2.0
"""The programs that `make` has built."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / os.environ.get("BUILD", "build")


def program(name):
    return BUILD / "bin" / name


def test_program(name):
    """One that only tests use: tests/NAME.c."""
    path = BUILD / "tests" / name
    if not path.exists():
        raise RuntimeError(f"{path} is not built: make test-programs")
    return path


test_program.__test__ = False


def run_check(name, *args, seconds=60):
    """Run a cmocka program; its own words are the failure's."""
    done = subprocess.run([test_program(name), *map(str, args)], capture_output=True, text=True, timeout=seconds,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
