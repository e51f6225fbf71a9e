# SPDX-License-Identifier: Apache-2.0
"""casectl before there is a case: schema, help, exit status, what people administer."""

import os
import pty
import re
import subprocess
import termios

import pytest

from harness.demo import SUPPORT, DemoDesk
from harness.programs import program
from harness.services import Installation
from harness.wait import wait_until

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def desk(postgres, tmp_path_factory):
    with DemoDesk(postgres, tmp_path_factory.mktemp("casectl")) as made:
        yield made


def run(url, *args, **settings):
    env = {"PATH": os.environ["PATH"], "MAILCASE_DATABASE_URL": url, **settings}
    return subprocess.Popen([program("casectl"), *args], env=env, text=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_migrations_at_once_are_safe(postgres):
    url = postgres.new_database()
    runs = [run(url, "migrate", "--json") for _ in range(4)]
    outputs = [p.communicate(timeout=60) for p in runs]
    assert [p.returncode for p in runs] == [0] * 4, outputs
    with postgres.connect(url) as db:
        versions = [row[0] for row in db.execute("SELECT version FROM schema_version ORDER BY version")]
    assert versions == list(range(1, len(versions) + 1))
    # One of them did it all, the others found nothing to do.
    assert sum('"from":0' in out for out, _ in outputs) == 1


def test_a_failed_migration_leaves_nothing_behind(postgres):
    url = postgres.new_database()
    with postgres.connect(url) as db:
        db.execute("CREATE TABLE mailbox_state (in_the_way integer)")
    failed = run(url, "migrate")
    _, words = failed.communicate(timeout=60)
    assert failed.returncode == 1 and "migration 2" in words
    with postgres.connect(url) as db:
        assert db.execute("SELECT max(version) FROM schema_version").fetchone()[0] == 1
        assert db.execute("SELECT to_regclass('mailbox')").fetchone()[0] is None
        db.execute("DROP TABLE mailbox_state")
    again = run(url, "migrate")
    assert again.communicate(timeout=60) and again.returncode == 0


def test_a_newer_schema_is_refused(postgres):
    url = postgres.new_database()
    assert run(url, "migrate").wait(60) == 0
    with postgres.connect(url) as db:
        db.execute("INSERT INTO schema_version (version, name) VALUES (9999, 'from_the_future')")
    for command in (["migrate"], ["tenant", "list"]):
        done = run(url, *command)
        _, words = done.communicate(timeout=60)
        assert done.returncode == 1 and "newer" in words and "9999" in words


def test_a_newer_schema_that_still_serves_is_worked_with(postgres):
    url = postgres.new_database()
    assert run(url, "migrate").wait(60) == 0
    with postgres.connect(url) as db:
        db.execute("INSERT INTO schema_version (version, name, serves)"
                   " SELECT 9999, 'from_the_future', max(version) FROM schema_version")
    for command in (["migrate"], ["tenant", "list"]):
        assert run(url, *command).wait(60) == 0
    with postgres.connect(url) as db:
        db.execute("UPDATE schema_version SET serves = 9000 WHERE version = 9999")
    done = run(url, "tenant", "list")
    _, words = done.communicate(timeout=60)
    assert done.returncode == 1 and "newer" in words


def test_brokers_that_do_not_answer_and_the_wrong_engine_are_told(postgres):
    url = postgres.new_database()
    assert run(url, "migrate").wait(60) == 0
    nobody = {"MAILCASE_BUS": "kafka", "MAILCASE_KAFKA_BROKERS": "127.0.0.1:9"}
    for command in (["topics"], ["lag"], ["events"]):
        done = run(url, *command, **nobody)
        _, words = done.communicate(timeout=60)
        assert done.returncode == 1 and "MAILCASE_KAFKA_BROKERS" in words
    assert run(url, "topics").wait(60) == 0
    for command in (["topics"], ["bus", "move", "kafka"]):
        done = run(url, *command, **nobody)
        _, words = done.communicate(timeout=60)
        assert done.returncode == 1, words
        assert ("casectl bus move kafka" if command == ["topics"] else "MAILCASE_KAFKA_BROKERS") in words


def test_an_older_schema_names_the_remedy(postgres):
    done = run(postgres.new_database(), "tenant", "list")
    _, words = done.communicate(timeout=60)
    assert done.returncode == 1 and "casectl migrate" in words


def commands():
    """Every command, as --help tells them."""
    def names(*args):
        text = subprocess.run([program("casectl"), *args, "--help"], capture_output=True, text=True, check=True).stdout
        block = re.split(r"\n(?:commands|verbs):\n", text)
        return re.findall(r"^  ([a-z][a-z-]*)  +\S", block[1].split("\n\n")[0], re.M) if len(block) > 1 else []
    for noun in names():
        yield from [(noun, verb) for verb in names(noun)] or [(noun,)]


def test_every_command_has_help_with_examples():
    seen = list(commands())
    assert ("case", "reply") in seen and ("migrate",) in seen and ("mailbox", "test") in seen and len(seen) > 40
    for command in seen:
        done = subprocess.run([program("casectl"), *command, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and not done.stderr, command
        assert f"usage: casectl {' '.join(command)}" in done.stdout and "--json" in done.stdout
        assert f"casectl {' '.join(command)}" in done.stdout.split("\nexamples:\n")[1], command


@pytest.mark.parametrize("status, words, command", [
    (2, "no command", ["nonsense"]),
    (2, "no command", ["case", "nonsense"]),
    (2, "takes N", ["case", "show"]),
    (2, "no case number", ["case", "show", "many"]),
    (2, "1 to 65535", ["mailbox", "set", SUPPORT, "--port", "0"]),
    (2, "one of", ["mailbox", "set", SUPPORT, "--tls", "maybe"]),
    (2, "--host is missing", ["mailbox", "add", "x@demo.example"]),
    (2, "no mail address", ["mailbox", "show", "nobody"]),
    (2, "no option --password;", ["mailbox", "set", SUPPORT, "--password", "geheim"]),
    (2, "no option --passwort;", ["mailbox", "set", SUPPORT, "--passwort=geheim"]),
    (2, "no option -x;", ["case", "list", "-x"]),
    (2, "--text takes a value", ["case", "note", "1", "--text"]),
    (2, "--json takes no value", ["case", "list", "--json=geheim"]),
    (2, "one line", ["outbound-mailbox", "set", "support", "--sender-name", "Demo\nBcc: x@y.example"]),
    (2, "one line", ["user", "set", "ada", "--name", "Ada\rX"]),
    (2, "one line", ["user", "set", "ada", "--name", "\udcff\udcfe"]),
    (2, "one line", ["queue", "set", "support", "--format", "[\r\nBcc: x@y.example %d]"]),
    (2, "bare number", ["queue", "set", "support", "--format", " %d"]),
    (2, "once", ["queue", "set", "support", "--format", "[%d%d]"]),
    (2, "not empty", ["team", "add", ""]),
    (2, "IANA", ["user", "set", "ada", "--time-zone", "Mars/Phobos"]),
    (2, "IANA", ["tenant", "set", "demo", "--time-zone", "Mars/Phobos"]),
    (2, "xn--", ["outbound-mailbox", "set", "support", "--sender-address", "hülfe@demo.example"]),
    (2, "xn--", ["outbound-mailbox", "set", "support", "--bcc-archive", "archiv@dömo.example"]),
    (2, "xn--", ["user", "set", "ada", "--address", "ada@dömo.example"]),
    (3, "no mailbox", ["mailbox", "show", "nobody@demo.example"]),
    (3, "no case", ["case", "show", "4711"]),
    (3, "no tenant", ["case", "list", "--tenant", "other"]),
    (3, "no user", ["case", "close", "1", "--as", "nobody"]),
    (3, "no such mail", ["where-is", "--message-id", "<none@nowhere.example>"]),
    (4, "already", ["tenant", "add", "demo"]),
    (4, "already", ["queue", "add", "support"]),
    (4, "another machine", ["mailbox", "set", SUPPORT, "--host", "imap.example.org"]),
    (4, "another machine", ["mailbox", "set", SUPPORT, "--host", "127.0.0.1.example.org"]),
    (4, "--as USER", ["case", "reply", "1", "--text", "x"]),
    (4, "--as USER", ["case", "note", "1", "--text", "x"]),
    (4, "--as USER", ["case", "assign", "1", "--to", "bo"]),
    (4, "--as USER", ["case", "close", "1"]),
])
def test_exit_status_and_reason(desk, status, words, command):
    done = desk.casectl(*command, check=False)
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert "geheim" not in done.stderr  # what stands where a password may stand is not repeated


def test_a_database_that_is_away_is_one_line(desk):
    done = run("postgresql://nobody:verysecret@127.0.0.1:1/none", "case", "list")
    _, words = done.communicate(timeout=60)
    assert done.returncode == 1 and words.count("\n") == 1 and "verysecret" not in words


def test_changing_a_mailbox_tells_the_fetchers(desk):
    before = desk.rows("SELECT id, changed_at FROM mailbox")[0]
    with desk.told("mailcase_mailbox") as heard:
        desk.casectl("mailbox", "set", SUPPORT, "--poll", "7", "--folder", "INBOX", "--folder", "Ärger")
    after = desk.rows("SELECT id, changed_at, poll_s FROM mailbox")[0]
    assert heard == [str(before["id"])] and after["poll_s"] == 7 and after["changed_at"] > before["changed_at"]
    shown = desk.casectl_json("mailbox", "show", SUPPORT)[0]
    assert [f["name"] for f in shown["folder_list"] if f["active"]] == ["INBOX", "Ärger"]
    assert {"state", "reason", "remedy", "last_success_at", "lease_owner", "waiting_list"} <= shown.keys()
    desk.casectl("mailbox", "set", SUPPORT, "--folder", "INBOX")
    shown = desk.casectl_json("mailbox", "show", SUPPORT)[0]
    assert [f["name"] for f in shown["folder_list"] if f["active"]] == ["INBOX"]


def test_one_default_however_many_want_it(desk):
    server = ("--host", "127.0.0.1", "--port", "25", "--tls", "clear", "--sender-address", SUPPORT, "--default")
    def at_once(*commands):
        runs = [subprocess.Popen([program("casectl"), "outbound-mailbox", *command], env=desk.env(), text=True,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for command in commands]
        said = [run.communicate(timeout=60)[1] for run in runs]
        assert [run.returncode for run in runs] == [0] * len(runs), said
        assert desk.rows("SELECT count(*) AS n FROM outbound_mailbox WHERE is_default")[0]["n"] == 1
    try:
        at_once(*[("add", f"spare{i}", *server) for i in range(5)])
        at_once(*[("set", f"spare{i}", "--default") for i in range(5)])
    finally:
        desk.casectl("outbound-mailbox", "set", "support", "--default")


def test_what_is_switched_off_says_so(desk):
    for noun, name, key in (("mailbox", SUPPORT, "address"), ("outbound-mailbox", "support", "name")):
        desk.casectl(noun, "set", name, "--active", "off")
        try:
            states = {row[key]: row["state"] for row in desk.casectl_json(noun, "list")}
            assert states[name] == "off" == desk.casectl_json(noun, "show", name)[0]["state"]
        finally:
            desk.casectl(noun, "set", name, "--active", "on")


def prompted(desk, typed):
    """`outbound-mailbox add` on a terminal of its own: exit status, what was shown, and whether the terminal echoes."""
    name = f"prompted{len(desk.rows('SELECT 1 FROM outbound_mailbox'))}"
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(program("casectl"), ["casectl", "outbound-mailbox", "add", name, "--host", "127.0.0.1", "--port", "25",
                                       "--tls", "clear", "--sender-address", SUPPORT, "--user", "x"], desk.env())
    shown = b""
    while not shown.endswith(b"server: "):
        shown += os.read(terminal, 1024)
    wait_until(lambda: not termios.tcgetattr(terminal)[3] & termios.ECHO, 30, "a terminal that shows nothing")
    os.write(terminal, typed)
    _, status = os.waitpid(pid, 0)
    echoes = bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
    shown += os.read(terminal, 4096)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode(), echoes


def test_a_password_that_is_asked_for(desk):
    status, shown, echoes = prompted(desk, b"geheim\n")
    assert (status, echoes) == (0, True) and "geheim" not in shown
    status, shown, echoes = prompted(desk, b"\x03")
    assert (status, echoes) == (2, True) and "no password was given" in shown


def test_secrets_are_sealed_and_never_shown(desk):
    rows = desk.rows("SELECT sealed FROM credential UNION ALL SELECT sealed FROM token_key")
    sealed = [bytes(row["sealed"]) for row in rows]
    assert len(sealed) >= 2 and not any(word in row for row in sealed for word in (b"secret", b"geheim"))
    for command in (["mailbox", "show", SUPPORT], ["mailbox", "list"], ["outbound-mailbox", "show", "support"]):
        assert "secret" not in desk.casectl(*command, "--json").stdout


def test_another_key_cannot_open_them(desk):
    other = desk.folder / "other.key"
    desk.casectl("seal-key", "make", other)
    assert other.stat().st_mode & 0o777 == 0o600
    env = desk.env(MAILCASE_SEAL_KEY_FILE=str(other))
    done = subprocess.run([program("casectl"), "mailbox", "test", SUPPORT], env=env, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 1 and "another key" in done.stderr


def test_lists_have_json_and_columns(desk):
    for noun, key in (("tenant", "name"), ("user", "login"), ("team", "name"), ("queue", "name"),
                      ("mailbox", "address"), ("outbound-mailbox", "name")):
        assert all(row[key] for row in desk.casectl_json(noun, "list"))
        assert key.upper() in desk.casectl(noun, "list").stdout.splitlines()[0]
    lags = desk.casectl_json("lag")
    assert {"group", "topic", "partition", "lag"} <= lags[0].keys()
    assert {row["group"] for row in lags} >= {"threader", "router"}
    assert {row["check"] for row in desk.casectl_json("health", check=False)} >= {"database", "schema", "bus", "outbox"}


def test_two_tenants_do_not_see_each_other(postgres, tmp_path):
    with DemoDesk(postgres, tmp_path) as desk:
        number = desk.new_case()
        desk.casectl("tenant", "add", "other")
        assert desk.casectl("case", "list", check=False).returncode == 2  # which one?
        assert desk.casectl_json("case", "list", "--tenant", "other") == []
        assert desk.casectl("case", "show", number, "--tenant", "other", check=False).returncode == 3
        assert desk.casectl("case", "close", number, "--tenant", "other", "--as", "ada", check=False).returncode == 3
        assert desk.casectl_json("case", "show", number, "--tenant", "demo")[0]["number"] == number


def test_installing_twice_changes_nothing(postgres, tmp_path):
    with Installation(postgres, tmp_path) as made:
        before = made.rows("SELECT * FROM bus_position ORDER BY 1, 2, 3")
        made.casectl("migrate")
        made.casectl("topics")
        assert made.rows("SELECT * FROM bus_position ORDER BY 1, 2, 3") == before
