# SPDX-License-Identifier: Apache-2.0
"""A Docker Engine of our own, and docker-compose with it.

It runs in namespaces of its own for processes, mounts and network, so that its bridges, firewall rules and mounts are
nobody else's and end with it. slirp4netns leads from there to the world, for the packages that images are built of.
Containers' published ports are in that network: in_network() gives this thread a foot in it.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from harness.programs import ROOT
from harness.wait import wait_until

# Debian's: another `docker` may come first on the path.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
COMMANDS = {"dockerd": "docker.io", "docker": "docker.io", "docker-compose": "docker-compose", "iptables": "iptables",
            "ip": "iproute2", "slirp4netns": "slirp4netns", "mmdebstrap": "mmdebstrap", "unshare": "util-linux"}
# slirp4netns answers names at this address.
RESOLVER = "nameserver 10.0.2.3\n"
INIT = """set -e
mount --bind "$1/resolv.conf" "$(readlink -f /etc/resolv.conf)"
ip link set lo up
until ip route | grep -q default; do sleep 0.05; done
exec dockerd --data-root "$1/root" --exec-root "$1/exec" --pidfile "$1/docker.pid" --host "unix://$1/docker.sock" \
    --cgroup-parent "$2"
"""
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


class CannotRun(Exception):
    """There can be no engine on this machine; the text says why."""


class Failed(Exception):
    def __init__(self, done):
        super().__init__(f"status {done.returncode}: {' '.join(map(str, done.args))}\n{(done.stdout or '')[-3000:]}"
                         f"{(done.stderr or '')[-3000:]}")


class Engine:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="mailcase-docker-", dir="/var/tmp"))
        (self.folder / "env").touch()
        self.no_env = ["--env-file", self.folder / "env"]  # a .env of whoever works here is none of the tests' business
        self.cgroup = f"/{self.folder.name}"
        self.init = self.slirp = self.pid = None
        self.env = dict(os.environ, PATH=PATH, DOCKER_HOST=f"unix://{self.folder}/docker.sock", DOCKER_BUILDKIT="0",
                        COMPOSE_DOCKER_CLI_BUILD="0", DOCKER_CONFIG=str(self.folder / "config"))

    def __enter__(self):
        try:
            self._check()
            self._start()
            return self
        except BaseException:
            self.__exit__()
            raise

    def _check(self):
        if os.geteuid() != 0:
            raise CannotRun("Docker needs root")
        missing = sorted({package for command, package in COMMANDS.items() if not shutil.which(command, path=PATH)})
        if missing:
            raise CannotRun(f"missing: {' '.join(missing)}; `deploy/local/deps.sh containers` installs them")
        if not os.path.exists("/dev/net/tun"):
            raise CannotRun("there is no /dev/net/tun: no network of its own for Docker")

    def _start(self):
        (self.folder / "resolv.conf").write_text(RESOLVER, encoding="utf-8")
        with open(self.folder / "log", "ab") as log:
            self.init = subprocess.Popen(
                ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
                 "sh", "-c", INIT, "init", self.folder, self.cgroup],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            self.pid = wait_until(self._child, 10, lambda: f"namespaces: {self.log()}")
            self.slirp = subprocess.Popen(["slirp4netns", "--configure", "--mtu=1500", "--disable-host-loopback",
                                           str(self.pid), "tap0"], env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(self._answers, 60, "dockerd answers", every=0.1)
        except (AssertionError, CannotRun):
            raise CannotRun(f"dockerd does not run here: {self.log()}") from None

    def _child(self):
        if self.init.poll() is not None:
            raise CannotRun(f"no namespaces here: {self.log()}")
        path = Path(f"/proc/{self.init.pid}/task/{self.init.pid}/children")
        found = path.read_text(encoding="ascii").split() if path.exists() else []
        # It is in its own network once unshare has done its work.
        own = [pid for pid in found if os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")]
        return int(own[0]) if own else None

    def _answers(self):
        if self.init.poll() is not None:
            raise CannotRun("dockerd ended")
        return self.docker("version", check=False).returncode == 0

    def log(self):
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")[-1500:].strip()

    def __exit__(self, *_):
        if self.pid and self.init.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.init.wait(60)
        for process in (self.init, self.slirp):
            if process and process.poll() is None:
                process.kill()  # the first process of the namespaces dies with it, and everything in them
            if process:
                process.wait()
        # What the kernel has not let go of yet is gone in a moment.
        with contextlib.suppress(AssertionError):
            wait_until(self._remove, 20, every=0.2)

    def _remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        left = [Path(top) for mount in ("/sys/fs/cgroup", *Path("/sys/fs/cgroup").glob("*/"))
                for top in [f"{mount}{self.cgroup}"] if os.path.isdir(top)]
        for top in left:
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        return not self.folder.exists() and not any(top.exists() for top in left)

    # ---- what it does

    def run(self, *args, check=True, seconds=900, text=None, **env):
        done = subprocess.run(list(map(str, args)), env={**self.env, **env}, input=text or "", capture_output=True, text=True,
                              timeout=seconds, cwd=ROOT, check=False)
        if check and done.returncode != 0:
            raise Failed(done)
        return done

    def docker(self, *args, **options):
        return self.run("docker", *args, **options)

    def inspect(self, name):
        return json.loads(self.docker("inspect", name).stdout)[0]

    @contextlib.contextmanager
    def in_network(self):
        """What this thread connects to within is in the engine's network, and stays so: 127.0.0.1 has the published ports."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"/proc/{self.pid}/ns/net", "rb") as there:
            _enter(there)
            try:
                yield
            finally:
                _enter(home)


def _enter(namespace):
    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
