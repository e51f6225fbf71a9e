# SPDX-License-Identifier: Apache-2.0
"""What docker-compose.yml says, without running it."""

import json
import re
import subprocess

import pytest
import yaml

from harness.programs import ROOT, program
from stack import SERVICES

SECRETS = ("MAILCASE_DATABASE_URL", "MAILCASE_KAFKA_PASSWORD", "MAILCASE_KAFKA_KEY_PASSWORD")
# What the image or the network of the containers settles.
SETTLED = {"MAILCASE_OPS_LISTEN"}


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def settings_of(name):
    done = subprocess.run([program(name), "--settings=markdown"], capture_output=True, text=True, check=True)
    return set(re.findall(r"^\| `(MAILCASE_\w+)`", done.stdout, re.MULTILINE)) - SETTLED


@pytest.mark.parametrize("name", [*SERVICES, "casectl"])
def test_every_setting_of_a_program_can_be_given(compose, name):
    given = set(compose["services"][name]["environment"])
    wanted = {f"{setting}_FILE" if setting in SECRETS else setting for setting in settings_of(name)}
    assert wanted - given == set()


@pytest.mark.parametrize("name", [*SERVICES, "casectl", "migrate", "topics", "demo-desk"])
def test_our_programs_run_with_nothing_to_spare(compose, name):
    service = compose["services"][name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"] and "ports" not in service and "volumes" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_be_scaled_and_has_time_to_stop(compose, name):
    service = compose["services"][name]
    assert "container_name" not in service and int(service["stop_grace_period"].rstrip("s")) > 20
    assert service["restart"] == "unless-stopped"
    assert service["depends_on"] == {job: {"condition": "service_completed_successfully"} for job in ("migrate", "topics")}


def test_only_the_demo_is_reachable_and_only_from_this_machine(compose):
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(ports) == {"demo-mail"} and all(port.startswith("127.0.0.1:") for port in ports["demo-mail"])
    assert compose["services"]["demo-mail"]["profiles"] == ["demo"]


def test_all_that_is_pulled_has_a_version(compose):
    images = {service["image"] for service in compose["services"].values()}
    defaults = [re.fullmatch(r"\$\{\w+:-([^}]+)\}", image)[1] for image in images]
    assert all(re.search(r":[0-9]", image) for image in defaults), defaults


def test_the_version_is_that_of_the_programs(compose):
    version = subprocess.run([program("casectl"), "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    assert compose["services"]["migrate"]["build"]["args"]["VERSION"] == version
    assert compose["x-program"]["image"].endswith(f":{version}}}")
    assert compose["services"]["demo-mail"]["image"].endswith(f":{version}}}")
    assert f"ARG VERSION={version}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert f"mailcase:{version}" in (ROOT / "deploy" / "compose" / "secrets.sh").read_text(encoding="utf-8")


def test_secrets_are_files_that_git_and_the_images_do_not_see(compose):
    for name, secret in compose["secrets"].items():
        assert secret == {"file": f"${{MAILCASE_SECRETS:-./deploy/compose/secrets}}/{name}"}
    ignored = subprocess.run(["git", "check-ignore", ".env", *(f"deploy/compose/secrets/{name}" for name in compose["secrets"])],
                             cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    assert len(ignored) == 1 + len(compose["secrets"])
    sent = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert sent[0] == "*" and "!deploy/compose" not in sent and "!deploy" not in sent


def test_a_first_run_makes_the_secrets_and_a_second_leaves_them(tmp_path):
    def make():
        done = subprocess.run([ROOT / "deploy" / "compose" / "secrets.sh", tmp_path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout, {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    if subprocess.run(["id", "-u"], capture_output=True, text=True, check=True).stdout.strip() != "0":
        pytest.skip("needs root: only root can give files to another's group")
    said, first = make()
    assert set(first) == {"database-password", "database-url", "seal-key", "demo-password"} and "seal-key" in said
    assert first["database-password"].strip() in first["database-url"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}
    assert {path.stat().st_gid for path in tmp_path.iterdir()} == {65532}
    said, second = make()
    assert second == first and "already" in said
    assert not any(secret.strip() in said for secret in first.values())


def test_docker_compose_takes_it(compose, engine):
    shown = yaml.safe_load(engine.run("docker-compose", *engine.no_env, "--profile", "demo", "config").stdout)
    assert set(shown["services"]) >= set(compose["services"]) - {"casectl"}
    broken = engine.run("docker-compose", "-f", "-", "config", "-q", text="services: {x: {imagee: y}}", check=False)
    assert broken.returncode != 0, "it would see a slip"


def test_compose_v2_takes_it_and_means_the_same(compose, bases, compose_v2):
    shown = json.loads(bases.run(*compose_v2, "--project-directory", ROOT, "-f", ROOT / "docker-compose.yml", *bases.no_env, "--profile", "demo",
                                 "config", "--format", "json").stdout)
    for name, service in compose["services"].items():
        if name != "casectl":
            found = shown["services"][name]
            assert found["cap_drop"] == ["ALL"] and found.get("read_only", False) == service.get("read_only", False)
            assert set(found.get("environment") or {}) == set(service.get("environment", {}))
