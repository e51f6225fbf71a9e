# SPDX-License-Identifier: Apache-2.0
"""Classes that protoc makes of a proto, as any consumer in Python has them."""

import importlib
import subprocess
import sys
import tempfile

_folder = None


def module(root, proto):
    """The module of `proto`, a path below `root`."""
    global _folder
    if _folder is None:
        _folder = tempfile.TemporaryDirectory(prefix="mailcase-protos-")
        sys.path.insert(0, _folder.name)
    subprocess.run(["protoc", f"-I{root}", f"--python_out={_folder.name}", proto], check=True)
    importlib.invalidate_caches()
    return importlib.import_module(proto.removesuffix(".proto").replace("/", ".") + "_pb2")
