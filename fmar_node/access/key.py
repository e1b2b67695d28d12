"""Keys: what participants may sign with, what the node signs with, and who answers for a key.

Rules kept here:
- P-256 with ES256, Ed25519 with Ed25519 (or its old name EdDSA), RSA of 2048 to 4096 bits with PS256;
  RS256, HS* and none have no key here that could carry them;
- an Ed25519 key is no point of small order: under such a one a signature that nobody had to make holds for any text;
- a public JWK has one canonical form, so that one key has one thumbprint (RFC 7638), and no private member;
- the node's signing keys are a JWKS file that only its owner may read; the newest signs, all verify. When a new one
  begins to sign, and an old one ends to verify, is told by `SigningKeys.at`.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

from joserfc import jwk as jose_key
from joserfc.errors import JoseError

from fmar_node.access.jose import Compact, UnacceptableError, check_signature, decode, sign_compact

ALGORITHMS_OF = {"EC": ("ES256",), "OKP": ("Ed25519", "EdDSA"), "RSA": ("PS256",)}
CURVE_OF = {"EC": "P-256", "OKP": "Ed25519"}
MEMBERS_OF = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
COORDINATE_BYTES = 32
SMALL_ORDER = frozenset(
    bytes.fromhex(point)
    for point in (
        "00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f", "ed" + "ff" * 30 + "7f", "ee" + "ff" * 30 + "7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
)  # fmt: skip
"""The points of Ed25519 whose order divides 8, in every encoding, without the sign bit."""
RSA_BITS = range(2_048, 4_097)
RSA_EXPONENT = "AQAB"


@dataclass(frozen=True, slots=True)
class ApplicationKey:
    """A participant's registered key: whose it is, and whether it still counts.

    `organisation` is the bare UUID, `key_id` the RFC 7638 thumbprint, `jwk` the public key.
    """

    client_id: str
    organisation: str
    key_id: str
    jwk: dict[str, Any]
    is_active: bool
    entry: int | None = None
    """The journal entry that it came with: its place in the node's status list."""


class KeyDirectory(Protocol):
    """Who is registered with which key. Asked at every token request and at every request."""

    def find(self, client_id: str, key_id: str | None) -> ApplicationKey | None:
        """The key as it stands now, revoked ones too; without `key_id` the client's only active key."""
        ...


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that may verify: its thumbprint, the algorithms of its type, its JWK."""

    thumbprint: str
    algorithms: tuple[str, ...]
    jwk: dict[str, str]
    material: jose_key.Key

    def check(self, compact: Compact) -> None:
        """UnacceptableError unless this key signed it."""
        check_signature(compact, self.material, self.algorithms)


def public_members(jwk: Any) -> dict[str, str]:
    """The members that make the public key, in canonical form. UnacceptableError otherwise."""
    if not isinstance(jwk, Mapping):
        raise UnacceptableError("has a key that is not a JWK")
    if PRIVATE_MEMBERS & jwk.keys():
        raise UnacceptableError("has private key material in its JWK; that key is no longer a secret, replace it")
    kind = jwk.get("kty")
    if not isinstance(kind, str) or kind not in MEMBERS_OF:
        raise UnacceptableError("has a key that is not P-256, Ed25519 or RSA")
    members = {name: jwk[name] for name in MEMBERS_OF[kind] if isinstance(jwk.get(name), str)}
    if len(members) != len(MEMBERS_OF[kind]):
        raise UnacceptableError(f"has a key without one of {', '.join(MEMBERS_OF[kind])}")
    _check_form(members, kind)
    _check_purpose(jwk, kind)
    return members


def _check_form(members: Mapping[str, str], kind: str) -> None:
    if kind == "RSA":
        number = decode(members["n"], "key")
        if members["e"] != RSA_EXPONENT or number[:1] == b"\0" or int.from_bytes(number).bit_length() not in RSA_BITS:
            raise UnacceptableError("has an RSA key that is not 2048 to 4096 bits with the exponent 65537")
        return
    if members["crv"] != CURVE_OF[kind]:
        raise UnacceptableError("has a key that is not P-256, Ed25519 or RSA")
    if any(len(decode(members[name], "key")) != COORDINATE_BYTES for name in ("x", "y") if name in members):
        raise UnacceptableError("has a key whose coordinates are not 32 bytes long")
    if kind == "OKP" and _without_sign(decode(members["x"], "key")) in SMALL_ORDER:
        raise UnacceptableError("has an Ed25519 key of small order, which anybody could sign for")


def _without_sign(point: bytes) -> bytes:
    return point[:-1] + bytes([point[-1] & 0x7F])


def _check_purpose(jwk: Mapping[str, Any], kind: str) -> None:
    operations = jwk.get("key_ops", ["verify"])
    is_for_signing = jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    if not is_for_signing or jwk.get("alg", ALGORITHMS_OF[kind][0]) not in ALGORITHMS_OF[kind]:
        raise UnacceptableError("has a key that is meant for another purpose (use, key_ops or alg)")


def thumbprint(members: Mapping[str, str]) -> str:
    """The RFC 7638 SHA-256 thumbprint of what `public_members` returned."""
    return jose_key.thumbprint(dict(members))


def public_key(jwk: Any) -> PublicKey:
    """A public key from its JWK. UnacceptableError where the type, size or form is not accepted here."""
    members = public_members(jwk)
    try:
        material = jose_key.import_key({**members})
    except (JoseError, ValueError, TypeError) as error:
        raise UnacceptableError("has a key that is not a valid public key") from error
    return PublicKey(thumbprint(members), ALGORITHMS_OF[members["kty"]], members, material)


class NodeKeys(Protocol):
    """What the node signs with and is verified by."""

    @property
    def signing_kid(self) -> str:
        """The `kid` of the key that signs now."""
        ...

    def public(self) -> dict[str, Any]:
        """The public JWKS, for `/oauth/jwks`."""
        ...

    def find(self, kid: object) -> PublicKey | None:
        """The key of that `kid`; whatever else a header may hold finds nothing."""
        ...

    def sign(self, claims: dict[str, Any], typ: str) -> str:
        """A compact JWS by the key that signs now."""
        ...


@dataclass(frozen=True)
class SigningKeys:
    """The node's own ES256 keys for access tokens, oldest first, as private JWKs with `kid` and, from a rotation, `iat`."""

    jwks: tuple[dict[str, Any], ...] = field(repr=False)

    @classmethod
    def generate(cls, file: Path) -> Self:
        """A first key in a new file. FileExistsError where there is one already."""
        with file.open("x"):
            pass
        return cls(()).rotate(file)

    @classmethod
    def load(cls, file: Path) -> Self:
        """The keys in `file`. PermissionError where others may read it, ValueError where it holds no ES256 key."""
        if os.name == "posix" and stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise PermissionError(f"{file} may be read by others than its owner; run: chmod 600 {file}")
        try:
            held = json.loads(file.read_text("utf-8"))
        except ValueError as error:
            raise ValueError(f"{file} is not a JWKS: {error}") from error
        jwks = held.get("keys") if isinstance(held, dict) else None
        if not isinstance(jwks, list) or not jwks or not all(map(_is_signing_key, jwks)):
            raise ValueError(f"{file} is not a JWKS of private P-256 keys with kid")
        return cls(tuple(jwks))

    def rotate(self, file: Path, made_at: float = 0) -> Self:
        """The same keys and a new one; `file` is replaced as a whole. `made_at` (seconds since 1970) says since when it is published."""
        key = jose_key.generate_key("EC", "P-256", auto_kid=True)
        grown = type(self)((*self.jwks, {**key.as_dict(private=True), "alg": "ES256", "use": "sig", "iat": int(made_at)}))
        _write_private(file, json.dumps({"keys": grown.jwks}, indent=1))
        return grown

    def at(self, now: float, published: float, life: float) -> Self:
        """The keys that count at a time, the one that signs last.

        A key signs once it has been published for `published` seconds, until the next one does; it verifies until what it
        signed last has ended, `life` seconds after that. A key that stands alone, or first, signs whatever its age.
        """
        starts = [each.get("iat", 0) + published for each in self.jwks]
        signing = max((place for place, start in enumerate(starts) if start <= now), default=0)
        counting = [place for place in range(signing) if now < min(starts[place + 1 : signing + 1]) + life]
        coming = range(signing + 1, len(starts))
        return type(self)(tuple(self.jwks[place] for place in (*counting, *coming, signing)))

    @property
    def signing_kid(self) -> str:
        return str(self.jwks[-1]["kid"])

    def public(self) -> dict[str, Any]:
        """The public JWKS, for `/oauth/jwks`."""
        return {"keys": [{**key.jwk, "kid": kid, "alg": "ES256", "use": "sig"} for kid, key in self._by_kid.items()]}

    def find(self, kid: object) -> PublicKey | None:
        """The key of that `kid`; whatever else a header may hold finds nothing."""
        return self._by_kid.get(kid) if isinstance(kid, str) else None

    def sign(self, claims: dict[str, Any], typ: str) -> str:
        """A compact JWS by the newest key."""
        return sign_compact({"typ": typ, "alg": "ES256", "kid": self.signing_kid}, claims, self._signer)

    @cached_property
    def _by_kid(self) -> dict[str, PublicKey]:
        return {each["kid"]: public_key({name: each[name] for name in MEMBERS_OF["EC"]}) for each in self.jwks}

    @cached_property
    def _signer(self) -> jose_key.Key:
        return jose_key.import_key(self.jwks[-1])


def _is_signing_key(jwk: Any) -> bool:
    named = all(isinstance(jwk.get(name), str) for name in ("kid", "d", "x", "y")) if isinstance(jwk, dict) else False
    return named and jwk.get("kty") == "EC" and jwk.get("crv") == CURVE_OF["EC"] and isinstance(jwk.get("iat", 0), int)


def _write_private(file: Path, text: str) -> None:
    """Replace `file` by one that only its owner may read, as a whole or not at all."""
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)
