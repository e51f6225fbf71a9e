# SPDX-License-Identifier: Apache-2.0
"""The bench mailbox: every reply on the case of its conversation, by one threader and by four, once and twice."""

import pytest

from desk import Bench, Desk
from harness.wait import wait_until

MAILS = 500


@pytest.fixture(scope="module", name="bench")
def make_bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("bench"), MAILS)


def run_through(desk, bench):
    desk.thread(bench.render(m, None) for m in bench.openers())
    numbers = bench.answer_all(desk)
    return numbers, [bench.render(m, numbers) for m in bench.replies()]


@pytest.mark.parametrize("threaders, batch", [(1, 200), (1, 1), (2, 37), (4, 200)])
def test_every_reply_finds_its_conversation(postgres, tmp_path, bench, threaders, batch):
    with Desk(postgres, tmp_path) as desk:
        desk.start(*["threader"] * threaders, MAILCASE_BATCH_MAX=str(batch))
        numbers, replies = run_through(desk, bench)
        desk.thread(replies)
        assert bench.misplaced(desk, numbers) == []
        assert desk.value("SELECT count(*) FROM case_file") == len(bench.openers())
        assert desk.value("SELECT count(*) FROM message") == MAILS
        desk.check_consistent()

        before = desk.snapshot()
        desk.thread([bench.render(m, None) for m in bench.openers()] + replies)
        assert desk.value("SELECT count(*) FROM intake WHERE state = 'duplicate'") == MAILS
        assert desk.snapshot() == before
        desk.check_consistent()


def test_others_who_reply_are_pending_and_participants_are_not(postgres, tmp_path, bench):
    with Desk(postgres, tmp_path) as desk:
        desk.start("threader")
        numbers, replies = run_through(desk, bench)
        desk.thread(replies)
        openers = {m["conv"]: m["sender"] for m in bench.openers()}
        for meta in bench.replies():
            place = desk.place(meta["msgid"].strip("<>"))
            stranger = meta["sender"] != openers[meta["conv"]]
            # The same subject of an unauthenticated sender waits, whoever it is.
            assert place["is_pending"] == (stranger or place["matched_by"] == "subject"), meta
            assert place["is_external"] == stranger, meta
        assert numbers


def test_traps_open_cases_of_their_own(postgres, tmp_path):
    bench = Bench(tmp_path / "traps", traps=True)
    with Desk(postgres, tmp_path) as desk:
        desk.start("threader")
        numbers, replies = run_through(desk, bench)
        assert len(set(numbers.values())) == len(bench.openers())
        desk.thread(replies)
        assert bench.misplaced(desk, numbers) == []
        desk.check_consistent()


def test_a_threader_that_is_killed_loses_and_doubles_nothing(postgres, tmp_path, bench):
    with Desk(postgres, tmp_path, settings={"MAILCASE_MEMBER_EXPIRY_MS": "600", "MAILCASE_POSITION_EXPIRY_MS": "1000",
                                            "MAILCASE_RELAY_LEASE_MS": "500"}) as desk:
        desk.start("threader", "threader", MAILCASE_BATCH_MAX="7")
        numbers, replies = run_through(desk, bench)
        desk.put(replies)
        for wanted in (40, 120, 200):
            wait_until(lambda wanted=wanted: desk.value("SELECT count(*) FROM intake WHERE decided_at IS NOT NULL")
                       >= len(bench.openers()) + wanted, 60, "some replies decided")
            victim = desk.services.pop(0)
            victim.kill()
            desk.start("threader", MAILCASE_BATCH_MAX="7")
        desk.settle()
        assert bench.misplaced(desk, numbers) == []
        assert desk.value("SELECT count(*) FROM message") == MAILS
        assert desk.value("SELECT count(*) FROM intake WHERE state = 'duplicate'") == 0
        desk.check_consistent()
