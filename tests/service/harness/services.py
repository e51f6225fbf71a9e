# SPDX-License-Identifier: Apache-2.0
"""An installation of mailcase: a database, a key, casectl, and the services as real processes.

    with Installation(postgres, tmp_path) as case:
        case.casectl("tenant", "add", "demo")
        case.start("fetcher", "threader")
        case.rows("SELECT ...")
        case.casectl_json("case", "list")
"""

import json
import os
import signal
import socket
import subprocess
import urllib.request
import uuid
from pathlib import Path

import psycopg
import psycopg.rows

from harness import kafka
from harness.programs import program
from harness.wait import wait_until

DRAIN_SECONDS = 20


class Service:
    """One process of a service; what it logs goes to a file, one JSON object a line."""

    wrapper = ()  # a command that becomes the service: other rights, another view of the machine

    def __init__(self, name, env, folder, label):
        self.name, self.label = name, label
        self.log_file = Path(folder) / f"{label}.log"
        self.ops_port = _free_port()
        self.env = dict(env, MAILCASE_OPS_LISTEN=f"127.0.0.1:{self.ops_port}")
        self.process = None

    def start(self):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([*self.wrapper, program(self.name)], env=self.env, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        return self

    def wait_ready(self, seconds=30):
        def ready():
            assert self.process.poll() is None, f"{self.label} ended: {self.log_tail()}"
            return self.get("/readyz") is not None
        wait_until(ready, seconds, lambda: f"{self.label} is ready: {self.log_tail()}")
        return self

    def get(self, path):
        """The body of an ops page; None while it does not answer 200."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}{path}", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def metrics(self):
        """Values by 'name' or 'name{label="value"}'."""
        found = {}
        for line in (self.get("/metrics") or "").splitlines():
            if line and not line.startswith("#"):
                key, value = line.rsplit(" ", 1)
                found[key] = float(value)
        return found

    def logs(self, event=None):
        lines = []
        for line in self.log_file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                lines.append({"event": "", "raw": line})
        return [line for line in lines if event in (None, line.get("event"))]

    def log_tail(self, count=15):
        return "\n".join(self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.is_running():
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self):
        """Ask it to stop; it must drain and end well in time."""
        if self.process is None:
            return
        # Before its first line it has no ear for signals yet.
        wait_until(lambda: self.logs("service.started") or self.get("/livez") is not None or not self.is_running(), 30,
                   lambda: f"{self.label} begins")
        assert self.is_running(), f"{self.label} ended by itself ({self.process.returncode}): {self.log_tail()}"
        self.process.terminate()
        try:
            status = self.process.wait(DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.label} did not stop within {DRAIN_SECONDS} s: {self.log_tail()}") from None
        assert status == 0, f"{self.label} ended with status {status}: {self.log_tail()}"


class Refused(Exception):
    """casectl ended with a status other than 0."""

    def __init__(self, done):
        super().__init__(f"status {done.returncode}: {' '.join(map(str, done.args))}\n{done.stdout}{done.stderr}")
        self.status, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr


class Installation:
    service_class = Service

    def __init__(self, postgres, folder, settings=None, log_level="info"):
        self.postgres, self.folder = postgres, Path(folder)
        self.settings = dict(settings or {})
        self.url = postgres.new_database()
        self.prefix = f"t{uuid.uuid4().hex[:10]}."
        self.key_file = self.folder / "seal.key"
        self.services = []
        self.log_level = log_level

    def __enter__(self):
        self.casectl("seal-key", "make", self.key_file)
        self.casectl("migrate")
        self.casectl("topics")
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            for service in self.services:
                service.kill()
                print(f"---- {service.label}\n{service.log_tail(5)}")
            return
        try:
            self.stop()
        finally:
            for service in self.services:
                service.kill()

    @property
    def engine(self):
        """What MAILCASE_BUS says; a test that moves the bus sets it."""
        return self.settings.get("MAILCASE_BUS") or os.environ.get("BUS") or "postgres"

    def env(self, **more):
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS") if name in os.environ}
        env.update(MAILCASE_DATABASE_URL=self.url, MAILCASE_BUS=self.engine, MAILCASE_SEAL_KEY_FILE=str(self.key_file),
                   MAILCASE_LOG_LEVEL=self.log_level)
        if "KAFKA_BROKERS" in os.environ:
            # One broker serves all tests: what each has there is its own.
            env.update(MAILCASE_KAFKA_BROKERS=os.environ["KAFKA_BROKERS"], MAILCASE_KAFKA_SESSION_MS="3000",
                       MAILCASE_KAFKA_PREFIX=self.prefix)
        env.update(self.settings)
        env.update(more)
        return env

    # ---- casectl

    def casectl(self, *args, text=None, user=None, url=None, engine=None, check=True):
        command = [program("casectl"), *map(str, args)]
        more = {"MAILCASE_USER": user, "MAILCASE_DATABASE_URL": url, "MAILCASE_BUS": engine}
        env = self.env(**{name: value for name, value in more.items() if value})
        done = subprocess.run(command, env=env, input=text or "", capture_output=True, text=True, timeout=120, check=False)
        if check and done.returncode != 0:
            raise Refused(done)
        return done

    def casectl_json(self, *args, **options):
        """The objects that `casectl ... --json` prints, one a line."""
        return self.parse_json(self.casectl(*args, "--json", **options).stdout)

    @staticmethod
    def parse_json(text):
        return [json.loads(line) for line in text.splitlines()]

    def case(self, number):
        return self.casectl_json("case", "show", number)[0]

    def cases(self):
        return self.casectl_json("case", "list")

    def secret_file(self, name, password):
        path = self.folder / f"{name}.password"
        path.write_text(password + "\n", encoding="utf-8")
        path.chmod(0o600)
        return path

    # ---- processes

    def start(self, *names, **settings):
        """Start a process of each service named and wait until all are ready."""
        started = []
        for name in names:
            label = f"{name}-{sum(s.name == name for s in self.services) + 1}"
            service = self.service_class(name, self.env(**settings), self.folder, label).start()
            self.services.append(service)
            started.append(service)
        for service in started:
            service.wait_ready()
        return started if len(started) != 1 else started[0]

    def stop(self, *services):
        """Stop these, or all that were started and are not stopped, each with its drain checked."""
        for service in services or list(self.services):
            if service in self.services:
                self.services.remove(service)
                service.stop()

    def service(self, name):
        return next(s for s in self.services if s.name == name)

    # ---- the database

    def connect(self):
        return psycopg.connect(self.url, autocommit=True, row_factory=psycopg.rows.dict_row)

    def rows(self, query, *args):
        with self.connect() as db:
            return db.execute(query, args or None).fetchall()

    def value(self, query, *args):
        return next(iter(self.rows(query, *args)[0].values()))

    def wait_rows(self, query, *args, seconds=60, count=1):
        """The rows of the query, once there are at least `count`."""
        found = []

        def enough():
            found[:] = self.rows(query, *args)
            return len(found) >= count
        wait_until(enough, seconds, lambda: f"{count} rows of {query} (there are {len(found)}); {self.troubles()}")
        return found

    # ---- the bus, whichever engine it has

    def lag(self, group=None):
        """Records that this group (all of them) has yet to read, as casectl tells it."""
        return sum(row["lag"] for row in self.casectl_json("lag") if group in (None, row["group"]))

    def unsent(self):
        return self.value("SELECT count(*) FROM outbox")

    def events(self, topic="case.events", engine=None, **attributes):
        """What is on the topic, as casectl reads it; `attributes` say which of it."""
        found = self.parse_json(self.casectl("events", "--topic", topic, engine=engine).stdout)
        return [event for event in found if attributes.items() <= event.items()]

    def wait_events(self, topic="case.events", seconds=60, count=1, **attributes):
        """The records, once there are at least `count`."""
        found = []

        def enough():
            found[:] = self.events(topic, **attributes)
            return len(found) >= count
        wait_until(enough, seconds, lambda: f"{count} records of {topic} {attributes}: {found}; {self.troubles()}")
        return found

    def is_caught_up(self, group=None, busy="SELECT false"):
        """At one and the same moment: the outbox is empty, this group (all of them) has read all there is, and `busy` is
        false. Without a record to read no turn runs, so nothing has begun between two looks that find the same."""
        before = self.casectl_json("lag")
        if any(row["lag"] for row in before if group in (None, row["group"])):
            return False
        if self.value(f"SELECT EXISTS (SELECT FROM outbox) OR ({busy})"):
            return False
        places = ("group", "topic", "partition", "next_offset", "end_offset")
        return [[row[p] for p in places] for row in self.casectl_json("lag") if group in (None, row["group"])] == [
            [row[p] for p in places] for row in before if group in (None, row["group"])]

    def wait_caught_up(self, group=None, seconds=60, busy="SELECT false"):
        wait_until(lambda: self.is_caught_up(group, busy), seconds,
                   lambda: f"{group or 'everybody'} catches up: {self.unsent()} unsent, lag {self.lag(group)}; {self.troubles()}")

    def read_again(self, group):
        """Back to zero with a group of ours none of whose members runs, as an operator would do it."""
        if self.engine == "postgres":
            self.rows("UPDATE bus_position SET next_offset = 0 WHERE group_name = %s RETURNING 1", group)
            return
        prefix = self.env()["MAILCASE_KAFKA_PREFIX"]
        kafka.commit_offsets(os.environ["KAFKA_BROKERS"], f"{prefix}mailcase.{group}", [
            (prefix + row["topic"], row["partition"], 0) for row in self.casectl_json("lag") if row["group"] == group])

    # ---- until all is done

    def wait_settled(self, mails, seconds=60):
        """Until the ledger has this many rows, all of them terminal, and nothing is on its way through bus and outbox."""
        query = """SELECT (SELECT count(*) FROM intake) AS mails,
            (SELECT count(*) FROM intake WHERE state IN ('received', 'retrying', 'action_needed')) AS waiting"""
        last = {}

        def settled():
            last.update(self.rows(query)[0])
            return last["mails"] >= mails and not last["waiting"] and self.is_caught_up()
        wait_until(settled, seconds, lambda: f"{mails} mails settled: {last}; {self.troubles()}")
        return last

    def audit(self, *options, url=None):
        """What `casectl audit` found (in another database), and its summary."""
        done = self.casectl("audit", "--json", *options, url=url, check=False)
        lines = self.parse_json(done.stdout)
        assert lines and "summary" in lines[-1], done.stdout + done.stderr
        assert done.returncode == (1 if lines[-1]["differences"] else 0), (lines, done.stderr)
        return lines[:-1], lines[-1]

    def audit_clean(self, *options):
        """Nothing is lost, doubled, unexplained or inconsistent; the summary."""
        findings, summary = self.audit(*options)
        assert not summary["differences"], [f for f in findings if f["is_difference"]][:20]
        return summary

    def troubles(self):
        """What the services warned of, for a failure's text."""
        lines = [line for s in self.services for line in s.logs() if line.get("level") in ("warn", "error") or "raw" in line]
        return "\n".join(json.dumps(line) for line in lines[-10:]) or "no warnings in the logs"


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
