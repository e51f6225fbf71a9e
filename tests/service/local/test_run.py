# SPDX-License-Identifier: Apache-2.0
"""`make run` and `make stop`, as somebody meets them who has just cloned."""

import imaplib
import json
import os
import shlex
import signal
import smtplib
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from harness import kafka
from harness.mail_servers import free_port_base
from harness.programs import ROOT
from harness.wait import wait_until

SCRIPT = ROOT / "deploy" / "local" / "run.sh"
READY_SECONDS = 180
ENGINES = [os.environ["BUS"]] if os.environ.get("BUS") else ["postgres", "kafka"]
NAMES = """MAILCASE_DATABASE_URL MAILCASE_BUS MAILCASE_KAFKA_BROKERS BUS IMAP_HOST IMAP_PORT IMAPS_PORT SMTP_HOST SMTP_PORT CA_FILE SUPPORT_USER SUPPORT_PASSWORD
    CUSTOMER_USER CUSTOMER_PASSWORD AGENT_USER AGENT_PASSWORD MAILCASE_SEAL_KEY_FILE MAILCASE_TENANT MAILCASE_USER""".split()


class Run:
    """One RUN_DIR, below a folder that is closed to others where we are root: as root's home is."""

    def __init__(self, folder, engine):
        self.dir, self.engine = folder / "run", engine
        self.env = dict(os.environ, RUN_DIR=str(self.dir), PORT_BASE=str(free_port_base()), BUS=engine)
        self.env.pop("DETACH", None)

    def script(self, act, **env):
        return subprocess.run([SCRIPT, act], env={**self.env, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=READY_SECONDS, check=False)

    def processes(self):
        """What still has to do with the folder: by its command line or its working folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                where = os.readlink(entry / "cwd")
            except OSError:
                continue
            if str(self.dir) in line or where.startswith(str(self.dir)):
                found.append(f"{entry.name} {line}")
        return found

    def variables(self):
        lines = (self.dir / "env").read_text(encoding="utf-8").splitlines()
        return {name: shlex.split(value)[0] for name, value in (line.split("=", 1) for line in lines)}

    def casectl(self, *args):
        return subprocess.run([self.dir / "casectl", *args], capture_output=True, text=True, check=True).stdout

    def bus_is(self):
        """The engine that is installed."""
        return json.loads(self.casectl("bus", "show", "--json"))["engine"]

    def told(self):
        """How many mails lie in the mailboxes of customer and agent."""
        found = self.variables()
        counts = []
        for who in ("CUSTOMER", "AGENT"):
            with imaplib.IMAP4(found["IMAP_HOST"], int(found["IMAP_PORT"]), timeout=30) as imap:
                imap.login(found[f"{who}_USER"], found[f"{who}_PASSWORD"])
                counts.append(int(imap.select(readonly=True)[1][0]))
        return counts


@pytest.fixture(scope="module", params=ENGINES)
def run(request):
    if request.param == "kafka":
        kafka.need()
    with tempfile.TemporaryDirectory(prefix="mailcase-run-") as folder:
        made = Run(Path(folder), request.param)
        try:
            yield made
        finally:
            made.script("stop")


def test_it_stays_until_it_is_interrupted_and_leaves_no_process(run, tmp_path):
    with open(tmp_path / "out", "w+", encoding="utf-8") as out:
        process = subprocess.Popen([SCRIPT, "start"], env=run.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                   start_new_session=True)

        def said():
            out.seek(0)
            return out.read()
        try:
            wait_until(lambda: "mailcase is ready" in said() or process.poll() is not None, READY_SECONDS, said)
            wait_until(lambda: "Ctrl-C" in said() or process.poll() is not None, 10, said)
            assert process.poll() is None, said()
            text = said()
            # As a terminal does it: the whole group is told.
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(60) == 0, said()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert "in the mailbox of customer@client.example (1):" in text
    assert "fetcher  |" in text and "notifier |" in text
    assert "\x1b[" not in text, "no colours where there is no terminal"
    wait_until(lambda: not run.processes(), 10, lambda: f"nothing runs any more: {run.processes()}")


def test_it_starts_again_soon_and_returns_when_it_is_told_to(run):
    begun = time.monotonic()
    done = run.script("start", DETACH="1")
    print(f"the second start took {time.monotonic() - begun:.1f} s")
    assert done.returncode == 0, done.stdout
    assert "mailcase is ready" in done.stdout
    assert run.processes()


def test_the_file_for_other_programs_says_all_and_only_to_us(run):
    assert (run.dir / "env").stat().st_mode & 0o777 == 0o600
    found = run.variables()
    assert [name for name in NAMES if not found.get(name)] == []
    assert found["MAILCASE_BUS"] == found["BUS"] == run.bus_is() == run.engine
    assert Path(found["CA_FILE"]).exists() and Path(found["MAILCASE_SEAL_KEY_FILE"]).exists()
    with socket.create_connection((found["IMAP_HOST"], int(found["IMAP_PORT"])), timeout=10) as imap:
        assert imap.recv(100).startswith(b"* OK")


def test_the_samples_are_cases_and_the_reply_is_on_its_own(run):
    cases = run.casectl("case", "list", "--json").splitlines()
    assert len(cases) == 5
    assert sum('"messages":2' in line.replace(" ", "") for line in cases) == 1


def test_a_second_one_beside_it_is_refused_in_one_line(run, tmp_path):
    again = run.script("start", DETACH="1")
    assert again.returncode != 0 and "make stop" in again.stdout.splitlines()[-1]
    other = run.script("start", DETACH="1", RUN_DIR=str(tmp_path / "other"))
    assert other.returncode != 0 and "PORT_BASE" in [line for line in other.stdout.splitlines() if "taken" in line][0]


def test_stop_ends_everything_and_may_be_repeated(run):
    for _ in range(2):
        done = run.script("stop")
        assert done.returncode == 0, done.stdout
    assert run.processes() == []
    assert (run.dir / "env").exists(), "the state stays"


def test_a_folder_that_ran_on_the_other_engine_is_moved_and_stays_there(run):
    """What was under way on the old engine is told once, and who says no engine means the one there is."""
    kafka.need()
    other = {"postgres": "kafka", "kafka": "postgres"}[run.engine]

    def start(bus):
        done = run.script("start", DETACH="1", BUS=bus)
        assert done.returncode == 0, done.stdout
        assert run.bus_is() == run.variables()["MAILCASE_BUS"] == (bus or other)
        return "becomes" in done.stdout

    def submit(number):
        with smtplib.SMTP("127.0.0.1", int(run.variables()["SMTP_PORT"]), timeout=30) as smtp:
            smtp.sendmail("customer@client.example", ["support@demo.example"], "From: customer@client.example\r\nSubject: One more"
                          f"\r\nMessage-ID: <more-{number}@client.example>\r\n\r\nHello.\r\n")

    def wait_told(count):
        wait_until(lambda: run.told() == count, 60, lambda: f"{count} mails at customer and agent: {run.told()}")

    assert not start(run.engine)
    customer, agent = run.told()
    submit(1)
    run.script("stop")
    assert start(other)
    wait_told([customer + 1, agent + 1])
    submit(2)
    wait_told([customer + 2, agent + 2])
    run.script("stop")
    assert not start("")
    assert run.told() == [customer + 2, agent + 2]
    assert run.script("stop").returncode == 0
    assert run.processes() == []


def test_an_engine_that_there_is_not_is_refused_in_one_line(run):
    done = run.script("start", DETACH="1", BUS="pigeon")
    assert done.returncode != 0 and done.stdout.splitlines() == ["mailcase: BUS=pigeon is no engine: postgres or kafka"]
