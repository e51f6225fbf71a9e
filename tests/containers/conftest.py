# SPDX-License-Identifier: Apache-2.0
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[0] / "service")]

from bases import BASES, base_tar, kafka_jars  # noqa: E402
from engine import CannotRun, Engine  # noqa: E402
from harness.programs import ROOT  # noqa: E402


@pytest.fixture(scope="session")
def engine():
    try:
        running = Engine().__enter__()
    except CannotRun as why:
        pytest.skip(f"no Docker Engine here: {why}")
    try:
        yield running
    finally:
        running.__exit__()


@pytest.fixture(scope="session")
def bases(engine):
    """What Dockerfiles start from, under the names that they say."""
    def have(image):
        try:
            tar = base_tar(image)
        except RuntimeError as why:
            return str(why)
        return engine.docker("import", tar, image, check=False).stderr
    with ThreadPoolExecutor(2) as pool:
        failures = [f for f in pool.map(have, BASES) if f]
    if failures:
        pytest.skip(f"no base images: {failures}")
    return engine


@pytest.fixture(scope="session")
def images(bases, tmp_path_factory):
    """The engine with all that docker-compose.yml runs: built as its users do, and stand-ins for what they pull."""
    engine = bases
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    tag = {name: re.search(rf"image: \$\{{{name}_IMAGE:-([^}}]+)\}}", compose)[1] for name in ("KAFKA", "POSTGRES")}
    engine.docker("build", "-t", tag["POSTGRES"], HERE / "images" / "postgres")
    context = tmp_path_factory.mktemp("kafka") / "context"
    shutil.copytree(HERE / "images" / "kafka", context)
    try:
        shutil.copytree(kafka_jars(), context / "lib")
    except RuntimeError as why:
        pytest.skip(f"no broker: {why}")
    engine.docker("build", "-t", tag["KAFKA"], context)
    engine.run("docker-compose", *engine.no_env, "--profile", "demo", "build")
    return engine


@pytest.fixture(scope="session")
def compose_v2(bases):
    """The command that is Compose v2 there, speaking to the same engine."""
    engine = bases
    version = engine.run("docker-compose", "version", "--short").stdout
    if not version.startswith("1."):
        return ["docker-compose"]
    engine.docker("build", "-t", "mailcase-test/compose", HERE / "images" / "compose")
    folder = engine.folder
    return ["docker", "run", "--rm", "-i", "--network", "none", "-v", f"{ROOT}:{ROOT}:ro", "-v",
            f"{folder}:{folder}", "-e", f"DOCKER_HOST=unix://{folder}/docker.sock", "mailcase-test/compose"]
