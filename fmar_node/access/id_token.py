"""An identity provider's ID token (OpenID Connect Core 1.0, sections 2 and 3.1.3.7): who has signed in there.

Rules kept here:
- it is signed by a key that the provider publishes, with an algorithm of that key; RS256 counts in this module and nowhere
  else: access tokens, proofs and assertions are read by `access.jose`, whose list it is not on;
- it is from this provider, for this node and nobody beside it, for the attempt that it answers (`nonce`, `iat`), in time;
- the e-mail address is one that the provider has verified, and plain ASCII, so that no two spellings look alike;
- no header brings a key or a place to fetch one from; a refusal says why and quotes nothing of what was sent.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from fmar_node.access.jose import (
    COMPACT,
    FOREIGN,
    Compact,
    UnacceptableError,
    decode,
    json_object,
    text_claim,
    time_claim,
)
from fmar_node.access.key import PublicKey, public_key

ALGORITHMS_OF = {"EC": ("ES256",), "OKP": ("Ed25519", "EdDSA"), "RSA": ("PS256", "RS256")}
ALGORITHMS = tuple(name for names in ALGORITHMS_OF.values() for name in names)
TYPES = (None, "JWT", "jwt")
MOST_CHARACTERS = 16_384
MOST_KEYS = 64
EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9-]+(\.[a-z0-9-]+)+")
METHOD = re.compile(r"[A-Za-z0-9_-]{1,32}")
_RS256 = jws.JWSRegistry(algorithms=["RS256"]).get_alg("RS256")


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """A key that a provider signs with: the algorithms are those of its type, or the one that its JWK names."""

    kid: str | None
    key: PublicKey
    algorithms: tuple[str, ...]

    def check(self, compact: Compact) -> None:
        """UnacceptableError unless this key signed it."""
        if compact.header["alg"] not in self.algorithms:
            raise UnacceptableError("has an alg that does not fit its key")
        if compact.header["alg"] != "RS256":
            self.key.check(compact)
        elif not _holds_by_rs256(compact, self.key):
            raise UnacceptableError("has a signature that does not hold")


def _holds_by_rs256(compact: Compact, key: PublicKey) -> bool:
    try:
        _RS256.check_key(key.material)
        return bool(_RS256.verify(compact.signed, compact.signature, key.material))
    except (JoseError, ValueError, TypeError) as error:
        raise UnacceptableError("has a signature that cannot be checked with its key") from error


def provider_keys(jwks: Any) -> tuple[ProviderKey, ...]:
    """The keys of a JWK Set that can sign ID tokens here; others (for encryption, of other types) are passed over."""
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list) or len(keys) > MOST_KEYS:
        raise UnacceptableError(f"is not a JWK Set of at most {MOST_KEYS} keys")
    return tuple(_usable(keys))


def _usable(keys: Iterable[Any]) -> Iterator[ProviderKey]:
    for jwk in keys:
        try:
            key = public_key({name: value for name, value in jwk.items() if name != "alg"} if isinstance(jwk, dict) else jwk)
        except UnacceptableError:
            continue
        fitting = ALGORITHMS_OF[key.jwk["kty"]]
        named = jwk.get("alg")
        if named is None or named in fitting:
            yield ProviderKey(jwk.get("kid"), key, fitting if named is None else (named,))


def the_key(keys: Collection[ProviderKey], compact: Compact) -> ProviderKey | None:
    """The one key that can have signed: of the token's `kid`, or the only one that fits where it names none."""
    kid = compact.header.get("kid")
    fitting = [each for each in keys if compact.header["alg"] in each.algorithms and (kid is None or each.kid == kid)]
    return fitting[0] if len(fitting) == 1 else None


@dataclass(frozen=True, slots=True)
class Expected:
    """What an ID token has to be: whose, for whom, for which attempt; times in seconds since 1970."""

    issuer: str
    client_id: str
    nonce: str
    begun: float
    now: float
    skew: float


@dataclass(frozen=True, slots=True)
class Identity:
    """Who has signed in at a provider. `email` is in lower case; `methods` are how (RFC 8176); `mark` is the token's SHA-256."""

    issuer: str
    subject: str
    email: str
    methods: tuple[str, ...] = ()
    authenticated: float | None = None
    mark: str = ""

    @property
    def name(self) -> str:
        return identity_name(self.issuer, self.subject)


def identity_name(issuer: str, subject: str) -> str:
    """What a user's record calls an identity; no issuer has a bar in it."""
    return f"{issuer}|{subject}"


def read_id_token(text: str) -> Compact:
    """A well-formed ID token; nothing in it is to be believed before its signature was checked. UnacceptableError otherwise."""
    if len(text) > MOST_CHARACTERS or COMPACT.fullmatch(text) is None:
        raise UnacceptableError(f"is not a signed JWT in compact form of at most {MOST_CHARACTERS} characters")
    head, payload, signature = text.split(".")
    header = json_object(decode(head, "header"), "header")
    if foreign := (FOREIGN | {"jwk"}) & header.keys():
        raise UnacceptableError(f"has the header {min(foreign)}, which is not accepted here")
    if header.get("typ") not in TYPES:
        raise UnacceptableError("has a typ other than JWT")
    if header.get("alg") not in ALGORITHMS:
        raise UnacceptableError(f"is not signed with one of {', '.join(ALGORITHMS)}")
    return Compact(head, header, decode(payload, "payload"), f"{head}.{payload}".encode("ascii"), decode(signature, "signature"))


def identity_in(compact: Compact, key: ProviderKey, expected: Expected) -> Identity:
    """Who the token says has signed in. UnacceptableError unless it is signed by `key` and all that is expected."""
    key.check(compact)
    claims = compact.claims()
    if claims.get("iss") != expected.issuer:
        raise UnacceptableError("is from another issuer")
    _check_audience(claims, expected.client_id)
    _check_times(claims, expected)
    nonce = text_claim(claims, "nonce")
    if not hmac.compare_digest(nonce, expected.nonce):
        raise UnacceptableError("is for another sign-in (nonce)")
    return Identity(
        issuer=expected.issuer,
        subject=text_claim(claims, "sub", 255),
        email=_verified_email(claims),
        methods=_methods(claims.get("amr")),
        authenticated=time_claim(claims, "auth_time") if "auth_time" in claims else None,
        mark=hashlib.sha256(compact.signed).hexdigest(),
    )


def _check_audience(claims: dict[str, Any], client_id: str) -> None:
    if claims.get("aud") not in (client_id, [client_id]) or claims.get("azp", client_id) != client_id:
        raise UnacceptableError("is for another client, or for more than this one (aud, azp)")


def _check_times(claims: dict[str, Any], expected: Expected) -> None:
    issued, expires = time_claim(claims, "iat"), time_claim(claims, "exp")
    starts = time_claim(claims, "nbf") if "nbf" in claims else issued
    if expected.now >= expires + expected.skew:
        raise UnacceptableError("has expired")
    if max(issued, starts) > expected.now + expected.skew:
        raise UnacceptableError("is not valid yet by the clock of this node")
    if issued < int(expected.begun) - expected.skew:
        raise UnacceptableError("was issued before this sign-in began")


def _verified_email(claims: dict[str, Any]) -> str:
    email = text_claim(claims, "email", 254).lower()
    if claims.get("email_verified") is not True:
        raise UnacceptableError("has an e-mail address that the provider has not verified")
    if EMAIL.fullmatch(email) is None:
        raise UnacceptableError("has an email that is not an e-mail address in ASCII")
    return email


def _methods(amr: Any) -> tuple[str, ...]:
    """What `amr` tells, as far as it is made of plain words."""
    told = amr if isinstance(amr, list) else []
    return tuple(each for each in told[:8] if isinstance(each, str) and METHOD.fullmatch(each))
