# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL server in a folder of its own, on a Unix socket and a loopback port.

    with PrivatePostgres() as server:
        url = server.new_database()          # empty, or migrated with migrate=True
        with server.connect(url) as db: ...

PostgreSQL refuses to run as root: then it runs as the user `postgres`.
"""

import glob
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import psycopg

from harness.server import Server

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = {
    "max_connections": 200,
    "shared_buffers": "128MB",
    "listen_addresses": "127.0.0.1",
    "autovacuum_naptime": "5s",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %a ",
}


def find_binaries():
    """The newest folder of server programs that run here."""
    folders = glob.glob("/usr/lib/postgresql/*/bin")
    folders.sort(key=lambda f: [int(n) for n in re.findall(r"\d+", f)], reverse=True)
    if shutil.which("pg_config"):
        folders.append(subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True).stdout.strip())
    for folder in folders:
        programs = [os.path.join(folder, p) for p in ("initdb", "postgres", "pg_ctl")]
        if all(os.access(p, os.X_OK) for p in programs):
            if subprocess.run([programs[1], "--version"], capture_output=True, check=False).returncode == 0:
                return Path(folder)
    return None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class PrivatePostgres(Server):
    def __init__(self, folder=None, durable=False, settings=None):
        self.binaries = find_binaries()
        if not self.binaries:
            raise RuntimeError("no PostgreSQL server programs found: `make deps` installs them")
        self.own_folder = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix="mailcase-pg-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self.settings = dict(SETTINGS)
        if not durable:
            self.settings.update(fsync="off", full_page_writes="off")
        self.settings.update(settings or {})
        self.databases = 0
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

    def _command(self, program, *args):
        command = [str(self.binaries / program), *map(str, args)]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] + command
        return command

    def _run(self, program, *args):
        # The server inherits the streams of pg_ctl: a pipe would never end.
        with open(self.folder / "setup.log", "ab") as log:
            done = subprocess.run(self._command(program, *args), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  cwd="/", check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed:\n" + self.log()[-4000:])

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            os.chmod(self.folder, 0o755)
            shutil.chown(self.folder, "postgres", "postgres")
        if not self.data.exists():
            self._run("initdb", "-D", self.data, "-U", self.user, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
                      "--no-sync")
            settings = dict(self.settings, port=self.port, unix_socket_directories=self.folder)
            with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
                conf.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", self.folder / "server.log", "start")
        return self

    def stop(self, mode="fast"):
        if (self.data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-m", mode, "stop")

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def log(self):
        text = ""
        for name in ("setup.log", "server.log"):
            path = self.folder / name
            text += path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        return text

    def url(self, database="postgres"):
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{database}"

    def connect(self, url=None, **args):
        return psycopg.connect(url or self.url(), autocommit=True, **args)

    def new_database(self, name=None, migrate=False):
        """The URL of a new database."""
        self.databases += 1
        name = name or f"test{self.databases}"
        with self.connect() as db:
            db.execute(f'CREATE DATABASE "{name}"')
        url = self.url(name)
        if migrate:
            with self.connect(url) as db:
                for path in sorted((ROOT / "db" / "migrations").glob("*.sql")):
                    db.execute(path.read_text(encoding="utf-8"))
        return url

    def __exit__(self, *_):
        self.stop("immediate")
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
