# SPDX-License-Identifier: Apache-2.0
"""The services with the rights that deploy/k8s gives them: a user that is nobody, no capability, none to be gained, a file
system that is read only, secrets as files that the group may read. The parser children of the threader install their own
system call filter under these rights. What a container runtime adds of its own, tests/containers has."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness.letters import bare, letter
from harness.programs import ROOT
from harness.services import Service
from harness.wait import wait_until
from harness.whole_desk import WholeDesk

UID = 65532
CUSTOMER = "customer@client.example"
LOCK = ("unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount -o remount,bind,ro / && exec "$@"', "sh",
        "setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--no-new-privs", "--inh-caps=-all",
        "--bounding-set=-all")


class PodService(Service):
    wrapper = LOCK

    def __init__(self, name, env, folder, label):
        key = Path(env["MAILCASE_SEAL_KEY_FILE"])
        url = key.with_name(f"{label}.url")
        url.write_text(env["MAILCASE_DATABASE_URL"], encoding="utf-8")
        for secret in (url, key):
            os.chown(secret, 0, UID)
            secret.chmod(0o440)
        env = {key: value for key, value in env.items() if key not in ("MAILCASE_DATABASE_URL", "HOME")}
        super().__init__(name, dict(env, MAILCASE_DATABASE_URL_FILE=str(url)), folder, label)


class Pods(WholeDesk):
    service_class = PodService


@pytest.fixture(scope="module")
def pods(postgres, mail_servers):
    tried = subprocess.run([*LOCK, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"this user cannot give a process the rights of a pod: {tried.stderr.strip()}")
    # pytest's own folder lets nobody else in.
    folder = Path(tempfile.mkdtemp(prefix="mailcase-pod-"))
    folder.chmod(0o755)
    try:
        with Pods(postgres, folder, mail_servers, "pod.example") as desk:
            desk.set_up(mail_servers.port["smtp"])
            desk.start_all()
            desk.wait_mailbox("ok")
            yield desk
    finally:
        shutil.rmtree(folder)


def status(pid):
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def children(pid):
    return [int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]


def test_a_mail_goes_through_and_is_answered(pods):
    customer = pods.servers.mailbox(CUSTOMER)
    mail = letter(f"Customer <{CUSTOMER}>", pods.address, "Nothing works")
    pods.servers.submit(CUSTOMER, [pods.address], mail.as_bytes())
    number = pods.wait_case_of(bare(mail["Message-ID"]))
    assert pods.case(number)["subject"] == "Nothing works"
    wait_until(lambda: any("Nothing works" in str(m["Subject"]) or "#" in str(m["Subject"]) for m in customer.mails()), 60,
               lambda: f"an answer; {pods.troubles()}")
    parsed = pods.service("threader").metrics()
    assert parsed['mailcase_threader_parsed_total{verdict="ok"}'] == 1


def test_they_had_no_more_rights_than_a_pod_has(pods):
    for service in pods.services:
        told = status(service.process.pid)
        assert told["Uid"].split() == [str(UID)] * 4 and told["Gid"].split() == [str(UID)] * 4
        assert {told[f"Cap{which}"] for which in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
        assert told["NoNewPrivs"] == "1"


def test_the_parser_children_filter_their_own_system_calls(pods):
    found = children(pods.service("threader").process.pid)
    assert found and all(status(pid)["Seccomp"] == "2" for pid in found)


def test_the_database_connections_of_each_are_those_of_the_document(pods):
    """docs/operations.md counts them for the ceilings of the autoscaler; a service of Kafka or PostgreSQL has as many."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(fetcher|threader|router|notifier)` \| (\d+) \|", page, re.M)
    stated = {name: int(count) for name, count in rows}
    assert sorted(stated) == ["fetcher", "notifier", "router", "threader"]
    for service in pods.services:
        wait_until(lambda: connections(pods, service) == stated[service.name],
                   what=lambda: f"{service.name}: {stated[service.name]} connections, there are {connections(pods, service)}")


def connections(pods, service):
    mine = local_ports(service.process.pid)
    rows = pods.rows("SELECT client_port FROM pg_stat_activity WHERE datname = current_database()")
    return sum(row["client_port"] in mine for row in rows)


def local_ports(pid):
    """The local TCP ports of a process."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        inodes |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(fd)))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]]
    return {int(row[1].partition(":")[2], 16) for row in rows if row[9] in inodes}
