# SPDX-License-Identifier: Apache-2.0
"""A support mailbox whose truth is known: every reply on its case, no stranger's mail on it, nothing twice."""

import json
import subprocess
import sys

import pytest

from harness import shared
from harness.whole_desk import WholeDesk
from harness.letters import bare
from harness.smtp_sink import SmtpSink


class BenchMailbox:
    """The templates of shared/bench, delivered openers first, then the replies with what the system answered."""

    def __init__(self, folder, script, *args):
        path = shared.folder("bench", f"{script}.py")
        subprocess.run([sys.executable, path, folder, *map(str, args)], check=True, capture_output=True)
        self.module = shared.bench_module()
        self.folder = folder
        with open(folder / "meta.jsonl", encoding="utf-8") as lines:
            self.mails = [json.loads(line) for line in lines]
        self.raw = {}  # what was delivered, by seq

    def of_kind(self, kind):
        return [m for m in self.mails if m["kind"] == kind]

    def template(self, meta):
        return (self.folder / "tmpl" / meta["file"]).read_bytes()

    def deliver_openers(self, demo):
        for meta in self.of_kind("new"):
            self._deliver(demo, meta, "", "")

    def deliver_replies(self, demo):
        """`numbers` and the automatic replies' ids are those that a customer would see."""
        self.cases = {m["conv"]: m["number"] for m in self.with_cases(demo, self.of_kind("new"))}
        acknowledged = {r["number"]: r["header_id"] for r in demo.rows(
            "SELECT c.number, o.header_id FROM outbound_message o JOIN case_file c ON c.id = o.case_id WHERE o.kind = 'auto_reply'")}
        for meta in self.of_kind("reply"):
            number = self.cases[meta["conv"]]
            self._deliver(demo, meta, f"[#{number}]", f"<{acknowledged[number]}>" if number in acknowledged else "")

    def _deliver(self, demo, meta, tag, sysref):
        raw = self.module.render(meta, self.template(meta), tag, sysref)
        self.raw[meta["seq"]] = raw
        demo.box.deliver(raw)

    def deliver_again(self, demo):
        for seq in sorted(self.raw):
            demo.box.deliver(self.raw[seq])

    @staticmethod
    def with_cases(demo, metas):
        """The mails with the number of the case that each is in."""
        numbers = {r["message_id"]: r["number"] for r in demo.rows(
            "SELECT m.message_id, c.number FROM message m JOIN case_message cm ON cm.message_id = m.id"
            " JOIN case_file c ON c.id = cm.case_id WHERE m.direction = 'in'")}
        return [dict(m, number=numbers.get(bare(m["msgid"]))) for m in metas]

    def right_by_mode(self, demo):
        right = {}
        for m in self.with_cases(demo, self.of_kind("reply")):
            right.setdefault(m["mode"], []).append(m["number"] == self.cases[m["conv"]])
        return {mode: (sum(all_), len(all_)) for mode, all_ in right.items()}

    def strangers(self, demo):
        """Mails on the case of another conversation."""
        owner = {number: conv for conv, number in self.cases.items()}
        return [m for m in self.with_cases(demo, self.mails) if m["number"] in owner and owner[m["number"]] != m["conv"]]


@pytest.mark.parametrize("copies,rung5", [(1, "off"), (2, "on")], ids=["one of each", "two fetchers and threaders, rung 5"])
def test_replies_find_their_case_and_nothing_is_doubled(postgres, mail_servers, tmp_path, copies, rung5):
    bench = BenchMailbox(tmp_path / "bench", "gen", 500)
    domain = f"bench{copies}.example"
    with SmtpSink() as sink, WholeDesk(postgres, tmp_path, mail_servers, domain) as demo:
        demo.set_up(sink.port, rung5=rung5)
        demo.start(*["fetcher", "threader"] * copies, "router", "notifier")
        bench.deliver_openers(demo)
        demo.wait_settled(len(bench.of_kind("new")), seconds=120)
        wait_auto_replies(demo, len(bench.of_kind("new")))
        bench.deliver_replies(demo)
        demo.wait_settled(500, seconds=120)

        right = bench.right_by_mode(demo)
        for mode in "ABC" if rung5 == "off" else "ABCE":
            assert right[mode][0] == right[mode][1], right
        assert not bench.strangers(demo)

        before = counts(demo)
        bench.deliver_again(demo)
        demo.wait_settled(1000, seconds=120)
        assert counts(demo) == before, "delivered again"
        assert demo.value("SELECT count(*) FROM intake WHERE state = 'duplicate'") >= 500

        fetchers = [s for s in demo.services if s.name == "fetcher"]
        demo.stop(*fetchers)
        validity = demo.box.uid_validity()
        demo.box.renumber()
        demo.start(*["fetcher"] * copies)
        demo.wait_rows("SELECT 1 FROM mailbox_folder WHERE uidvalidity <> %s AND last_uid >= 1000", validity, seconds=120)
        demo.wait_settled(1000, seconds=120)
        assert counts(demo) == before, "under another UIDVALIDITY"
        replies = [m for m in sink.messages if m.mail["Auto-Submitted"] == "auto-replied"]
        assert len({m.mail["In-Reply-To"] for m in replies}) == len(replies) == before["auto_replies"] == before["cases"]
        demo.audit_clean("--deep")


def test_traps_land_on_no_stranger_s_case(postgres, mail_servers, tmp_path):
    bench = BenchMailbox(tmp_path / "bench", "gen_trap")
    with SmtpSink() as sink, WholeDesk(postgres, tmp_path, mail_servers, "trap.example") as demo:
        demo.set_up(sink.port)
        demo.start_all()
        bench.deliver_openers(demo)
        demo.wait_settled(len(bench.of_kind("new")))
        bench.deliver_replies(demo)
        demo.wait_settled(len(bench.mails))
        assert not bench.strangers(demo)
        right = bench.right_by_mode(demo)
        assert right["A"] == (20, 20) and right["B"] == (20, 20), right
        demo.audit_clean()


def wait_auto_replies(demo, expected):
    """Until every opener's fate is known: answered, or recorded as not to be."""
    demo.wait_rows("SELECT 1 FROM outbound_message o WHERE o.kind = 'auto_reply' AND NOT EXISTS (SELECT FROM outbound_copy c"
                   " WHERE c.outbound_id = o.id AND c.state <> 'accepted')", seconds=120, count=expected)


def counts(demo):
    return demo.rows("SELECT (SELECT count(*) FROM message WHERE direction = 'in') AS messages, (SELECT count(*) FROM case_file) AS"
                     " cases, (SELECT count(*) FROM case_message) AS memberships, (SELECT count(*) FROM outbound_message WHERE"
                     " kind = 'auto_reply') AS auto_replies")[0]
