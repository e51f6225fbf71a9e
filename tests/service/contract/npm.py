# SPDX-License-Identifier: Apache-2.0
"""The tools of package.json beside this file, from npm, once for this machine; without npm the tests are skipped."""

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INSTALL_SECONDS = 300


@functools.cache
def unavailable():
    """Why there are no tools, or None."""
    if not shutil.which("npm") or not shutil.which("node"):
        return "no npm"
    place = folder()
    if (place / "done").exists():
        return None
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.copy(HERE / "package.json", place)
        try:
            # No package runs a program of its own while it is installed.
            done = subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=place,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return f"npm install took longer than {INSTALL_SECONDS} s"
        if done.returncode != 0:
            return f"npm install failed: {(done.stderr.strip() or 'status ' + str(done.returncode)).splitlines()[-1]}"
        (place / "done").touch()
    return None


def folder():
    """A place for each list of versions."""
    cache = os.environ.get("MAILCASE_CACHE") or Path.home() / ".cache" / "mailcase"
    versions = hashlib.sha256((HERE / "package.json").read_bytes()).hexdigest()[:12]
    return Path(cache) / f"contract-tools-{versions}"


def need():
    """The tools' folder; skips the test where there is none."""
    reason = unavailable()
    if reason:
        pytest.skip(f"buf and the AsyncAPI parser: {reason}")
    return folder()
