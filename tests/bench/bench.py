#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks behind `make bench`; run.sh says which and with what settings."""

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "service")]

import cpu  # noqa: E402
from harness.kafka import Broker, unavailable  # noqa: E402
from harness.whole_desk import WholeDesk  # noqa: E402
from harness.letters import bare, letter  # noqa: E402
from harness.mail_servers import MailServers, free_port_base  # noqa: E402
from harness.postgres import PrivatePostgres  # noqa: E402
from harness.programs import BUILD, ROOT  # noqa: E402
from harness.server import Server  # noqa: E402
from harness.wait import wait_until  # noqa: E402

MAILS = int(os.environ.get("BENCH_MAILS", "5000"))
SINGLES = int(os.environ.get("BENCH_SINGLES", "100"))
COPIES = dict({"fetcher": 1, "threader": 1, "router": 1, "notifier": 1},
              **{k: int(v) for k, v in (pair.split("=") for pair in os.environ.get("BENCH_COPIES", "").split())})
# The services' own settings, as the environment has them. The sink takes any number of connections, as a desk's own relay
# would; the default of 4 is for providers that count them.
SETTINGS = {"MAILCASE_SMTP_CONNECTIONS": "16", **{k: v for k, v in os.environ.items() if k.startswith("MAILCASE_")}}
ENGINES = os.environ.get("BENCH_ENGINES", os.environ.get("BUS") or "postgres kafka").split()
STATEMENTS = "BENCH_STATEMENTS" in os.environ
SOAK_SECONDS = int(os.environ.get("SOAK_SECONDS", "7200"))
SHARED = Path(os.environ.get("MAILCASE_SHARED", ROOT.parent / "shared"))
RESULTS = ROOT / "build" / "bench" / "results.jsonl"


def main():
    soaking = sys.argv[1:] == ["soak"]
    figures = {}
    for engine in ENGINES:
        if engine == "kafka" and unavailable():
            print(f"SKIP kafka: {unavailable()}", flush=True)
            continue
        with tempfile.TemporaryDirectory(prefix="mailcase-bench-") as work, Rig(Path(work), engine) as rig:
            emit("machine", engine, machine(rig))
            if soaking:
                soak(rig)
                continue
            figures[engine] = {"one mail at a time": singles(rig)}
            emit("one mail at a time", engine, figures[engine]["one mail at a time"])
            figures[engine]["a batch"] = batch(rig, "batch", 42)
            emit("a batch", engine, figures[engine]["a batch"])
    side_by_side(figures)
    return 0 if figures or soaking else 1


def side_by_side(figures):
    """The main figures, an engine a column."""
    rows = [
        ("EXISTS to case, ms, p50 / p99", lambda f: both(f["one mail at a time"]["exists_to_case_ms"])),
        ("EXISTS to auto-reply, ms, p50 / p99", lambda f: both(f["one mail at a time"]["exists_to_auto_reply_ms"])),
        ("mails/s of a batch", lambda f: f["a batch"]["mails_per_s"]),
        ("CPU ms per mail, without the brokers", lambda f: f["a batch"]["cpu_ms_per_mail"]),
        ("CPU ms per mail of the brokers", lambda f: f["a batch"]["cpu_ms_per_mail_by_program"].get("kafka", "-")),
    ]
    if figures:
        print(f"{'':<38}" + "".join(f"{engine:>16}" for engine in figures))
    for name, of in rows:
        if figures:
            print(f"{name:<38}" + "".join(f"{of(f)!s:>16}" for f in figures.values()), flush=True)


def both(values):
    return f"{values['p50']} / {values['p99']}"


class Rig(Server):
    """The servers and one desk after the other, all on this machine and with nothing durable turned off."""

    def __init__(self, folder, engine):
        self.folder, self.engine = folder, engine
        self.broker = Broker() if engine == "kafka" else None
        self.sink_port = free_port_base(1)
        settings = {"shared_buffers": "256MB", "max_wal_size": "2GB", "jit": "off"}
        if STATEMENTS:
            settings["shared_preload_libraries"] = "pg_stat_statements"
        self.postgres = PrivatePostgres(folder / "pg", durable=True, settings=settings)
        self.servers = MailServers(folder / "mail", postfix=False)
        self.sink = None
        self.desks = []

    def start(self):
        os.chmod(self.folder, 0o711)
        self.postgres.start()
        self.servers.start()
        if self.broker:
            self.broker.start()
        sink = shutil.which("smtp-sink", path=os.environ["PATH"] + ":/usr/sbin")
        # It will not stay root.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self.sink = subprocess.Popen([sink, *user, f"127.0.0.1:{self.sink_port}", "1000"], stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        for service in (s for demo in self.desks for s in demo.services):
            service.kill()
        if self.sink:
            self.sink.kill()
        if self.broker:
            self.broker.__exit__()
        self.servers.stop()
        self.postgres.stop("immediate")

    def desk(self, name):
        folder = self.folder / name
        folder.mkdir()
        bus = {"MAILCASE_BUS": self.engine, "MAILCASE_KAFKA_PREFIX": f"{name}."}
        if self.broker:
            bus.update(self.broker.service_settings())
        demo = WholeDesk(self.postgres, folder, self.servers, f"{name}.example", agents=("ada", "ben", "cleo"), log_level="warn",
                         settings={**SETTINGS, **bus})
        self.desks.append(demo)
        demo.__enter__()
        demo.set_up(self.sink_port)
        if STATEMENTS:
            with demo.connect() as db:
                db.execute("CREATE EXTENSION pg_stat_statements")
        return demo

    def postmaster(self):
        return int((self.postgres.data / "postmaster.pid").read_text(encoding="ascii").split()[0])

    def dovecot(self):
        return int((self.servers.folder / "dovecot" / "base" / "master.pid").read_text(encoding="ascii"))

    def cpu(self, demo):
        """Seconds by program so far."""
        used = {}
        for service in demo.services:
            used[service.name] = used.get(service.name, 0.0) + cpu.seconds(service.process.pid)
        used["postgres"] = cpu.seconds(self.postmaster())
        used["dovecot"] = cpu.seconds(self.dovecot())
        used["smtp-sink"] = cpu.seconds(self.sink.pid)
        if self.broker:
            used["kafka"] = cpu.seconds(int((self.broker.folder / "node1" / "pid").read_text(encoding="ascii")))
        return used


def start(demo):
    demo.start(*[name for name, copies in COPIES.items() for _ in range(copies)])
    demo.wait_mailbox("ok")


def singles(rig):
    """One mail at a time on an idle system. Dovecot waits up to half a second before it says EXISTS: that is not ours, so
    the clock starts at the line; from APPEND stands beside it."""
    demo = rig.desk("singles")
    start(demo)
    appended = {}
    with demo.box.imap() as imap:
        for n in range(SINGLES):
            mail = letter(f"c{n}@client{n}.example", demo.address, f"Single {n}")
            message_id = bare(mail["Message-ID"])
            imap.append("INBOX", "", None, mail.as_bytes())
            appended[message_id] = time.time()
            demo.wait_rows(ACCEPTED, message_id)
    rows = demo.rows(TIMES)
    demo.stop()
    assert len(rows) == SINGLES
    return {
        "mails": SINGLES,
        "exists_to_case_ms": percentiles((r["decided"] - r["noticed"]) * 1e3 for r in rows),
        "exists_to_auto_reply_ms": percentiles((r["accepted"] - r["noticed"]) * 1e3 for r in rows),
        "append_to_case_ms": percentiles((r["decided"] - appended[r["message_id"]]) * 1e3 for r in rows),
    }


ACCEPTED = """SELECT 1 FROM message m JOIN outbound_message o ON o.message_id = m.id AND o.kind = 'auto_reply'
    JOIN outbound_copy c ON c.outbound_id = o.id AND c.state = 'accepted' WHERE m.message_id = %s"""
TIMES = """SELECT m.message_id, extract(epoch FROM i.noticed_at)::float8 AS noticed, extract(epoch FROM i.decided_at)::float8 AS decided,
    extract(epoch FROM c.changed_at)::float8 AS accepted
    FROM intake i JOIN message m ON m.id = i.message_id JOIN outbound_message o ON o.message_id = m.id AND o.kind = 'auto_reply'
    JOIN outbound_copy c ON c.outbound_id = o.id"""


def percentiles(values):
    values = sorted(values)
    return {name: round(values[min(len(values) - 1, int(len(values) * share))], 1)
            for name, share in (("p50", 0.50), ("p99", 0.99), ("max", 1.0))}


def batch(rig, name, seed):
    """A support mailbox that lies there when the fetcher looks: its openers first, then the replies to what they got."""
    demo = rig.desk(name)
    mails = rig.folder / f"{name}-mails"
    subprocess.run([sys.executable, SHARED / "bench" / "gen.py", mails, str(MAILS), str(seed)], check=True, capture_output=True)
    meta = [json.loads(line) for line in (mails / "meta.jsonl").read_text(encoding="utf-8").splitlines()]
    render = load_render()
    start(demo)
    phases = []
    for kind in ("new", "reply"):
        demo.casectl("mailbox", "set", demo.address, "--active", "off")
        demo.wait_mailbox("off")
        answered = {r["message_id"]: r for r in demo.rows(ANSWERED)}
        openers = {m["conv"]: answered.get(bare(m["msgid"])) for m in meta if m["kind"] == "new"}
        chosen = [m for m in meta if m["kind"] == kind]
        for m in chosen:
            case = openers[m["conv"]] if kind == "reply" else None
            tag, sysref = (f"[#{case['number']}]", f"<{case['header_id']}>") if case else ("", "")
            demo.box.deliver(render(m, (mails / "tmpl" / m["file"]).read_bytes(), tag, sysref))
        phases.append(measure(rig, demo, kind, len(chosen)))
    memory = {s.label: round(cpu.resident_mib(s.process.pid), 1) for s in demo.services}
    demo.stop()
    total = sum(p["mails"] for p in phases)
    spent = {program: sum(p["cpu_s"][program] for p in phases) for program in phases[0]["cpu_s"]}
    ours = sum(s for program, s in spent.items() if program not in ("dovecot", "smtp-sink", "kafka"))
    return {
        "mails": total,
        "mails_per_s": round(total / sum(p["seconds"] for p in phases), 1),
        "openers_per_s": phases[0]["mails_per_s"],
        "replies_per_s": phases[1]["mails_per_s"],
        "cpu_ms_per_mail": round(ours / total * 1e3, 3),
        "cpu_ms_per_mail_by_program": {program: round(s / total * 1e3, 3) for program, s in spent.items()},
        "resident_mib": memory,
    }


ANSWERED = """SELECT m.message_id, c.number, o.header_id FROM outbound_message o JOIN message m ON m.id = o.message_id
    JOIN case_file c ON c.id = o.case_id WHERE o.kind = 'auto_reply'"""
# From the first mail taken to the last thing that came of any of them.
SPAN = """SELECT extract(epoch FROM greatest((SELECT max(decided_at) FROM intake),
    (SELECT max(changed_at) FROM outbound_copy WHERE state = 'accepted')) - (SELECT min(received_at) FROM intake
    WHERE received_at > %s))::float8 AS seconds"""


# Asked seldom and over one connection, so that asking is not what is measured; the times come from the rows.
UNDER_WAY = """SELECT (SELECT count(*) FROM intake) - %s AS taken,
    EXISTS (SELECT FROM intake WHERE state IN ('received', 'retrying', 'action_needed'))
    OR EXISTS (SELECT FROM outbox)
    OR EXISTS (SELECT FROM outbound_copy WHERE state IN ('queued', 'sending', 'deferred')) AS busy"""


def measure(rig, demo, kind, mails):
    with demo.connect() as db:
        before = db.execute("SELECT count(*) AS n FROM intake").fetchone()["n"]
        began = db.execute("SELECT clock_timestamp() AS now").fetchone()["now"]
        demo.casectl("mailbox", "set", demo.address, "--active", "on")
        used = rig.cpu(demo)

        def over():
            row = db.execute(UNDER_WAY, (before,)).fetchone()
            return row["taken"] >= mails and not row["busy"] and not demo.lag()
        wait_until(over, 1800, lambda: f"the batch is through; {demo.troubles()}", every=0.5)
        spent = {program: s - used[program] for program, s in rig.cpu(demo).items()}
        took = db.execute(SPAN, (began,)).fetchone()["seconds"]
        print(f"  {kind}: {mails} mails in {took:.1f} s", flush=True)
        if STATEMENTS:
            show_statements(db, mails)
    return {"mails": mails, "seconds": took, "mails_per_s": round(mails / took, 1), "cpu_s": spent}


def show_statements(db, mails):
    """Where PostgreSQL spent its time, the most expensive first, and begin to count anew."""
    for row in db.execute("SELECT calls, total_exec_time AS ms, rows, query FROM pg_stat_statements JOIN pg_database d"
                          " ON d.oid = dbid AND datname = current_database() ORDER BY 2 DESC LIMIT 25"):
        text = " ".join(row["query"].split())
        print(f"    {row['ms'] / mails * 1e3:8.1f} us/mail {row['calls']:7} calls {row['rows']:7} rows  {text[:170]}")
    db.execute("SELECT pg_stat_statements_reset()")


def load_render():
    spec = importlib.util.spec_from_file_location("bench_gen", SHARED / "bench" / "gen.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.render


def soak(rig):
    until, turn = time.monotonic() + SOAK_SECONDS, 0
    while time.monotonic() < until:
        turn += 1
        emit("a batch", rig.engine, batch(rig, f"soak{turn}", turn))


def machine(rig):
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
                  if line.startswith("model name")), platform.machine())
    memory = int(Path("/proc/meminfo").read_text(encoding="ascii").split()[1]) // 2**20
    version = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    with rig.postgres.connect() as db:
        postgres = db.execute("SHOW server_version").fetchone()[0]
        durable = {name: db.execute(f"SHOW {name}").fetchone()[0] for name in ("fsync", "synchronous_commit", "shared_buffers")}
    return {
        "cpu": model, "cores": len(os.sched_getaffinity(0)), "memory_gib": memory, "kernel": platform.release(),
        "load": os.getloadavg()[0], "version": version.stdout.strip(), "build": BUILD.name, "postgres": postgres, **durable,
        "copies": COPIES, "settings": SETTINGS,
    }


def emit(what, engine, result):
    print(f"{what} ({engine})")
    for name, value in result.items():
        if isinstance(value, dict):
            value = "  ".join(f"{k} {v}" for k, v in value.items())
        print(f"  {name:<28} {value}", flush=True)
    with open(RESULTS, "a", encoding="utf-8") as out:
        out.write(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "bench": what, "bus": engine, **result}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
