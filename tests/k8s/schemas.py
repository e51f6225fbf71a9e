# SPDX-License-Identifier: Apache-2.0
"""Strict schemas: a field that is not in them is a mistake.

Those of Kubernetes itself come in the package kubernetes-validate, whose archive is read where it lies; those of the
operators are their CustomResourceDefinitions, in shared/k8s-schemas beside the repository."""

import copy
import json
import shutil
import sys
import warnings
import zipfile

import jsonschema
import pytest
import yaml

from harness import shared
from tools import CACHE, FETCH_SECONDS, run

PACKAGE = "kubernetes-validate==1.37.0"
FOLDER = "kubernetes_validate/kubernetes-json-schema/v1.37.0-local-strict/"


def kubernetes_schemas():
    """The archive of the package; None where it cannot be had."""
    def kept():
        return next(iter(sorted((CACHE / "schemas").glob("kubernetes_validate-1.37.0-*.whl"))), None)
    pips = [command for command in (["pip"], ["pip3"], [sys.executable, "-m", "pip"]) if shutil.which(command[0])]
    for pip in pips:
        if kept():
            break
        run(*pip, "download", "-q", "--no-deps", "-d", CACHE / "schemas", PACKAGE, timeout=FETCH_SECONDS)
    return kept()


def strict(schema):
    """A copy of an OpenAPI schema that allows no field which it does not list."""
    if not isinstance(schema, dict):
        return schema
    made = {}
    for key, value in schema.items():
        if key in ("properties", "patternProperties"):
            made[key] = {name: strict(inner) for name, inner in value.items()}
        elif key in ("items", "additionalProperties", "not"):
            made[key] = strict(value)
        elif key in ("anyOf", "oneOf", "allOf"):
            # What these list are conditions on the object, not its whole shape.
            made[key] = copy.deepcopy(value)
        else:
            made[key] = value
    if "properties" in made and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    if schema.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    return made


class Schemas:
    def __init__(self):
        self.validators = {}
        self.archive = kubernetes_schemas()

    def custom(self):
        for path in sorted(shared.folder("k8s-schemas", "crds").glob("*.yaml")):
            for crd in yaml.safe_load_all(path.read_text(encoding="utf-8")):
                for version in crd["spec"]["versions"]:
                    kind = (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"])
                    schema = strict(version["schema"]["openAPIV3Schema"])
                    # The API server knows these of every object.
                    schema["properties"].update(apiVersion={"const": kind[0]}, kind={"const": kind[1]},
                                                metadata=METADATA)
                    self.validators[kind] = jsonschema.Draft4Validator(schema)

    def built_in(self, kind):
        group, _, version = kind[0].rpartition("/")
        group = group.replace(".k8s.io", "")
        name = "-".join(filter(None, (kind[1].lower(), group, version))) + ".json"
        with zipfile.ZipFile(self.archive) as archive:
            if FOLDER + name not in archive.namelist():
                return None
            schema, definitions = (json.loads(archive.read(FOLDER + n)) for n in (name, "_definitions.json"))
        with warnings.catch_warnings():  # Debian 12 has nothing newer
            warnings.simplefilter("ignore", DeprecationWarning)
            resolver = jsonschema.RefResolver(schema["$id"], schema, store={definitions["$id"]: definitions})
        return jsonschema.Draft202012Validator(schema, resolver=resolver)

    def validator(self, thing):
        kind = (thing["apiVersion"], thing["kind"])
        group = kind[0].rpartition("/")[0]
        if "." in group and not group.endswith(".k8s.io"):
            if kind not in self.validators:
                self.custom()
            return self.validators.get(kind)
        if kind not in self.validators:
            if not self.archive:
                pytest.skip(f"the schemas of Kubernetes, {PACKAGE}, cannot be had by pip")
            self.validators[kind] = self.built_in(kind)
        return self.validators[kind]

    def complaints(self, thing):
        validator = self.validator(thing)
        label = f"{thing['kind']} {thing['metadata'].get('name')}"
        if not validator:
            return [f"{label}: no schema of {thing['apiVersion']} {thing['kind']}"]
        return [f"{label}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
                for error in validator.iter_errors(thing)]


METADATA = {
    "type": "object", "required": ["name"], "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
        "namespace": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
