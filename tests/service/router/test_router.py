# SPDX-License-Identifier: Apache-2.0
"""The router against a real database and bus: fair whatever dies, quiet on repeats, patient where nobody is there."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.demo import CUSTOMER, DemoDesk
from harness.wait import wait_until


@pytest.fixture
def desk(postgres, tmp_path):
    with DemoDesk(postgres, tmp_path) as made:
        yield made


def assigned(desk):
    return desk.rows("""SELECT c.number, u.login, c.version, (SELECT count(*) FROM case_event e WHERE e.case_id = c.id
        AND e.kind = 'assigned') AS facts FROM case_file c LEFT JOIN app_user u ON u.id = c.assignee_id
        ORDER BY c.number""")


def wait_assigned(desk, count, seconds=60):
    wait_until(lambda: sum(row["login"] is not None for row in assigned(desk)) >= count, seconds,
               lambda: f"{count} cases assigned; {desk.troubles()}")
    return assigned(desk)


@pytest.mark.smoke
def test_a_new_case_is_given_to_somebody_with_the_inputs_recorded(desk):
    desk.start("router")
    number = desk.new_case()
    row, = wait_assigned(desk, 1)
    case = desk.case(number)
    fact = case["timeline"][-1]
    assert (fact["kind"], fact["author_kind"], fact["hop"]) == ("assigned", "system", 1)
    assert fact["data"]["method"] == "round_robin"
    assert case["assignee"] == row["login"] and case["team"] == "support"
    assert [m["available"] for m in fact["detail"]["members"]] == ["yes"] * 3
    # The root of the chain is the record that opened the case.
    assert len(desk.rows("SELECT DISTINCT cause FROM case_event")) == 1
    assert desk.service("router").metrics()['mailcase_router_assigned_total{method="round_robin"}'] == 1


def test_four_routers_are_fair_though_two_are_killed(desk):
    cases = 90
    desk.start(*["router"] * 4, MAILCASE_BATCH_MAX="4", MAILCASE_MEMBER_EXPIRY_MS="1500",
               MAILCASE_POSITION_EXPIRY_MS="2000")
    with ThreadPoolExecutor(3) as pool:
        made = [pool.submit(desk.new_case, f"Case {i}") for i in range(cases)]
        for victim, after in ((desk.services[0], cases // 4), (desk.services[1], cases // 2)):
            wait_assigned(desk, after)
            victim.kill()
            desk.services.remove(victim)
        for case in made:
            case.result()
    rows = wait_assigned(desk, cases)
    shares = Counter(row["login"] for row in rows)
    assert len(shares) == 3 and max(shares.values()) - min(shares.values()) <= 1, shares
    assert all(row["facts"] == 1 and row["version"] == 2 for row in rows)
    turns = desk.rows("""SELECT t.next_turn, sum(m.assigned) AS given FROM team t
        JOIN team_member m ON m.team_id = t.id GROUP BY t.id""")
    assert turns[0]["given"] == cases and turns[0]["next_turn"] == cases + 1


def test_a_topic_from_zero_again_changes_nothing(desk):
    router = desk.start("router")
    numbers = [desk.new_case(f"Case {i}") for i in range(6)]
    wait_assigned(desk, 6)
    desk.casectl("case", "assign", numbers[0], "--nobody", user="ada")
    desk.wait_rows("SELECT 1 AS one WHERE NOT EXISTS (SELECT FROM outbox)")
    desk.stop(router)
    before = desk.rows("SELECT id, version, assignee_id FROM case_file ORDER BY id")
    desk.read_again("router")
    assert desk.lag("router") == len(desk.events()) > 6
    desk.start("router")
    desk.wait_caught_up("router")
    assert desk.rows("SELECT id, version, assignee_id FROM case_file ORDER BY id") == before


def test_where_nobody_is_available_a_timer_tries_again(desk):
    away = [word for user in desk.users for word in ("--absent", f"{user}=2999-01-01")]
    desk.casectl("team", "set", "support", *away)
    desk.start("router", "router", MAILCASE_ASSIGN_RETRY_S="1")
    number = desk.new_case()
    desk.wait_rows("SELECT 1 AS one FROM timer")
    first_due = desk.value("SELECT due_at FROM timer")
    desk.wait_rows("SELECT 1 AS one FROM timer WHERE due_at > %s", first_due)
    case = desk.case(number)
    assert case["assignee"] is None and case["timeline"][-1]["data"]["method"] == "nobody_available"
    assert case["version"] == 2  # that it is still so is no news
    desk.casectl("team", "set", "support", "--absent", "bo=no")
    wait_assigned(desk, 1)
    case = desk.case(number)
    assert case["assignee"] == "bo" and case["version"] == 3
    assert desk.rows("SELECT 1 AS one FROM timer") == []


def test_a_change_of_the_team_is_tried_at_once(desk):
    away = [word for user in desk.users for word in ("--absent", f"{user}=2999-01-01")]
    desk.casectl("team", "set", "support", *away)
    desk.start("router", MAILCASE_ASSIGN_RETRY_S="86400")
    desk.new_case()
    desk.wait_rows("SELECT 1 AS one FROM timer")
    desk.casectl("team", "set", "support", "--absent", "cy=no")
    assert wait_assigned(desk, 1)[0]["login"] == "cy"


def test_least_busy_capacity_and_direct(desk):
    for assignee in ("ada", "ada", "bo"):
        desk.new_case(assign=assignee)
    desk.casectl("team", "set", "support", "--distribution", "least_busy")
    desk.start("router")
    desk.new_case()
    wait_assigned(desk, 4)
    desk.new_case()
    rows = wait_assigned(desk, 5)
    assert [row["login"] for row in rows[3:]] == ["cy", "bo"] or [row["login"] for row in rows[3:]] == ["cy", "cy"]
    desk.casectl("team", "set", "support", "--distribution", "round_robin", "--capacity", "ada=2", "--capacity", "bo=1",
                 "--capacity", "cy=1")
    full = desk.new_case()
    desk.wait_rows("SELECT 1 AS one FROM timer")
    assert desk.case(full)["timeline"][-1]["data"]["method"] == "nobody_available"
    desk.casectl("case", "close", full, user="ada")
    assert desk.rows("SELECT 1 AS one FROM timer") == []
    desk.casectl("team", "set", "support", "--distribution", "direct", "--direct", "bo", "--capacity", "bo=unlimited")
    number = desk.new_case()
    wait_until(lambda: desk.case(number)["assignee"] == "bo", what="the case is bo's")


def test_what_a_person_decided_stays(desk):
    number = desk.new_case(assign="cy", to=CUSTOMER)
    closed = desk.new_case()
    desk.casectl("case", "close", closed, user="ada")
    desk.start("router")
    other = desk.new_case()
    wait_until(lambda: desk.case(other)["assignee"], what="the last case is given to somebody")
    assert desk.case(number)["assignee"] == "cy" and desk.case(number)["version"] == 1
    assert desk.case(closed)["assignee"] is None


def test_an_undecodable_record_is_set_aside_and_the_rest_goes_on(desk):
    desk.start("router")
    with desk.connect() as db:
        db.execute("""INSERT INTO outbox (ce_id, tenant_id, topic, key, key_hash, type, subject, value)
            SELECT gen_random_uuid(), id, 'mailcase.case.events.v1', 'broken', 5, 'x', 'x', '\\xffff' FROM tenant""")
        db.execute("SELECT pg_notify('mailcase_outbox', '')")
    desk.wait_rows("SELECT 1 AS one FROM dead_letter WHERE group_name = 'router'")
    desk.new_case()
    wait_assigned(desk, 1)
