# SPDX-License-Identifier: Apache-2.0
"""Test material too big, or too much other people's, for this repository: a folder `shared` beside it, or where
MAILCASE_SHARED says. Tests that need it are skipped, and counted, where it is absent."""

import importlib.util
import json
import os
import tarfile
from pathlib import Path

import pytest

from harness.programs import ROOT


def folder(*parts):
    places = [Path(os.environ["MAILCASE_SHARED"])] if "MAILCASE_SHARED" in os.environ else [
        parent / "shared" for parent in list(ROOT.parents)[:2]]
    for place in places:
        path = place.joinpath(*parts)
        if path.exists():
            return path
    pytest.skip(f"needs shared/{'/'.join(parts)}")


def parse_sets():
    """(name, bytes) of every raw mail of the parse sets."""
    root = folder("corpora", "parse")
    for info in sorted(root.glob("*/set.json")):
        described = json.loads(info.read_text(encoding="utf-8"))
        mails = info.parent / described["mails"]
        if mails.is_dir():
            for path in sorted(p for p in mails.rglob("*") if p.is_file()):
                yield f"{info.parent.name}/{path.relative_to(mails)}", path.read_bytes()
        else:
            with tarfile.open(mails) as archive:
                for member in sorted((m for m in archive if m.isfile()), key=lambda m: m.name):
                    yield f"{info.parent.name}/{member.name}", archive.extractfile(member).read()


def bench_module(name="gen"):
    path = folder("bench", f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"bench_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
