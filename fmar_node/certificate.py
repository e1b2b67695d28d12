"""The node's own TLS certificate: read from files, checked before it is used, exchanged without a restart.

Rules kept here: a certificate serves the host of the base URL with the key that belongs to it, and the key is its owner's
alone; what does not hold is refused with what to do, and never takes the place of a certificate that works; TLS 1.2 at least.
"""

from __future__ import annotations

import os
import ssl
import stat
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from fmar_node.errors import Malformed
from fmar_node.settings import Settings


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that fits its key and its host, with the files that it came from."""

    file: Path
    key: Path
    names: tuple[str, ...]
    starts: datetime
    ends: datetime

    def days_left(self, now: datetime) -> float:
        """Days until it ends; below zero once it has."""
        return (self.ends - now).total_seconds() / 86_400


def read_certificate(settings: Settings, root: Path) -> Certificate | None:
    """What `tls_certificate` and `tls_key` name, paths relative to the data folder `root`; None where TLS is not set up.

    Malformed where the files do not make a certificate for the host of the base URL.
    """
    if not settings.tls_certificate and not settings.tls_key:
        return None
    if not settings.tls_certificate or not settings.tls_key:
        _refuse("tls_certificate and tls_key go together; set both, or neither behind a proxy")
    address = urlsplit(settings.base_url)
    if address.scheme != "https":
        _refuse(f"the base URL is {settings.base_url}; a node that speaks TLS is made with an https base URL")
    file, key = root / settings.tls_certificate, root / settings.tls_key
    certificate = _parsed(file)
    _check_key(certificate, key)
    names = _names(certificate)
    host = address.hostname or ""
    if not any(_covers(name, host) for name in names):
        _refuse(f"{file} is for {', '.join(names) or 'nobody'} and not for {host}, the host of the base URL")
    _loaded(file, key)
    return Certificate(file, key, names, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _refuse(reason: str) -> NoReturn:
    raise Malformed("malformed-request", f"TLS: {reason}")


def _parsed(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())[0]
    except OSError as error:
        _refuse(f"tls_certificate: {file}: {error.strerror}")
    except ValueError:
        _refuse(f"{file} is no certificate in PEM; it starts with the node's own, the chain follows")


def _check_key(certificate: x509.Certificate, file: Path) -> None:
    try:
        mode, data = stat.S_IMODE(file.stat().st_mode), file.read_bytes()
    except OSError as error:
        _refuse(f"tls_key: {file}: {error.strerror}")
    if os.name == "posix" and mode & 0o077:
        _refuse(f"{file} may be read by others than its owner; run: chmod 600 {file}")
    try:
        public = load_pem_private_key(data, None).public_key()
    except (ValueError, TypeError):
        _refuse(f"{file} is no private key in PEM without a passphrase")
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if public.public_bytes(*form) != certificate.public_key().public_bytes(*form):
        _refuse(f"the key in {file} is not the one that the certificate was issued for")


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = map(str, alternatives.get_values_for_type(x509.IPAddress))
    return (*alternatives.get_values_for_type(x509.DNSName), *addresses)


def _covers(name: str, host: str) -> bool:
    """RFC 9525, section 6.3: equal without regard to case, or a wildcard for the first label."""
    try:
        return ip_address(name) == ip_address(host)
    except ValueError:
        first, _, rest = host.lower().partition(".")
        return name.lower() == host.lower() or (bool(first and rest) and name.lower() == f"*.{rest}")


def _loaded(file: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(file, key)
    except (OSError, ssl.SSLError) as error:
        _refuse(f"{file} and {key} cannot be used: {error}")
    return context


class Tls:
    """The certificate in service: `context` is what the server listens with, `renew` reads the files again."""

    def __init__(self, settings: Settings, root: Path, certificate: Certificate) -> None:
        self.settings, self.root, self.certificate = settings, root, certificate
        self.current = _loaded(certificate.file, certificate.key)
        self.context = _loaded(certificate.file, certificate.key)
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Each handshake takes the certificate of the moment, whole: a context that is loaded twice may mix two."""
        connection.context = self.current

    def renew(self, now: datetime) -> Certificate:
        """The files as they are now, from the next handshake on. Malformed where they do not serve; then nothing changes."""
        fresh = read_certificate(self.settings, self.root)
        if fresh is None or fresh.days_left(now) <= 0:
            _refuse(f"{self.certificate.file} has expired")
        self.current, self.certificate = _loaded(fresh.file, fresh.key), fresh
        return fresh
