"""A private authority, certificates by it, and a node that is reached over TLS."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from fmar_node.cli.participate import onboard
from fmar_node.foundation import make_node
from tests.live import Live, free_port
from tests.market import organisation

Key = ec.EllipticCurvePrivateKey


class Authority:
    """Issues certificates; its own is the `ca` of those who trust it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        self.ca = folder / "ca.pem"
        self.certificate = self._signed(self.name, self.key, x509.BasicConstraints(ca=True, path_length=None), 30)
        self.ca.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def issue(self, folder: Path, *names: str, days: float = 30, key: Key | None = None) -> int:
        """Writes `tls.crt` and `tls.key` for these names into a folder; the certificate's serial number."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        made = self._signed(x509.Name([]), key, alternatives, days)
        (folder / "tls.crt").write_bytes(made.public_bytes(Encoding.PEM))
        file = folder / "tls.key"
        file.touch(mode=0o600)
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return made.serial_number

    def _signed(self, subject: x509.Name, key: Key, extension: x509.ExtensionType, days: float) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=60)).not_valid_after(now + timedelta(days=days))
        return builder.add_extension(extension, critical=True).sign(self.key, hashes.SHA256())


class Secure(Live):
    """A node whose base URL is https: with a certificate of its own, or, with `behind`, on plain loopback behind a proxy."""

    def __init__(self, folder: Path, authority: Authority, port: int = 0, **environment: str) -> None:
        super().__init__(folder, {"fsp-a": {"roles": ["FSP"]}}, **environment)
        self.authority, self.behind = authority, free_port() if port else 0
        self.url = f"https://localhost:{port or free_port()}"
        self.trust = ssl.create_default_context(cafile=str(authority.ca))

    def __enter__(self) -> Self:
        made = make_node(self.folder, self.url, organisation("Operator", ["FMAR_OPERATOR"]))
        operator = replace(made, ca=str(self.authority.ca))
        operator.save(self.folder / "participants" / "operator")
        self.profiles["operator"] = operator
        if not self.behind:
            self.authority.issue(self.folder, "localhost")
            with (self.folder / "node.toml").open("a") as settings:
                settings.write('tls_certificate = "tls.crt"\ntls_key = "tls.key"\n')
        self.start()
        for name, given in self.participants.items():
            described = organisation(f"The {name} organisation", given["roles"])
            self.profiles[name] = onboard(operator, name, described, self.folder / "participants" / name)
        return self

    def start(self) -> None:
        where = ["--host", "127.0.0.1", "--port", str(self.behind)] if self.behind else []
        command = [sys.executable, "-m", "fmar_node.cli", "serve", "--data", str(self.folder), *where]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment, start_new_session=True)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/readyz", verify=self.trust, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the node did not start:\n{self.log.read_text()[-3000:]}")
