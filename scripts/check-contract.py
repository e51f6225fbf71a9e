#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check-contract.py [--write]: the published contract says the same everywhere.

contracts/topics.yaml is the one list of topics, groups, headers and rights; proto/ is the one description of the values.
The code, contracts/asyncapi.yaml, docs/integrate.md and, where they are, the compose file and the Kubernetes manifests
are compared with them; each difference is one line. With --write the generated parts of asyncapi.yaml and integrate.md
are written instead: the protos in the one, the tables in the other.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

try:
    import yaml
    from google.protobuf import descriptor_pb2
except ModuleNotFoundError as missing:
    sys.exit(f"check-contract: {missing}: `make deps` installs python3-yaml and python3-protobuf")

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOPICS = "contracts/topics.yaml"
ASYNCAPI = "contracts/asyncapi.yaml"
INTEGRATE = "docs/integrate.md"
EXTRA_FILES = ["docker-compose.yml", "deploy/compose", "deploy/k8s", "docs", "README.md", "examples"]
HOUR_MS = 3600 * 1000
breaches = []


def breach(place, text):
    breaches.append(f"{place}: {text}")


def same(place, what, found, wanted):
    if found != wanted:
        breach(place, f"{what}: {found}, and {TOPICS} has {wanted}")


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


# ---- the protos


class Protos:
    """Messages and enums of the contract with their comments, by full name."""

    def __init__(self, files):
        with tempfile.NamedTemporaryFile() as out:
            subprocess.run(["protoc", "-Iproto", "--include_source_info", f"--descriptor_set_out={out.name}", *files],
                           cwd=ROOT, check=True)
            self.files = descriptor_pb2.FileDescriptorSet.FromString(out.read()).file
        self.messages, self.enums, self.comments = {}, {}, {}
        for file in self.files:
            notes = {tuple(place.path): " ".join((place.leading_comments or place.trailing_comments).split())
                     for place in file.source_code_info.location}
            for number, message in enumerate(file.message_type):
                name = f"{file.package}.{message.name}"
                self.messages[name] = message
                self.note(file, name, notes, (4, number))
                for i, field in enumerate(message.field):
                    self.note(file, f"{name}.{field.name}", notes, (4, number, 2, i))
            for number, enum in enumerate(file.enum_type):
                name = f"{file.package}.{enum.name}"
                self.enums[name] = enum
                self.note(file, name, notes, (5, number))
                for i, value in enumerate(enum.value):
                    self.note(file, f"{name}.{value.name}", notes, (5, number, 2, i))

    def note(self, file, name, notes, path):
        self.comments[name] = notes.get(path, "")
        if not self.comments[name]:
            breach(f"proto/{file.name}", f"{name} has no comment")

    def fields(self, name):
        """(name, type as people say it, comment, message of a oneof's member or None)"""
        for field in self.messages[name].field:
            kind = field.type_name.rsplit(".", 1)[-1] or field.Type.Name(field.type)[5:].lower()
            repeated = "repeated " if field.label == field.LABEL_REPEATED else ""
            yield field.name, repeated + kind, self.comments[f"{name}.{field.name}"], (
                field.type_name.lstrip(".") if field.HasField("oneof_index") else None)


def check_protos(contract, protos):
    for topic in contract["topics"]:
        file = next(f for f in protos.files if f.name == topic["proto"])
        same(f"proto/{file.name}", f"first message, the value of {topic['name']}",
             f"{file.package}.{file.message_type[0].name}", topic["message"])


# ---- the code


def check_code(contract):
    topics = {topic["name"]: topic for topic in contract["topics"]}
    place = "lib/edge/bus.h"
    names = dict(re.findall(r'#define (TOPIC_\w+) "([^"]+)"', read(place)))
    same(place, "topics", sorted(names.values()), sorted(topics))

    place = "lib/edge/bus_admin.c"
    code = read(place)
    groups = sorted((f"mailcase.{group}", [names[topic]])
                    for group, topic in re.findall(r'\{ "(\w+)", (TOPIC_\w+) \}', code))
    same(place, "groups", groups, sorted((group["name"], group["topics"]) for group in contract["groups"]))
    for topic, days in re.findall(r"\{ (TOPIC_\w+), (\d+) \* 24 \}", code):
        wanted = topics.get(names[topic], {}).get("retention_hours")
        same(place, f"hours of retention of {names[topic]}", int(days) * 24, wanted)

    types = [found for path in sorted((ROOT / "lib/wire").glob("*.h"))
             for found in re.findall(r'#define \w+_TYPE "([^"]+)"', path.read_text(encoding="utf-8"))]
    same("lib/wire", "types", sorted(types), sorted(t for topic in topics.values() for t in topic["types"]))

    place = "lib/edge/bus_kafka_record.c"
    if (ROOT / place).exists():
        headers = set(re.findall(r'"(ce_\w+|content-type|traceparent)"', read(place)))
        same(place, "headers", sorted(headers), sorted(contract["headers"]))

    place = "tools/casectl"
    defaults = {int(n) for path in (ROOT / place).glob("*.c")
                for n in re.findall(r'"MAILCASE_PARTITIONS",[^}]*\.def = "(\d+)"', path.read_text(encoding="utf-8"))}
    same(place, "default of MAILCASE_PARTITIONS", defaults, {topic["partitions"] for topic in topics.values()})


# ---- asyncapi.yaml


def fill_asyncapi(text):
    """With the protos between their marks, as block scalars."""
    def block(match):
        indent = match[1]
        lines = read(f"proto/{match[2]}").splitlines()
        proto = "\n".join(f"{indent}  {line}" if line else "" for line in lines)
        return f"{indent}# begin: {match[2]}\n{indent}schema: |\n{proto}\n{indent}# end\n"
    return re.sub(r"^( *)# begin: (\S+)\n(?:.*\n)*?\1# end\n", block, text, flags=re.MULTILINE)


def check_asyncapi(contract):
    text = read(ASYNCAPI)
    if fill_asyncapi(text) != text:
        breach(ASYNCAPI, "a proto in it is not that of proto/: `make docs` writes it")
    document = yaml.safe_load(text)

    def resolve(node):
        while "$ref" in node:
            steps = node["$ref"].removeprefix("#/").split("/")
            node = document
            for step in steps:
                node = node[step]
        return node

    channels = {channel["address"]: channel for channel in document["channels"].values()}
    same(ASYNCAPI, "topics", sorted(channels), sorted(topic["name"] for topic in contract["topics"]))
    for topic in contract["topics"]:
        channel = channels.get(topic["name"])
        if not channel:
            continue
        kafka = channel["bindings"]["kafka"]
        same(ASYNCAPI, f"partitions of {topic['name']}", kafka["partitions"], topic["partitions"])
        same(ASYNCAPI, f"configuration of {topic['name']}", kafka["topicConfiguration"],
             {"cleanup.policy": [topic["cleanup"]], "retention.ms": topic["retention_hours"] * HOUR_MS})
        messages = [resolve(message) for message in channel["messages"].values()]
        same(ASYNCAPI, f"messages of {topic['name']}", [message["name"] for message in messages], [topic["message"]])
        headers = resolve(messages[0]["headers"])
        has_sequence = any("ce_sequence" in part.get("required", []) for part in headers.get("allOf", []))
        same(ASYNCAPI, f"ce_sequence of {topic['name']}", has_sequence, topic["sequence"] != "none")

    headers = document["components"]["schemas"]["headers"]
    same(ASYNCAPI, "headers", sorted(headers["properties"]), sorted(contract["headers"]))
    same(ASYNCAPI, "headers that are always there", sorted(headers["required"]),
         sorted(name for name, header in contract["headers"].items() if header["always"]))
    same(ASYNCAPI, "types", sorted(headers["properties"]["ce_type"]["examples"]),
         sorted(t for topic in contract["topics"] for t in topic["types"]))

    operations = document["operations"].values()
    sent = sorted(resolve(o["channel"])["address"] for o in operations if o["action"] == "send")
    same(ASYNCAPI, "topics that are sent", sent, sorted(channels))
    groups = sorted((o["bindings"]["kafka"]["groupId"]["enum"][0], [resolve(o["channel"])["address"]])
                    for o in operations if o["action"] == "receive")
    same(ASYNCAPI, "groups", groups, sorted((group["name"], group["topics"]) for group in contract["groups"]))


# ---- integrate.md


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)] + ["| " + " | ".join(row) + " |" for row in rows]


def rights_text(rights, everything):
    return "<br>".join(f"{operation}: {'all' if names == everything else ', '.join(f'`{name}`' for name in names)}"
                       for operation, names in rights.items()) or "–"


def tables(contract, protos):
    """The generated tables of integrate.md by their marks."""
    everything = [topic["name"] for topic in contract["topics"]]
    made = {
        "topics": table(["topic", "what it says", "key", "`ce_sequence`", "kept", "value"], (
            [f"`{t['name']}`", t["about"], t["key"], t["sequence"], f"{t['retention_hours'] // 24} days",
             f"`{t['message']}`"] for t in contract["topics"])),
        "headers": table(["header", "value"], (
            [f"`{name}`", header["about"]] for name, header in contract["headers"].items())),
        "access": table(["who", "topics", "groups"], [
            *([f"`{who}`", rights_text(rights.get("topics", {}), everything), rights_text(rights.get("groups", {}), [])]
              for who, rights in contract["access"].items() if who != "consumer"),
            ["a consumer of yours", "Read: those that it reads", "Read: its own"]]),
        "enums": table(["enum", "values"], (
            [f"`{name.rsplit('.', 1)[1]}`",
             "<br>".join(f"`{v.name}` = {v.number}: {protos.comments[f'{name}.{v.name}']}" for v in enum.value)]
            for name, enum in protos.enums.items())),
    }
    for topic in contract["topics"]:
        rows = []
        for name, kind, comment, body in protos.fields(topic["message"]):
            if not body:
                rows.append([f"`{name}`", kind, comment])
            else:
                rows += body_rows(protos, name, body, comment)
        made[topic["message"]] = table(["field", "type", "meaning"], rows)
    made["facts"] = table(["fact and its fields", "type", "meaning"], (
        row for name, _, comment, body in protos.fields("mailcase.v1.Fact")
        for row in body_rows(protos, name, body, comment)))
    return made


def body_rows(protos, name, body, comment):
    yield [f"**`{name}`**", "", f"**{comment}**"]
    for field, kind, meaning, _ in protos.fields(body):
        yield [f"· `{field}`", kind, meaning]


def fill_page(text, made):
    for name, lines in made.items():
        begin, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
        if begin not in text or end not in text:
            breach(INTEGRATE, f"has no place for {name}")
            continue
        before, rest = text.split(begin)
        text = before + begin + "\n" + "\n".join(lines) + "\n\n" + end + rest.split(end)[1]
    return text


def check_integrate(contract, protos):
    text = read(INTEGRATE)
    if fill_page(text, tables(contract, protos)) != text:
        breach(INTEGRATE, f"its tables are not those of {TOPICS} and proto/: `make docs` writes it")


# ---- what others say of the topics: compose, manifests, documents, examples


def extra_files():
    for name in EXTRA_FILES:
        path = ROOT / name
        yield from sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path] if path.exists() else []


def check_names(contract):
    """Whatever looks like a topic, a type or a group of ours is one."""
    known = {topic["name"] for topic in contract["topics"]} | {t for topic in contract["topics"] for t in topic["types"]}
    for path in extra_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for name in sorted(set(re.findall(r"\bmailcase(?:\.[a-z_]+)+\.v\d+\b", text)) - known):
            breach(path.relative_to(ROOT), f"{name} is neither a topic nor a type")


def manifests():
    for path in extra_files():
        if path.suffix in (".yaml", ".yml") and "k8s" in path.parts:
            for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
                if isinstance(document, dict) and "kind" in document:
                    yield path.relative_to(ROOT), document


def check_manifests(contract):
    topics = {topic["name"]: topic for topic in contract["topics"]}
    groups = {group["name"]: group["topics"] for group in contract["groups"]}
    made, users = set(), set()
    for place, document in manifests():
        spec = document.get("spec") or {}
        if document["kind"] == "KafkaTopic":
            name = spec.get("topicName", document["metadata"]["name"])
            made.add(name)
            if name not in topics:
                breach(place, f"topic {name} is not in {TOPICS}")
                continue
            config = spec.get("config", {})
            if "partitions" in spec:
                same(place, f"partitions of {name}", spec["partitions"], topics[name]["partitions"])
            if "retention.ms" in config:
                same(place, f"retention of {name}", int(config["retention.ms"]),
                     topics[name]["retention_hours"] * HOUR_MS)
            if "cleanup.policy" in config:
                same(place, f"clean-up of {name}", config["cleanup.policy"], topics[name]["cleanup"])
        elif document["kind"] == "KafkaUser" and "authorization" in spec:
            users.add(check_user(place, document["metadata"]["name"], spec["authorization"]["acls"], contract["access"]))
        elif document["kind"] == "ScaledObject":
            for trigger in spec.get("triggers", []):
                rule = trigger.get("metadata", {})
                if trigger.get("type") == "kafka" and rule.get("topic") not in groups.get(rule.get("consumerGroup"), []):
                    breach(place, f"group {rule.get('consumerGroup')} does not read {rule.get('topic')}")
    if made:
        same("deploy/k8s", "topics", sorted(made), sorted(topics))
    if users:
        same("deploy/k8s", "users", sorted(users - {"consumer"}), sorted(set(contract["access"]) - {"consumer"}))


def check_user(place, user, acls, access):
    """The program that the user is: by the last words of its name."""
    who = next((name for name in access if user == name or user.endswith(f"-{name}")), None)
    if not who:
        breach(place, f"user {user} is nobody of {TOPICS}")
        return user
    found = {(acl["resource"]["type"], acl["resource"].get("name"), operation) for acl in acls
             for operation in acl["operations"] if acl["resource"]["type"] in ("topic", "group")}
    wanted = {(kind[:-1], name, operation) for kind in ("topics", "groups")
              for operation, names in access[who].get(kind, {}).items() for name in names}
    implied = {(kind, name, "Describe") for kind, name, operation in wanted if operation in ("Read", "Write", "Alter")}
    for missing in sorted(wanted - found):
        breach(place, f"user {user} may not {missing[2]} {missing[0]} {missing[1]}")
    for more in sorted(found - wanted - implied):
        breach(place, f"user {user} need not {more[2]} {more[0]} {more[1]}")
    return who


def main():
    contract = yaml.safe_load(read(TOPICS))
    protos = Protos([topic["proto"] for topic in contract["topics"]])
    if "--write" in sys.argv:
        (ROOT / ASYNCAPI).write_text(fill_asyncapi(read(ASYNCAPI)), encoding="utf-8")
        (ROOT / INTEGRATE).write_text(fill_page(read(INTEGRATE), tables(contract, protos)), encoding="utf-8")
    else:
        check_protos(contract, protos)
        check_code(contract)
        check_asyncapi(contract)
        check_integrate(contract, protos)
        check_names(contract)
        check_manifests(contract)
    if breaches:
        sys.exit("\n".join(["contract:", *breaches]))


main()
