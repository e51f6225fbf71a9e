# SPDX-License-Identifier: Apache-2.0
"""The system of docker-compose.yml, run by an engine of our own."""

import json
import shutil

from engine import Failed
from harness.programs import ROOT
from harness.wait import wait_until

SERVICES = ("fetcher", "threader", "router", "notifier")


class Stack:
    """One project. `settings` stand in its .env; `command` is the docker-compose that does it."""

    def __init__(self, engine, name, command=("docker-compose",), profile="demo", **settings):
        self.engine, self.name, self.profile = engine, name, profile
        self.folder = engine.folder / name
        self.folder.mkdir()
        self.command = [*command, "--project-directory", ROOT, "-f", ROOT / "docker-compose.yml", "-p", name,
                        "--env-file", self.folder / "env"]
        self.settings = {"HEALTH_INTERVAL": "2s", "MAILCASE_SECRETS": self.folder / "secrets", **settings}
        (self.folder / "env").write_text("".join(f"{k}={v}\n" for k, v in self.settings.items()), encoding="utf-8")

    def __enter__(self):
        self.engine.run(ROOT / "deploy" / "compose" / "secrets.sh", self.folder / "secrets")
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.troubles(60))
        self.compose("down", "-v", "--remove-orphans", "-t", "5", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def compose(self, *args, **options):
        return self.engine.run(*self.command, *(("--profile", self.profile) if self.profile else ()), *args, **options)

    def up(self, *args):
        try:
            return self.compose("up", "-d", "--no-build", *args)
        except Failed as failed:
            raise AssertionError(f"{failed}\n{self.troubles(60)}") from None

    def containers(self, service):
        """Names of the service's containers, in order."""
        found = self.engine.docker("ps", "-a", "--filter", f"label=com.docker.compose.project={self.name}", "--filter",
                                   f"label=com.docker.compose.service={service}", "--filter",
                                   "label=com.docker.compose.oneoff=False", "--format", "{{.Names}}").stdout.split()
        return sorted(found)

    def container(self, service):
        return self.containers(service)[0]

    def health(self, service):
        return [self.engine.inspect(name)["State"]["Health"]["Status"] for name in self.containers(service)]

    def wait_healthy(self, *services, seconds=90, count=None):
        for service in services or SERVICES:
            def healthy(name=service):
                states = self.health(name)
                return states and set(states) == {"healthy"} and len(states) == (count or len(states))
            wait_until(healthy, seconds, lambda name=service: f"{name} is healthy: {self.health(name)}\n{self.troubles(20)}", 0.5)

    def logs(self, service, *options):
        return self.compose("logs", "--no-color", *options, service, check=False).stdout

    def troubles(self, count):
        """Lines that are no JSON, and those of the services that warn."""
        lines = self.compose("logs", "--no-color", "--tail", "200", check=False).stdout.splitlines()
        return "\n".join([line for line in lines if '"level":"info"' not in line][-count:])

    def casectl(self, *args, **options):
        """As docs/operations.md has it, in a container that runs anyway."""
        return self.engine.docker("exec", "-i", self.container("router"), "casectl", *args, **options).stdout

    def casectl_json(self, *args):
        return [json.loads(line) for line in self.casectl(*args, "--json").splitlines()]

    def rows(self, query):
        """Rows of the database as dicts."""
        done = self.engine.docker("exec", "-i", self.container("postgres"), "psql", "-X", "-q", "-A", "-t", "-v",
                                  "ON_ERROR_STOP=1", "-U", "mailcase", "-d", "mailcase",
                                  text=f"SELECT coalesce(json_agg(q), '[]') FROM ({query}) q")
        return json.loads(done.stdout)

    def value(self, query):
        return next(iter(self.rows(query)[0].values()))
