# SPDX-License-Identifier: Apache-2.0
"""The image: what it says of itself, what it may do, and that nothing is missing in it."""

import re
import shutil

import pytest

from harness.programs import ROOT
from harness.wait import wait_until
from stack import SERVICES

IMAGE = "mailcase:0.1.0"
LOCKED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true")
PROGRAMS = (*SERVICES, "casectl")


@pytest.fixture(scope="module")
def bookworm(bases):
    """The same on Debian 12, by BuildKit."""
    bases.docker("build", "-t", "mailcase:bookworm", "--build-arg", "BASE=debian:bookworm-slim", "--build-arg", "REVISION=abc",
                 ROOT, DOCKER_BUILDKIT="1")
    return bases


@pytest.fixture(params=[IMAGE, "mailcase:bookworm"])
def image(request):
    """(engine, name) of each image; what makes it is run when it is first asked for."""
    engine = request.getfixturevalue("images" if request.param == IMAGE else "bookworm")
    return engine, request.param


def test_it_says_what_it_is(images, bookworm):
    config = images.inspect(IMAGE)["Config"]
    assert config["User"] == "65532:65532" and config["StopSignal"] == "SIGTERM" and not config["Volumes"]
    assert config["Healthcheck"]["Test"] == ["CMD", "casectl", "probe", "--live"]
    assert config["Cmd"] == ["casectl", "--help"] and "MAILCASE_OPS_LISTEN=:9464" in config["Env"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    version = images.docker("run", "--rm", IMAGE, "casectl", "--version").stdout.split()[-1]
    assert labels["version"] == version and labels["licenses"] == "Apache-2.0" and labels["title"] == "mailcase"
    assert labels["base.name"] == "debian:trixie-slim"
    labels = bookworm.inspect("mailcase:bookworm")["Config"]["Labels"]
    assert labels["org.opencontainers.image.base.name"] == "debian:bookworm-slim"
    assert labels["org.opencontainers.image.revision"] == "abc"
    print(f"{images.inspect(IMAGE)['Size'] >> 20} MiB")


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_starts_without_any_right(image, program):
    engine, name = image
    done = engine.docker("run", "--rm", "--network", "none", *LOCKED, name, program, "--version")
    assert done.stdout.startswith(program) and done.stderr == ""


def test_there_is_no_compiler_no_root_and_no_way_to_become_it(image):
    engine, name = image
    shown = engine.docker("run", "--rm", "--network", "none", name, "sh", "-c", """
        id -u; touch /nowhere /usr/local/bin/fetcher /etc/passwd 2>/dev/null && echo writable
        command -v gcc make apt-get-build curl wget
        ls /usr/share/doc/mailcase /src 2>/dev/null; ls /var/lib/apt/lists; true""").stdout.split()
    assert shown == ["65532"]


def test_a_service_reports_its_health_and_ends_on_sigterm(images):
    """Without a database it lives, and is not ready."""
    name = "mailcase-test-router"
    images.docker("run", "-d", "--name", name, *LOCKED, "--health-interval", "1s", "-e",
                  "MAILCASE_DATABASE_URL=postgresql://nobody@127.0.0.1:1/none", IMAGE, "router")
    try:
        wait_until(lambda: images.inspect(name)["State"]["Health"]["Status"] == "healthy", 30,
                   lambda: f"healthy: {images.inspect(name)['State']}", 0.2)
        ready = images.docker("exec", name, "casectl", "probe", check=False)
        assert ready.returncode == 1 and "database" in ready.stdout
        images.docker("stop", "-t", "25", name)
        assert images.inspect(name)["State"]["ExitCode"] == 0
        assert "service.stopped" in images.docker("logs", name).stdout
    finally:
        images.docker("rm", "-f", name)


def test_the_libraries_are_all_there(image):
    """The golden mails want every library and its charsets: in the image they are understood as anywhere."""
    engine, name = image
    done = engine.docker("run", "--rm", "--network", "none", *LOCKED, "--tmpfs", "/tmp", "-v", f"{ROOT}/tests/corpus:/corpus:ro", name,
                         "sh", "/corpus/run.sh", "/usr/local/bin/casectl", check=False)
    assert re.search(r"^[1-9]\d* passed, 0 failed", done.stdout, re.MULTILINE), done.stdout[-2000:] + done.stderr


def test_the_demo_is_built_on_it(images):
    demo, image = (images.inspect(name)["RootFS"]["Layers"] for name in ("mailcase-demo:0.1.0", IMAGE))
    assert [layer for layer in image if layer in demo][:3] == image[:3]


def test_no_secret_and_no_object_file_is_in_any_image(images):
    for name in (IMAGE, "mailcase-demo:0.1.0"):
        found = images.docker("run", "--rm", "--entrypoint", "find", name, "/usr/local", "(", "-name", "*.o", "-o", "-path",
                              "*/secrets/*", ")").stdout
        assert found == ""


def test_who_may_only_call_docker_has_the_secrets_given_by_a_container(images, tmp_path):
    script = images.folder / "not-root" / "secrets.sh"
    script.parent.mkdir()
    shutil.chown(script.parent, "nobody")
    script.write_text((ROOT / "deploy" / "compose" / "secrets.sh").read_text(encoding="utf-8"), encoding="utf-8")
    images.folder.chmod(0o711)
    group = (images.folder / "docker.sock").stat().st_gid

    def make():
        return images.run("setpriv", "--reuid=nobody", f"--regid={group}", "--clear-groups", "bash", script, script.parent / "made",
                          DOCKER_CONFIG=str(tmp_path))
    assert "seal-key" in make().stdout
    files = list((script.parent / "made").iterdir())
    assert len(files) == 4 and {(file.stat().st_gid, file.stat().st_mode & 0o777) for file in files} == {(65532, 0o640)}
    assert {file.owner() for file in files} == {"nobody"}
    assert "already" in make().stdout
