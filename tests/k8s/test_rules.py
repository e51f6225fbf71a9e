# SPDX-License-Identifier: Apache-2.0
"""The alerts, as Prometheus itself reads them: promtool checks their grammar, and tries them on invented figures."""

import pytest
import yaml

from policies import by_name
from tools import promtool, run

# A counter that appears with its first event, and later a second one; others that are as they should be.
SERIES = [
    ('mailcase_ready{namespace="m", component="router", pod="r-1"}', "1x4 0x20 1x40"),
    ('mailcase_ready{namespace="m", component="fetcher", pod="f-1"}', "1x80"),
    ('mailcase_ready{namespace="m", component="threader", pod="t-1"}', "1x80"),
    ('mailcase_ready{namespace="m", component="notifier", pod="n-1"}', "1x30 _x50"),
    ('mailcase_dead_letters_total{namespace="m", group="threader"}', "_x9 1x40 2x30"),
    ('mailcase_outbox_oldest_seconds{namespace="m", pod="r-1"}', "0x19 45x5 0x60"),
    ('mailcase_threader_decided_seconds_bucket{namespace="m", le="10"}', "0x80"),
    ('mailcase_threader_decided_seconds_bucket{namespace="m", le="30"}', "0+10x80"),
    ('mailcase_threader_decided_seconds_bucket{namespace="m", le="+Inf"}', "0+10x80"),
    ('kube_horizontalpodautoscaler_status_current_replicas{namespace="m", horizontalpodautoscaler="keda-hpa-mailcase-fetcher"}',
     "10x80"),
    ('kube_horizontalpodautoscaler_spec_max_replicas{namespace="m", horizontalpodautoscaler="keda-hpa-mailcase-fetcher"}',
     "10x80"),
]
EXPECTED = [  # minute, alert, how many of it fire
    (3, "MailcaseNotReady", 0), (8, "MailcaseNotReady", 1), (40, "MailcaseNotReady", 0),
    (28, "MailcaseServiceGone", 0), (45, "MailcaseServiceGone", 1),
    (8, "MailcaseDeadLetters", 0), (12, "MailcaseDeadLetters", 1), (45, "MailcaseDeadLetters", 0), (55, "MailcaseDeadLetters", 1),
    (18, "MailcaseOutboxWaits", 0), (23, "MailcaseOutboxWaits", 1), (30, "MailcaseOutboxWaits", 0),
    (40, "MailcaseMailsWait", 1), (20, "MailcaseAtCeiling", 0), (40, "MailcaseAtCeiling", 1),
    (60, "MailcaseTurnsFail", 0), (60, "MailcaseMailboxesLate", 0),
]


@pytest.fixture(scope="module")
def rules(kustomize, tmp_path_factory):
    spec = by_name(kustomize.build("base+monitoring"), "PrometheusRule")["mailcase"]["spec"]
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tool():
    found = promtool()
    if not found:
        pytest.skip("no promtool: it is not installed, and apt-get does not bring Debian's package prometheus")
    return found


def test_the_rules_are_good(rules, tool):
    done = run(tool, "check", "rules", rules)
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout + done.stderr


def test_they_fire_when_they_should_and_not_before(rules, tool, tmp_path):
    """promtool wants whole alerts; counted as series they are easier to read here."""
    cases = [{"expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)', "eval_time": f"{minute}m",
              "exp_samples": [{"labels": "{}", "value": count}]} for minute, alert, count in EXPECTED]
    test = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [{
        "interval": "1m", "input_series": [{"series": s, "values": v} for s, v in SERIES], "promql_expr_test": cases}]}
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(test), encoding="utf-8")
    done = run(tool, "test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr
