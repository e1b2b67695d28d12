"""Compact JWS (RFC 7515), read strictly here; the algorithms are joserfc's (RFC 7518, 8037, 9864).

Rules kept here:
- a size limit comes before any decoding, the signature before any use of what was signed;
- `alg` is one of ALGORITHMS, spelt exactly so, and fits the key: the key decides, never the header alone;
- no header may bring a key or a place to fetch one from (`jku`, `x5u`, `x5c`, and `jwk` unless the caller
  asks for it, as only DPoP proofs do), and none may change what the signature means (`crit`, `b64`, `zip`);
- JSON is one object, UTF-8, without duplicate keys, NaN or Infinity;
- a refusal says why in plain words and quotes nothing of what was sent.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import Key

ALGORITHMS = ("ES256", "Ed25519", "EdDSA", "PS256")
FOREIGN = frozenset({"jku", "x5u", "x5c", "crit", "b64", "zip"})
COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
HEADS = 1_024
"""Headers that are remembered, decoded."""
LATEST = 2**53  # seconds; every integer below it is exact as a JSON number (RFC 8259, section 6)


class UnacceptableError(ValueError):
    """A JWS, JWK or claim that is refused; the message is fit to be shown to whoever sent it."""


class _Registry(jws.JWSRegistry):
    """joserfc's algorithms, those accepted here only, and `EdDSA` meaning Ed25519 only."""

    def get_alg(self, name: str) -> JWSAlgModel:
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


_REGISTRY = _Registry(algorithms=ALGORITHMS)


@dataclass(frozen=True, slots=True)
class Compact:
    """A compact JWS that is well formed; nothing in it is to be believed before `check_signature`."""

    head: str
    header: Mapping[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes

    def claims(self) -> dict[str, Any]:
        """The payload as one JSON object. UnacceptableError otherwise."""
        return json_object(self.payload, "payload")


def read_compact(text: str, most: int, *, may_bring_key: bool = False) -> Compact:
    """The parts of a compact JWS of at most `most` characters. UnacceptableError otherwise."""
    if len(text) > most:
        raise UnacceptableError(f"is longer than {most} bytes")
    if COMPACT.fullmatch(text) is None:
        raise UnacceptableError("is not a signed JWT in compact form (three base64url parts)")
    signed, _, signature = text.rpartition(".")
    head, _, payload = signed.partition(".")
    return Compact(head, read_header(head, may_bring_key), decode(payload, "payload"), signed.encode("ascii"), decode(signature, "signature"))


@functools.lru_cache(HEADS)
def read_header(head: str, may_bring_key: bool) -> Mapping[str, Any]:
    """The first part of a compact JWS, decoded and checked; remembered, since a client's JWS all begin alike. UnacceptableError otherwise."""
    header = json_object(decode(head, "header"), "header")
    _check_header(header, may_bring_key)
    return MappingProxyType(header)


def _check_header(header: dict[str, Any], may_bring_key: bool) -> None:
    if foreign := FOREIGN & header.keys():
        raise UnacceptableError(f"has the header {min(foreign)}, which is not accepted here")
    if "jwk" in header and not may_bring_key:
        raise UnacceptableError("brings its own key in the header jwk, which is not accepted here")
    if header.get("alg") not in ALGORITHMS:
        raise UnacceptableError(f"is not signed with one of {', '.join(ALGORITHMS)}")


def check_signature(compact: Compact, key: Key, algorithms: Collection[str]) -> None:
    """UnacceptableError unless `key` made the signature with one of `algorithms`, those of its type."""
    if compact.header["alg"] not in algorithms:
        raise UnacceptableError("has an alg that does not fit its key")
    algorithm = _REGISTRY.get_alg(compact.header["alg"])
    try:
        algorithm.check_key(key)
        holds = algorithm.verify(compact.signed, compact.signature, key)
    except (JoseError, ValueError, TypeError) as error:
        raise UnacceptableError("has a signature that cannot be checked with its key") from error
    if not holds:
        raise UnacceptableError("has a signature that does not hold")


def sign_compact(header: dict[str, Any], claims: dict[str, Any], key: Key) -> str:
    """A compact JWS over `claims`; `header` names alg and typ."""
    payload = json.dumps(claims, separators=(",", ":"), allow_nan=False)
    return jws.serialize_compact(header, payload, key, registry=_REGISTRY)


def decode(text: str, part: str) -> bytes:
    """Canonical base64url without padding (RFC 7515, section 2). UnacceptableError otherwise."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnacceptableError(f"has a {part} that is not base64url") from error
    if encode(data) != text:
        raise UnacceptableError(f"has a {part} that is not base64url in its one canonical form")
    return data


def encode(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def json_object(data: bytes, part: str) -> dict[str, Any]:
    """One JSON object. UnacceptableError where keys repeat, numbers are not finite, or it is anything else."""
    try:
        value = _JSON.decode(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnacceptableError(f"has a {part} that is not well-formed JSON") from error
    if not isinstance(value, dict):
        raise UnacceptableError(f"has a {part} that is not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate key")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_JSON = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)


def text_claim(claims: dict[str, Any], name: str, most: int = 2_048) -> str:
    """A claim that must be there: printable ASCII, 1 to `most` characters. UnacceptableError otherwise."""
    value = claims.get(name)
    if value is None:
        raise UnacceptableError(f"has no {name}")
    if not (isinstance(value, str) and 0 < len(value) <= most and value.isascii() and value.isprintable()):
        raise UnacceptableError(f"has a {name} that is not a text of 1 to {most} printable ASCII characters")
    return value


def time_claim(claims: dict[str, Any], name: str) -> float:
    """A claim that must be there: a NumericDate (RFC 7519, section 2) in seconds. UnacceptableError otherwise."""
    value = claims.get(name)
    if value is None:
        raise UnacceptableError(f"has no {name}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(_small(value)):
        raise UnacceptableError(f"has an {name} that is not a time in seconds since 1970")
    return float(value)


def _small(value: float) -> float:
    return value if 0 <= value < LATEST else math.inf
