#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs.py FOLDER PROGRAM...: the generated tables of README.md.

Settings come from what each program says of its own (`PROGRAM --settings=markdown`), metrics and log events from the
sources. With --check nothing is written: the status is 1 where the README differs from what would be written.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "README.md"
METRIC = re.compile(r'METRIC_(COUNTER|GAUGE|SECONDS|HISTOGRAM)\(\s*"([a-z_]+)",\s*((?:"[^"]*"\s*)+),\s*(NULL|"[a-z_]+")\s*\)')
EVENT = re.compile(r'\blog_(debug|info|warn|error)\(\s*"([a-z_.]+)"')


def sources():
    for folder in ("lib", "services"):
        yield from sorted((ROOT / folder).rglob("*.c"))


def settings(folder, programs):
    """The settings that all services share stand once."""
    tables = {p: subprocess.run([f"{folder}/{p}", "--settings=markdown"], check=True, capture_output=True,
                                text=True).stdout.splitlines() for p in programs}
    services = [set(rows) for program, rows in tables.items() if program != "casectl"]
    shared = set.intersection(*services) if len(services) > 1 else set()
    head = ["| setting | value | default | meaning |", "| --- | --- | --- | --- |"]
    text = []
    if shared:
        text += ["**Every service**", ""] + head + [r for r in tables[programs[0]] if r in shared] + [""]
    for program in programs:
        own = [r for r in tables[program] if r not in shared]
        if own:
            text += [f"**`{program}`**", ""] + head + own + [""]
    return text[:-1]


def metrics():
    found = {}
    for path in sources():
        for kind, name, words, label in METRIC.findall(path.read_text()):
            help_text = "".join(re.findall(r'"([^"]*)"', words))
            found[name] = (kind.lower() if kind != "SECONDS" else "gauge", "" if label == "NULL" else label.strip('"'), help_text)
    return ["| metric | kind | label | meaning |", "| --- | --- | --- | --- |"] + [
        f"| `{name}` | {kind} | {label} | {text} |" for name, (kind, label, text) in sorted(found.items())]


def events():
    found = {}
    for path in sources():
        for level, name in EVENT.findall(path.read_text()):
            found.setdefault(name, set()).add((level, path.parent.name))
    return ["| event | level | said by |", "| --- | --- | --- |"] + [
        f"| `{name}` | {', '.join(sorted({level for level, _ in where}))} | {', '.join(sorted({f for _, f in where}))} |"
        for name, where in sorted(found.items())]


def fill(page, name, lines):
    begin, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
    before, rest = page.split(begin)
    return before + begin + "\n" + "\n".join(lines) + "\n\n" + end + rest.split(end)[1]


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    page = PAGE.read_text()
    made = fill(page, "settings", settings(arguments[0], arguments[1:]))
    made = fill(made, "metrics", metrics())
    made = fill(made, "log events", events())
    if "--check" in sys.argv:
        if made != page:
            sys.exit("README.md: the generated tables are not of these sources: run `make docs`")
    else:
        PAGE.write_text(made)


main()
