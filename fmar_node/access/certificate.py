"""Client certificates: a reverse proxy ends TLS and tells the node which certificate the client held the key of.

Rules kept here:
- the header counts only from a peer whose own address is listed; from anybody else it is not there at all, and who the
  peer is follows from the connection, never from another header;
- it is one certificate: an RFC 9440 byte sequence (`:base64 of the DER:`), or the percent-encoded PEM of nginx; whatever
  else it may hold is refused, and `Client-Cert-Chain` is never read: the proxy, not the node, judges chains;
- the certificate is in force by the node's clock, its key of a type and size that signs here otherwise (`access.key`);
- what is bound to a certificate (`x5t#S256`, RFC 8705, section 3.1) is bound to its bytes; who a client is follows from its
  key (section 2.2), so that a renewed certificate with the same key is the same client, with a new token;
- a refusal quotes nothing of what was sent.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.utils import CryptographyDeprecationWarning

from fmar_node.access.jose import UnacceptableError, encode
from fmar_node.access.key import PublicKey, public_key
from fmar_node.clock import Clock
from fmar_node.settings import Settings

BYTE_SEQUENCE = re.compile(r":([A-Za-z0-9+/]+={0,2}):")
ESCAPED = re.compile(r"(?:[A-Za-z0-9+/=._~-]|%[0-9A-Fa-f]{2})+")
PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\n((?:[A-Za-z0-9+/=]{1,76}\n)+)-----END CERTIFICATE-----\n?")
NO_CERTIFICATE = frozenset({"", "::"})
"""What proxies send for a client without a certificate."""
UNREADABLE = (ValueError, TypeError, OverflowError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion, CryptographyDeprecationWarning)
"""What the parser raises; the warning where warnings are errors, for what its next release refuses."""
REMEMBERED = 256
"""Certificates that are remembered, read: a client's requests all bring the same."""
CURVES = {"secp256r1": "P-256"}


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate that a client showed to a listed proxy, together with proof that it holds the key.

    `x5t_s256` is the base64url SHA-256 of its DER (RFC 8705, section 3.1), `uri` the one URI among the alternative names
    of its subject, "" where there is none or more than one.
    """

    x5t_s256: str
    key: PublicKey
    not_before: datetime
    not_after: datetime
    uri: str


class CertificateCheck:
    """Judges forwarded certificates by the proxies that are listed and one clock. Thread-safe."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._most = settings.header_bytes
        self._skew = timedelta(seconds=settings.clock_skew_seconds)
        self._clock = clock
        self._proxies = tuple(ip_network(each) for each in settings.trusted_proxies)

    @property
    def is_offered(self) -> bool:
        """Whether there is any proxy whose header counts."""
        return bool(self._proxies)

    def forwarded(self, peer: str, values: Sequence[str]) -> tuple[str, ...]:
        """All values of the header where the peer is a listed proxy and the client had a certificate; otherwise none."""
        if not values or not self.is_listed(peer):
            return ()
        return () if len(values) == 1 and values[0] in NO_CERTIFICATE else tuple(values)

    def is_listed(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in each for each in self._proxies)

    def read(self, values: Sequence[str]) -> ClientCertificate:
        """The one certificate in what was forwarded, in force now. UnacceptableError otherwise."""
        if len(values) != 1:
            raise UnacceptableError(f"must stand in exactly one header, there are {len(values)}; the proxy has to replace what a client sends")
        if len(values[0]) > self._most:
            raise UnacceptableError(f"is longer than {self._most} bytes")
        certificate = _parsed(values[0])
        now = self._clock.now()
        if now > certificate.not_after:
            raise UnacceptableError("has expired; renew it")
        if now < certificate.not_before - self._skew:
            raise UnacceptableError("is not valid yet by the clock of this node")
        return certificate

    def is_bound(self, values: Sequence[str], x5t_s256: str) -> bool:
        """Whether what was forwarded is the certificate of that hash. UnacceptableError where it is none in force."""
        return hmac.compare_digest(self.read(values).x5t_s256, x5t_s256)


@functools.lru_cache(REMEMBERED)
def _parsed(text: str) -> ClientCertificate:
    der = _der(text)
    try:
        found = x509.load_der_x509_certificate(der)
        starts, ends, uri = found.not_valid_before_utc, found.not_valid_after_utc, _uri(found)
        jwk = _jwk(found.public_key())
    except UNREADABLE as error:
        raise UnacceptableError("is not a well-formed X.509 certificate") from error
    return ClientCertificate(encode(hashlib.sha256(der).digest()), public_key(jwk), starts, ends, uri)


def _der(text: str) -> bytes:
    """The bytes of the certificate, from either form."""
    if (found := BYTE_SEQUENCE.fullmatch(text)) is not None:
        return _decoded(found[1].encode("ascii"))
    pem = PEM.fullmatch(unquote_to_bytes(text)) if ESCAPED.fullmatch(text) else None
    if pem is None:
        raise UnacceptableError("is neither a byte sequence (RFC 9440, :base64 of the DER:) nor one percent-encoded PEM certificate")
    return _decoded(pem[1].replace(b"\n", b""))


def _decoded(text: bytes) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnacceptableError("is not well-formed base64") from error
    if base64.b64encode(data) != text:
        raise UnacceptableError("is not base64 in its one canonical form")
    return data


def _jwk(key: Any) -> dict[str, str]:
    """The key as a JWK of whatever size and curve; `public_key` says which are accepted."""
    if isinstance(key, EllipticCurvePublicKey):
        point, size = key.public_numbers(), (key.key_size + 7) // 8
        crv = CURVES.get(key.curve.name, key.curve.name)
        return {"kty": "EC", "crv": crv, "x": encode(point.x.to_bytes(size)), "y": encode(point.y.to_bytes(size))}
    if isinstance(key, Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_bytes_raw())}
    if isinstance(key, RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    return {"kty": "unknown"}


def _number(value: int) -> str:
    return encode(value.to_bytes((value.bit_length() + 7) // 8))


def _uri(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    found = names.get_values_for_type(x509.UniformResourceIdentifier)
    return found[0] if len(found) == 1 else ""
