# SPDX-License-Identifier: Apache-2.0
"""CPU time and memory of processes and all their children, from /proc."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGESIZE")


def _stat(pid):
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold anything; what follows is numbers, beginning with field 3.
    return text[text.rindex(")") + 2:].split()


def _tree():
    """Parent -> children, for every process there is."""
    children = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        stat = _stat(pid)
        if stat:
            children.setdefault(int(stat[1]), []).append(int(pid))
    return children


def seconds(*pids):
    """User and system time of these and of all below them, the ended ones too."""
    children = _tree()

    def of(pid):
        stat = _stat(pid)
        own = sum(int(n) for n in stat[11:15]) / TICKS if stat else 0.0
        return own + sum(of(child) for child in children.get(pid, []))
    return sum(of(pid) for pid in pids)


def resident_mib(pid):
    stat = _stat(pid)
    return int(stat[21]) * PAGE / 2**20 if stat else 0.0
