# SPDX-License-Identifier: Apache-2.0
"""Each program is started with the very environment that its pod has, and takes it."""

import os
import subprocess

import pytest

from harness.programs import program
from harness.wait import wait_until
from policies import SERVICES, by_name, component_of, environment, program_of, workloads

BUILDS = ["base", "prod"]
CASES = [(build, name) for build in BUILDS for name in (*SERVICES, "casectl", "migrate", "topics")]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What the volumes hold: a database and brokers that nobody serves, a key, a certificate."""
    root = tmp_path_factory.mktemp("volumes")
    for name in ("database", "seal-key", "database-ca", "kafka-ca", "kafka-user"):
        (root / name).mkdir()
    (root / "database" / "url").write_text("postgresql://mailcase@127.0.0.1:1/mailcase?connect_timeout=2")
    subprocess.run([program("casectl"), "seal-key", "make", root / "seal-key" / "seal.key"], check=True, capture_output=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
                    "-keyout", root / "kafka-user" / "user.key", "-out", root / "kafka-user" / "user.crt"], check=True,
                   capture_output=True)
    for place in ("kafka-ca", "database-ca"):
        (root / place / "ca.crt").write_bytes((root / "kafka-user" / "user.crt").read_bytes())
    return root


@pytest.mark.parametrize("build, component", CASES)
def test_a_program_takes_its_environment(kustomize, files, tmp_path, build, component):
    objects = kustomize.build(build)
    workload = next(w for w in workloads(objects) if component_of(w) == component)
    assert workload["metadata"]["name"] in by_name(objects, workload["kind"])
    env = {name: value.replace("/etc/mailcase", str(files)) for name, value in environment(workload, objects).items()}
    env["PATH"] = os.environ["PATH"]
    env["MAILCASE_KAFKA_BROKERS"] = "127.0.0.1:1"
    if "MAILCASE_OPS_LISTEN" in env:
        env["MAILCASE_OPS_LISTEN"] = "127.0.0.1:0"
    if component in SERVICES:
        starts(program_of(workload), env, tmp_path / "log")
    else:
        verb = ["health"] if component == "casectl" else [component]
        done = subprocess.run([program("casectl"), *verb], env=env, capture_output=True, text=True, timeout=60, check=False)
        # It gets as far as the database, which is not there.
        assert done.returncode == 1 and "connect" in done.stdout + done.stderr, done.stdout + done.stderr


def starts(name, env, log):
    with open(log, "wb") as out:
        process = subprocess.Popen([program(name)], env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        def waits():
            text = log.read_text()
            assert process.poll() is None, text
            return "db.waiting" in text
        wait_until(waits, 30, lambda: f"{name} waits for its database: {log.read_text()}")
        process.terminate()
        assert process.wait(20) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
