# SPDX-License-Identifier: Apache-2.0
"""deploy/k8s: every build is valid against strict schemas and keeps to our policies. No cluster is asked: what the API
server, the operators and the kubelet make of them is not tested here."""

import copy
import itertools

import pytest

import policies
from policies import of_kind
from tools import COMPONENTS, OVERLAYS

WITH_COMPONENTS = ["+".join(("base", *some)) for count in range(1, len(COMPONENTS) + 1)
                   for some in itertools.combinations(COMPONENTS, count)]
IN_OVERLAY = {"dev": {"cnpg", "strimzi"}, "prod": set(COMPONENTS)}
WHOLE = [*OVERLAYS, "dev+keda", "dev+monitoring", "dev+keda+monitoring", "dev+cnpg-backup", "prod+cnpg-backup"]
BUILDS = ["base", *WITH_COMPONENTS, "base+cnpg+cnpg-backup", *WHOLE]


@pytest.mark.parametrize("name", BUILDS)
def test_a_build_is_valid(kustomize, schemas, name):
    complaints = [c for thing in kustomize.build(name) for c in schemas.complaints(thing)]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", BUILDS)
def test_a_build_keeps_to_the_policies(kustomize, name):
    objects = kustomize.build(name)
    complaints = [f"{policy.__name__}: {c}" for policy in policies.EVERYWHERE for c in policy(objects)]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_a_whole_installation(kustomize, name):
    objects = kustomize.build(name)
    complaints = [f"{policy.__name__}: {c}" for policy in policies.OF_OVERLAYS for c in policy(objects)]
    assert not complaints, "\n".join(complaints)


def test_components_bring_what_their_names_say(kustomize):
    wanted = {"cnpg": {"Cluster"}, "strimzi": {"Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser"},
              "keda": {"ScaledObject", "TriggerAuthentication"}, "monitoring": {"PodMonitor", "PrometheusRule"}}
    plain = {thing["kind"] for thing in kustomize.build("base")}
    assert plain == {"Deployment", "Job", "ServiceAccount", "ConfigMap", "PodDisruptionBudget", "NetworkPolicy"}
    for component, kinds in wanted.items():
        assert {thing["kind"] for thing in kustomize.build(f"base+{component}")} == plain | kinds
    for overlay, components in IN_OVERLAY.items():
        there = {thing["kind"] for thing in kustomize.build(overlay)}
        assert there == plain | {"Namespace"}.union(*(wanted[c] for c in components))


# ---- the tests themselves: what is wrong is seen

POD, BOX = "spec/template/spec", "spec/template/spec/containers/0"
LABELS = "matchLabels/app.kubernetes.io"
PEER = "spec/egress/0/to/0/podSelector/matchLabels"
LOCK = "spec/kafka/template/kafkaContainer/securityContext"

MISTAKES = [  # kind, name, path of keys, what is put there, a word of the complaint
    ("Deployment", "mailcase-router", f"{BOX}/imagee", "x", "imagee"),
    ("Deployment", "mailcase-router", "spec/minReadySeconds", "ten", "minReadySeconds"),
    ("Deployment", "mailcase-router", f"{BOX}/securityContext/capabilities/drop", "ALL", "drop"),
    ("Job", "mailcase-migrate", f"{POD}/restartpolicy", "Never", "restartpolicy"),
    ("NetworkPolicy", "mailcase-to-dns", "spec/egres", [], "egres"),
    ("PodDisruptionBudget", "mailcase-router", "spec/maxUnavailabel", 1, "maxUnavailabel"),
    ("Namespace", "mailcase", "metadata/label", {}, "label"),
    ("ScaledObject", "mailcase-router", "spec/maxReplicaCount", "six", "maxReplicaCount"),
    ("ScaledObject", "mailcase-router", "spec/maxReplicas", 6, "maxReplicas"),
    ("ScaledObject", "mailcase-router", "spec/triggers/0/metadata/lagThreshold", 1000, "lagThreshold"),
    ("TriggerAuthentication", "mailcase-kafka", "spec/secretTargetRef/0/keys", "x", "keys"),
    ("Cluster", "mailcase-database", "spec/instances", "three", "instances"),
    ("Cluster", "mailcase-database", "spec/postgresql/synchronous/method", "some", "method"),
    ("ScheduledBackup", "mailcase-database", "spec/method", "tape", "method"),
    ("Kafka", "mailcase", "spec/kafka/listeners/0/authentication/typ", "tls", "typ"),
    ("KafkaNodePool", "mailcase", "spec/roles/0", "brooker", "roles"),
    ("KafkaTopic", "mailcase.case.events.v1", "spec/partition", 12, "partition"),
    ("KafkaUser", "mailcase-router", "spec/authorization/acls/0/operations/0", "Reed", "operations"),
    ("PodMonitor", "mailcase", "spec/podMetricsEndpoints/0/intervall", "15s", "intervall"),
    ("PrometheusRule", "mailcase", "spec/groups/0/rules/0/expression", "1", "expression"),
]

OVERSIGHTS = [  # policy, kind, name, path of keys, what is put there; None: taken away
    ("restricted_pods", "Deployment", "mailcase-threader", f"{BOX}/securityContext/capabilities", None),
    ("restricted_pods", "Job", "mailcase-topics", f"{POD}/securityContext/runAsNonRoot", False),
    ("images_have_a_tag", "Deployment", "mailcase-router", f"{BOX}/image", "mailcase:latest"),
    ("images_have_a_tag", "Deployment", "mailcase-router", f"{BOX}/image", "there:5000/mailcase"),
    ("images_are_the_version_of_the_programs", "Job", "mailcase-migrate", f"{BOX}/image", "mailcase:0.0.9"),
    ("pods_are_spread", "Deployment", "mailcase-router", f"{POD}/topologySpreadConstraints/0/matchLabelKeys", []),
    ("the_right_program_runs", "Deployment", "mailcase-router", f"{BOX}/command/0", "notifier"),
    ("resources_are_bounded", "Deployment", "mailcase-router", f"{BOX}/resources/limits/memory", "1Gi"),
    ("memory_is_enough", "Deployment", "mailcase-threader", f"{BOX}/resources/limits/memory", "512Mi"),
    ("services_are_probed", "Deployment", "mailcase-notifier", f"{BOX}/livenessProbe/httpGet/path", "/readyz"),
    ("services_are_probed", "ConfigMap", "mailcase-services", "data/MAILCASE_OPS_LISTEN", ":9100"),
    ("services_drain", "Deployment", "mailcase-notifier", f"{POD}/terminationGracePeriodSeconds", 20),
    ("settings_are_known", "ConfigMap", "mailcase-bus", "data/MAILCASE_KAFKA_BROKER", "x:1"),
    ("settings_are_known", "ConfigMap", "mailcase-services", "data/MAILCASE_FETCH_BYTES", "1048576"),
    ("references_lead_somewhere", "Deployment", "mailcase-fetcher", f"{POD}/volumes/0/secret/secretName", "nobodys"),
    ("references_lead_somewhere", "ConfigMap", "mailcase-bus", "data/MAILCASE_KAFKA_CA_FILE", "/etc/mailcase/kafka-ca/ca.pem"),
    ("budgets_select_the_pods", "PodDisruptionBudget", "mailcase-router", f"spec/selector/{LABELS}~1component", "ruoter"),
    ("nothing_passes_but_what_is_named", "NetworkPolicy", "mailcase-default-deny", f"spec/podSelector/{LABELS}~1name", "x"),
    ("nothing_passes_but_what_is_named", "NetworkPolicy", "mailcase-to-database", "spec/egress/0/ports", None),
    ("nothing_passes_but_what_is_named", "NetworkPolicy", "mailcase-to-kafka", "spec/egress/0/ports/0/port", 9092),
    ("policies_select_pods", "NetworkPolicy", "mailcase-to-database", f"{PEER}/cnpg.io~1cluster", "x"),
    ("topics_are_the_contract", "KafkaTopic", "mailcase.case.events.v1", "spec/partitions", 6),
    ("users_may_do_their_work_and_no_more", "KafkaUser", "mailcase-router", "spec/authorization/acls/0/operations", ["All"]),
    ("users_may_do_their_work_and_no_more", "KafkaUser", "mailcase-threader", "spec/authorization/acls/3/resource/name",
     "mailcase.router"),
    ("brokers_want_certificates", "Kafka", "mailcase", "spec/kafka/listeners/0/authentication", None),
    ("the_database_is_verified", "Deployment", "mailcase-router", f"{BOX}/env", []),
    ("replicas_are_the_autoscalers", "Deployment", "mailcase-router", "spec/replicas", 2),
    ("scaling_is_slow_and_bounded", "ScaledObject", "mailcase-router", "spec/triggers/0/metadata/consumerGroup", "router"),
    ("scaling_is_slow_and_bounded", "ScaledObject", "mailcase-threader", "spec/maxReplicaCount", 13),
    ("the_database_has_connections_for_all", "Cluster", "mailcase-database", "spec/postgresql/parameters/max_connections", "100"),
    ("metrics_are_scraped", "PodMonitor", "mailcase", "spec/podMetricsEndpoints/0/port", "http"),
    ("alerts_rest_on_real_metrics", "PrometheusRule", "mailcase", "spec/groups/0/rules/1/expr", "mailcase_redy == 0"),
    ("the_operators_pods_are_restricted", "Kafka", "mailcase", f"{LOCK}/allowPrivilegeEscalation", True),
    ("the_namespace_is_restricted", "Namespace", "mailcase", "metadata/labels/pod-security.kubernetes.io~1enforce", "baseline"),
    ("the_autoscaler_finds_the_brokers", "ConfigMap", "mailcase-bus", "data/MAILCASE_KAFKA_BROKERS",
     "mailcase-kafka-bootstrap:9093"),
]


def changed(objects, kind, name, path, value):
    """A copy of the objects with one field changed. A ConfigMap's name may have its hash at the end."""
    objects = copy.deepcopy(objects)
    thing = next(t for t in of_kind(objects, kind) if t["metadata"]["name"] == name
                 or kind == "ConfigMap" and t["metadata"]["name"].startswith(f"{name}-"))
    place = thing
    *way, last = [key.replace("~1", "/") for key in path.split("/")]
    for key in way:
        place = place[int(key)] if isinstance(place, list) else place[key]
    if isinstance(place, list):
        place[int(last)] = value
    elif value is None:
        del place[last]
    else:
        place[last] = value
    return objects, thing


@pytest.mark.parametrize("kind, name, path, value, word", MISTAKES,
                         ids=[f"{m[0]}-{m[2].rpartition('/')[2]}" for m in MISTAKES])
def test_a_mistake_is_seen(kustomize, schemas, kind, name, path, value, word):
    objects = kustomize.build("prod+cnpg-backup")
    _, thing = changed(objects, kind, name, path, value)
    assert any(word in complaint for complaint in schemas.complaints(thing))


@pytest.mark.parametrize("policy, kind, name, path, value", OVERSIGHTS,
                         ids=[f"{o[0]}-{o[1]}-{o[3].rpartition('/')[2]}" for o in OVERSIGHTS])
def test_an_oversight_is_seen(kustomize, policy, kind, name, path, value):
    objects, _ = changed(kustomize.build("prod"), kind, name, path, value)
    assert list(getattr(policies, policy)(objects))


def test_every_policy_has_seen_an_oversight():
    assert {p.__name__ for p in policies.EVERYWHERE + policies.OF_OVERLAYS} == {oversight[0] for oversight in OVERSIGHTS}
