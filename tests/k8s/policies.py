# SPDX-License-Identifier: Apache-2.0
"""What must be true of every build beyond its schemas. A policy takes the objects of a build and yields complaints."""

import re
import subprocess
from functools import lru_cache

import yaml

from harness.programs import ROOT, program

SERVICES = ("fetcher", "threader", "router", "notifier")
NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"
UID = 65532
# Made by people before anything is applied: docs/operations.md says how.
OWN_SECRETS = {"mailcase-seal-key": {"seal.key"}}
OWN_DATABASE = {"mailcase-database": {"url"}}
SCALER = {"mailcase-scaler": {"username", "password", "connection"}}


def source(path):
    return (ROOT / path).read_text(encoding="utf-8")


def of_kind(objects, *kinds):
    return [thing for thing in objects if thing["kind"] in kinds]


def by_name(objects, kind):
    return {thing["metadata"]["name"]: thing for thing in of_kind(objects, kind)}


def workloads(objects):
    return of_kind(objects, "Deployment", "Job")


def services(objects):
    return [w for w in of_kind(objects, "Deployment") if component_of(w) in SERVICES]


def pod_of(workload):
    return workload["spec"]["template"]["spec"]


def labels_of(workload):
    return workload["spec"]["template"]["metadata"]["labels"]


def component_of(workload):
    return labels_of(workload)[COMPONENT]


def container_of(workload):
    return pod_of(workload)["containers"][0]


def selects(selector, labels):
    """As Kubernetes reads a label selector."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions", []):
        there, value = rule["key"] in labels, labels.get(rule["key"])
        found = {"In": there and value in rule.get("values", []), "NotIn": value not in rule.get("values", []),
                 "Exists": there, "DoesNotExist": not there}[rule["operator"]]
        if not found:
            return False
    return True


def program_of(workload):
    return component_of(workload) if component_of(workload) in SERVICES else "casectl"


def environment(workload, objects):
    """Name and value as the container has them."""
    maps, container, made = by_name(objects, "ConfigMap"), container_of(workload), {}
    for origin in container.get("envFrom", []):
        made.update(maps[origin["configMapRef"]["name"]]["data"])
    made.update({entry["name"]: entry["value"] for entry in container.get("env", [])})
    return made


def quantity(text):
    number, unit = re.match(r"^([0-9.]+)([A-Za-z]*)$", str(text)).groups()
    return float(number) * {"": 1, "m": 0.001, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[unit]


@lru_cache(None)
def settings_of(name):
    """What the program itself says that it reads."""
    told = subprocess.run([program(name), "--settings"], check=True, capture_output=True, text=True).stdout
    names = set()
    for line in told.splitlines():
        found = re.match(r"^(MAILCASE_\w+)  \((\w+)", line)
        if found:
            names |= {found[1]} | ({f"{found[1]}_FILE"} if found[2] == "secret" else set())
    return names


@lru_cache(None)
def topics():
    """NAME of each topic by the constant of bus.h."""
    return dict(re.findall(r'#define (TOPIC_\w+) "([^"]+)"', source("lib/edge/bus.h")))


@lru_cache(None)
def reads(service):
    """The topics that a service's group takes: from its own source."""
    text = source(f"services/{service}/{service}.c")
    found = re.search(r"topics\[\] = \{ (.*?), NULL \}", text)
    return [topics()[name] for name in found[1].split(", ")] if found else []


# ---- the pods

def restricted_pods(objects):
    """The restricted pod security standard, a file system that nobody writes to, a user that is nobody."""
    for workload in workloads(objects):
        name, pod = workload["metadata"]["name"], pod_of(workload)
        told = pod.get("securityContext", {})
        if told.get("runAsNonRoot") is not True or told.get("runAsUser") != UID or told.get("runAsGroup") != UID:
            yield f"{name}: runs as {told}"
        if told.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name}: seccomp is {told.get('seccompProfile')}"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{name}: has the token of its service account"
        if pod.get("enableServiceLinks") is not False:
            yield f"{name}: gets variables from the names of Services"
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(key):
                yield f"{name}: {key}"
        for volume in pod.get("volumes", []):
            if not set(volume) - {"name"} <= {"secret", "configMap", "emptyDir", "projected"}:
                yield f"{name}: volume {volume}"
        for container in pod["containers"] + pod.get("initContainers", []):
            own = container.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("readOnlyRootFilesystem") is not True:
                yield f"{name}: container with {own}"
            if own.get("capabilities") != {"drop": ["ALL"]} or own.get("privileged"):
                yield f"{name}: capabilities {own.get('capabilities')}"
            if set(own) & {"runAsUser", "runAsNonRoot", "seccompProfile"}:
                yield f"{name}: the container overrides its pod: {own}"


def images_have_a_tag(objects):
    for workload in workloads(objects):
        for container in pod_of(workload)["containers"]:
            image = container["image"]
            tag = image.rpartition("/")[2].partition(":")[2]
            if "@sha256:" not in image and (not tag or tag == "latest"):
                yield f"{workload['metadata']['name']}: image {image}"


def images_are_the_version_of_the_programs(objects):
    version = re.search(r'MAILCASE_VERSION "([^"]+)"', source("lib/kit/service.h"))[1]
    for workload in workloads(objects):
        image = container_of(workload)["image"]
        if image != f"mailcase:{version}":
            yield f"{workload['metadata']['name']}: {image} while the programs are {version}"


def resources_are_bounded(objects):
    """Memory as asked for: nobody else's is overcommitted. No CPU limit: it would stop a turn that holds locks."""
    for workload in workloads(objects):
        name, told = workload["metadata"]["name"], container_of(workload).get("resources", {})
        asked, limit = told.get("requests", {}), told.get("limits", {})
        if "cpu" not in asked or "memory" not in asked or asked["memory"] != limit.get("memory"):
            yield f"{name}: resources {told}"
        if "cpu" in limit:
            yield f"{name}: a CPU limit"


def memory_is_enough(objects):
    """The kernel ends a whole container that is over its limit, so what a program allows itself must fit."""
    child = int(re.search(r"#define MEMORY_MOST \(UINT64_C\((\d+)\) << 20\)", source("lib/edge/parser_sandbox.c"))[1]) << 20
    for workload in services(objects):
        limit = quantity(container_of(workload)["resources"]["limits"]["memory"])
        env = environment(workload, objects)
        need = {"threader": child + (192 << 20),
                "fetcher": int(env.get("MAILCASE_FETCH_BYTES", 256 << 20)) + (64 << 20) + 3000 * (96 << 10)
                }.get(component_of(workload), 64 << 20)
        if limit < need:
            yield f"{workload['metadata']['name']}: {limit / 2**20:.0f} MiB of memory, {need / 2**20:.0f} may be needed"


def services_are_probed(objects):
    for workload in services(objects):
        name, container = workload["metadata"]["name"], container_of(workload)
        port = int(environment(workload, objects)["MAILCASE_OPS_LISTEN"].rpartition(":")[2])
        if {"name": "ops", "containerPort": port} not in container.get("ports", []):
            yield f"{name}: ports {container.get('ports')} while it listens on {port}"
        wanted = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
        for probe, path in wanted.items():
            if container.get(probe, {}).get("httpGet") != {"path": path, "port": "ops"}:
                yield f"{name}: {probe} {container.get(probe)}"


def services_drain(objects):
    drain = int(re.search(r"#define DRAIN_SECONDS (\d+)", source("lib/kit/service.c"))[1])
    for workload in services(objects):
        name, spec = workload["metadata"]["name"], workload["spec"]
        grace = pod_of(workload).get("terminationGracePeriodSeconds", 30)
        if grace < drain + 5:
            yield f"{name}: {grace} s for a drain of {drain} s"
        if spec["strategy"] != {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}:
            yield f"{name}: strategy {spec['strategy']}"


def pods_are_spread(objects):
    for workload in services(objects):
        name, keys = workload["metadata"]["name"], set()
        for spread in pod_of(workload).get("topologySpreadConstraints", []):
            keys.add(spread["topologyKey"])
            if not selects(spread["labelSelector"], labels_of(workload)):
                yield f"{name}: spread selects others"
            if not {COMPONENT, "pod-template-hash"} <= set(spread["matchLabelKeys"]):
                yield f"{name}: spread counts the pods of others"
        if keys != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            yield f"{name}: spread over {keys}"


def the_right_program_runs(objects):
    """A Deployment runs the service that it is called after; jobs and people use casectl."""
    for workload in workloads(objects):
        command, component = container_of(workload)["command"], component_of(workload)
        wanted = {"casectl": ["sleep", "infinity"], "migrate": ["casectl", "migrate"],
                  "topics": ["casectl", "topics"]}.get(component, [component])
        if command != wanted or workload["metadata"]["name"] != f"mailcase-{component}":
            yield f"{workload['metadata']['name']}: {component} runs {command}"
    if sorted(component_of(w) for w in services(objects)) != sorted(SERVICES):
        yield "not one Deployment of each service"


def settings_are_known(objects):
    """Every variable of ours is a setting of the program that gets it."""
    for workload in workloads(objects):
        known = settings_of(program_of(workload))
        for name in environment(workload, objects):
            if name.startswith("MAILCASE_") and name not in known:
                yield f"{workload['metadata']['name']}: {name} is no setting of {program_of(workload)}"


# ---- what refers to what

def secrets_of(objects):
    """Every Secret that will be there, with its keys: ours, and those that the operators make."""
    there = dict(OWN_SECRETS)
    clusters, kafkas = by_name(objects, "Cluster"), by_name(objects, "Kafka")
    if not clusters:
        there.update(OWN_DATABASE)
    if of_kind(objects, "ScaledObject"):
        there.update(SCALER)
    for name in clusters:
        there.update({f"{name}-app": {"username", "password", "uri", "fqdn-uri"}, f"{name}-ca": {"ca.crt"}})
    for name in kafkas:
        there[f"{name}-cluster-ca-cert"] = {"ca.crt"}
    for name in by_name(objects, "KafkaUser"):
        there[name] = {"ca.crt", "user.crt", "user.key"}
    if not kafkas and of_kind(objects, "ScaledObject"):
        there.update({"mailcase-cluster-ca-cert": {"ca.crt"}, "mailcase-keda": {"user.crt", "user.key"}})
    return there


def references_lead_somewhere(objects):
    accounts, secrets = by_name(objects, "ServiceAccount"), secrets_of(objects)
    for workload in workloads(objects):
        name, pod = workload["metadata"]["name"], pod_of(workload)
        account = accounts.get(pod.get("serviceAccountName"))
        if not account or account.get("automountServiceAccountToken") is not False:
            yield f"{name}: service account {pod.get('serviceAccountName')}"
        files = set()
        mounts = {mount["name"]: mount for mount in container_of(workload).get("volumeMounts", [])}
        if set(mounts) != {volume["name"] for volume in pod["volumes"]}:
            yield f"{name}: mounts {sorted(mounts)} of other volumes"
        for volume in pod["volumes"]:
            told, mount = volume["secret"], mounts.get(volume["name"], {})
            keys = secrets.get(told["secretName"], set())
            if not keys:
                yield f"{name}: there is no Secret {told['secretName']}"
            items = {item["key"]: item["path"] for item in told.get("items", [])} or {key: key for key in keys}
            if not set(items) <= keys:
                yield f"{name}: Secret {told['secretName']} has no {set(items) - keys}"
            # Readable by the group, which is the program's, and by nobody else: the seal key insists on it.
            if told.get("defaultMode") != 0o440 or mount.get("readOnly") is not True:
                yield f"{name}: volume {volume['name']} with mode {told.get('defaultMode')}"
            files |= {f"{mount.get('mountPath')}/{path}" for path in items.values()}
        for variable, value in environment(workload, objects).items():
            if value.startswith("/") and value not in files:
                yield f"{name}: {variable} names {value}, which is not mounted"
    for auth in of_kind(objects, "TriggerAuthentication"):
        for ref in auth["spec"]["secretTargetRef"]:
            if ref["key"] not in secrets.get(ref["name"], ()):
                yield f"{auth['metadata']['name']}: no {ref['key']} in Secret {ref['name']}"
    for cluster in of_kind(objects, "Cluster"):
        for role in cluster["spec"].get("managed", {}).get("roles", []):
            if role["passwordSecret"]["name"] not in secrets or role.get("superuser") or role.get("inRoles"):
                yield f"{cluster['metadata']['name']}: role {role}"
    for backup in of_kind(objects, "ScheduledBackup"):
        if backup["spec"]["cluster"]["name"] not in by_name(objects, "Cluster"):
            yield f"{backup['metadata']['name']}: backs up no cluster"


def budgets_select_the_pods(objects):
    for workload in services(objects):
        name, labels = workload["metadata"]["name"], labels_of(workload)
        found = [b for b in of_kind(objects, "PodDisruptionBudget") if selects(b["spec"]["selector"], labels)]
        if len(found) != 1 or found[0]["spec"].get("maxUnavailable") != 1:
            yield f"{name}: disruption budgets {[b['spec'] for b in found]}"
    for workload in of_kind(objects, "Deployment"):
        mine = [w["metadata"]["name"] for w in workloads(objects) if selects(workload["spec"]["selector"], labels_of(w))]
        if mine != [workload["metadata"]["name"]]:
            yield f"{workload['metadata']['name']}: selects the pods of {mine}"
    for budget in of_kind(objects, "PodDisruptionBudget"):
        mine = [w for w in services(objects) if selects(budget["spec"]["selector"], labels_of(w))]
        if len(mine) != 1:
            yield f"{budget['metadata']['name']}: is the budget of {len(mine)} services"


# ---- the network

WANTED_PORTS = {  # component: what it may reach, by port
    "fetcher": {53, 5432, 143, 993}, "threader": {53, 5432}, "router": {53, 5432}, "notifier": {53, 5432, 25, 465, 587},
    "migrate": {53, 5432}, "topics": {53, 5432}, "casectl": {53, 5432, 143, 993, 25, 465, 587},
}
KAFKA_PORTS = {9092, 9093}


def nothing_passes_but_what_is_named(objects):
    policies = of_kind(objects, "NetworkPolicy")
    for workload in workloads(objects):
        name, labels, component = workload["metadata"]["name"], labels_of(workload), component_of(workload)
        mine = [p["spec"] for p in policies if selects(p["spec"]["podSelector"], labels)]
        if not any(set(p["policyTypes"]) == {"Ingress", "Egress"} and not p.get("ingress") and not p.get("egress")
                   for p in mine):
            yield f"{name}: no policy denies all"
        ports = {port["port"] for p in mine for rule in p.get("egress", []) for port in rule.get("ports", [])}
        if any(not rule.get("ports") for p in mine for rule in p.get("egress", []) + p.get("ingress", [])):
            yield f"{name}: a policy without ports"
        broker = {int(b.rpartition(":")[2]) for b in
                  environment(workload, objects)["MAILCASE_KAFKA_BROKERS"].split(",")}
        if component != "migrate" and not broker <= ports:
            yield f"{name}: may not reach its brokers' ports {broker}"
        if ports - KAFKA_PORTS != WANTED_PORTS[component]:
            yield f"{name}: may reach ports {sorted(ports)}"
        for p in mine:
            for rule in p.get("ingress", []):
                if not rule.get("from") or [q["port"] for q in rule["ports"]] != ["ops"]:
                    yield f"{name}: lets in {rule}"


OPERATED = [  # pods that the operators make, with their labels
    ("Cluster", lambda name: {"cnpg.io/cluster": name}),
    ("Kafka", lambda name: {"strimzi.io/cluster": name, "strimzi.io/kind": "Kafka", "strimzi.io/name": f"{name}-kafka"}),
]


def policies_select_pods(objects):
    """Whom a policy is about, and whom of our own namespace it names, exist."""
    pods = [labels_of(w) for w in workloads(objects)]
    pods += [make(name) for kind, make in OPERATED for name in by_name(objects, kind)]
    for policy in of_kind(objects, "NetworkPolicy"):
        spec, name = policy["spec"], policy["metadata"]["name"]
        if not any(selects(spec["podSelector"], labels) for labels in pods):
            yield f"{name}: is about no pod"
        peers = [peer for rule in spec.get("ingress", []) + spec.get("egress", [])
                 for peer in rule.get("from", []) + rule.get("to", [])]
        for peer in peers:
            if "podSelector" in peer and "namespaceSelector" not in peer:
                if not any(selects(peer["podSelector"], labels) for labels in pods):
                    yield f"{name}: names no pod by {peer}"


# ---- the bus

def topics_are_the_contract(objects):
    made = {t["spec"].get("topicName", t["metadata"]["name"]): t["spec"] for t in of_kind(objects, "KafkaTopic")}
    if not of_kind(objects, "Kafka"):
        return
    if set(made) != set(listed_topics()):
        yield f"topics {sorted(made)} are not those of contracts/topics.yaml"
    for name, row in listed_topics().items():
        spec = made.get(name, {"partitions": 0, "config": {}})
        if spec["partitions"] != row["partitions"] or spec["config"].get("retention.ms") != row["retention_hours"] * 3600000:
            yield f"topic {name}: {spec} is not {row}"
    pools = of_kind(objects, "KafkaNodePool")
    brokers = sum(p["spec"]["replicas"] for p in pools if "broker" in p["spec"]["roles"])
    for name, spec in made.items():
        if spec["replicas"] > brokers or spec["config"]["min.insync.replicas"] > max(1, spec["replicas"] - 1):
            yield f"topic {name}: {spec} with {brokers} brokers"
    for thing in pools + of_kind(objects, "KafkaTopic", "KafkaUser"):
        if thing["metadata"]["labels"].get("strimzi.io/cluster") not in by_name(objects, "Kafka"):
            yield f"{thing['kind']} {thing['metadata']['name']}: of no cluster"


@lru_cache(None)
def contract():
    return yaml.safe_load(source("contracts/topics.yaml"))


def listed_topics():
    return {row["name"]: row for row in contract()["topics"]}


def users_may_do_their_work_and_no_more(objects):
    """What contracts/topics.yaml lists as the least that each needs is also the most."""
    users = by_name(objects, "KafkaUser")
    if not of_kind(objects, "Kafka"):
        return
    wanted = {f"mailcase-{who}": {(kind.rstrip("s"), name, right) for kind, rights in access.items()
                                  for right, names in rights.items() for name in names}
              for who, access in contract()["access"].items() if who != "consumer"}
    if set(users) != set(wanted):
        yield f"users {sorted(users)} are not {sorted(wanted)}"
    for name, user in users.items():
        given = set()
        for acl in user["spec"]["authorization"]["acls"]:
            where = acl["resource"]
            if where.get("patternType", "literal") != "literal" or acl.get("type", "allow") != "allow":
                yield f"{name}: {acl}"
            given |= {(where["type"], where.get("name"), right) for right in acl["operations"]}
        if given != wanted.get(name):
            yield f"{name}: rights {sorted(given ^ wanted.get(name, set()))} are given or missing"
        if user["spec"]["authentication"] != {"type": "tls"}:
            yield f"{name}: {user['spec']['authentication']}"


def brokers_want_certificates(objects):
    for kafka in of_kind(objects, "Kafka"):
        spec = kafka["spec"]["kafka"]
        if [x for x in spec["listeners"] if not x["tls"] or x.get("authentication") != {"type": "tls"}]:
            yield "a listener without mutual TLS"
        if spec.get("authorization") != {"type": "simple"} or spec["config"].get("auto.create.topics.enable") is not False:
            yield f"authorization {spec.get('authorization')}, config {spec['config']}"
        for workload in workloads(objects):
            env = environment(workload, objects)
            host, _, port = env["MAILCASE_KAFKA_BROKERS"].rpartition(":")
            if host.split(".")[0] != f"{kafka['metadata']['name']}-kafka-bootstrap" or \
                    int(port) not in [x["port"] for x in spec["listeners"]] or env.get("MAILCASE_KAFKA_SECURITY") != "ssl":
                yield f"{workload['metadata']['name']}: brokers {env['MAILCASE_KAFKA_BROKERS']}"
            owner = [v["secret"]["secretName"] for v in pod_of(workload)["volumes"] if v["name"] == "kafka-user"]
            if owner != ["mailcase-" + program_of(workload)]:
                yield f"{workload['metadata']['name']}: has the certificate of {owner}"


def the_database_is_verified(objects):
    for cluster in by_name(objects, "Cluster"):
        for workload in workloads(objects):
            env = environment(workload, objects)
            if env.get("PGSSLMODE") != "verify-full" or env.get("PGSSLROOTCERT") != "/etc/mailcase/database-ca/ca.crt":
                yield f"{workload['metadata']['name']}: does not verify {cluster}"


# ---- scaling

KAFKA_TRIGGER = {"bootstrapServersFromEnv", "consumerGroup", "topic", "lagThreshold", "offsetResetPolicy",
                 "allowIdleConsumers", "version", "tls"}


def scaled(objects):
    return {s["spec"]["scaleTargetRef"]["name"]: s["spec"] for s in of_kind(objects, "ScaledObject")}


def replicas_are_the_autoscalers(objects):
    if not scaled(objects):
        return
    for workload in services(objects):
        name = workload["metadata"]["name"]
        if "replicas" in workload["spec"]:
            yield f"{name}: applying it would reset its replicas"
        if name not in scaled(objects):
            yield f"{name}: nobody scales it"


def scaling_is_slow_and_bounded(objects):
    deployments = by_name(objects, "Deployment")
    for name, spec in scaled(objects).items():
        if name not in deployments:
            yield f"{name}: no such Deployment"
            continue
        service = component_of(deployments[name])
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        down = behavior["scaleDown"]
        if down["stabilizationWindowSeconds"] < 300 or any(p["type"] != "Pods" or p["value"] > 1 for p in down["policies"]):
            yield f"{name}: scales down by {down}"
        if spec["fallback"].get("behavior") != "currentReplicasIfHigher" or spec["minReplicaCount"] < 1:
            yield f"{name}: fallback {spec['fallback']}, least {spec['minReplicaCount']}"
        for trigger in spec["triggers"]:
            told = trigger["metadata"]
            if trigger["type"] != "kafka":
                continue
            partitions = listed_topics()[told["topic"]]["partitions"]
            if told["topic"] not in reads(service) or told["consumerGroup"] != f"mailcase.{service}":
                yield f"{name}: group {told['consumerGroup']} and topic {told['topic']}, it reads {reads(service)}"
            if set(told) != KAFKA_TRIGGER or told["offsetResetPolicy"] != "earliest" or told["allowIdleConsumers"] != "false":
                yield f"{name}: trigger {told}"
            if told["bootstrapServersFromEnv"] not in environment(deployments[name], objects):
                yield f"{name}: has no {told['bootstrapServersFromEnv']}"
            if spec["maxReplicaCount"] > partitions:
                yield f"{name}: {spec['maxReplicaCount']} replicas for {partitions} partitions"
        if spec["maxReplicaCount"] < spec["minReplicaCount"]:
            yield f"{name}: from {spec['minReplicaCount']} to {spec['maxReplicaCount']} replicas"
        wanted = {"kafka"} if reads(service) else {"postgresql", "cpu"}
        if {trigger["type"] for trigger in spec["triggers"]} != wanted:
            yield f"{name}: scales by {[t['type'] for t in spec['triggers']]}"


@lru_cache(None)
def connections():
    """How many connections to the database a pod of each service holds: docs/operations.md, which a service test measures."""
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", source("docs/operations.md"), re.M)
    return {name: int(count) for name, count in rows if name in SERVICES}


def the_database_has_connections_for_all(objects):
    """All replicas at their ceilings, both jobs, the autoscaler, and twenty for people, operator and replication."""
    roles = [r for c in of_kind(objects, "Cluster") for r in c["spec"].get("managed", {}).get("roles", [])]
    need = 2 + sum(role["connectionLimit"] for role in roles) + 20
    for workload in services(objects):
        name = workload["metadata"]["name"]
        ceiling = scaled(objects)[name]["maxReplicaCount"] if name in scaled(objects) else workload["spec"]["replicas"]
        need += ceiling * connections()[component_of(workload)]
    for cluster in of_kind(objects, "Cluster"):
        there = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
        if need > there:
            yield f"{cluster['metadata']['name']}: {there} connections, {need} may be needed"


def the_autoscaler_finds_the_brokers(objects):
    """It lives in another namespace: a bare name means something else there."""
    for workload in of_kind(objects, "Deployment"):
        if "mailcase-kafka-bootstrap" not in environment(workload, objects)["MAILCASE_KAFKA_BROKERS"]:
            continue
        host = environment(workload, objects)["MAILCASE_KAFKA_BROKERS"].rpartition(":")[0]
        if scaled(objects) and host != f"mailcase-kafka-bootstrap.{workload['metadata'].get('namespace')}.svc":
            yield f"{workload['metadata']['name']}: {host} is not found from another namespace"


# ---- watching

def metrics_are_scraped(objects):
    for monitor in of_kind(objects, "PodMonitor"):
        found = [w for w in workloads(objects) if selects(monitor["spec"]["selector"], labels_of(w))]
        if sorted(component_of(w) for w in found) != sorted(SERVICES):
            yield f"scraped: {[w['metadata']['name'] for w in found]}"
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            if endpoint["path"] != "/metrics" or any(
                    endpoint["port"] not in [p["name"] for p in container_of(w)["ports"]] for w in found):
                yield f"endpoint {endpoint}"
        if not any(rule for p in of_kind(objects, "NetworkPolicy") for rule in p["spec"].get("ingress", [])
                   if any(port["port"] == "ops" for port in rule["ports"])):
            yield "the network lets no scraper in"


def alerts_rest_on_real_metrics(objects):
    known = set(re.findall(r"^\| `(mailcase_\w+)` \|", source("README.md"), re.M))
    known |= {f"{name}_{end}" for name in known for end in ("bucket", "sum", "count")}
    for rules in of_kind(objects, "PrometheusRule"):
        for group in rules["spec"]["groups"]:
            for rule in group["rules"]:
                for name in re.findall(r"\bmailcase_\w+", rule["expr"]):
                    if name not in known:
                        yield f"{rule['alert']}: no program has a metric {name}"
                if f"`{rule['alert']}`" not in source("docs/operations.md"):
                    yield f"{rule['alert']}: docs/operations.md does not say what to do"
                if not rule["annotations"].get("summary") or rule["labels"].get("severity") not in ("warning", "critical"):
                    yield f"{rule['alert']}: {rule}"


# ---- of whole installations

def the_namespace_is_restricted(objects):
    spaces = of_kind(objects, "Namespace")
    if [s["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") for s in spaces] != ["restricted"]:
        yield f"namespaces {spaces}"
    for thing in objects:
        if thing["kind"] != "Namespace" and thing["metadata"].get("namespace") != spaces[0]["metadata"]["name"]:
            yield f"{thing['kind']} {thing['metadata']['name']}: in namespace {thing['metadata'].get('namespace')}"


def the_operators_pods_are_restricted(objects):
    """Strimzi's, which its operator would make less strict by default. CloudNativePG's are so by themselves."""
    for kafka in of_kind(objects, "Kafka"):
        spec = kafka["spec"]
        for part, containers in ((spec["kafka"], ["kafkaContainer"]),
                                 (spec["entityOperator"], ["topicOperatorContainer", "userOperatorContainer"])):
            pod = part["template"]["pod"]["securityContext"]
            if not pod.get("runAsNonRoot") or pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
                yield f"Kafka: {pod}"
            for name in containers:
                own = part["template"][name]["securityContext"]
                if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}:
                    yield f"Kafka: {name} {own}"


EVERYWHERE = [
    restricted_pods, images_have_a_tag, images_are_the_version_of_the_programs, resources_are_bounded, memory_is_enough,
    services_are_probed, services_drain, pods_are_spread, the_right_program_runs, settings_are_known, references_lead_somewhere,
    budgets_select_the_pods, nothing_passes_but_what_is_named, policies_select_pods, topics_are_the_contract,
    users_may_do_their_work_and_no_more, brokers_want_certificates, the_database_is_verified, replicas_are_the_autoscalers,
    scaling_is_slow_and_bounded, the_database_has_connections_for_all, metrics_are_scraped, alerts_rest_on_real_metrics,
    the_operators_pods_are_restricted,
]
OF_OVERLAYS = [the_namespace_is_restricted, the_autoscaler_finds_the_brokers]
