# SPDX-License-Identifier: Apache-2.0
"""A mail that kills, stalls or takes over its parser harms only itself."""

import pytest

from desk import Desk, letter
from harness.services import Service

pytestmark = pytest.mark.once


def test_the_culprits_are_quarantined_and_the_others_go_on(postgres, tmp_path):
    with Desk(postgres, tmp_path) as desk:
        raws = []
        for n in range(40):
            how = {7: "crash", 19: "loop", 31: "socket"}.get(n)
            raws.append(letter("anna@client.example", f"mail {n}", f"m{n}@client.example",
                               headers=[f"X-Test-Parser: {how}"] if how else []))
        desk.put(raws)
        killer = Service("../tests/service/threader/parser_killer", desk.env(), desk.folder, "killer").start()
        desk.services.append(killer)
        killer.wait_ready()
        desk.settle()
        states = desk.rows("SELECT state, count(*) AS n FROM intake GROUP BY 1 ORDER BY 1")
        assert states == [{"state": "case", "n": 37}, {"state": "quarantined", "n": 3}]
        details = desk.rows("""
            SELECT i.uid, q.detail FROM quarantine q JOIN intake i ON i.id = q.intake_id
            WHERE q.reason = 'parser' AND i.reason = 'parser' ORDER BY i.uid""")
        assert [(r["uid"], r["detail"]) for r in details] == [(8, "crashed"), (20, "overran"), (32, "forbidden")]
        assert len(killer.logs("mail.quarantined")) == 3 and len(killer.logs("parser.forbidden")) == 1
        assert desk.value("SELECT count(*) FROM dead_letter") == 0
        desk.check_consistent()
