# SPDX-License-Identifier: Apache-2.0
"""The protos by buf's rules (contracts/buf.yaml), and compared with those that were published last."""

import shutil
import subprocess

import pytest

import npm
from harness.programs import ROOT

RECORD = "proto/mailcase/v1/case_record.proto"


def buf(act, tree, *options):
    """The complaints."""
    program = npm.need() / "node_modules" / ".bin" / "buf"
    done = subprocess.run([program, act, tree, "--config", tree / "contracts" / "buf.yaml", *options], cwd=tree,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 100), done.stderr
    return done.stdout.splitlines()


def breaking(tree):
    return buf("breaking", tree, "--against", ROOT / "contracts" / "published")


def changed(folder, old, new):
    """A tree with one change in the case record."""
    for part in ("proto", "contracts"):
        shutil.copytree(ROOT / part, folder / part)
    text = (folder / RECORD).read_text()
    assert text.count(old) == 1, old
    (folder / RECORD).write_text(text.replace(old, new))
    return folder


def test_they_keep_the_rules():
    assert buf("lint", ROOT) == []


def test_they_break_nothing_that_was_published():
    assert breaking(ROOT) == []


@pytest.mark.parametrize("old, new", [
    ("int64 number = 4; ", "string number = 4; "),
    ("uint32 hop = 7; ", "uint32 hops = 7; "),
    ("bool quiet = 8; ", "bool quiet = 12; "),
    ("  bool pending = 3; ", "  // "),
    ("  CASE_STATE_MERGED = 4; ", "  // "),
    ("    TokenRefused token_refused = 12; ", "    // "),
], ids=["retyped", "renamed", "renumbered", "field deleted", "value deleted", "fact deleted"])
def test_a_change_that_breaks_readers_is_noticed(tmp_path, old, new):
    assert breaking(changed(tmp_path, old, new))


@pytest.mark.parametrize("old, new", [
    ("int32 reply_code = 5; ", "int32 reply_code = 5; string reply_class = 6; "),
    ("MatchSuggested match_suggested = 13; ", "MatchSuggested match_suggested = 13; Followed muted = 14; "),
    ("CASE_STATE_MERGED = 4; ", "CASE_STATE_MERGED = 4; CASE_STATE_ARCHIVED = 5; "),
], ids=["field", "fact", "value"])
def test_to_add_breaks_nothing(tmp_path, old, new):
    assert breaking(changed(tmp_path, old, new)) == []


def test_a_strange_name_is_noticed(tmp_path):
    assert buf("lint", changed(tmp_path, "uint32 hop = 7; ", "uint32 Hop = 7; "))
