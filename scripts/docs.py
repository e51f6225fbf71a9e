#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs.py FOLDER PROGRAM...: the generated tables of README.md, and the settings that docker-compose.yml hands on.

Settings come from what each program says of its own (`PROGRAM --settings=markdown`), metrics and log events from the
sources. With --check nothing is written: the status is 1 where a file differs from what would be written.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "README.md"
COMPOSE = ROOT / "docker-compose.yml"
# What docker-compose.yml, or the image, gives a value.
COMPOSE_SETS = {"MAILCASE_DATABASE_URL", "MAILCASE_SEAL_KEY_FILE", "MAILCASE_BUS", "MAILCASE_KAFKA_BROKERS", "MAILCASE_OPS_LISTEN"}
METRIC = re.compile(r'METRIC_(COUNTER|GAUGE|SECONDS|HISTOGRAM)\(\s*"([a-z_]+)",\s*((?:"[^"]*"\s*)+),\s*(NULL|"[a-z_]+")\s*\)')
EVENT = re.compile(r'\blog_(debug|info|warn|error)\(\s*"([a-z_.]+)"')


def sources():
    for folder in ("lib", "services"):
        yield from sorted((ROOT / folder).rglob("*.c"))


def tables_of(folder, programs):
    return {p: subprocess.run([f"{folder}/{p}", "--settings=markdown"], check=True, capture_output=True,
                              text=True).stdout.splitlines() for p in programs}


def settings(tables):
    """The settings that all services share stand once."""
    programs = list(tables)
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


def fill_compose(text, tables):
    """Names without a value, which Compose takes from its own environment; secrets by the name of their file."""
    names = {p: {f"{name}_FILE" if kind.startswith("secret") else name for name, kind in re.findall(r"^\| `(\w+)` \| ([^|]*)", "\n".join(
        rows), re.MULTILINE) if name not in COMPOSE_SETS} for p, rows in tables.items()}
    every_program = set.intersection(*names.values())
    every_service = set.intersection(*(found for p, found in names.items() if p != "casectl")) - every_program
    blocks = {"every program": every_program, "every service": every_service}
    blocks.update((p, found - every_program - (every_service if p != "casectl" else set())) for p, found in names.items())
    for name, found in blocks.items():
        head, end = f"# settings of {name}: `make docs`\n", "# end of them\n"
        before, rest = text.split(head)
        indent = before[before.rindex("\n") + 1:]
        lines = "".join(f"{indent}{setting}:\n" for setting in sorted(found))
        text = before + head + lines + indent + end + rest.split(end, 1)[1]
    return text


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    tables = tables_of(arguments[0], arguments[1:])
    made = {PAGE: fill(PAGE.read_text(), "settings", settings(tables)), COMPOSE: fill_compose(COMPOSE.read_text(), tables)}
    made[PAGE] = fill(made[PAGE], "metrics", metrics())
    made[PAGE] = fill(made[PAGE], "log events", events())
    for path, text in made.items():
        if text == path.read_text():
            continue
        if "--check" in sys.argv:
            sys.exit(f"{path.name}: what is generated in it is not of these sources: run `make docs`")
        path.write_text(text)


main()
