# SPDX-License-Identifier: Apache-2.0
"""Root file systems from Debian's packages, which stand in for the images that a registry would have. Kept in
${MAILCASE_CACHE:-$HOME/.cache/mailcase}."""

import fcntl
import os
import re
import subprocess
from pathlib import Path

from harness.programs import ROOT

CACHE = Path(os.environ.get("MAILCASE_CACHE") or Path.home() / ".cache" / "mailcase").absolute()
# No main cluster: the stand-in's entry point makes one where it is told to.
WITHOUT_CLUSTER = ('--essential-hook=mkdir -p "$1/etc/postgresql-common"; '
                   'echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"')
# The official slim images are without documentation.
SLIM = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "info", "locale")]
BASES = {
    "debian:trixie-slim": ("trixie", "slim", SLIM),
    "debian:bookworm-slim": ("bookworm", "slim", SLIM),
    "mailcase-test/jre": ("trixie", "jre", ["--include=default-jre-headless"]),
    "mailcase-test/postgresql": ("trixie", "postgresql", ["--include=postgresql", WITHOUT_CLUSTER]),
}


def base_tar(image):
    """The tar of the image's root; made once for this machine. Whoever comes meanwhile waits."""
    suite, name, options = BASES[image]
    CACHE.mkdir(parents=True, exist_ok=True)
    tar = CACHE / f"debian-{suite}-{name}.tar"
    with open(tar.with_suffix(".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tar.exists():
            new = tar.with_suffix(".new.tar")
            done = subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", *options, suite, new],
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                new.unlink(missing_ok=True)
                raise RuntimeError(f"mmdebstrap {suite}: {done.stderr[-1000:]}")
            new.rename(tar)
    return tar


def kafka_jars():
    """The folder of the broker's jars, as `make run BUS=kafka` has it."""
    script = ROOT / "deploy" / "local" / "kafka.sh"
    done = subprocess.run([script, "fetch"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stdout[-1000:])
    files = (script.parent / "servers" / "kafka-files.sh").read_text(encoding="utf-8")
    version = re.search(r"^KAFKA_VERSION=(\S+)", files, re.MULTILINE)[1]
    return CACHE / f"kafka-{version}" / "lib"
