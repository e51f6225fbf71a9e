# SPDX-License-Identifier: Apache-2.0
"""The figure that an autoscaler asks for: it rises with what waits and falls again."""

from types import SimpleNamespace

import psycopg
import pytest

from fetcher.scripted import ScriptedServer
from fetcher.test_intake import mail
from fetcher.test_trouble import wait_state
from harness.wait import wait_until


def load(fetching):
    return fetching.rows("SELECT * FROM fetcher_load")[0]


def wait_load(fetching, **wanted):
    def as_wanted():
        row = load(fetching)
        return all(row[name] == value for name, value in wanted.items())
    wait_until(as_wanted, 30, lambda: f"{wanted}: {load(fetching)}")


@pytest.fixture
def slow():
    """A server that lists its mail and does not deliver it."""
    with ScriptedServer({1: mail(1), 2: mail(2)}) as server:
        server.deaf_to = "BODY.PEEK[]"
        yield server


def slow_box(server, name="slow"):
    return SimpleNamespace(address=f"{name}@demo.example", password="secret",
                           servers=SimpleNamespace(port={"imap": server.port}, ca_file=""))


def test_a_mailbox_whose_mail_waits_weighs_as_fifty(fetching, slow, box):
    fetching.settings.update(MAILCASE_LATE_S="1", MAILCASE_SILENCE_MS="600000")
    fetching.add(box)
    fetching.add(slow_box(slow))
    assert load(fetching) == {"fetchers": 0, "mailboxes": 2, "unowned": 0, "late": 0, "load": 2}
    fetcher = fetching.start("fetcher")
    wait_load(fetching, fetchers=1, mailboxes=2, late=1, load=52)
    assert fetcher.metrics()["mailcase_fetcher_mailboxes_late"] == 1
    slow.deaf_to = None
    fetching.set(slow_box(slow), "--description", "taken up anew")
    wait_load(fetching, fetchers=1, mailboxes=2, late=0, load=2)
    fetching.wait_rows("SELECT 1 FROM intake", count=2)
    fetching.stop(fetcher)
    wait_load(fetching, fetchers=0, late=0, load=2)


def test_a_mailbox_without_credit_does_not_ask_for_fetchers(fetching, box):
    """Its mail waits for the threader: more fetchers would not help."""
    box.append_all([mail(n) for n in range(3)])
    fetching.settings["MAILCASE_LATE_S"] = "1"
    fetching.add(box)
    with fetching.connect() as db:
        db.execute("UPDATE mailbox SET credit = 2")
    fetcher = fetching.start("fetcher")
    fetching.wait_rows("SELECT 1 FROM intake", count=2)
    # The scan that renews the fetcher's lease reports as well: until one past the limit has.
    renewed = "SELECT expires FROM lease WHERE kind = 'fetcher'"
    begun = fetching.value(renewed)
    wait_until(lambda: (fetching.value(renewed) - begun).total_seconds() > 4, what="a scan past the limit")
    assert fetcher.metrics()["mailcase_fetcher_mailboxes_late"] == 0
    assert load(fetching)["load"] == 1
    assert fetching.value("SELECT count(*) FROM intake") == 2


def test_a_mailbox_that_nobody_takes_counts_after_a_minute(fetching, box):
    fetching.add(box)
    with fetching.connect() as db:
        db.execute("UPDATE mailbox SET changed_at = now() - interval '2 minutes'")
        assert (load(fetching)["unowned"], load(fetching)["load"]) == (1, 1)
        db.execute("INSERT INTO lease VALUES ('fetcher', 'idler', 'idler', 1, now() + interval '1 hour')")
        assert load(fetching)["load"] == 51
    fetching.start("fetcher")
    wait_state(fetching, box, "ok")
    wait_load(fetching, unowned=0, load=1)


def test_off_mailboxes_and_those_in_trouble_ask_for_nothing(fetching, box):
    fetching.add(box, password="wrong")
    fetching.start("fetcher")
    wait_state(fetching, box, "auth_failed")
    assert load(fetching)["load"] == 1
    fetching.set(box, "--active", "off")
    wait_load(fetching, mailboxes=0, load=0)


def test_a_role_without_any_right_reads_the_figure_and_nothing_else(fetching, postgres):
    with fetching.connect() as db:
        db.execute("CREATE ROLE scaler LOGIN")
        try:
            with psycopg.connect(fetching.url.replace(f"//{postgres.user}@", "//scaler@"), autocommit=True) as scaler:
                assert scaler.execute("SELECT load FROM fetcher_load").fetchone() == (0,)
                for table in ("mailbox", "lease", "fetcher_report"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        scaler.execute(f"SELECT * FROM {table}")
        finally:
            db.execute("DROP ROLE scaler")
