# SPDX-License-Identifier: Apache-2.0
"""A certificate authority of the tests' own, and what it signs. openssl does the work."""

import subprocess
import tempfile
from pathlib import Path

EXPIRED = ("20200101000000Z", "20200201000000Z")


def openssl(*args):
    done = subprocess.run(["openssl", *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)


def sign(ca_file, ca_key, request, out, begin=None, end=None):
    """A certificate for the request, with the names that it asks for, valid for 30 days or between two ASN.1 times."""
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        (work / "index").touch()
        (work / "ca.cnf").write_text(
            "[ca]\ndefault_ca=own\n[own]\n"
            f"database={work}/index\nnew_certs_dir={work}\nrand_serial=yes\ndefault_md=sha256\npolicy=any\n"
            "copy_extensions=copy\nunique_subject=no\n[any]\ncommonName=supplied\n", encoding="utf-8")
        dates = ["-startdate", begin, "-enddate", end] if begin else ["-days", "30"]
        openssl("ca", "-batch", "-notext", "-config", work / "ca.cnf", "-cert", ca_file, "-keyfile", ca_key, "-in", request,
                "-out", work / "new.pem", *dates)
        out.write_bytes((work / "new.pem").read_bytes())


class Authority:
    """Its own certificate is `ca_file`; everything lies in `folder`."""

    def __init__(self, folder, name="tests' authority"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca_file, self.ca_key = self.folder / "ca.pem", self.folder / "ca.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
                f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", self.ca_key, "-out", self.ca_file)

    def issue(self, name, alternatives="", begin=None, end=None, password=None):
        """Files with a certificate for CN=name and with its key, encrypted where there is a password."""
        certificate, key, request = (self.folder / f"{name}.{kind}" for kind in ("pem", "key", "req"))
        names = ["-addext", f"subjectAltName={alternatives}"] if alternatives else []
        secret = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *secret, "-subj", f"/CN={name}", *names, "-keyout",
                key, "-out", request)
        sign(self.ca_file, self.ca_key, request, certificate, begin, end)
        return certificate, key
