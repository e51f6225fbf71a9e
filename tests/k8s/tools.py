# SPDX-License-Identifier: Apache-2.0
"""Programs that the machine may have, and what else they can be had from. What is fetched is kept outside the tree, in
MAILCASE_CACHE; where it cannot be had the tests are skipped and say so."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml

from harness.programs import ROOT

CACHE = Path(os.environ.get("MAILCASE_CACHE") or Path.home() / ".cache" / "mailcase") / "k8s"
MANIFESTS = ROOT / "deploy" / "k8s"
COMPONENTS = ("cnpg", "strimzi", "keda", "monitoring")
OVERLAYS = ("dev", "prod")
FETCH_SECONDS = 120


def run(*command, **options):
    """A command that takes too long has failed."""
    words = [str(word) for word in command]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **options)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 124, "", "it took too long")


def version(*command):
    """The first version number that a program names; () where there is no such program."""
    if not shutil.which(str(command[0])):
        return ()
    found = re.search(r"v?(\d+)\.(\d+)", run(*command).stdout)
    return tuple(map(int, found.groups())) if found else ()


def from_package(package, program):
    """A program out of a Debian package, which is not installed."""
    kept = CACHE / program
    if kept.exists():
        return kept
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        done = run("apt-get", "-q", "download", package, cwd=folder, timeout=FETCH_SECONDS)
        for deb in Path(folder).glob("*.deb"):
            done = run("dpkg-deb", "-x", deb, folder)
        found = Path(folder) / "usr" / "bin" / program
        if done.returncode != 0 or not found.exists():
            return None
        os.replace(found, kept)
    return kept


def kustomize_command():
    """kustomize 5, by itself or within kubectl; else out of Debian 13's package or by the Go toolchain."""
    # Built by Debian or by hand it may not know its number: then it is no old one.
    if shutil.which("kustomize") and (version("kustomize", "version") >= (5, 0)
                                      or "devel" in run("kustomize", "version").stdout):
        return ["kustomize", "build"]
    built_in = run("kubectl", "version", "--client").stdout if shutil.which("kubectl") else ""
    if re.search(r"Kustomize Version: v[5-9]\.", built_in):
        return ["kubectl", "kustomize"]
    kept = CACHE / "kustomize"
    if not kept.exists() and not (shutil.which("apt-get") and from_package("kustomize", "kustomize")):
        go = version("go", "version")
        if go >= (1, 19):
            wanted = "v5.6.0" if go >= (1, 23) else "v5.0.1"
            run("go", "install", f"sigs.k8s.io/kustomize/kustomize/v5@{wanted}",
                env=dict(os.environ, GOBIN=str(CACHE)), timeout=FETCH_SECONDS)
    return [str(kept), "build"] if kept.exists() else None


def promtool():
    return shutil.which("promtool") or (from_package("prometheus", "promtool") if shutil.which("apt-get") else None)


class Kustomize:
    """Builds of deploy/k8s, each made once."""

    def __init__(self, folder):
        self.command = kustomize_command()
        self.tree = folder / "k8s"
        self.builds = {}
        shutil.copytree(MANIFESTS, self.tree)

    def build(self, name):
        """The objects of a build: "base", an overlay, and either of them with components: "base+keda+cnpg"."""
        if not self.command:
            pytest.skip("no kustomize 5: neither kustomize nor kubectl is installed, and neither apt-get nor go brings it")
        if name not in self.builds:
            root, *components = name.split("+")
            folder = self.tree / "builds" / name
            folder.mkdir(parents=True)
            resource = "base" if root == "base" else f"overlays/{root}"
            (folder / "kustomization.yaml").write_text(yaml.safe_dump({
                "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
                "resources": [f"../../{resource}"], "components": [f"../../components/{c}" for c in components]}))
            done = run(*self.command, folder)
            assert done.returncode == 0 and not done.stderr, f"{name}: {done.stderr}"
            self.builds[name] = list(yaml.safe_load_all(done.stdout))
        return self.builds[name]
